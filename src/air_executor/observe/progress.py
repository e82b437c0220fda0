"""How far a job is, from its events alone: counts, rate, run times, what is left, what runs, what failed.

Pure: no clock and no file. `now` is epoch seconds, given by whoever looks.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from air_executor import events as ev
from air_executor.model import ENDED_STATES, JobOptions, State
from air_executor.observe.pace import Estimate, Pace
from air_executor.observe.roll import CODES, COMPLETED, PENDING, REASONS, RUNNING, STATUSES, Roll
from air_executor.observe.run_times import RunTimes
from air_executor.observe.series import Series
from air_executor.times import from_iso

__all__ = ["Ended", "Estimate", "Failure", "Progress", "Running"]

RECENTLY: Final = 5
KEPT_FAILURES: Final = 500
"""Of so many failures the details are kept; of the others what the roll knows."""
NOT_RUN: Final = frozenset({"skipped", "cancelled"})
NOT_MEASURED: Final = frozenset({"not_started", "lost", "cancelled"})
NOT_RUN_CODES: Final = frozenset(CODES[reason] for reason in NOT_RUN)


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
    """The state of one run as its events tell it.

    Memory grows by what the roll needs a task, whatever becomes of it; all else is bounded.
    """

    def __init__(self) -> None:
        self.run_id = ""
        self.name = ""
        self.created_at = ""
        self.updated_at = ""
        self.options = JobOptions()
        self.state: State = "waiting"
        self.reason: str | None = None
        self.error: str | None = None
        self.warnings: list[str] = []
        self.open = False
        self.paused = False
        self.stopping: str | None = None

        self.roll = Roll()
        self.counts = {"pending": 0, "running": 0, "completed": 0, "failed": 0}
        self.by_code = [0] * len(REASONS)
        self.by_group: dict[int, dict[str, int]] = {}
        """Number of a group -> its counts."""
        self.retries = 0
        """Attempts that failed and were, or will be, repeated."""
        self.running: dict[str, Running] = {}
        self.failed: dict[str, Failure] = {}
        """Tasks that were run (or should have been) and failed, the latest last; only so many of them."""
        self.not_run: dict[str, Failure] = {}
        """Failed tasks that were skipped or cancelled, the latest last; only so many of them."""
        self.recent: deque[Ended] = deque(maxlen=RECENTLY)
        self.run_times = RunTimes()
        self.queue_times = RunTimes()
        """From being queued to the first start."""
        self.memory_mb = RunTimes()
        self.cpu_s = RunTimes()
        self.series = Series()

        self._at = 0.0
        self._position = 0
        self._pace = Pace()
        self._began_at: float | None = None
        self._ended_at: float | None = None
        self._worked_before_s = 0.0  # in spans that ended before the run was reopened

    # ---- reading -------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return self.state in ENDED_STATES

    @property
    def ended_at(self) -> float | None:
        """When the run ended; None while it goes on."""
        return self._ended_at

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
        return Counter({reason: self.by_code[code] for reason, code in CODES.items() if self.by_code[code]})

    @property
    def not_run_count(self) -> int:
        """How many tasks failed without having been run: skipped or cancelled."""
        return sum(self.by_code[code] for code in NOT_RUN_CODES)

    @property
    def failed_count(self) -> int:
        """How many tasks failed by themselves."""
        return self.counts["failed"] - self.not_run_count

    @property
    def groups(self) -> dict[str, dict[str, int]]:
        """Counts by group, of the tasks that are in one."""
        return {self.roll.group_names[number]: dict(counts) for number, counts in self.by_group.items()}

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
        """How many tasks ran at once, on average over the last seconds; of an ended run, over all of it."""
        if self._ended_at is None:
            return self._pace.parallelism(now)
        elapsed = self.elapsed_s(now)
        return self._pace.slot_seconds / elapsed if elapsed else 0.0

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
        """All failed tasks: those that failed by themselves, then those not run because of something else.

        Of all but the latest only id and reason are known.
        """
        for not_run, kept in ((False, self.failed), (True, self.not_run)):
            for place, code in enumerate(self.roll.codes):
                reason = REASONS[code]
                if reason is not None and (reason in NOT_RUN) is not_run:
                    task = self.roll.ids[place]
                    yield kept.get(task) or Failure(task, reason, None, None, None, 0.0)

    def series_columns(self, now: float) -> dict[str, list[float]]:
        """The counts over time, until `now` or the run's end."""
        return self.series.columns(now if self._ended_at is None else self._ended_at, self.counts, self._at)

    # ---- events --------------------------------------------------------------------------------

    def add(self, event: ev.Event, position: int = 0) -> None:
        """Take one event of the run in; events come in the journal's order.

        `position` is where its line begins there, for those who will want to read it again.
        """
        if event.at != self.updated_at:
            self.updated_at = event.at
            at = from_iso(event.at)
            if at >= self.series.next_at:
                self.series.add(at, self.counts, self._at)
            self._at = at
        self._position = position
        apply = _APPLY.get(type(event))
        if apply is not None:
            apply(self, event)

    def _move(self, place: int, code: int, position: int = 0) -> None:
        before = self.roll.codes[place]
        self.roll.mark(place, code, position)
        self.by_code[before] -= 1
        self.by_code[code] += 1
        was, now = STATUSES[before], STATUSES[code]
        self.counts[was] -= 1
        self.counts[now] += 1
        group = self.roll.groups[place]
        if group:
            counts = self.by_group[group]
            counts[was] -= 1
            counts[now] += 1

    def _add_task(self, task: Any, at: float) -> int:
        place = self.roll.add(task.id, task.group, at, self._position)
        self.by_code[PENDING] += 1
        self.counts["pending"] += 1
        group = self.roll.groups[place]
        if group:
            counts = self.by_group.get(group)
            if counts is None:
                counts = self.by_group[group] = dict.fromkeys(self.counts, 0)
            counts["pending"] += 1
        return place

    def _on_created(self, event: ev.RunCreated) -> None:
        self.run_id = event.id
        self.name = event.name
        self.created_at = event.created_at
        self.options = event.options
        self.open = event.options.open
        self._began_at = self._at

    def _on_queued(self, event: ev.TaskQueued) -> None:
        self._add_task(event.task, self._at)

    def _on_imported(self, event: ev.TaskImported) -> None:
        place = self._add_task(event.task, self._at)
        reason = event.reason or "exit"
        code = COMPLETED if event.status == "completed" else CODES[reason]
        self._move(place, code, self._position)
        ended_at = from_iso(event.completed_at or event.at)
        if event.status == "completed":
            self.recent.append(Ended(event.task.id, ended_at, None))
        else:
            self._fail(Failure(event.task.id, reason, event.error, event.exit_code, None, ended_at))

    def _fail(self, failure: Failure) -> None:
        kept = self.not_run if failure.reason in NOT_RUN else self.failed
        kept[failure.task] = failure
        if len(kept) > KEPT_FAILURES:
            del kept[next(iter(kept))]

    def _on_started(self, event: ev.AttemptStarted) -> None:
        at = self._at
        roll = self.roll
        place = roll.places.get(event.task)
        if place is None:
            return
        if roll.last[place] < 0:
            self.queue_times.add(at - roll.queued_at[place])
        self._pace.started(at)
        roll.start(place, event.attempt, at)
        self._move(place, RUNNING)
        self.running[event.task] = Running(at, event.attempt)
        if self.state == "waiting":
            self.state = "working"

    def _on_exited(self, event: ev.AttemptExited) -> None:
        at = self._at
        task = self.running.pop(event.task, None)
        if task is None:
            return
        place = self.roll.places[event.task]
        reason = event.reason
        self._measure(event, at - task.started_at)
        code = COMPLETED if reason is None else CODES[reason]
        self.roll.end(place, code, at, self._position)
        if event.retry_at is not None:
            self.retries += 1
            self._move(place, PENDING, self._position)
        elif reason is None:
            self._move(place, COMPLETED, self._position)
            self.recent.append(Ended(event.task, at, event.run_s))
        else:
            self._move(place, code, self._position)
            self._fail(Failure(event.task, reason, event.error, event.exit_code, event.signal, at))

    def _measure(self, event: ev.AttemptExited, occupied_s: float) -> None:
        measured = event.reason not in NOT_MEASURED
        ended = event.retry_at is None and event.reason != "cancelled"
        self._pace.exited(self._at, occupied_s if measured else None, ended=ended)
        if measured:
            self.run_times.add(occupied_s if event.run_s is None else event.run_s)
        usage = event.usage
        if usage is not None:
            self.memory_mb.add(usage.memory_mb)
            self.cpu_s.add(usage.cpu_s)

    def _on_not_run(self, event: ev.TaskSkipped | ev.TaskCancelled) -> None:
        place = self.roll.places.get(event.task)
        if place is None:
            return
        reason = "skipped" if isinstance(event, ev.TaskSkipped) else "cancelled"
        self._move(place, CODES[reason], self._position)
        self._fail(Failure(event.task, reason, event.error, None, None, self._at))

    def _on_retried(self, event: ev.TaskRetried) -> None:
        place = self.roll.places.get(event.task)
        if place is None:
            return
        completed = self.roll.codes[place] == COMPLETED
        self._move(place, PENDING)
        if self.failed.pop(event.task, None) is None:
            self.not_run.pop(event.task, None)
        if completed and any(ended.task == event.task for ended in self.recent):
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
        self._began_at = self._at
        self._ended_at = None
        self._pace.begin_anew()
        self.state = "working"
        self.reason = self.error = self.stopping = None

    def _on_ended(self, event: ev.RunEnded) -> None:
        self.state = event.state
        self.reason = event.reason
        self.error = event.error
        self.open = self.paused = False
        self._ended_at = self._at

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
