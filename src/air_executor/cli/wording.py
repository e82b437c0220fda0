"""What is said of a job's progress, the same in every form it is shown in."""

from __future__ import annotations

from air_executor.cli.following import JobFollower
from air_executor.observe.report import hindrance
from air_executor.observe.wording import counts_line, failure_text, left_text, rate_text

__all__ = ["counts_line", "failure_text", "left_text", "note_on", "rate_text"]


def note_on(follower: JobFollower, manager_pid: int | None) -> str:
    """What keeps a job from going on, and what to do about it; empty when nothing does."""
    progress, job = follower.progress, follower.job
    if progress.ended and follower.job_id is not None:
        return ""
    if manager_pid is not None and not follower.begun:
        return "waits for the run before it to end" if follower.behind else ""
    return hindrance(progress, job, follower.client.base if manager_pid is None else None)
