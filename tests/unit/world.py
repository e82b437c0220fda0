"""Runs and a scheduler driven the way the manager drives them, with a fake clock and no processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from air_executor import events as ev
from air_executor.lifecycle import AttemptEnd, Run
from air_executor.model import Task, TaskSpec, parse_options
from air_executor.scheduling import Capacity, Scheduler
from air_executor.times import to_iso

T0 = 1_759_390_200.0
PLENTY = Capacity(1_000, 1_000.0, 1e9)


def spec(task_id: str, *dependencies: str, **fields: Any) -> TaskSpec:
    return TaskSpec(id=task_id, command="true", dependencies=list(dependencies), **fields)


def created(name: str = "job", run_id: str = "r1", now: float = T0, **options: Any) -> ev.RunCreated:
    at = to_iso(now)
    return ev.RunCreated(
        at=at, version=1, id=run_id, name=name, created_at=at, options=parse_options(options), cwd="/"
    )


def half() -> float:
    """A jitter in the middle, so that delays come out as they are configured."""
    return 0.5


class World:
    """Several runs on one machine. Every step looks at every run again, as the manager's turns do."""

    def __init__(self, capacity: Capacity = PLENTY) -> None:
        self.now = T0
        self.capacity = capacity
        self.scheduler = Scheduler(capacity)
        self.runs: list[Run] = []
        self.journals: list[list[ev.Event]] = []
        self.jitter = half
        self.started: list[tuple[float, Run, Task]] = []

    def add(self, specs: Iterable[TaskSpec] = (), **options: Any) -> Run:
        run = Run()
        number = len(self.runs)
        run.create(created(f"job{number}", f"r{number}", self.now, **options))
        run.queue(specs, self.now)
        self.runs.append(run)
        self.journals.append([])
        return run

    def journal(self) -> None:
        for run, journal in zip(self.runs, self.journals, strict=True):
            journal += run.new_events
            run.new_events.clear()

    def attend(self) -> None:
        for run in self.runs:
            run.check_deadline(self.now)
            if run.idle:
                run.settle(self.now)
            run.stops.clear()
            if run.ended:
                self.scheduler.forget(run)
            else:
                self.scheduler.note(run, self.now)

    def schedule(self) -> list[str]:
        """Start whatever can start; gives the ids. What could never run here ends at once."""
        ids = []
        while (choice := self.scheduler.next(self.now)) is not None:
            run, task = choice
            number = self.runs.index(run)
            check_may_start(run, task, [*self.journals[number], *run.new_events])
            self.check_room(task)
            run.start(task, "l1", self.now)
            self.started.append((self.now, run, task))
            ids.append(task.spec.id)
            if self.capacity.lacks(task.spec):
                self.end(run, task.spec.id, reason="not_started")
            self.scheduler.note(run, self.now)
        return ids

    def turn(self) -> list[str]:
        """Settle, start, journal, until nothing more moves; gives the ids of started tasks."""
        ids: list[str] = []
        while True:
            before = sum(len(run.new_events) for run in self.runs)
            self.attend()
            ids += self.schedule()
            if sum(len(run.new_events) for run in self.runs) == before:
                break
        self.journal()
        return ids

    def end(self, run: Run, task_id: str, **how: Any) -> None:
        """End the running attempt of a task: without `how` it succeeds."""
        task = run.tasks[task_id]
        assert task.status == "running", task
        how.setdefault("exit_code", 1 if how.get("reason") == "exit" else None if how else 0)
        run.exited(task_id, task.attempt, AttemptEnd(ended_at=self.now, **how), self.now, self.jitter)
        self.scheduler.release(task.spec)

    def fail(self, run: Run, *task_ids: str) -> list[str]:
        for task_id in task_ids:
            self.end(run, task_id, reason="exit")
        return self.turn()

    def succeed(self, run: Run, *task_ids: str) -> list[str]:
        for task_id in task_ids:
            self.end(run, task_id)
        return self.turn()

    def drain(self, limit: int = 10_000) -> None:
        """Let everything that runs succeed, and time pass, until nothing moves any more."""
        for _ in range(limit):
            moved = bool(self.turn())
            for run in self.runs:
                for task in list(run.running_tasks()):
                    self.end(run, task.spec.id)
                    moved = True
            if moved:
                continue
            times = [run.wake_at(self.now) for run in self.runs if not run.ended]
            known = [at for at in times if at is not None]
            if not known:
                return
            assert min(known) > self.now, "a wake-up in the past would make the manager spin"
            self.now = min(known)
        raise AssertionError("no end in sight")

    def restart(self, cut: dict[int, int] | None = None) -> None:
        """A new manager on the same journals; `cut` leaves only so many events of a run."""
        self.journal()
        self.scheduler = Scheduler(self.capacity)
        for number in range(len(self.runs)):
            del self.journals[number][(cut or {}).get(number, len(self.journals[number])) :]
            run = self.runs[number] = replayed(self.journals[number])
            for task in run.running_tasks():
                self.scheduler.occupy(task.spec)
            run.recover(self.now)

    def check(self) -> None:
        """Everything that must hold between any two steps."""
        for run in self.runs:
            check_run(run)
        running = sum(run.counts["running"] for run in self.runs)
        assert self.scheduler.free.slots == self.capacity.slots - running

    def check_room(self, task: Task) -> None:
        """A task that starts has a slot, and the cpus and memory it asks for beside those of the others."""
        specs = [t.spec for run in self.runs for t in run.running_tasks()]
        assert len(specs) < self.capacity.slots
        if not self.capacity.lacks(task.spec):
            specs.append(task.spec)
            assert not task.spec.cpus or sum(s.cpus or 0 for s in specs) <= self.capacity.cpus + 1e-6
            assert not task.spec.memory_mb or sum(s.memory_mb or 0 for s in specs) <= self.capacity.memory_mb + 1e-6


def check_may_start(run: Run, task: Task, history: list[ev.Event]) -> None:
    """The rules a start must keep, told by the specs alone."""
    assert task.status == "pending"
    assert not run.paused
    assert not run.stopping
    assert not run.ended
    for dependency in task.spec.dependencies:
        wanted = ("completed",) if task.spec.trigger_rule == "all_success" else ("completed", "failed")
        ended = run.tasks[dependency].status in wanted
        # one that had ended when the task became ready may have been retried since
        assert ended or any(isinstance(e, ev.TaskRetried) and e.task == dependency for e in history)
    if task.spec.final:
        assert all(t.spec.final or t.status in ("completed", "failed") for t in run.in_order)


def check_run(run: Run) -> None:
    run.check_invariants()
    limit = run.options.max_parallel
    assert limit is None or run.counts["running"] <= limit
    waiting = waiting_orders(run)
    for task in run.in_order:  # nothing that could run may be forgotten
        if task.status == "pending" and not task.unmet and task.retry_at is None and not run.ended:
            assert task.order in waiting, task
        if task.retry_at is not None:
            assert (task.retry_at, task.order) in run._delayed


def waiting_orders(run: Run) -> set[int]:
    """Orders of the tasks that wait for nothing but room."""
    orders = {order for group in run._groups.values() for _, order in group.ready} | run._taken
    orders |= {run.tasks[task_id].order for task_id in run.finals_waiting}
    return {
        order
        for order in orders
        if (task := run.in_order[order]).status == "pending" and not task.unmet and task.retry_at is None
    }


def dump(run: Run, now: float) -> dict[str, Any]:
    """All of a run's state that must survive a restart."""
    run._wake_delayed(now)  # done by the next look at the run, on either side
    return {
        "run": {
            name: getattr(run, name)
            for name in [
                "id",
                "name",
                "created_at",
                "updated_at",
                "options",
                "cwd",
                "environment",
                "extra",
                "state",
                "reason",
                "error",
                "warnings",
                "open",
                "paused",
                "stopping",
                "defect",
                "deadline_at",
                "requests_done",
                "counts",
                "skipped",
                "dependents",
                "ordinary_left",
                "stop_requested",
                "failures",
                "total",
            ]
        },
        "tasks": [msgspec.structs.asdict(task) for task in run.in_order],
        "ready": waiting_orders(run),
        "running_in_groups": {name: g.running for name, g in run._groups.items() if g.running},
    }


def replayed(events: list[ev.Event]) -> Run:
    """The run that a journal of these events gives, through its bytes."""
    return Run(ev.decode_event(line) for line in ev.encode_events(events).splitlines())


def states(run: Run) -> dict[str, str]:
    """What became of each task, the reason where there is one."""
    return {task.spec.id: task.reason or task.status for task in run.in_order}
