"""Which task starts next: priority first, then the run with the fewest running tasks, in turn, then order.

Pure: the manager tells what changed and asks; nothing here knows processes or files. Runs stand in one
heap with lazily replaced entries, so a decision costs O(log runs) however many tasks wait.
"""

from __future__ import annotations

from bisect import insort
from heapq import heapify, heappop, heappush

from msgspec import Struct

from air_executor.lifecycle import Run
from air_executor.model import Task, TaskSpec

__all__ = ["Capacity", "Scheduler"]

PATIENCE_S = 10.0
"""How long tasks that ask for cpus or memory may be overtaken by smaller ones before they hold the queue."""
ASIDE_PER_RUN = 32
"""How many tasks of a run that do not fit are looked past in search of one that does."""
ASIDE_CROWDED = 256
"""From so many in all on, each run may have one more aside only if it has none."""


class Capacity(Struct):
    """What the machine offers: tasks at once, CPUs and memory (MB) for the tasks that name their need."""

    slots: int
    cpus: float
    memory_mb: float

    def lacks(self, spec: TaskSpec) -> str | None:
        """Why a task could never run here, or None."""
        if spec.cpus is not None and spec.cpus > self.cpus:
            return f"needs {spec.cpus:g} cpus, this manager has {self.cpus:g} (--cpus)"
        if spec.memory_mb is not None and spec.memory_mb > self.memory_mb:
            return f"needs {spec.memory_mb:g} MB of memory, this manager has {self.memory_mb:g} (--memory-mb)"
        return None


class Scheduler:
    """Chooses among the ready tasks of all runs, within `Capacity`."""

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.free = Capacity(capacity.slots, capacity.cpus, capacity.memory_mb)
        self._heap: list[tuple[int, int, int, int, int]] = []
        self._runs: dict[int, Run] = {}
        self._keys: dict[int, int] = {}
        """id of the run -> serial of its one valid heap entry."""
        self._turns: dict[int, int] = {}
        """id of the run -> serial when it was last chosen: among equals, whose turn is longest ago comes first."""
        self._serial = 0
        self._aside: list[tuple[int, float, int, Run, Task]] = []
        """Tasks that did not fit: (-priority, since, serial, run, task), best first."""

    def note(self, run: Run, now: float) -> None:
        """Look at `run` again: something of it became ready, ended, or may start by now."""
        key = id(run)
        task = run.peek(now)
        if task is None:
            self._keys.pop(key, None)
            self._runs.pop(key, None)
            return
        self._serial += 1
        self._keys[key] = self._serial
        self._runs[key] = run
        heappush(self._heap, (-task.spec.priority, run.counts["running"], self._turns.get(key, 0), self._serial, key))
        if len(self._heap) > 4 * len(self._keys) + 64:
            self._heap = [entry for entry in self._heap if self._keys.get(entry[4]) == entry[3]]
            heapify(self._heap)

    def forget(self, run: Run) -> None:
        """Drop an ended or replaced run."""
        self._keys.pop(id(run), None)
        self._runs.pop(id(run), None)
        self._turns.pop(id(run), None)
        self._aside = [entry for entry in self._aside if entry[3] is not run]

    def shift_clock(self, by_s: float) -> None:
        """The system's clock was set: tasks set aside have waited as long as before."""
        self._aside = [(rank, since + by_s, n, run, task) for rank, since, n, run, task in self._aside]

    def occupy(self, spec: TaskSpec) -> None:
        """Count a task as running."""
        self.free.slots -= 1
        self.free.cpus -= spec.cpus or 0.0
        self.free.memory_mb -= spec.memory_mb or 0.0

    def release(self, spec: TaskSpec) -> None:
        """Count a task as ended."""
        self.free.slots += 1
        self.free.cpus += spec.cpus or 0.0
        self.free.memory_mb += spec.memory_mb or 0.0

    def next(self, now: float) -> tuple[Run, Task] | None:
        """The next task to start, or None. The caller starts it (`Run.start`), then calls `note` for its run."""
        if self.free.slots <= 0:
            return None
        while (waiting := self._fitting_aside(now)) is not None and not waiting[3].allows(waiting[4], now):
            self._aside.remove(waiting)
            waiting[3].put_back(waiting[4])
            self.note(waiting[3], now)
        while self._heap:
            priority, _, _, serial, key = self._heap[0]
            if self._keys.get(key) != serial:
                heappop(self._heap)
                continue
            if waiting is not None and waiting[0] <= priority:
                break
            heappop(self._heap)
            del self._keys[key]
            run = self._runs[key]
            task = run.peek(now)
            if task is None:
                continue
            spec = task.spec
            if (spec.cpus is not None or spec.memory_mb is not None) and not self._may_pass(spec, now):
                if self._may_stand_aside(run):
                    run.take(task)
                    self._serial += 1
                    insort(self._aside, (-spec.priority, now, self._serial, run, task))
                    self.note(run, now)
                continue
            run.take(task)
            return self._choose(run, task)
        if waiting is None:
            return None
        self._aside.remove(waiting)
        return self._choose(waiting[3], waiting[4])

    def _choose(self, run: Run, task: Task) -> tuple[Run, Task]:
        self._serial += 1
        self._turns[id(run)] = self._serial
        self.occupy(task.spec)
        return run, task

    def _fits(self, spec: TaskSpec) -> bool:
        cpus, memory_mb = spec.cpus or 0.0, spec.memory_mb or 0.0
        return cpus <= self.free.cpus + 1e-9 and memory_mb <= self.free.memory_mb + 1e-9

    def _may_pass(self, spec: TaskSpec, now: float) -> bool:
        if self.capacity.lacks(spec):
            return True  # it never fits: whoever starts it refuses it
        impatient = any(now - since > PATIENCE_S for _, since, _, _, _ in self._aside)
        return not impatient and self._fits(spec)

    def _may_stand_aside(self, run: Run) -> bool:
        limit = ASIDE_PER_RUN if len(self._aside) < ASIDE_CROWDED else 1
        return sum(entry[3] is run for entry in self._aside) < limit

    def _fitting_aside(self, now: float) -> tuple[int, float, int, Run, Task] | None:
        if any(entry[4].status != "pending" for entry in self._aside):
            self._aside = [entry for entry in self._aside if entry[4].status == "pending"]
        for entry in self._aside:
            if self._fits(entry[4].spec):
                return entry
            if now - entry[1] > PATIENCE_S:
                return None
        return None
