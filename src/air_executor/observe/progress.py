"""How far a job is, from its events alone: counts, rate, run times, what is left, what runs, what failed.

Pure: no clock and no file. `now` is epoch seconds, given by whoever looks.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from air_executor import events as ev
from air_executor.model import ENDED_STATES, State
from air_executor.observe.pace import Estimate, Pace
from air_executor.observe.run_times import RunTimes
from air_executor.times import from_iso

__all__ = ["Ended", "Estimate", "Failure", "Progress", "Running"]

RECENTLY: Final = 5
NOT_RUN: Final = frozenset({"skipped", "cancelled"})
NOT_MEASURED: Final = frozenset({"not_started", "lost", "cancelled"})


class Running(NamedTuple):
    """A running attempt."""

    started_at: float
    attempt: int


class Ended(NamedTuple):
    """A task that has completed; `run_s` is unknown for imported ones."""

    task: str
    ended_at: float
    run_s: float | None


class Failure(NamedTuple):
    """A task that has failed for good."""

    task: str
    reason: str
    error: str | None
    exit_code: int | None
    signal: str | None
    ended_at: float


class Progress:
    """The state of one run as its events tell it. Memory grows with running and failed tasks only."""

    def __init__(self) -> None:
        self.run_id = ""
        self.name = ""
        self.created_at = ""
        self.updated_at = ""
        self.state: State = "waiting"
        self.reason: str | None = None
        self.error: str | None = None
        self.warnings: list[str] = []
        self.open = False
        self.paused = False
        self.stopping: str | None = None

        self.counts = {"pending": 0, "running": 0, "completed": 0, "failed": 0}
        self.retries = 0
        """Attempts that failed and were, or will be, repeated."""
        self.running: dict[str, Running] = {}
        self.failed: dict[str, Failure] = {}
        """Tasks that were run (or should have been) and failed, the latest last."""
        self.not_run: dict[str, Failure] = {}
        """Failed tasks that were skipped or cancelled, the latest last."""
        self.recent: deque[Ended] = deque(maxlen=RECENTLY)
        self.run_times = RunTimes()

        self._pace = Pace()
        self._began_at: float | None = None
        self._ended_at: float | None = None
        self._worked_before_s = 0.0  # in spans that ended before the run was reopened

    # ---- reading -------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return self.state in ENDED_STATES

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def percent(self) -> float:
        """Completed tasks of all that are known, in percent; 0 for none."""
        total = self.total
        return 100.0 * self.counts["completed"] / total if total else 0.0

    @property
    def failed_by_reason(self) -> Counter[str]:
        return Counter(f.reason for f in (*self.failed.values(), *self.not_run.values()))

    def elapsed_s(self, now: float) -> float:
        """How long the run has been under way, without the time between an end and a reopening."""
        if self._began_at is None:
            return 0.0
        until = now if self._ended_at is None else self._ended_at
        return self._worked_before_s + max(0.0, until - self._began_at)

    def rate(self, now: float) -> float:
        """Tasks that ended a second, over the last seconds; of an ended run, over all of it."""
        if self._ended_at is None:
            return self._pace.rate(now)
        elapsed = self.elapsed_s(now)
        return self._pace.ended / elapsed if elapsed else 0.0

    def parallelism(self, now: float) -> float:
        """How many tasks ran at once, on average over the last seconds."""
        return self._pace.parallelism(now)

    def estimate(self, now: float) -> Estimate | None:
        """How long what is known now will take; None while nothing is measured, or nothing is to be done."""
        pending = self.counts["pending"]
        if self.ended or self.paused or not (pending or self.running):
            return None
        return self._pace.estimate(now, pending, [task.started_at for task in self.running.values()])

    def longest_running(self, count: int) -> list[tuple[str, Running]]:
        """The running tasks that started first; they are in that order already."""
        return list(islice(self.running.items(), count))

    def last_failures(self, count: int) -> list[Failure]:
        """The latest failures, latest first; skipped and cancelled tasks only when there are no others."""
        return list(islice(reversed((self.failed or self.not_run).values()), count))

    def failures(self) -> Iterator[Failure]:
        """All failed tasks: those that failed by themselves, then those not run because of something else."""
        yield from self.failed.values()
        yield from self.not_run.values()

    # ---- events --------------------------------------------------------------------------------

    def add(self, event: ev.Event) -> None:
        """Take one event of the run in; events come in the journal's order."""
        self.updated_at = event.at
        apply = _APPLY.get(type(event))
        if apply is not None:
            apply(self, event)

    def _move(self, before: str, after: str) -> None:
        self.counts[before] -= 1
        self.counts[after] += 1

    def _on_created(self, event: ev.RunCreated) -> None:
        self.run_id = event.id
        self.name = event.name
        self.created_at = event.created_at
        self.open = event.options.open
        self._began_at = from_iso(event.at)

    def _on_queued(self, event: ev.TaskQueued) -> None:
        self.counts["pending"] += 1

    def _on_imported(self, event: ev.TaskImported) -> None:
        self.counts[event.status] += 1
        ended_at = from_iso(event.completed_at or event.at)
        if event.status == "completed":
            self.recent.append(Ended(event.task.id, ended_at, None))
        else:
            reason = event.reason or "exit"
            self._fail(Failure(event.task.id, reason, event.error, event.exit_code, None, ended_at))

    def _fail(self, failure: Failure) -> None:
        (self.not_run if failure.reason in NOT_RUN else self.failed)[failure.task] = failure

    def _on_started(self, event: ev.AttemptStarted) -> None:
        at = from_iso(event.at)
        self._pace.started(at)
        self._move("pending", "running")
        self.running[event.task] = Running(at, event.attempt)
        if self.state == "waiting":
            self.state = "working"

    def _on_exited(self, event: ev.AttemptExited) -> None:
        at = from_iso(event.at)
        task = self.running.pop(event.task)
        measured = event.reason not in NOT_MEASURED
        occupied_s = at - task.started_at
        ended = event.retry_at is None and event.reason != "cancelled"
        self._pace.exited(at, occupied_s if measured else None, ended=ended)
        if measured:
            self.run_times.add(occupied_s if event.run_s is None else event.run_s)
        if event.retry_at is not None:
            self.retries += 1
            self._move("running", "pending")
        elif event.reason is None:
            self._move("running", "completed")
            self.recent.append(Ended(event.task, at, event.run_s))
        else:
            self._move("running", "failed")
            self._fail(Failure(event.task, event.reason, event.error, event.exit_code, event.signal, at))

    def _on_not_run(self, event: ev.TaskSkipped | ev.TaskCancelled) -> None:
        at = from_iso(event.at)
        self._move("pending", "failed")
        reason = "skipped" if isinstance(event, ev.TaskSkipped) else "cancelled"
        self._fail(Failure(event.task, reason, event.error, None, None, at))

    def _on_retried(self, event: ev.TaskRetried) -> None:
        failure = self.failed.pop(event.task, None) or self.not_run.pop(event.task, None)
        self._move("completed" if failure is None else "failed", "pending")
        if failure is None and any(ended.task == event.task for ended in self.recent):
            self.recent = deque((e for e in self.recent if e.task != event.task), maxlen=RECENTLY)
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
        self._worked_before_s = self.elapsed_s(0.0)
        self._began_at = from_iso(event.at)
        self._ended_at = None
        self._pace.begin_anew()
        self.state = "working"
        self.reason = self.error = self.stopping = None

    def _on_ended(self, event: ev.RunEnded) -> None:
        self.state = event.state
        self.reason = event.reason
        self.error = event.error
        self.open = self.paused = False
        self._ended_at = from_iso(event.at)

    def _on_warning(self, event: ev.WarningRaised) -> None:
        self.warnings.append(event.text)


_APPLY: Final[dict[type[ev.Event], Callable[[Progress, Any], None]]] = {
    ev.RunCreated: Progress._on_created,
    ev.TaskQueued: Progress._on_queued,
    ev.TaskImported: Progress._on_imported,
    ev.AttemptStarted: Progress._on_started,
    ev.AttemptExited: Progress._on_exited,
    ev.TaskSkipped: Progress._on_not_run,
    ev.TaskCancelled: Progress._on_not_run,
    ev.TaskRetried: Progress._on_retried,
    ev.CancelRequested: Progress._on_cancel,
    ev.RunPaused: Progress._on_paused,
    ev.RunResumed: Progress._on_resumed,
    ev.RunClosed: Progress._on_closed,
    ev.RunReopened: Progress._on_reopened,
    ev.RunEnded: Progress._on_ended,
    ev.WarningRaised: Progress._on_warning,
}
