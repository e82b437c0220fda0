"""Who is next: fairness, priority, room, and a cost that does not grow with the number of waiting tasks."""

from __future__ import annotations

import sys

import pytest

from air_executor import scheduling
from air_executor.lifecycle import Run
from air_executor.scheduling import ASIDE_PER_RUN, PATIENCE_S, Capacity
from tests.unit.world import World, created, spec

MANY = 100_000


def many(count: int, **fields: object) -> list:
    return [spec(f"t{i}", **fields) for i in range(count)]


@pytest.fixture(scope="module")
def big_events() -> list:
    """The journal of a run of 100,000 ready tasks."""
    run = Run()
    run.create(created())
    run.queue(many(MANY), 0.0)
    return run.new_events


def test_a_new_job_gets_the_next_free_slot_beside_100_000_ready_tasks(big_events):
    world = World(Capacity(4, 4.0, 1.0))
    world.runs.append(Run(big_events))
    world.journals.append([])
    big = world.runs[0]
    assert world.turn() == ["t0", "t1", "t2", "t3"]
    small = world.add([spec("only")])
    assert world.turn() == []
    world.end(big, "t2")
    assert world.turn() == ["only"]
    world.end(small, "only")
    assert world.turn() == ["t4"]
    assert small.state == "completed"


def test_the_job_with_the_fewest_running_tasks_comes_first():
    world = World(Capacity(6, 6.0, 1.0))
    runs = [world.add(many(20)) for _ in range(3)]
    world.turn()
    assert [run.counts["running"] for run in runs] == [2, 2, 2]
    late = world.add(many(20))
    for run in runs[:2]:
        world.end(run, next(run.running_tasks()).spec.id)
    world.attend()
    choice, _ = world.scheduler.next(world.now) or (None, None)
    assert choice is late


def test_with_one_slot_jobs_take_turns():
    world = World(Capacity(1, 1.0, 1.0))
    runs = [world.add(many(5)), world.add(many(5))]
    turns = []
    world.turn()
    for _ in range(10):
        turns.append(next(i for i, run in enumerate(runs) if run.counts["running"]))
        world.end(runs[turns[-1]], next(runs[turns[-1]].running_tasks()).spec.id)
        world.turn()
    assert turns[:6] in ([0, 1] * 3, [1, 0] * 3)
    assert sorted(turns) == [0] * 5 + [1] * 5


def test_priority_comes_before_fairness_and_order():
    world = World(Capacity(1, 1.0, 1.0))
    one = world.add([spec("low", priority=-1), spec("a"), spec("b", priority=5)])
    two = world.add([spec("c", priority=3), spec("d", priority=5), spec("e", priority=-2)])
    started = []
    while ids := world.turn():
        started += ids
        run = one if one.counts["running"] else two
        world.end(run, ids[0])
    assert set(started[:2]) == {"b", "d"}
    assert started[2:] == ["c", "a", "low", "e"]


def test_order_of_queueing_among_equals():
    world = World(Capacity(2, 2.0, 1.0))
    run = world.add([*many(3), spec("late", "t0"), *[spec(f"u{i}") for i in range(2)]])
    assert world.turn() == ["t0", "t1"]
    assert world.succeed(run, "t0") == ["t2"]
    assert world.succeed(run, "t1") == ["late"], "its place is that of its queueing"


def test_cpus_and_memory_are_shared_among_all_jobs():
    world = World(Capacity(100, 4.0, 1_000.0))
    one = world.add([spec(f"c{i}", cpus=1.5) for i in range(4)])
    two = world.add([spec(f"m{i}", memory_mb=400) for i in range(4)] + [spec("free")])
    assert sorted(world.turn()) == ["c0", "c1", "free", "m0", "m1"]
    assert world.succeed(two, "m0") == ["m2"]
    assert world.succeed(one, "c0") == ["c2"]
    world.drain()
    assert one.state == two.state == "completed"
    assert world.scheduler.free == world.capacity


def test_small_tasks_pass_a_big_one_that_does_not_fit_yet():
    world = World(Capacity(10, 4.0, 1.0))
    run = world.add([spec("first", cpus=3), spec("big", cpus=4), spec("small", cpus=1), spec("none")])
    assert world.turn() == ["first", "small", "none"]
    assert world.succeed(run, "first") == []
    assert world.succeed(run, "small") == ["big"]
    world.drain()


def test_a_big_task_is_not_starved_by_a_stream_of_small_ones():
    world = World(Capacity(10, 2.0, 1.0))
    stream = world.add([spec(f"s{i}", cpus=1) for i in range(200)])
    world.turn()
    big = world.add([spec("big", cpus=2)])
    passed = 0
    while big.counts["pending"]:
        world.now += 1.0
        world.end(stream, next(stream.running_tasks()).spec.id)
        passed += len(world.turn())
        assert passed <= PATIENCE_S + ASIDE_PER_RUN + 2
    assert passed > 1, "small ones may pass it for a while"
    world.drain()
    assert stream.state == big.state == "completed"


def test_tasks_that_name_no_need_pass_an_impatient_big_one():
    world = World(Capacity(10, 2.0, 1.0))
    hog = world.add([spec("hog", cpus=1)])
    world.turn()
    world.add([spec("big", cpus=2)])
    world.turn()
    world.now += PATIENCE_S + 1
    world.add([spec("small", cpus=1), spec("none")])
    assert world.turn() == ["none"]
    assert world.succeed(hog, "hog") == ["big"]


def test_what_could_never_run_here_is_handed_out_to_be_refused_and_holds_nobody_up():
    world = World(Capacity(2, 2.0, 100.0))
    run = world.add([spec("giant", cpus=64), spec("huge", memory_mb=1e6), spec("a", cpus=2), spec("b", "giant")])
    assert world.turn() == ["giant", "huge", "a"]
    assert run.tasks["giant"].reason == run.tasks["huge"].reason == "not_started"
    world.drain()
    assert run.reason == "failures"
    assert world.scheduler.free == world.capacity


def test_why_a_task_can_never_run():
    capacity = Capacity(1, 2.0, 100.0)
    assert capacity.lacks(spec("a", cpus=2, memory_mb=100)) is None
    assert capacity.lacks(spec("a", cpus=2.5)) == "needs 2.5 cpus, this manager has 2 (--cpus)"
    assert capacity.lacks(spec("a", memory_mb=200)) == "needs 200 MB of memory, this manager has 100 (--memory-mb)"


def test_max_parallel_holds_for_tasks_set_aside_too():
    world = World(Capacity(10, 2.0, 1.0))
    hog = world.add([spec("hog", cpus=2)])
    world.turn()
    run = world.add([spec("big", cpus=2), spec("x"), spec("y")], max_parallel=1)
    assert world.turn() == ["x"]
    assert world.succeed(hog, "hog") == [], "it fits now, but its job already runs one task"
    assert world.succeed(run, "x") == ["big"]
    assert world.succeed(run, "big") == ["y"]


def test_a_group_limit_holds_for_tasks_set_aside_too():
    world = World(Capacity(10, 2.0, 1.0))
    hog = world.add([spec("hog", cpus=2)])
    world.turn()
    run = world.add([spec("big", cpus=2, group="g"), spec("x", group="g")], groups={"g": {"limit": 1}})
    assert world.turn() == ["x"]
    assert world.succeed(hog, "hog") == []
    assert world.succeed(run, "x") == ["big"]


def aside_behind_a_hog(**fields: object) -> tuple[World, Run, Run]:
    world = World(Capacity(10, 2.0, 1.0))
    hog = world.add([spec("hog", cpus=2)])
    world.turn()
    run = world.add([spec("big", cpus=2, **fields)], open=True)
    assert world.turn() == []
    return world, hog, run


def test_a_task_cancelled_while_set_aside_does_not_start():
    world, hog, run = aside_behind_a_hog()
    run.cancel(world.now, "big")
    assert world.succeed(hog, "hog") == []
    assert world.scheduler.free == world.capacity


def test_a_task_retried_while_its_old_place_aside_stands_waits_for_its_dependencies():
    world, hog, run = aside_behind_a_hog()
    run.queue([spec("dep"), spec("other", "dep", cpus=2)], world.now)
    assert world.turn() == ["dep"]
    world.succeed(run, "dep")
    run.cancel(world.now, "other")
    run.cancel(world.now, "big")
    run.retry(world.now, ["big"])
    assert world.succeed(hog, "hog") == ["big"]
    world.succeed(run, "big")
    world.check()


def test_a_paused_job_leaves_its_tasks_aside():
    world, hog, run = aside_behind_a_hog()
    run.pause(world.now)
    assert world.succeed(hog, "hog") == []
    run.resume(world.now)
    assert world.turn() == ["big"]


def test_a_final_set_aside_waits_for_work_that_came_later():
    world = World(Capacity(10, 2.0, 1.0))
    hog = world.add([spec("hog", cpus=2)])
    world.turn()
    run = world.add([spec("merge", cpus=2, final=True)])
    assert world.turn() == []
    run.queue([spec("more")], world.now)
    assert world.turn() == ["more"]
    assert world.succeed(hog, "hog") == [], "its job has work left"
    assert world.succeed(run, "more") == ["merge"]
    world.drain()
    assert run.state == "completed"


def test_many_cancelled_tasks_aside_are_dropped_without_recursion():
    world = World(Capacity(5_000, 1.0, 1.0))
    hog = world.add([spec("hog", cpus=1)])
    world.turn()
    runs = [world.add(many(3, cpus=1)) for _ in range(800)]
    world.turn()
    for run in runs:
        run.cancel(world.now)
    world.succeed(hog, "hog")
    world.drain()
    assert all(run.ended for run in runs)
    assert sys.getrecursionlimit() <= 10_000


def test_a_forgotten_run_is_never_chosen():
    world, hog, run = aside_behind_a_hog()
    world.scheduler.forget(run)
    world.end(hog, "hog")
    assert world.scheduler.next(world.now) is None


def test_no_free_slot_no_choice():
    world = World(Capacity(0, 1.0, 1.0))
    world.add([spec("a")])
    assert world.turn() == []


# ---- cost ----------------------------------------------------------------------------------------


class Counted:
    """Counts the calls of functions of a module while it is patched in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: object, *names: str) -> None:
        self.calls = 0
        for name in names:
            monkeypatch.setattr(owner, name, self.wrap(getattr(owner, name)))

    def wrap(self, function):
        def counted(*args, **kwargs):
            self.calls += 1
            return function(*args, **kwargs)

        return counted


def cost_of_a_decision(monkeypatch: pytest.MonkeyPatch, world: World, decisions: int = 50) -> tuple[float, int]:
    """Heap operations, peeks and fits per start, and the largest heap of the scheduler."""
    largest = 0
    with monkeypatch.context() as patch:
        count = Counted(patch, scheduling, "heappush", "heappop", "heapify", "insort")
        for name in ("peek", "take", "allows"):
            patch.setattr(Run, name, count.wrap(getattr(Run, name)))
        patch.setattr(scheduling.Scheduler, "_fits", count.wrap(scheduling.Scheduler._fits))
        for _ in range(decisions):
            choice = world.scheduler.next(world.now)
            assert choice is not None
            run, task = choice
            run.start(task, "l", world.now)
            world.scheduler.note(run, world.now)
            world.end(run, task.spec.id)
            world.scheduler.note(run, world.now)
            largest = max(largest, len(world.scheduler._heap))
    return count.calls / decisions, largest


def test_a_decision_costs_the_same_whether_100_or_100_000_tasks_wait(monkeypatch, big_events):
    few, many_ready = World(Capacity(2, 2.0, 1.0)), World(Capacity(2, 2.0, 1.0))
    few.add(many(100))
    few.attend()
    many_ready.runs.append(Run(big_events))
    many_ready.journals.append([])
    many_ready.attend()
    cost_few, heap_few = cost_of_a_decision(monkeypatch, few)
    cost_many, heap_many = cost_of_a_decision(monkeypatch, many_ready)
    assert cost_many <= cost_few + 1
    assert heap_many <= heap_few + 1


def test_tasks_that_do_not_fit_are_not_all_looked_at(monkeypatch):
    world = World(Capacity(1_000, 2.0, 1.0))
    run = world.add(many(20_000, cpus=1))
    assert world.turn() == ["t0", "t1"]
    assert len(world.scheduler._aside) == ASIDE_PER_RUN
    world.end(run, "t0")
    world.scheduler.note(run, world.now)
    cost, heap = cost_of_a_decision(monkeypatch, world, 20)
    assert cost < 4 * ASIDE_PER_RUN
    assert heap < 200
    world.check()


def test_the_heap_is_cleaned_of_old_entries():
    world = World(Capacity(1, 1.0, 1.0))
    run = world.add(many(10))
    for _ in range(10_000):
        world.scheduler.note(run, world.now)
    assert len(world.scheduler._heap) <= 4 + 64 + 1


def test_nothing_is_kept_of_runs_without_ready_tasks():
    world = World(Capacity(10, 1.0, 1.0))
    run = world.add([spec("a")])
    world.turn()
    world.attend()
    assert world.scheduler._runs == {}
    world.succeed(run, "a")
    assert world.scheduler._keys == {}
