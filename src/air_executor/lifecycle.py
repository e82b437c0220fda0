"""What becomes of a run's tasks: a pure machine of events, without clock, files or processes.

A *decision* (`queue`, `start`, `exited`, `cancel`, …) looks at the state and emits events; `apply` changes
the state and decides nothing. Replaying the journal applies the same events, so it gives the same state.
What has to be done outside (stop an attempt) is left in `stops` for the manager to fetch.

    pending ──start──▶ running ──exit 0──▶ completed
       ▲                  │
       │◀──retry_at───────┤ failed attempt with retries left
       │                  ▼
       └◀─TaskRetried── failed (exit, signal, timeout, memory, not_started, lost, skipped, cancelled)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import Any, Final, Literal

from msgspec import Struct

from air_executor import events as ev
from air_executor.model import ENDED_STATES, JobOptions, State, Task, TaskSpec, Usage, find_cycle
from air_executor.times import from_iso, to_iso

__all__ = ["AttemptEnd", "IllegalTransition", "Run", "Stop"]

MAX_RETRY_DELAY_S: Final = 3_600.0
RETRIED_REASONS: Final = frozenset({"exit", "signal", "timeout", "memory"})

StopCause = Literal["cancelled", "deadline", "max_failures"]


class IllegalTransition(AssertionError):
    """An event that the state forbids: a bug, or a journal that was tampered with."""


class AttemptEnd(Struct, gc=False):
    """How an attempt ended, as a runner saw it. `ended_at` in epoch seconds."""

    ended_at: float
    exit_code: int | None = None
    signal: str | None = None
    reason: Literal["exit", "signal", "timeout", "memory", "not_started", "lost", "cancelled"] | None = None
    error: str | None = None
    run_s: float | None = None
    usage: Usage | None = None
    result: Any = None


class Stop(Struct, frozen=True):
    """Effect: end the process group of a running attempt."""

    task: str
    attempt: int


class _GroupState:
    __slots__ = ("next_at", "ready", "running")

    def __init__(self) -> None:
        self.ready: list[tuple[int, int]] = []
        """Heap of (-priority, order); entries whose task is no longer startable are dropped when met."""
        self.running = 0
        self.next_at = 0.0


class Run:
    """One run of a job: its tasks, what may start next, and how it ends."""

    def __init__(self, replayed: Iterable[ev.Event] = ()) -> None:
        self.id = ""
        self.name = ""
        self.created_at = ""
        self.updated_at = ""
        self.options = JobOptions()
        self.cwd = "/"
        self.environment: dict[str, str] = {}
        self.extra: dict[str, Any] = {}
        self.tasks_file: tuple[int, int, int] | None = None
        self.state: State = "waiting"
        self.reason: str | None = None
        self.error: str | None = None
        self.warnings: list[str] = []
        self.open = False
        self.paused = False
        self.stopping: StopCause | None = None
        self.defect: tuple[str, str] | None = None
        self.stop_error: str | None = None
        self.deadline_at: float | None = None
        self.lease_ends_at: float | None = None
        """When the job is cancelled unless somebody renews it before; not journalled."""
        self.requests_done: set[str] = set()

        self.tasks: dict[str, Task] = {}
        self.in_order: list[Task] = []
        self.counts = {"pending": 0, "running": 0, "completed": 0, "failed": 0}
        self.skipped = 0
        self.dependents: dict[str, dict[str, None]] = {}
        """Task id (known or not yet) -> the pending tasks that wait for its end, in order."""
        self.ordinary_left = 0
        """Pending and running tasks that are not `final`."""
        self.finals_waiting: dict[str, None] = {}
        self.stop_requested: set[str] = set()
        self.progress: dict[str, tuple[float, str]] = {}
        """What running tasks said of themselves; not journalled."""

        self._groups: dict[str | None, _GroupState] = {}
        self._taken: set[int] = set()
        """Orders of ready tasks that the scheduler holds: they will start when the machine has room."""
        self._delayed: list[tuple[float, int]] = []
        self.new_events: list[ev.Event] = []
        self.stops: list[Stop] = []
        for event in replayed:
            self.apply(event)

    # ---- reading ------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return self.state in ENDED_STATES

    @property
    def total(self) -> int:
        return len(self.tasks)

    @property
    def failures(self) -> int:
        """Failed tasks, without those that were only skipped because another failed."""
        return self.counts["failed"] - self.skipped

    def running_tasks(self) -> Iterator[Task]:
        return (task for task in self.in_order if task.status == "running")

    # ---- decisions ----------------------------------------------------------------------------

    def emit(self, event: ev.Event) -> None:
        self.apply(event)
        self.new_events.append(event)

    def create(self, event: ev.RunCreated) -> None:
        """Begin the run; the first decision of every run."""
        self.emit(event)

    def import_tasks(self, items: Iterable[ev.TaskImported | TaskSpec], now: float) -> None:
        """Take over the tasks of views without a journal: those that had ended, and those still to do."""
        at = to_iso(now)
        specs = []
        for item in items:
            if isinstance(item, TaskSpec):
                self.emit(ev.TaskQueued(at=at, task=item))
                specs.append(item)
            else:
                self.emit(item)
        self._fail_cycles(specs, at)
        for spec in specs:
            self._skip_if_hopeless(self.tasks[spec.id], at)

    def warn(self, text: str, now: float) -> None:
        if text not in self.warnings:
            self.emit(ev.WarningRaised(at=to_iso(now), text=text))

    def queue(self, specs: Iterable[TaskSpec], now: float, parent: str | None = None) -> list[TaskSpec]:
        """Accept new tasks; known ids with equal content are passed over.

        Returns the specs refused because their id stands for other content.
        """
        at = to_iso(now)
        refused = []
        new: list[TaskSpec] = []
        for spec in specs:
            known = self.tasks.get(spec.id)
            if known is None:
                self.emit(ev.TaskQueued(at=at, task=spec, parent=parent))
                new.append(spec)
            elif known.spec != spec:
                refused.append(spec)
        if self.stopping:
            for spec in new:
                self.emit(ev.TaskCancelled(at=at, task=spec.id, error=f"the job was stopped: {self.stopping}"))
            return refused
        self._fail_cycles(new, at)
        for spec in new:
            self._skip_if_hopeless(self.tasks[spec.id], at)
        return refused

    def _fail_cycles(self, new: list[TaskSpec], at: str) -> None:
        """Cycles can only close through the new tasks: look at those, and at older ones that wait for them."""
        ids = {spec.id for spec in new if spec.dependencies}
        if not ids:
            return
        edges = {
            spec.id: [d for d in spec.dependencies if d in ids or d in self.dependents]
            for spec in new
            if spec.dependencies
        }
        if any(d in ids for deps in edges.values() for d in deps) or any(i in self.dependents for i in ids):
            if any(waiting not in ids for i in ids for waiting in self.dependents.get(i, ())):
                edges = {
                    task.spec.id: task.spec.dependencies
                    for task in self.in_order
                    if task.status == "pending" and task.spec.dependencies
                }
            while cycle := find_cycle(edges):
                self._fail_cycle(cycle, at)
                for task_id in cycle:
                    edges.pop(task_id, None)

    def _fail_cycle(self, cycle: list[str], at: str) -> None:
        text = "dependency cycle: " + " -> ".join(cycle)
        self.emit(ev.DefectFound(at=at, reason="cycle", error=text))
        for task_id in dict.fromkeys(cycle):
            if self.tasks[task_id].status == "pending":
                self._skip(task_id, text, at)

    def _skip_if_hopeless(self, task: Task, at: str) -> None:
        if task.status != "pending" or not task.unmet or task.spec.trigger_rule != "all_success":
            return
        for dependency in task.spec.dependencies:
            known = self.tasks.get(dependency)
            if known is not None and known.status == "failed":
                self._skip(task.spec.id, f"dependency {dependency!r} failed", at)
                return

    def _skip(self, task_id: str, error: str, at: str) -> None:
        """Skip a pending task and, through it, all that need its success."""
        todo = [(task_id, error)]
        while todo:
            current, because = todo.pop()
            if self.tasks[current].status != "pending":
                continue  # reached before on another path
            waiting = self._need_success(current)
            self.emit(ev.TaskSkipped(at=at, task=current, error=because))
            todo += [(w, f"dependency {current!r} was skipped") for w in reversed(waiting)]

    def _need_success(self, task_id: str) -> list[str]:
        return [
            waiting
            for waiting in self.dependents.get(task_id, ())
            if self.tasks[waiting].spec.trigger_rule == "all_success" and self.tasks[waiting].status == "pending"
        ]

    def start(self, task: Task, launcher: str, now: float) -> None:
        """Record that the next attempt of `task` goes to `launcher`."""
        group = self._groups[task.spec.group]
        limits = self.options.groups.get(task.spec.group or "")
        if limits is not None and limits.rate is not None:
            group.next_at = max(now, group.next_at) + 1.0 / limits.rate
        self.emit(ev.AttemptStarted(at=to_iso(now), task=task.spec.id, attempt=task.attempt + 1, launcher=launcher))

    def exited(self, task_id: str, attempt: int, end: AttemptEnd, now: float, jitter: Callable[[], float]) -> None:
        """Record the end of an attempt, and what follows from it: a retry, skipped tasks, an early stop.

        `jitter` gives numbers from 0 to 1. An end that is already recorded is passed over.
        """
        task = self.tasks[task_id]
        if task.status != "running" or task.attempt != attempt:
            return
        reason = end.reason
        stopped = task_id in self.stop_requested
        error = end.error
        if reason is not None and stopped:
            reason, error = "cancelled", "cancelled while it ran"
        retry_at = None
        if reason is not None and not stopped and not self.stopping:
            again = attempt < task.budget and (reason in RETRIED_REASONS or reason == "lost")
            if again or (reason == "lost" and task.spec.idempotent):
                tries = min(max(0, task.spec.retries - task.budget + attempt), 30)
                delay = min(task.spec.retry_delay_s * 2.0**tries, MAX_RETRY_DELAY_S)
                retry_at = now + delay * (0.75 + 0.5 * jitter())
        waiting = self._need_success(task_id) if reason is not None and retry_at is None else []
        self.emit(
            ev.AttemptExited(
                at=to_iso(end.ended_at),
                task=task_id,
                attempt=attempt,
                exit_code=end.exit_code,
                signal=end.signal,
                reason=reason,
                error=error,
                run_s=end.run_s,
                usage=end.usage,
                result=end.result,
                retry_at=retry_at,
            )
        )
        if reason is None or retry_at is not None:
            return
        at = to_iso(now)
        for dependent in waiting:
            if self.tasks[dependent].status == "pending":
                self._skip(dependent, f"dependency {task_id!r} failed", at)
        limit = self.options.max_failures
        if limit is not None and self.failures >= limit and not self.stopping:
            self._stop_all("max_failures", now)

    def cancel(self, now: float, task_id: str | None = None) -> bool:
        """Cancel one task, or the whole job. False when there was nothing left to cancel."""
        if self.ended:
            return False
        if task_id is None:
            if self.stopping == "cancelled":
                return False
            self._stop_all("cancelled", now)
            return True
        task = self.tasks.get(task_id)
        if task is None or task.status not in ("pending", "running") or task_id in self.stop_requested:
            return False
        at = to_iso(now)
        if task.status == "running":
            self.emit(ev.CancelRequested(at=at, task=task_id))
            self.stops.append(Stop(task_id, task.attempt))
        else:
            self._cancel_pending(task_id, "cancelled before it started", at)
        return True

    def _cancel_pending(self, task_id: str, error: str, at: str) -> None:
        waiting = self._need_success(task_id)
        self.emit(ev.TaskCancelled(at=at, task=task_id, error=error))
        for dependent in waiting:
            if self.tasks[dependent].status == "pending":
                self._skip(dependent, f"dependency {task_id!r} was cancelled", at)

    def _stop_all(self, cause: StopCause, now: float, error: str | None = None) -> None:
        """Cancel what is pending; end what runs too, except after `max_failures`, where it may finish."""
        at = to_iso(now)
        self.emit(ev.CancelRequested(at=at, cause=cause, error=error))
        for task in self.in_order:
            if task.status == "pending":
                self.emit(ev.TaskCancelled(at=at, task=task.spec.id, error=f"the job was stopped: {cause}"))
            elif task.status == "running" and cause != "max_failures":
                self.stops.append(Stop(task.spec.id, task.attempt))

    def pause(self, now: float) -> bool:
        if self.ended or self.paused:
            return False
        self.emit(ev.RunPaused(at=to_iso(now)))
        return True

    def resume(self, now: float) -> bool:
        if self.ended or not self.paused:
            return False
        self.emit(ev.RunResumed(at=to_iso(now)))
        return True

    def close(self, now: float) -> bool:
        if not self.open:
            return False
        self.emit(ev.RunClosed(at=to_iso(now)))
        return True

    def reopen(self, now: float) -> None:
        """Let an ended run take tasks again; its `final` tasks run once more after them."""
        if self.ended:
            self._bring_back(set(), to_iso(now))

    def retry(self, now: float, task_ids: Iterable[str] | None = None) -> list[str]:
        """Give failed tasks (all, or those named) another go; skipped tasks come back with what they need.

        Returns the ids that were set back to pending.
        """
        if task_ids is None:
            wanted = {task.spec.id for task in self.in_order if task.status == "failed"}
        else:
            wanted = {i for i in task_ids if i in self.tasks and self.tasks[i].status == "failed"}
            wanted |= self._failed_ancestors(wanted)
            wanted |= self._skipped_descendants(wanted)
        return self._bring_back(wanted, to_iso(now)) if wanted else []

    def _bring_back(self, wanted: set[str], at: str) -> list[str]:
        """Set ended tasks back to pending; when the run had ended it is reopened, and its finals with it."""
        if self.ended:
            self.emit(ev.RunReopened(at=at))
            wanted |= {task.spec.id for task in self.in_order if task.spec.final}
        for task_id in self._dependencies_first(wanted):
            self.emit(ev.TaskRetried(at=at, task=task_id))
        back = [task for task in self.in_order if task.spec.id in wanted]
        for task in back:
            self._skip_if_hopeless(task, at)
        return [task.spec.id for task in back]

    def _dependencies_first(self, ids: set[str]) -> list[str]:
        """`ids` such that a task comes after those it depends on: else it would take their old end for met."""
        found: list[str] = []
        seen: set[str] = set()
        for root in self.in_order:
            if root.spec.id not in ids or root.spec.id in seen:
                continue
            seen.add(root.spec.id)
            stack = [(root.spec.id, iter(root.spec.dependencies))]
            while stack:
                for dependency in stack[-1][1]:
                    if dependency in ids and dependency not in seen:
                        seen.add(dependency)
                        stack.append((dependency, iter(self.tasks[dependency].spec.dependencies)))
                        break
                else:
                    found.append(stack.pop()[0])
        return found

    def _failed_ancestors(self, roots: set[str]) -> set[str]:
        found: set[str] = set()
        todo = [i for i in roots if self.tasks[i].reason == "skipped"]
        while todo:
            for dependency in self.tasks[todo.pop()].spec.dependencies:
                task = self.tasks.get(dependency)
                if task is not None and task.status == "failed" and dependency not in found:
                    found.add(dependency)
                    todo.append(dependency)
        return found

    def _skipped_descendants(self, roots: set[str]) -> set[str]:
        found: set[str] = set()
        changed = True
        skipped = [task for task in self.in_order if task.reason == "skipped"]
        while changed:  # skipped tasks mostly stand in order of dependency, so this passes twice
            changed = False
            for task in skipped:
                if task.spec.id in found or task.spec.id in roots:
                    continue
                if any(d in roots or d in found for d in task.spec.dependencies):
                    found.add(task.spec.id)
                    changed = True
        return found

    def check_deadline(self, now: float) -> None:
        if self.deadline_at is not None and now >= self.deadline_at and not self.stopping and not self.ended:
            self._stop_all("deadline", now)

    def renew(self, now: float) -> None:
        """Somebody still waits for this job: its lease begins anew."""
        if self.options.lease_s is not None and not self.ended:
            self.lease_ends_at = now + self.options.lease_s

    def lease_is_over(self, now: float) -> bool:
        return self.lease_ends_at is not None and now >= self.lease_ends_at and not self.stopping and not self.ended

    def check_lease(self, now: float) -> None:
        """Cancel the job if nobody has renewed it in time; to be called after the inbox has been read once more."""
        if self.lease_is_over(now):
            self._stop_all("cancelled", now, f"its owner was not heard of for {self.options.lease_s:g} s")

    def find_defect(self, reason: str, error: str, now: float) -> None:
        """Record that the job cannot come to a good end."""
        self.emit(ev.DefectFound(at=to_iso(now), reason=reason, error=error))

    @property
    def idle(self) -> bool:
        """Nothing runs, and no ordinary task can start or will be retried: time to settle."""
        if self.ended or self.counts["running"]:
            return False
        if self._taken or any(self._top(group) is not None for group in self._groups.values()):
            return False
        for due, order in self._delayed:
            task = self.in_order[order]
            if task.retry_at == due and not (task.spec.final and self.ordinary_left):
                return False
        return True

    def settle(self, now: float) -> None:
        """Decide what an idle run does next: release `final` tasks, give up what can never run, or end.

        To be called after inbox and raw files have been read once more.
        """
        if self.open and not self.stopping:
            return
        at = to_iso(now)
        while self.idle:
            pending = self.counts["pending"]
            if not pending:
                self._end(now)
            elif self.ordinary_left:
                self._give_up_stalled(at, finals=False)
            elif not self._release_finals():
                self._give_up_stalled(at, finals=True)
            if self.counts["pending"] == pending:
                return

    def _release_finals(self) -> bool:
        """Make the `final` tasks ready that wait for nothing else; whether there were any."""
        released = [task_id for task_id in self.finals_waiting if not self.tasks[task_id].unmet]
        for task_id in released:
            del self.finals_waiting[task_id]
            self._make_ready(self.tasks[task_id])
        return bool(released)

    def recover(self, now: float) -> None:
        """Finish a decision of which a crash let only the first events reach the journal.

        To be called once after a replay. Also asks again for the stops that may not have been carried out.
        """
        if self.ended or not self.id:
            return
        if self.lease_ends_at is not None:
            self.renew(now)  # nobody could be heard while no manager listened
        at = to_iso(now)
        pending = [task for task in self.in_order if task.status == "pending"]
        limit = self.options.max_failures
        if not self.stopping and limit is not None and self.failures >= limit:
            self._stop_all("max_failures", now)
        elif self.stopping:
            for task in pending:
                self.emit(ev.TaskCancelled(at=at, task=task.spec.id, error=f"the job was stopped: {self.stopping}"))
        else:
            self._fail_cycles([task.spec for task in pending], at)
            for task in pending:
                self._skip_if_hopeless(task, at)
        self.stops += [
            Stop(task.spec.id, task.attempt) for task in self.running_tasks() if task.spec.id in self.stop_requested
        ]

    def _give_up_stalled(self, at: str, *, finals: bool) -> None:
        stalled = [
            task
            for task in self.in_order
            if task.status == "pending" and task.unmet and (finals or not task.spec.final)
        ]
        unknown = {task.spec.id: [d for d in task.spec.dependencies if d not in self.tasks] for task in stalled}
        unknown = {task_id: names for task_id, names in unknown.items() if names}
        if unknown:
            text = "; ".join(
                f"task {task_id!r} depends on unknown {', '.join(map(repr, names))}"
                for task_id, names in list(unknown.items())[:10]
            )
            self.emit(ev.DefectFound(at=at, reason="unknown_dependency", error=text))
            for task_id, names in unknown.items():
                if self.tasks[task_id].status == "pending":
                    self._skip(task_id, f"unknown dependency {', '.join(map(repr, names))}", at)
            return
        edges = {task.spec.id: task.spec.dependencies for task in stalled}
        if cycle := find_cycle(edges):
            self._fail_cycle(cycle, at)
            return
        for task in stalled:
            # An ordinary task that depends on a `final` one: each would wait for the other.
            if task.status == "pending":
                text = f"task {task.spec.id!r} waits for a task that only runs after it"
                self.emit(ev.DefectFound(at=at, reason="cycle", error=text))
                self._skip(task.spec.id, text, at)

    def _end(self, now: float) -> None:
        state: State = "completed"
        reason: str | None = None
        error: str | None = None
        if self.stopping:
            state, reason = "failed", self.stopping
            failed = sum(task.reason not in (None, "skipped", "cancelled") for task in self.in_order)
            error = {
                "cancelled": self.stop_error or "cancelled",
                "deadline": f"the deadline of {self.options.deadline_s} s passed",
                "max_failures": f"{failed} tasks failed (max_failures: {self.options.max_failures})",
            }[self.stopping]
        elif self.defect:
            state, (reason, error) = "failed", self.defect
        elif self.failures > self.options.failures_allowed(self.total):
            state, reason = "failed", "failures"
            ids = [t.spec.id for t in self.in_order if t.status == "failed" and t.reason != "skipped"]
            names = ", ".join(map(repr, ids[:5]))
            more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
            error = f"{len(ids)} of {self.total} tasks failed: {names}{more}"
        self.emit(ev.RunEnded(at=to_iso(now), state=state, reason=reason, error=error))

    # ---- what may start -----------------------------------------------------------------------

    def peek(self, now: float) -> Task | None:
        """The task that this run would start now, or None; its limits are respected, machine capacity is not."""
        self._wake_delayed(now)  # first: `wake_at` must not name a time that is past
        options = self.options
        if self.paused or self.stopping or self.ended:
            return None
        if options.max_parallel is not None and self.counts["running"] >= options.max_parallel:
            return None
        best: tuple[int, int] | None = None
        for name, group in self._groups.items():
            top = self._top(group)
            if top is None or (best is not None and top >= best) or not self._group_open(name, group, now):
                continue
            best = top
        return None if best is None else self.in_order[best[1]]

    def allows(self, task: Task, now: float) -> bool:
        """Whether this run's own limits let `task`, taken before, start now."""
        if self.paused or self.stopping or self.ended or not self._startable(task):
            return False
        limit = self.options.max_parallel
        if limit is not None and self.counts["running"] >= limit:
            return False
        return self._group_open(task.spec.group, self._groups[task.spec.group], now)

    def take(self, task: Task) -> None:
        """Remove what `peek` gave from the ready tasks, to start it or to set it aside."""
        heappop(self._groups[task.spec.group].ready)
        self._taken.add(task.order)

    def is_taken(self, task: Task) -> bool:
        return task.order in self._taken

    def put_back(self, task: Task) -> None:
        """Undo `take`."""
        self._taken.discard(task.order)
        self._make_ready(task)

    def _startable(self, task: Task) -> bool:
        return (
            task.status == "pending"
            and task.unmet == 0
            and task.retry_at is None
            and not (task.spec.final and self.ordinary_left)
        )

    def wake_at(self, now: float) -> float | None:
        """When something may start, or must stop, without any other event (epoch seconds)."""
        times = [t for t in (self.deadline_at, self.lease_ends_at) if t is not None] if not self.stopping else []
        if self._delayed:
            times.append(self._delayed[0][0])
        times += [group.next_at for group in self._groups.values() if group.next_at > now and group.ready]
        return min(times, default=None)

    def _group_open(self, name: str | None, group: _GroupState, now: float) -> bool:
        limits = self.options.groups.get(name) if name is not None else None
        if limits is None:
            return True
        return (limits.limit is None or group.running < limits.limit) and group.next_at <= now

    def _top(self, group: _GroupState) -> tuple[int, int] | None:
        ready = group.ready
        while ready:
            task = self.in_order[ready[0][1]]
            if task.status == "pending" and task.unmet == 0 and task.retry_at is None:
                if not task.spec.final or not self.ordinary_left:
                    return ready[0]
                self.finals_waiting[task.spec.id] = None  # work arrived after it was released
            heappop(ready)
        return None

    def _wake_delayed(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            due, order = heappop(self._delayed)
            task = self.in_order[order]
            if task.status == "pending" and task.retry_at == due:
                task.retry_at = None
                self._make_ready(task)

    def _make_ready(self, task: Task) -> None:
        group = self._groups.get(task.spec.group)
        if group is None:
            group = self._groups[task.spec.group] = _GroupState()
        heappush(group.ready, (-task.spec.priority, task.order))

    def shift_clock(self, by_s: float) -> None:
        """The system's clock was set by `by_s`: pauses, rates and the deadline keep their lengths."""
        if self.deadline_at is not None:
            self.deadline_at += by_s
        if self.lease_ends_at is not None:
            self.lease_ends_at += by_s
        for group in self._groups.values():
            group.next_at += by_s
        delayed, self._delayed = self._delayed, []
        for due, order in delayed:
            task = self.in_order[order]
            if task.retry_at == due:
                task.retry_at = due + by_s
                heappush(self._delayed, (due + by_s, order))

    # ---- applying events ----------------------------------------------------------------------

    def apply(self, event: ev.Event) -> None:
        """Change the state as `event` says; the same events always give the same state."""
        self.updated_at = event.at
        _APPLY[type(event)](self, event)

    def _refuse(self, event: ev.Event) -> None:
        raise IllegalTransition(f"job {self.name!r}, run {self.id!r}: {event} in state {self.state!r}")

    def _task(self, task_id: str, event: ev.Event, *statuses: str) -> Task:
        task = self.tasks.get(task_id)
        if task is None or task.status not in statuses:
            raise IllegalTransition(f"job {self.name!r}, run {self.id!r}: {event} but the task is {task}")
        return task

    def _move(self, task: Task, status: Literal["pending", "running", "completed", "failed"]) -> None:
        self.counts[task.status] -= 1
        self.counts[status] += 1
        was_left = task.status in ("pending", "running")
        is_left = status in ("pending", "running")
        if was_left != is_left and not task.spec.final:
            self.ordinary_left += 1 if is_left else -1
        task.status = status

    def _on_created(self, event: ev.RunCreated) -> None:
        if self.id:
            self._refuse(event)
        self.id = event.id
        self.name = event.name
        self.created_at = event.created_at
        self.options = event.options
        self.cwd = event.cwd
        self.environment = event.environment
        self.extra = event.extra
        self.tasks_file = event.tasks_file
        self.open = event.options.open
        if event.options.deadline_s is not None:
            self.deadline_at = from_iso(event.at) + event.options.deadline_s
        if event.options.lease_s is not None:
            self.lease_ends_at = from_iso(event.at) + event.options.lease_s

    def _on_queued(self, event: ev.TaskQueued) -> None:
        spec = event.task
        if spec.id in self.tasks or self.ended or not self.id:
            self._refuse(event)
        task = Task(spec=spec, order=len(self.in_order), created_at=event.at, budget=spec.retries + 1)
        self.tasks[spec.id] = task
        self.in_order.append(task)
        self.counts["pending"] += 1
        if not spec.final:
            self.ordinary_left += 1
        self._await_dependencies(task)

    def _await_dependencies(self, task: Task) -> None:
        spec = task.spec
        task.unmet = 0
        for dependency in dict.fromkeys(spec.dependencies) if spec.dependencies else ():
            known = self.tasks.get(dependency)
            met = known is not None and (
                known.status == "completed" or (known.status == "failed" and spec.trigger_rule == "all_done")
            )
            if not met:
                task.unmet += 1
                self.dependents.setdefault(dependency, {})[spec.id] = None
        if spec.final:
            self.finals_waiting[spec.id] = None
        elif task.unmet == 0:
            self._make_ready(task)

    def _on_imported(self, event: ev.TaskImported) -> None:
        if event.task.id in self.tasks:
            self._refuse(event)
        task = Task(
            spec=event.task,
            order=len(self.in_order),
            created_at=event.created_at,
            status=event.status,
            reason=event.reason,
            error=event.error,
            attempt=event.attempt,
            budget=event.attempt,
            exit_code=event.exit_code,
            result=event.result,
            usage=event.usage,
            started_at=event.started_at,
            completed_at=event.completed_at,
        )
        self.tasks[event.task.id] = task
        self.in_order.append(task)
        self.counts[event.status] += 1
        if event.reason == "skipped":
            self.skipped += 1
        self._release_dependents(task)

    def _on_started(self, event: ev.AttemptStarted) -> None:
        task = self._task(event.task, event, "pending")
        if self.ended or task.unmet or event.attempt != task.attempt + 1:
            self._refuse(event)
        self._move(task, "running")
        task.attempt = event.attempt
        task.launcher = event.launcher
        task.started_at = event.at
        task.retry_at = None
        task.completed_at = task.reason = task.error = task.exit_code = task.signal = None
        group = self._groups.get(task.spec.group)
        if group is None:
            group = self._groups[task.spec.group] = _GroupState()
        group.running += 1
        self._taken.discard(task.order)
        self.finals_waiting.pop(event.task, None)
        if self.state == "waiting":
            self.state = "working"

    def _on_exited(self, event: ev.AttemptExited) -> None:
        task = self._task(event.task, event, "running")
        if event.attempt != task.attempt:
            self._refuse(event)
        task.exit_code = event.exit_code
        task.signal = event.signal
        task.reason = event.reason
        task.error = event.error
        task.usage = event.usage
        task.run_s = event.run_s
        task.result = event.result
        task.launcher = None
        self._groups[task.spec.group].running -= 1
        self.stop_requested.discard(event.task)
        self.progress.pop(event.task, None)
        if event.retry_at is not None:
            self._move(task, "pending")
            task.retry_at = event.retry_at
            heappush(self._delayed, (event.retry_at, task.order))
        else:
            task.completed_at = event.at
            self._move(task, "completed" if event.reason is None else "failed")
            self._release_dependents(task)

    def _release_dependents(self, task: Task) -> None:
        waiting = self.dependents.pop(task.spec.id, None)
        if waiting is None:
            return
        for task_id in waiting:
            dependent = self.tasks[task_id]
            if task.status != "completed" and dependent.spec.trigger_rule == "all_success":
                continue
            dependent.unmet -= 1
            if dependent.unmet == 0 and dependent.status == "pending" and not dependent.spec.final:
                self._make_ready(dependent)

    def _on_skipped(self, event: ev.TaskSkipped) -> None:
        self._fail_pending(self._task(event.task, event, "pending"), "skipped", event.error, event.at)
        self.skipped += 1

    def _on_task_cancelled(self, event: ev.TaskCancelled) -> None:
        self._fail_pending(self._task(event.task, event, "pending"), "cancelled", event.error, event.at)

    def _fail_pending(self, task: Task, reason: Literal["skipped", "cancelled"], error: str, at: str) -> None:
        self._move(task, "failed")
        task.reason = reason
        task.error = error
        task.completed_at = at
        task.retry_at = None
        self._taken.discard(task.order)
        self.finals_waiting.pop(task.spec.id, None)
        self._release_dependents(task)

    def _on_retried(self, event: ev.TaskRetried) -> None:
        task = self._task(event.task, event, "failed", "completed")
        if self.ended:
            self._refuse(event)
        if task.reason == "skipped":
            self.skipped -= 1
        self._move(task, "pending")
        task.reason = task.error = task.exit_code = task.signal = task.completed_at = None
        task.result = None
        task.budget = task.attempt + 1 + task.spec.retries
        self.stopping = None
        self._await_dependencies(task)

    def _on_cancel(self, event: ev.CancelRequested) -> None:
        if event.task is not None:
            self.stop_requested.add(event.task)
            return
        self.stopping = event.cause
        self.stop_error = event.error
        if event.cause != "max_failures":
            self.stop_requested.update(task.spec.id for task in self.running_tasks())

    def _on_paused(self, event: ev.RunPaused) -> None:
        self.paused = True

    def _on_resumed(self, event: ev.RunResumed) -> None:
        self.paused = False

    def _on_closed(self, event: ev.RunClosed) -> None:
        self.open = False

    def _on_reopened(self, event: ev.RunReopened) -> None:
        if not self.ended:
            self._refuse(event)
        self.state = "working"
        self.reason = self.error = self.defect = self.stopping = None
        self.deadline_at = self.lease_ends_at = None  # who lets it go on need not be who made it

    def _on_defect(self, event: ev.DefectFound) -> None:
        if self.defect is None:
            self.defect = (event.reason, event.error)

    def _on_ended(self, event: ev.RunEnded) -> None:
        if self.ended or self.counts["pending"] or self.counts["running"]:
            self._refuse(event)
        self.state = event.state
        self.reason = event.reason
        self.error = event.error
        self.open = self.paused = False
        self.dependents.clear()
        self._delayed.clear()

    def _on_warning(self, event: ev.WarningRaised) -> None:
        self.warnings.append(event.text)

    def _on_request(self, event: ev.RequestDone) -> None:
        self.requests_done.add(event.request)

    # ---- self-check ---------------------------------------------------------------------------

    def check_invariants(self) -> None:
        """Raise `AssertionError` unless the state is consistent; for tests."""
        statuses = [task.status for task in self.in_order]
        for status, count in self.counts.items():
            assert statuses.count(status) == count, (status, count)  # type: ignore[arg-type]
        assert self.skipped == sum(task.reason == "skipped" for task in self.in_order)
        assert [task.order for task in self.in_order] == list(range(len(self.in_order)))
        left = [t for t in self.in_order if t.status in ("pending", "running") and not t.spec.final]
        assert self.ordinary_left == len(left)
        for name, group in self._groups.items():
            running = [t for t in self.running_tasks() if t.spec.group == name]
            assert group.running == len(running), name
            limits = self.options.groups.get(name or "")
            assert limits is None or limits.limit is None or group.running <= limits.limit
        for task in self.in_order:
            self._check_task(task)
        if self.ended:
            assert not self.counts["pending"]
            assert not self.counts["running"]

    def _check_task(self, task: Task) -> None:
        assert (task.status == "failed") == (task.reason is not None and task.status != "pending") or (
            task.status == "pending" and task.retry_at is not None
        ), task
        if task.status == "pending":
            waiting = [d for d, ids in self.dependents.items() if task.spec.id in ids]
            assert task.unmet == len(waiting), (task, waiting)
            if task.spec.trigger_rule == "all_success":
                failed = [d for d in task.spec.dependencies if d in self.tasks and self.tasks[d].status == "failed"]
                assert not failed, (task, failed)
        if task.status in ("completed", "failed"):
            assert task.completed_at is not None, task
        if task.status == "running":
            assert task.started_at is not None
            assert task.attempt >= 1


_APPLY: Final[dict[type[ev.Event], Callable[[Run, Any], None]]] = {
    ev.RunCreated: Run._on_created,
    ev.TaskQueued: Run._on_queued,
    ev.TaskImported: Run._on_imported,
    ev.AttemptStarted: Run._on_started,
    ev.AttemptExited: Run._on_exited,
    ev.TaskSkipped: Run._on_skipped,
    ev.TaskCancelled: Run._on_task_cancelled,
    ev.TaskRetried: Run._on_retried,
    ev.CancelRequested: Run._on_cancel,
    ev.RunPaused: Run._on_paused,
    ev.RunResumed: Run._on_resumed,
    ev.RunClosed: Run._on_closed,
    ev.RunReopened: Run._on_reopened,
    ev.DefectFound: Run._on_defect,
    ev.RunEnded: Run._on_ended,
    ev.WarningRaised: Run._on_warning,
    ev.RequestDone: Run._on_request,
}
