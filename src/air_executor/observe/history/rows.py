"""What the events of one run become in the tables. Pure: the same journal always gives the same rows."""

from __future__ import annotations

from typing import Any, Final

from air_executor import events as ev
from air_executor.observe.tally import Attempt, Tally
from air_executor.times import from_iso

__all__ = ["RunRows", "Sampler", "began_at", "text"]

EVERY_S: Final = 1.0
LATE_S: Final = 1.0
"""How long after its time a row is written although no later event has come: so late may journals be read."""
LONGEST_ID: Final = 500
"""Longer ids of runs are cut, since no index holds them."""


def text(value: str | None) -> str | None:
    """What a text column can hold: no NUL."""
    return value if value is None or "\0" not in value else value.replace("\0", "\ufffd")


def began_at(created: ev.RunCreated) -> float:
    return from_iso(created.at)


Counts = tuple[int, int, int, int]


class Sampler:
    """Rows of counts: one a change, at most one a second of the events' own time, always the last."""

    def __init__(self) -> None:
        self.counts: Counts = (0, 0, 0, 0)
        self.last: float | None = None
        """When the last row was."""
        self._due: float | None = None
        self._changed_at = 0.0

    def change(self, at: float, counts: Counts) -> tuple[float, Counts] | None:
        """Take changed counts in; the row of those before, if its time has come."""
        row = None
        if self._due is not None and at > self._due:
            row = self._row(self._due)
        self.counts, self._changed_at = counts, at
        if self._due is None:
            self._due = at if self.last is None else max(at, self.last + EVERY_S)
        return row

    def late(self, now: float) -> tuple[float, Counts] | None:
        """The row that waits, when nothing can come any more that belongs to it."""
        return self._row(self._due) if self._due is not None and now > self._due + LATE_S else None

    def end(self, at: float) -> tuple[float, Counts] | None:
        """The row that waits, at once."""
        return None if self._due is None else self._row(min(self._due, max(at, self._changed_at)))

    def resume(self, last: float | None) -> None:
        """Go on after the row that was written last, as if it had been written by this."""
        self.last, self._due = last, None
        if self._changed_at and (last is None or self._changed_at > last):
            self._due = self._changed_at if last is None else max(self._changed_at, last + EVERY_S)

    def _row(self, at: float) -> tuple[float, Counts]:
        self.last, self._due = at, None
        return at, self.counts


class RunRows:
    """One run: its sums, and the rows that came of it since `clear`."""

    def __init__(self, job: str, created: ev.RunCreated, base: str) -> None:
        self.job = job
        self.id = text(created.id[:LONGEST_ID])
        self.began_at = began_at(created)
        self.base = base
        self.run: int | None = None
        """Its key in the database; None while it is not there."""
        self.position = 0
        """Bytes of the journal behind the rows; `written`: those the database knows of."""
        self.written = 0
        self.known_until = 0
        """The position the database knew of when this run was looked up, and its last row of progress then."""
        self.known_last_row_at: float | None = None
        self.tally = Tally()
        self.sampler = Sampler()
        self.attempts: list[dict[str, Any]] = []
        self.progress: list[dict[str, Any]] = []
        self.groups: dict[str, list[float]] = {}
        """Group -> attempts, seconds of running, of queueing, of CPU."""
        self.changed: set[str] = set()
        """Groups of which something is not written."""
        self._sums = [0, 0.0, 0.0]

    @property
    def dirty(self) -> bool:
        return self.position != self.written or bool(self.progress)

    @property
    def rows(self) -> int:
        return len(self.attempts) + len(self.progress)

    def add(self, events: list[ev.Event], position: int, *, known: bool) -> None:
        """Take in the events up to `position`; of what is `known` only the sums and the memory of tasks are kept."""
        tally = self.tally
        for event in events:
            attempt = tally.add(event)
            if attempt is not None:
                self._add_attempt(attempt, known)
            counts = (tally.total, tally.completed, tally.running, tally.failed)
            if counts != self.sampler.counts:
                self._add_progress(self.sampler.change(tally.at, counts), known)
                self._note_group(event)
            if isinstance(event, ev.RunEnded):
                self._add_progress(self.sampler.end(tally.at), known)
        self.position = position
        if known:
            self.written = position

    def _note_group(self, event: ev.Event) -> None:
        """Attempts note theirs by themselves."""
        if isinstance(event, ev.TaskQueued | ev.TaskImported):
            self.changed.add(event.task.group or "")
        elif isinstance(event, ev.TaskSkipped | ev.TaskCancelled | ev.TaskRetried):
            self.changed.add(self.tally.group_of(event.task) or "")

    def _add_attempt(self, attempt: Attempt, known: bool) -> None:
        group = attempt.group or ""
        sums = self.groups.setdefault(group, [0, 0.0, 0.0, 0.0])
        for there in (self._sums, sums):
            there[0] += 1
            there[1] += attempt.took_s
            there[2] += attempt.queue_s
        sums[3] += attempt.cpu_s or 0.0
        self.changed.add(group)
        if known:
            return
        self.attempts.append(
            {
                "task": attempt.task,
                "attempt": attempt.attempt,
                "task_group": text(attempt.group),
                "queued_at": attempt.queued_at,
                "started_at": attempt.started_at,
                "ended_at": attempt.ended_at,
                "queue_s": attempt.queue_s,
                "run_s": attempt.took_s,
                "exit_code": attempt.exit_code,
                "signal": attempt.signal,
                "reason": attempt.reason,
                "error": text(attempt.error),
                "cpu_s": attempt.cpu_s,
                "memory_mb": attempt.memory_mb,
            }
        )

    def _add_progress(self, row: tuple[float, Counts] | None, known: bool) -> None:
        if row is None or known:
            return
        at, (total, completed, running, failed) = row
        self.progress.append(
            {
                "job_name": self.job,
                "timestamp": at,
                "total_tasks": total,
                "completed_tasks": completed,
                "running_tasks": running,
                "failed_tasks": failed,
            }
        )

    def late(self, now: float) -> None:
        """Let the row of counts that waits come, when its time has passed."""
        self._add_progress(self.sampler.late(now), known=False)

    def clear(self) -> None:
        """All rows are in the database."""
        self.attempts.clear()
        self.progress.clear()
        self.changed.clear()
        self.written = self.position

    def run_row(self) -> dict[str, Any]:
        """The row of the run itself, without what tells it apart."""
        tally = self.tally
        return {
            "state": tally.state,
            "reason": text(tally.reason),
            "error": text(tally.error),
            "ended_at": tally.ended_at,
            "last_at": max(tally.at, self.began_at),
            "total_tasks": tally.total,
            "completed_tasks": tally.completed,
            "failed_tasks": tally.failed,
            "skipped_tasks": tally.skipped,
            "cancelled_tasks": tally.cancelled,
            "retries": tally.retries,
            "attempts": self._sums[0],
            "run_s": self._sums[1],
            "queue_s": self._sums[2],
            "position": self.position,
            "last_row_at": self.sampler.last,
        }

    def group_rows(self) -> list[dict[str, Any]]:
        """The rows of the groups that have changed."""
        found = []
        for group in sorted(self.changed):
            tasks, completed, failed = self.tally.groups.get(group or None, (0, 0, 0))
            count, run_s, queue_s, cpu_s = self.groups.get(group, (0, 0.0, 0.0, 0.0))
            found.append(
                {
                    "task_group": text(group),
                    "tasks": tasks,
                    "completed": completed,
                    "failed": failed,
                    "attempts": count,
                    "run_s": run_s,
                    "queue_s": queue_s,
                    "cpu_s": cpu_s,
                }
            )
        return found
