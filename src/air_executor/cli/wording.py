"""What is said of a job's progress, the same in every form it is shown in."""

from __future__ import annotations

from air_executor.cli.following import JobFollower
from air_executor.cli.output import clean, duration
from air_executor.observe.pace import Estimate
from air_executor.observe.progress import Failure, Progress

__all__ = ["counts_line", "failure_text", "left_text", "note_on", "rate_text"]


def failure_text(failure: Failure) -> str:
    """Why a task failed, on one line."""
    if failure.error:
        return clean(failure.error)
    if failure.exit_code is not None:
        return f"exit code {failure.exit_code}"
    return failure.signal or failure.reason


def rate_text(rate: float) -> str:
    """`312 tasks/s`, `1.5 tasks/s`, `12 tasks/min`."""
    if rate >= 100:
        return f"{rate:,.0f} tasks/s"
    if rate >= 0.95:
        return f"{rate:.1f} tasks/s"
    return f"{rate * 60:.0f} tasks/min"


def left_text(estimate: Estimate) -> str:
    """`about 4 s left (3–6 s)`."""
    low, mid, high = (max(1, round(seconds)) for seconds in estimate)
    spread = f"{low}–{high} s" if high < 60 else f"{duration(low)} to {duration(high)}"
    return f"about {duration(mid)} left" + (f" ({spread})" if duration(low) != duration(high) else "")


def counts_line(progress: Progress) -> str:
    """`[Progress] 789/1234 tasks (63.9%)`, the short form that log readers look for."""
    return f"[Progress] {progress.counts['completed']}/{progress.total} tasks ({progress.percent:.1f}%)"


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
