"""Random jobs, failures, requests, restarts and crashes: the promises hold whatever happens in whatever order."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from air_executor.lifecycle import Run
from air_executor.model import TaskSpec, find_cycle
from air_executor.scheduling import Capacity
from tests.unit.world import T0, World, dump, replayed

ENDS = ("ok", "ok", "ok", "exit", "exit", "signal", "timeout", "memory", "lost", "not_started")
STEPS = [
    "start",
    "start",
    "start",
    "exit",
    "exit",
    "exit",
    "exit",
    "queue",
    "queue_inside",
    "cancel_task",
    "cancel_job",
    "retry_all",
    "retry_one",
    "pause",
    "resume",
    "close",
    "wait",
    "restart",
    "crash",
    "reopen",
]

small = st.integers(0, 7)
numbers = st.integers(0, 2**32 - 1)


class Draft(NamedTuple):
    """A task of a program; its dependencies are named by number, known or not."""

    dependencies: list[int]
    all_done: bool
    final: bool
    retries: int
    idempotent: bool
    group: str | None
    priority: int
    cpus: float | None
    memory_mb: float | None


drafts = st.builds(
    Draft,
    dependencies=st.lists(st.integers(0, 14), max_size=3),
    all_done=st.booleans(),
    final=st.integers(0, 4).map(lambda n: n == 0),
    retries=st.sampled_from([0, 0, 0, 1, 2]),
    idempotent=st.booleans(),
    group=st.sampled_from([None, None, "limited", "paced", "free"]),
    priority=st.sampled_from([0, 0, 1, -1]),
    cpus=st.sampled_from([None, None, 0.5, 1.0, 2.0, 99.0]),
    memory_mb=st.sampled_from([None, None, 10.0, 60.0]),
)
option_sets = st.fixed_dictionaries(
    {},
    optional={
        "open": st.booleans(),
        "max_parallel": st.integers(1, 3),
        "max_failures": st.integers(1, 4),
        "allow_failures": st.sampled_from([0, 2, "50%"]),
        "deadline_s": st.sampled_from([5.0, 1_000.0]),
        "groups": st.just({"limited": {"limit": 1}, "paced": {"rate": 2.0, "limit": 2}}),
    },
)
capacities = st.builds(Capacity, slots=st.integers(1, 4), cpus=st.sampled_from([1.0, 2.0]), memory_mb=st.just(100.0))
programs = st.fixed_dictionaries(
    {
        "capacity": capacities,
        "jobs": st.lists(st.tuples(option_sets, st.lists(drafts, max_size=10)), min_size=1, max_size=3),
        "steps": st.lists(
            st.tuples(st.sampled_from(STEPS), numbers, st.lists(drafts, max_size=3)), min_size=6, max_size=50
        ),
    }
)


class Play:
    """Carries a program out on a `World`."""

    def __init__(self, capacity: Capacity, jobs: list[tuple[dict[str, Any], list[Draft]]]) -> None:
        self.world = World(capacity)
        self.queued = [0] * len(jobs)
        for number, (options, tasks) in enumerate(jobs):
            run = self.world.add(**options)
            run.queue(self.specs(number, tasks), self.world.now)
        self.world.journal()

    def specs(self, number: int, tasks: list[Draft]) -> list[TaskSpec]:
        specs = []
        for draft in tasks:
            specs.append(
                TaskSpec(
                    id=f"t{self.queued[number]}",
                    command="true",
                    dependencies=[f"t{n}" for n in draft.dependencies],
                    trigger_rule="all_done" if draft.all_done else "all_success",
                    **{name: getattr(draft, name) for name in Draft._fields[2:]},
                )
            )
            self.queued[number] += 1
        return specs

    def step(self, name: str, number: int, tasks: list[Draft]) -> None:
        world = self.world
        marks = [len(journal) for journal in world.journals]
        index = number % len(world.runs)
        run = world.runs[index]
        pick = number // len(world.runs)
        getattr(self, f"do_{name}")(run, index, pick, tasks)
        if name == "crash":
            world.journal()
            world.restart({index: marks[index] + pick % (len(world.journals[index]) - marks[index] + 1)})
        world.attend()
        world.journal()
        world.check()

    def do_start(self, *_: Any) -> None:
        self.world.schedule()

    def do_exit(self, run: Run, _: int, pick: int, __: Any) -> None:
        running = [(r, t) for r in self.world.runs for t in r.running_tasks()]
        if running:
            ending, task = running[pick % len(running)]
            how = ENDS[pick // 7 % len(ENDS)]
            self.world.end(ending, task.spec.id, **({} if how == "ok" else {"reason": how}))

    def do_queue(self, run: Run, index: int, _: int, tasks: list[Draft]) -> None:
        if not run.ended:
            run.queue(self.specs(index, tasks), self.world.now)

    def do_queue_inside(self, run: Run, index: int, pick: int, tasks: list[Draft]) -> None:
        running = list(run.running_tasks())
        if running:
            run.queue(self.specs(index, tasks), self.world.now, parent=running[pick % len(running)].spec.id)

    def do_cancel_task(self, run: Run, _: int, pick: int, __: Any) -> None:
        if run.in_order:
            run.cancel(self.world.now, run.in_order[pick % run.total].spec.id)

    def do_cancel_job(self, run: Run, *_: Any) -> None:
        run.cancel(self.world.now)

    def do_retry_all(self, run: Run, *_: Any) -> None:
        failed = {task.spec.id for task in run.in_order if task.status == "failed"}
        assert failed <= set(run.retry(self.world.now)) or not failed

    def do_retry_one(self, run: Run, _: int, pick: int, __: Any) -> None:
        if run.in_order:
            run.retry(self.world.now, [run.in_order[pick % run.total].spec.id])

    def do_pause(self, run: Run, *_: Any) -> None:
        run.pause(self.world.now)

    def do_resume(self, run: Run, *_: Any) -> None:
        run.resume(self.world.now)

    def do_close(self, run: Run, *_: Any) -> None:
        run.close(self.world.now)

    def do_reopen(self, run: Run, index: int, _: int, tasks: list[Draft]) -> None:
        if run.ended and tasks:
            run.reopen(self.world.now)
            run.queue(self.specs(index, tasks), self.world.now)

    def do_wait(self, _: Run, __: int, pick: int, ___: Any) -> None:
        self.world.now += (0.1, 0.6, 2.0, 30.0)[pick % 4]

    def do_restart(self, *_: Any) -> None:
        self.world.restart()

    def do_crash(self, run: Run, index: int, pick: int, tasks: list[Draft]) -> None:
        """A turn in which much happens; `step` then loses its last events."""
        for running in list(run.running_tasks())[: 1 + pick % 3]:
            self.world.end(run, running.spec.id, reason="exit")
        if pick % 5 == 0:
            run.cancel(self.world.now)
        elif pick % 5 == 1:
            run.retry(self.world.now)
        else:
            self.do_queue(run, index, pick, tasks)
        self.world.attend()
        self.world.schedule()

    def finish(self, seed: int) -> None:
        """Let everything come to its end; what runs fails now and then."""
        world, chance = self.world, random.Random(seed)
        self.drain(chance)
        for run in world.runs:
            assert run.ended or run.open or run.paused, "only open and paused jobs may wait"
        for run in world.runs:
            run.resume(world.now)
            run.close(world.now)
        self.drain(chance)
        for run in world.runs:
            assert run.ended
            assert run.reason is not None or run.state == "completed"
            assert run.reason is None or run.state == "failed"
            assert run.error is not None or run.state == "completed"

    def drain(self, chance: random.Random) -> None:
        world = self.world
        for _ in range(2_000):
            moved = bool(world.turn())
            world.check()
            for run in world.runs:
                for task in list(run.running_tasks()):
                    world.end(run, task.spec.id, **({"reason": "exit"} if chance.random() < 0.2 else {}))
                    moved = True
            if not moved:
                times = [at for r in world.runs if not r.ended and (at := r.wake_at(world.now)) is not None]
                if not times:
                    return
                assert min(times) > world.now
                world.now = min(times)
        raise AssertionError("no end in sight")

    def check_starts(self) -> None:
        last: dict[tuple[int, str], float] = {}
        for at, run, task in self.world.started:
            group = run.options.groups.get(task.spec.group or "")
            if group is not None and group.rate is not None:
                key = (id(run), task.spec.group or "")
                assert at - last.get(key, 0.0) >= 1 / group.rate - 1e-6
                last[key] = at

    def check_replay(self) -> None:
        for run, journal in zip(self.world.runs, self.world.journals, strict=True):
            again = replayed(journal)
            assert dump(again, self.world.now) == dump(run, self.world.now)


@settings(max_examples=400)
@given(program=programs, seed=numbers)
def test_every_job_ends_within_its_limits_and_replays_to_the_same_state(program: dict[str, Any], seed: int) -> None:
    play = Play(program["capacity"], program["jobs"])
    for step in program["steps"]:
        play.step(*step)
    play.check_replay()
    play.finish(seed)
    play.check_replay()
    play.check_starts()


@settings(max_examples=200)
@given(program=programs, seed=numbers, cut=numbers)
def test_from_any_prefix_of_a_journal_a_job_still_ends(program: dict[str, Any], seed: int, cut: int) -> None:
    play = Play(program["capacity"], program["jobs"])
    for step in program["steps"]:
        play.step(*step)
    play.finish(seed)
    world = play.world
    cuts = {index: 1 + (cut >> index) % len(journal) for index, journal in enumerate(world.journals)}
    world.restart(cuts)
    running = sum(run.counts["running"] for run in world.runs)
    world.capacity = world.scheduler.capacity = Capacity(max(running, 2), 1e6, 1e6)  # each was cut at another time
    world.restart()
    play.finish(seed)
    play.check_replay()


graphs = st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 11), max_size=4), max_size=10).map(
    lambda edges: {str(node): [str(n) for n in needs] for node, needs in edges.items()}
)


@given(graphs)
@example({"1": ["1"]})
@example({"1": ["2"], "2": ["3"], "3": ["2"]})
def test_find_cycle_finds_one_if_there_is_one(edges: dict[str, list[str]]) -> None:
    left = dict(edges)
    while free := [node for node, needs in left.items() if not any(need in left for need in needs)]:
        for node in free:
            del left[node]
    cycle = find_cycle(edges)
    assert (cycle is None) == (not left)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        for node, need in pairwise(cycle):
            assert need in edges[node]


def test_find_cycle_does_not_recurse() -> None:
    chain = {str(n): [str(n + 1)] for n in range(50_000)}
    assert find_cycle(chain) is None
    assert find_cycle({**chain, "50000": ["49999"]}) == ["49999", "50000", "49999"]


def test_the_clock_of_the_driver_is_fake() -> None:
    world = World()
    world.drain()
    assert world.now == T0
