"""What is said of a job's progress, the same in every form it is shown in."""

from __future__ import annotations

from air_executor.cli.following import JobFollower
from air_executor.observe.wording import counts_line, failure_text, left_text, rate_text

__all__ = ["counts_line", "failure_text", "left_text", "note_on", "rate_text"]


def note_on(follower: JobFollower, manager_pid: int | None) -> str:
    """What keeps a job from going on, and what to do about it; empty when nothing does."""
    progress, job = follower.progress, follower.job
    if progress.ended and follower.job_id is not None:
        return ""
    if manager_pid is None:
        goes_on = "what runs goes on, but nothing new starts" if progress.running else "nothing starts"
        return f"no manager is running, so {goes_on}: `air-executor start --base {follower.client.base}`"
    if not follower.begun:
        return "waits for the run before it to end" if follower.behind else ""
    if progress.stopping:
        return f"is being stopped ({progress.stopping.replace('_', ' ')})"
    if progress.paused:
        return f"paused; `air-executor resume {job}` lets it go on"
    if progress.open and not progress.running and not progress.counts["pending"]:
        return f"open: waits for more tasks; `air-executor close {job}` lets it end"
    return ""
