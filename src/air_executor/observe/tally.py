"""What the tasks of one run have come to, in numbers: counts, and what each attempt took.

Leaner than `Progress`, for whoever follows all jobs of a base; it remembers tasks that have not ended only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from air_executor import events as ev
from air_executor.model import State
from air_executor.times import from_iso

__all__ = ["Attempt", "Tally"]


class Attempt(NamedTuple):
    """An attempt that has ended. `queue_s`: from queueing (or the end of the attempt before) to its start."""

    task: str
    attempt: int
    group: str | None
    queued_at: float
    started_at: float
    ended_at: float
    run_s: float | None
    exit_code: int | None
    signal: str | None
    reason: str | None
    error: str | None
    cpu_s: float | None
    memory_mb: float | None
    retried: bool

    @property
    def queue_s(self) -> float:
        return max(0.0, self.started_at - self.queued_at)

    @property
    def took_s(self) -> float:
        """What it ran; where nobody measured that, what it occupied a slot for."""
        return max(0.0, self.ended_at - self.started_at) if self.run_s is None else self.run_s


class Tally:
    """Fed with the events of one run, in order."""

    def __init__(self) -> None:
        self.state: State = "waiting"
        self.reason: str | None = None
        self.error: str | None = None
        self.stopping: str | None = None
        self.open = False
        self.paused = False
        self.began_at = 0.0
        self.ended_at: float | None = None
        self.at = 0.0
        """Of the last event."""
        self.total = self.pending = self.running = self.completed = self.failed = 0
        self.skipped = self.cancelled = self.retries = 0
        self.groups: dict[str | None, list[int]] = {}
        """Group -> tasks in it, of these completed, of these failed."""
        self._waiting: dict[str, float] = {}
        self._started: dict[str, tuple[float, float]] = {}
        self._group_of: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._last_at = ""

    @property
    def ended(self) -> bool:
        return self.ended_at is not None

    def add(self, event: ev.Event) -> Attempt | None:
        """Take an event in; the attempt it was the end of, if it was."""
        if event.at != self._last_at:
            self._last_at = event.at
            with contextlib.suppress(ValueError):  # damaged: it happened about when the one before did
                self.at = from_iso(event.at)
        apply = _APPLY.get(type(event))
        return None if apply is None else apply(self, event)

    def group_of(self, task: str) -> str | None:
        return self._group_of.get(task)

    def _group(self, task: str) -> list[int]:
        return self.groups.setdefault(self._group_of.get(task), [0, 0, 0])

    def _know(self, task: Any) -> list[int]:
        if task.group is not None:
            self._group_of[task.id] = task.group
        group = self.groups.setdefault(task.group, [0, 0, 0])
        group[0] += 1
        self.total += 1
        return group

    def _on_created(self, event: ev.RunCreated) -> None:
        self.began_at = self.at
        self.open = event.options.open

    def _on_queued(self, event: ev.TaskQueued) -> None:
        self._know(event.task)
        self.pending += 1
        self._waiting[event.task.id] = self.at

    def _on_imported(self, event: ev.TaskImported) -> None:
        group = self._know(event.task)
        if event.status == "completed":
            self.completed += 1
            group[1] += 1
        else:
            self._fail(event.task.id, event.reason or "exit")

    def _fail(self, task: str, reason: str) -> None:
        self.failed += 1
        self._group(task)[2] += 1
        self._failed[task] = reason
        self.skipped += reason == "skipped"
        self.cancelled += reason == "cancelled"

    def _on_started(self, event: ev.AttemptStarted) -> None:
        self.state = "working"
        self.pending -= 1
        self.running += 1
        self._started[event.task] = (self._waiting.pop(event.task, self.at), self.at)

    def _on_exited(self, event: ev.AttemptExited) -> Attempt:
        self.running -= 1
        queued_at, started_at = self._started.pop(event.task, (self.at, self.at))
        retried = event.retry_at is not None
        if retried:
            self.retries += 1
            self.pending += 1
            self._waiting[event.task] = max(self.at, event.retry_at or 0.0)
        elif event.reason is None:
            self.completed += 1
            self._group(event.task)[1] += 1
        else:
            self._fail(event.task, event.reason)
        usage = event.usage
        return Attempt(
            event.task, event.attempt, self._group_of.get(event.task), queued_at, started_at, self.at, event.run_s,
            event.exit_code, event.signal, event.reason, event.error,
            None if usage is None else usage.cpu_s, None if usage is None else usage.memory_mb, retried,
        )  # fmt: skip

    def _on_not_run(self, event: ev.TaskSkipped | ev.TaskCancelled) -> None:
        self.pending -= 1
        self._waiting.pop(event.task, None)
        self._fail(event.task, "skipped" if isinstance(event, ev.TaskSkipped) else "cancelled")

    def _on_retried(self, event: ev.TaskRetried) -> None:
        reason = self._failed.pop(event.task, None)
        if reason is None:
            self.completed -= 1
            self._group(event.task)[1] -= 1
        else:
            self.failed -= 1
            self._group(event.task)[2] -= 1
            self.skipped -= reason == "skipped"
            self.cancelled -= reason == "cancelled"
        self.pending += 1
        self._waiting[event.task] = self.at
        self.stopping = None

    def _on_cancel(self, event: ev.CancelRequested) -> None:
        if event.task is None:
            self.stopping = event.cause

    def _on_paused(self, event: ev.RunPaused) -> None:
        self.paused = True

    def _on_resumed(self, event: ev.RunResumed) -> None:
        self.paused = False

    def _on_closed(self, event: ev.RunClosed) -> None:
        self.open = False

    def _on_reopened(self, event: ev.RunReopened) -> None:
        self.state = "working"
        self.ended_at = self.reason = self.error = self.stopping = None

    def _on_ended(self, event: ev.RunEnded) -> None:
        self.state = event.state
        self.reason, self.error = event.reason, event.error
        self.open = self.paused = False
        self.ended_at = self.at


_APPLY: Final[dict[type[ev.Event], Callable[[Tally, Any], Attempt | None]]] = {
    ev.RunCreated: Tally._on_created,
    ev.TaskQueued: Tally._on_queued,
    ev.TaskImported: Tally._on_imported,
    ev.AttemptStarted: Tally._on_started,
    ev.AttemptExited: Tally._on_exited,
    ev.TaskSkipped: Tally._on_not_run,
    ev.TaskCancelled: Tally._on_not_run,
    ev.TaskRetried: Tally._on_retried,
    ev.CancelRequested: Tally._on_cancel,
    ev.RunPaused: Tally._on_paused,
    ev.RunResumed: Tally._on_resumed,
    ev.RunClosed: Tally._on_closed,
    ev.RunReopened: Tally._on_reopened,
    ev.RunEnded: Tally._on_ended,
}
