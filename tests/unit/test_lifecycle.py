"""One rule of the machine a test; the driver plays the manager."""

from __future__ import annotations

import pytest

from air_executor import events as ev
from air_executor.lifecycle import AttemptEnd, IllegalTransition, Run
from air_executor.model import TaskSpec
from air_executor.scheduling import Capacity
from air_executor.times import to_iso
from tests.unit.world import T0, World, created, dump, half, replayed, spec, states


@pytest.fixture
def world():
    world = World()
    yield world
    world.turn()
    world.check()
    for run, journal in zip(world.runs, world.journals, strict=True):
        assert dump(replayed(journal), world.now) == dump(run, world.now)


# ---- the plain way -------------------------------------------------------------------------------


def test_an_empty_job_completes_at_once(world):
    run = world.add()
    assert run.state == "waiting"
    world.turn()
    assert (run.state, run.reason, run.error) == ("completed", None, None)


def test_a_job_works_from_the_first_start_and_completes_with_the_last_end(world):
    run = world.add([spec("a"), spec("b", "a")])
    assert world.turn() == ["a"]
    assert run.state == "working"
    assert world.succeed(run, "a") == ["b"]
    assert world.succeed(run, "b") == []
    assert run.state == "completed"
    assert run.counts == {"pending": 0, "running": 0, "completed": 2, "failed": 0}


def test_an_attempt_leaves_what_the_runner_saw(world):
    run = world.add([spec("a")])
    world.turn()
    world.end(run, "a", reason="signal", signal="SIGKILL", error="killed by SIGKILL", run_s=2.5)
    world.turn()
    task = run.tasks["a"]
    assert (task.status, task.reason, task.signal, task.exit_code) == ("failed", "signal", "SIGKILL", None)
    assert (task.attempt, task.run_s, task.error) == (1, 2.5, "killed by SIGKILL")
    assert task.completed_at == to_iso(world.now)
    assert (run.state, run.reason) == ("failed", "failures")
    assert run.error == "1 of 1 tasks failed: 'a'"


def test_an_error_names_five_tasks_and_counts_the_rest(world):
    run = world.add([spec(f"t{i}") for i in range(8)])
    world.turn()
    world.fail(run, *run.tasks)
    assert run.error == "8 of 8 tasks failed: 't0', 't1', 't2', 't3', 't4' and 3 more"


def test_an_end_that_is_recorded_already_is_passed_over(world):
    run = world.add([spec("a", retries=1, retry_delay_s=0)])
    world.turn()
    world.end(run, "a", reason="exit")
    events = len(run.new_events)
    run.exited("a", 1, AttemptEnd(ended_at=world.now, exit_code=0), world.now, half)
    assert len(run.new_events) == events
    world.drain()
    assert run.tasks["a"].attempt == 2


def test_tasks_queued_by_a_running_task_keep_the_job_going(world):
    run = world.add([spec("scan")])
    world.turn()
    run.queue([spec("f1"), spec("f2", "scan")], world.now, parent="scan")
    assert run.new_events[-1] == ev.TaskQueued(at=to_iso(world.now), task=spec("f2", "scan"), parent="scan")
    assert world.turn() == ["f1"]
    world.succeed(run, "f1")
    assert run.state == "working"
    assert world.succeed(run, "scan") == ["f2"]
    world.drain()
    assert run.state == "completed"


# ---- retries -------------------------------------------------------------------------------------


def test_retries_wait_longer_each_time(world):
    run = world.add([spec("a", retries=3, retry_delay_s=2.0)])
    delays = []
    world.turn()
    for _ in range(3):
        assert world.fail(run, "a") == []
        assert run.tasks["a"].status == "pending"
        assert run.state == "working"
        delays.append(run.tasks["a"].retry_at - world.now)
        assert run.wake_at(world.now) == run.tasks["a"].retry_at
        world.now = run.tasks["a"].retry_at - 0.01
        assert world.turn() == []
        world.now += 0.01
        assert world.turn() == ["a"]
    assert delays == pytest.approx([2.0, 4.0, 8.0])
    world.fail(run, "a")
    assert (run.tasks["a"].status, run.tasks["a"].attempt) == ("failed", 4)


@pytest.mark.parametrize(("jitter", "delay"), [(0.0, 7.5), (0.5, 10.0), (1.0, 12.5)])
def test_jitter_spreads_a_delay_by_a_quarter(world, jitter, delay):
    world.jitter = lambda: jitter
    run = world.add([spec("a", retries=1, retry_delay_s=10)])
    world.turn()
    world.fail(run, "a")
    assert run.tasks["a"].retry_at - world.now == pytest.approx(delay)


def test_a_delay_never_grows_over_an_hour(world):
    run = world.add([spec("a", retries=60, retry_delay_s=1)])
    world.turn()
    for _ in range(40):
        world.fail(run, "a")
        assert run.tasks["a"].retry_at - world.now <= 3_600
        world.now = run.tasks["a"].retry_at
        world.turn()
    run.cancel(world.now)


@pytest.mark.parametrize("reason", ["exit", "signal", "timeout", "memory", "lost"])
def test_what_is_retried(world, reason):
    run = world.add([spec("a", retries=1)])
    world.turn()
    world.end(run, "a", reason=reason)
    assert run.tasks["a"].retry_at is not None
    world.drain()
    assert states(run) == {"a": "completed"}


def test_a_task_that_could_not_start_is_not_retried(world):
    run = world.add([spec("a", retries=5)])
    world.turn()
    world.end(run, "a", reason="not_started", exit_code=127)
    assert states(run) == {"a": "not_started"}


def test_waiting_for_a_retry_does_not_skip_dependants(world):
    run = world.add([spec("a", retries=1), spec("b", "a")])
    world.turn()
    world.fail(run, "a")
    assert run.tasks["b"].status == "pending"
    world.drain()
    assert run.state == "completed"


def test_lost_without_retries_fails(world):
    run = world.add([spec("a"), spec("b", "a")])
    world.turn()
    world.end(run, "a", reason="lost", error="lost: nobody saw its end")
    world.turn()
    assert states(run) == {"a": "lost", "b": "skipped"}
    assert run.tasks["a"].error == "lost: nobody saw its end"


def test_lost_and_idempotent_runs_again_however_often(world):
    run = world.add([spec("a", idempotent=True)])
    world.turn()
    for attempt in range(1, 8):
        assert run.tasks["a"].attempt == attempt
        world.end(run, "a", reason="lost")
        world.now = run.tasks["a"].retry_at
        assert world.turn() == ["a"]
    world.end(run, "a", reason="exit")
    assert states(run) == {"a": "exit"}, "an ordinary failure of it still is one"


def test_a_wake_up_is_never_in_the_past_while_nothing_may_start(world):
    paused = world.add([spec("a", retries=1)])
    full = world.add([spec("b", retries=1, priority=1), spec("c")], max_parallel=1)
    world.turn()
    paused.pause(world.now)
    world.fail(paused, "a")
    assert world.fail(full, "b") == ["c"]
    world.now += 60
    world.turn()
    assert paused.wake_at(world.now) is None
    assert full.wake_at(world.now) is None
    paused.resume(world.now)
    world.drain()
    assert {paused.state, full.state} == {"completed"}


# ---- dependencies --------------------------------------------------------------------------------


def test_a_failure_skips_what_needs_its_success_through_a_diamond(world):
    run = world.add([spec("a"), spec("b", "a"), spec("c", "a"), spec("d", "b", "c"), spec("e")])
    world.turn()
    world.fail(run, "a")
    assert states(run) == {"a": "exit", "b": "skipped", "c": "skipped", "d": "skipped", "e": "running"}
    assert run.tasks["b"].error == "dependency 'a' failed"
    assert run.tasks["d"].error == "dependency 'b' was skipped"
    assert run.failures == 1
    world.drain()
    assert run.error == "1 of 5 tasks failed: 'a'"


def test_all_done_runs_after_any_end(world):
    run = world.add(
        [spec("a"), spec("b", "a"), spec("after", "a", "b", trigger_rule="all_done"), spec("ok", "after")]
    )
    world.turn()
    assert world.fail(run, "a") == ["after"]
    world.drain()
    assert states(run) == {"a": "exit", "b": "skipped", "after": "completed", "ok": "completed"}
    assert run.state == "failed"


def test_one_of_two_dependencies_failing_is_enough(world):
    run = world.add([spec("a"), spec("b"), spec("c", "a", "b")])
    world.turn()
    world.fail(run, "b")
    assert states(run)["c"] == "skipped"
    world.succeed(run, "a")
    assert states(run)["c"] == "skipped"


def test_a_task_queued_behind_a_failed_one_is_skipped_at_once(world):
    run = world.add([spec("a"), spec("b")])
    world.turn()
    world.fail(run, "a")
    run.queue([spec("c", "a"), spec("d", "c"), spec("e", "a", trigger_rule="all_done")], world.now)
    assert states(run) | {"b": ""} == {"a": "exit", "b": "", "c": "skipped", "d": "skipped", "e": "pending"}


def test_a_dependency_may_be_named_twice_and_queued_later(world):
    run = world.add([spec("b", "a", "a"), spec("a")])
    assert world.turn() == ["a"]
    assert world.succeed(run, "a") == ["b"]


def test_an_unknown_dependency_counts_once_nothing_runs(world):
    run = world.add([spec("a", "ghost"), spec("b", "a"), spec("c")])
    assert world.turn() == ["c"]
    assert run.tasks["a"].status == "pending"
    world.succeed(run, "c")
    assert states(run) == {"a": "skipped", "b": "skipped", "c": "completed"}
    assert (run.state, run.reason) == ("failed", "unknown_dependency")
    assert run.error == "task 'a' depends on unknown 'ghost'"


def test_an_unknown_dependency_may_still_come(world):
    run = world.add([spec("a", "late"), spec("c")])
    world.turn()
    run.queue([spec("late")], world.now, parent="c")
    world.drain()
    assert run.state == "completed"


def test_an_open_job_waits_for_unknown_dependencies(world):
    run = world.add([spec("a", "ghost")], open=True)
    world.drain()
    assert run.state == "waiting"
    run.close(world.now)
    world.turn()
    assert run.reason == "unknown_dependency"


def test_unknown_dependencies_and_cycles_together_end_in_one_turn(world):
    run = world.add([spec("u", "ghost"), spec("x", "y"), spec("y", "x"), spec("f", "u", final=True)])
    run.settle(world.now)
    assert run.state == "failed"
    assert set(states(run).values()) == {"skipped"}


# ---- cycles --------------------------------------------------------------------------------------


def test_a_cycle_fails_the_job_naming_it_while_the_rest_runs(world):
    run = world.add([spec("a", "c"), spec("b", "a"), spec("c", "b"), spec("d"), spec("e", "a")])
    assert run.defect == ("cycle", "dependency cycle: a -> c -> b -> a")
    assert world.turn() == ["d"]
    world.succeed(run, "d")
    assert (run.state, run.reason, run.error) == ("failed", "cycle", "dependency cycle: a -> c -> b -> a")
    assert states(run) == {"a": "skipped", "b": "skipped", "c": "skipped", "d": "completed", "e": "skipped"}


def test_a_task_cannot_wait_for_itself(world):
    run = world.add([spec("a", "a")])
    world.turn()
    assert run.error == "dependency cycle: a -> a"


def test_a_cycle_closed_by_later_queueing(world):
    run = world.add([spec("a", "x"), spec("run")])
    world.turn()
    assert run.defect is None
    run.queue([spec("b"), spec("x", "y")], world.now)
    assert run.defect is None
    run.queue([spec("y", "a")], world.now)
    assert run.defect is not None
    assert run.defect[0] == "cycle"
    world.drain()
    assert states(run) == {
        "a": "skipped",
        "x": "skipped",
        "y": "skipped",
        "run": "completed",
        "b": "completed",
    }


def test_an_ordinary_task_cannot_wait_for_a_final_one(world):
    run = world.add([spec("f", final=True), spec("a", "f"), spec("b", "a")])
    world.turn()
    world.drain()
    assert states(run) == {"f": "completed", "a": "skipped", "b": "skipped"}
    assert (run.state, run.reason) == ("failed", "cycle")


# ---- final tasks ---------------------------------------------------------------------------------


def test_finals_run_when_nothing_else_is_left_even_after_failures(world):
    run = world.add([spec("merge", final=True), spec("a"), spec("b")], allow_failures=1)
    assert world.turn() == ["a", "b"]
    world.fail(run, "a")
    run.queue([spec("late")], world.now, parent="b")
    world.turn()
    assert world.succeed(run, "b") == []
    assert world.succeed(run, "late") == ["merge"]
    world.succeed(run, "merge")
    assert run.state == "completed"


def test_a_final_waits_again_when_work_arrives_before_it_starts():
    world = World(Capacity(1, 1.0, 1.0))
    run = world.add([spec("first", final=True), spec("second", final=True)])
    assert world.turn() == ["first"]
    run.queue([spec("more")], world.now, parent="first")
    assert world.succeed(run, "first") == ["more"]
    assert world.succeed(run, "more") == ["second"]
    world.drain()
    assert run.state == "completed"


def test_finals_may_depend_on_each_other_and_on_failed_tasks(world):
    run = world.add(
        [
            spec("a"),
            spec("needs", "a", final=True),
            spec("always", "a", "needs", final=True, trigger_rule="all_done"),
            spec("last", "always", final=True),
        ]
    )
    world.turn()
    assert world.fail(run, "a") == ["always"]
    assert world.succeed(run, "always") == ["last"]
    world.succeed(run, "last")
    assert states(run) == {"a": "exit", "needs": "skipped", "always": "completed", "last": "completed"}


def test_a_final_with_an_unknown_dependency_still_lets_the_others_run(world):
    run = world.add([spec("f", "ghost", final=True), spec("g", "f", final=True, trigger_rule="all_done")])
    world.drain()
    assert states(run) == {"f": "skipped", "g": "completed"}
    assert run.reason == "unknown_dependency"


def test_an_open_job_keeps_its_finals_until_it_is_closed(world):
    run = world.add([spec("a"), spec("f", final=True)], open=True)
    world.turn()
    assert world.succeed(run, "a") == []
    assert run.close(world.now)
    assert not run.close(world.now)
    assert world.turn() == ["f"]


# ---- stopping ------------------------------------------------------------------------------------


def test_cancelling_a_pending_task_skips_what_needs_it(world):
    run = world.add([spec("a"), spec("b", "a"), spec("c", "b"), spec("d", "b", trigger_rule="all_done")])
    world.turn()
    assert run.cancel(world.now, "b")
    assert not run.cancel(world.now, "b")
    assert not run.cancel(world.now, "nobody")
    assert states(run) == {"a": "running", "b": "cancelled", "c": "skipped", "d": "pending"}
    assert run.tasks["b"].error == "cancelled before it started"
    assert run.tasks["c"].error == "dependency 'b' was cancelled"
    world.drain()
    assert states(run)["d"] == "completed"
    assert run.reason == "failures"


def test_cancelling_a_running_task_asks_for_a_stop_and_no_retry(world):
    run = world.add([spec("a", retries=3)])
    world.turn()
    assert run.cancel(world.now, "a")
    assert [(stop.task, stop.attempt) for stop in run.stops] == [("a", 1)]
    assert not run.cancel(world.now, "a")
    world.end(run, "a", reason="signal", signal="SIGTERM")
    assert states(run) == {"a": "cancelled"}
    assert run.tasks["a"].error == "cancelled while it ran"
    assert run.tasks["a"].signal == "SIGTERM"


def test_a_task_that_succeeds_although_it_was_told_to_stop_has_succeeded(world):
    run = world.add([spec("a")])
    world.turn()
    run.cancel(world.now, "a")
    world.succeed(run, "a")
    assert run.state == "completed"


def test_cancelling_a_job_ends_everything(world):
    run = world.add([spec("a"), spec("b", "a"), spec("f", final=True), spec("r", retries=1)], open=True)
    world.turn()
    world.fail(run, "r")
    assert run.cancel(world.now)
    assert not run.cancel(world.now)
    assert [stop.task for stop in run.stops] == ["a"]
    run.queue([spec("late")], world.now)
    world.turn()
    assert run.state == "working", "it has ended when what ran is gone"
    world.end(run, "a", reason="signal", signal="SIGTERM")
    world.turn()
    assert states(run) == dict.fromkeys(["a", "b", "f", "r", "late"], "cancelled")
    assert (run.state, run.reason, run.error) == ("failed", "cancelled", "cancelled")
    assert not run.cancel(world.now)


def test_pause_holds_starts_and_resume_lets_them_go(world):
    run = world.add([spec("a"), spec("b", "a")])
    world.turn()
    assert run.pause(world.now)
    assert not run.pause(world.now)
    assert world.succeed(run, "a") == []
    assert run.state == "working"
    assert run.resume(world.now)
    assert not run.resume(world.now)
    assert world.turn() == ["b"]


def test_max_failures_lets_running_tasks_finish_and_starts_no_more():
    world = World(Capacity(3, 1.0, 1.0))
    run = world.add([spec(f"t{i}") for i in range(10)] + [spec("f", final=True)], max_failures=2)
    world.turn()
    assert world.fail(run, "t0") == ["t3"]
    world.end(run, "t1", reason="exit")
    assert run.stopping == "max_failures"
    assert run.stops == []
    assert world.turn() == []
    world.succeed(run, "t2", "t3")
    assert (run.state, run.reason) == ("failed", "max_failures")
    assert run.error == "2 tasks failed (max_failures: 2)"
    assert states(run)["t2"] == states(run)["t3"] == "completed"
    assert states(run)["f"] == states(run)["t9"] == "cancelled"


def test_skipped_tasks_do_not_count_towards_max_failures(world):
    run = world.add([spec("a"), spec("b", "a"), spec("c", "a"), spec("d")], max_failures=2)
    world.turn()
    world.fail(run, "a")
    assert run.stopping is None


@pytest.mark.parametrize(
    ("allowed", "failed", "state"),
    [
        (2, 2, "completed"),
        (2, 3, "failed"),
        ("20%", 2, "completed"),
        ("20%", 3, "failed"),
        ("19%", 2, "failed"),
        (None, 1, "failed"),
    ],
)
def test_allow_failures(world, allowed, failed, state):
    run = world.add([spec(f"t{i}") for i in range(10)], allow_failures=allowed)
    world.turn()
    world.fail(run, *[f"t{i}" for i in range(failed)])
    world.drain()
    assert run.state == state
    assert run.reason == (None if state == "completed" else "failures")


def test_a_deadline_stops_what_runs(world):
    run = world.add([spec("a"), spec("b", "a")], deadline_s=60)
    world.turn()
    assert run.wake_at(world.now) == T0 + 60
    world.now = T0 + 59.9
    run.check_deadline(world.now)
    assert run.stopping is None
    world.now = T0 + 60
    run.check_deadline(world.now)
    assert [stop.task for stop in run.stops] == ["a"]
    assert run.wake_at(world.now) is None
    world.end(run, "a", reason="signal", signal="SIGTERM")
    world.turn()
    assert (run.state, run.reason, run.error) == ("failed", "deadline", "the deadline of 60.0 s passed")
    assert states(run) == {"a": "cancelled", "b": "cancelled"}


def test_a_deadline_ends_an_open_job_too(world):
    run = world.add(open=True, deadline_s=1)
    world.drain()
    assert run.reason == "deadline"


# ---- leases --------------------------------------------------------------------------------------


def test_a_job_that_nobody_renews_is_cancelled(world):
    run = world.add([spec("a"), spec("b", "a")], lease_s=60)
    world.turn()
    assert run.wake_at(world.now) == T0 + 60
    world.now = T0 + 59.9
    assert not run.lease_is_over(world.now)
    world.now = T0 + 60
    assert run.lease_is_over(world.now)
    run.check_lease(world.now)
    assert [(stop.task, stop.attempt) for stop in run.stops] == [("a", 1)]
    run.check_lease(world.now)
    world.end(run, "a", reason="signal", signal="SIGTERM")
    world.turn()
    assert (run.state, run.reason) == ("failed", "cancelled")
    assert run.error == "its owner was not heard of for 60 s"
    assert states(run) == {"a": "cancelled", "b": "cancelled"}


def test_a_lease_begins_anew_when_it_is_renewed(world):
    run = world.add([spec("a")], lease_s=60)
    world.turn()
    for _ in range(5):
        world.now += 59
        run.renew(world.now)
        run.check_lease(world.now)
    assert run.wake_at(world.now) == world.now + 60
    assert not run.new_events  # nothing of it goes into the journal
    world.succeed(run, "a")
    assert run.state == "completed"


def test_a_lease_begins_anew_with_a_new_manager(world):
    run = world.add([spec("a")], lease_s=60)
    world.turn()
    again = replayed(world.journals[0])
    again.recover(T0 + 1_000)
    assert not again.lease_is_over(T0 + 1_059)
    assert again.lease_is_over(T0 + 1_060)
    world.succeed(run, "a")


def test_a_lease_moves_with_the_clock(world):
    run = world.add([spec("a")], lease_s=60)
    world.turn()
    run.shift_clock(1_000)
    assert run.wake_at(world.now) == T0 + 1_060
    world.succeed(run, "a")


def test_a_job_that_goes_on_has_no_lease_until_somebody_renews_it(world):
    run = world.add([spec("a")], lease_s=60)
    world.turn()
    world.now += 60
    run.check_lease(world.now)
    world.end(run, "a", reason="signal", signal="SIGTERM")
    world.turn()
    run.renew(world.now)  # nobody's any more
    run.retry(world.now)
    world.turn()
    world.now += 1_000
    assert not run.lease_is_over(world.now)
    run.renew(world.now)
    assert run.lease_is_over(world.now + 60)
    run.cancel(world.now)  # by hand: nothing is left of what the lease said
    world.end(run, "a", reason="signal", signal="SIGTERM")
    world.turn()
    assert (run.reason, run.error) == ("cancelled", "cancelled")


# ---- open, closed, reopened, retried -------------------------------------------------------------


def test_an_open_job_waits_for_more(world):
    run = world.add(open=True)
    world.drain()
    assert run.state == "waiting"
    run.queue([spec("a")], world.now)
    world.drain()
    assert run.state == "working"
    run.close(world.now)
    world.turn()
    assert run.state == "completed"


def test_an_ended_job_takes_no_tasks_until_it_is_reopened(world):
    run = world.add([spec("a"), spec("f", final=True)])
    world.drain()
    with pytest.raises(IllegalTransition, match="job 'job0', run 'r0'"):
        run.queue([spec("b")], world.now)
    run.reopen(world.now)
    run.reopen(world.now)
    run.queue([spec("b")], world.now)
    assert world.turn() == ["b"]
    assert world.succeed(run, "b") == ["f"]
    world.drain()
    assert run.state == "completed"
    assert [run.tasks[t].attempt for t in "abf"] == [1, 1, 2]


def test_reopening_leaves_a_final_skipped_whose_dependency_failed(world):
    run = world.add([spec("a"), spec("f", "a", final=True), spec("g", final=True)])
    world.turn()
    world.fail(run, "a")
    world.drain()
    run.reopen(world.now)
    assert states(run) == {"a": "exit", "f": "skipped", "g": "pending"}
    world.drain()
    assert (run.state, run.reason) == ("failed", "failures")


def test_reopened_finals_keep_their_order_of_dependency(world):
    run = world.add([spec("second", "first", final=True), spec("first", final=True)])
    world.drain()
    run.reopen(world.now)
    assert world.turn() == ["first"]
    assert world.succeed(run, "first") == ["second"]
    world.drain()


def test_retry_brings_failed_tasks_back_with_their_skipped_dependants_and_the_finals(world):
    run = world.add([spec("a"), spec("b", "a"), spec("c", "b"), spec("x"), spec("f", final=True)])
    world.turn()
    world.succeed(run, "x")
    world.fail(run, "a")
    world.drain()
    assert run.state == "failed"
    assert run.retry(world.now) == ["a", "b", "c", "f"]
    assert (run.state, run.reason, run.error) == ("working", None, None)
    assert world.turn() == ["a"]
    world.drain()
    assert run.state == "completed"
    assert {t.spec.id: t.attempt for t in run.in_order} == {"a": 2, "b": 1, "c": 1, "x": 1, "f": 2}


def test_retry_of_one_task_leaves_other_failures_alone(world):
    run = world.add([spec("a"), spec("b"), spec("both", "a", "b"), spec("only", "a")])
    world.turn()
    world.fail(run, "a", "b")
    assert run.retry(world.now, ["a", "nobody"]) == ["a", "both", "only"]
    assert states(run) == {"a": "pending", "b": "exit", "both": "skipped", "only": "pending"}
    world.drain()
    assert states(run)["only"] == "completed"
    assert run.state == "failed"


def test_retry_of_a_skipped_task_brings_what_it_needs(world):
    run = world.add([spec("a"), spec("b", "a"), spec("c", "b")])
    world.turn()
    world.fail(run, "a")
    assert run.retry(world.now, ["c"]) == ["a", "b", "c"]
    world.drain()
    assert run.state == "completed"


def test_retried_tasks_wait_for_dependencies_queued_after_them(world):
    run = world.add([spec("late", "early", trigger_rule="all_done"), spec("early")])
    world.turn()
    world.fail(run, "early")
    world.fail(run, "late")
    run.retry(world.now)
    assert world.turn() == ["early"]
    world.drain()
    assert run.state == "completed"


def test_a_retry_gives_a_fresh_budget_of_retries(world):
    run = world.add([spec("a", retries=1, retry_delay_s=1)])
    world.turn()
    world.fail(run, "a")
    world.now += 1
    world.turn()
    world.fail(run, "a")
    assert run.ended
    run.retry(world.now)
    world.turn()
    world.fail(run, "a")
    assert run.tasks["a"].retry_at == world.now + 1
    world.drain()
    assert run.state == "completed"
    assert run.tasks["a"].attempt == 4


def test_a_cancelled_job_can_be_retried(world):
    run = world.add([spec("a"), spec("b", "a")])
    world.turn()
    run.cancel(world.now)
    world.end(run, "a", reason="signal", signal="SIGTERM")
    world.turn()
    assert run.retry(world.now) == ["a", "b"]
    world.drain()
    assert run.state == "completed"


def test_there_may_be_nothing_to_retry(world):
    run = world.add([spec("a")])
    world.drain()
    assert run.retry(world.now) == []
    assert run.retry(world.now, ["a"]) == []
    assert run.state == "completed"


# ---- limits --------------------------------------------------------------------------------------


def test_max_parallel(world):
    run = world.add([spec(f"t{i}") for i in range(5)], max_parallel=2)
    assert world.turn() == ["t0", "t1"]
    assert world.succeed(run, "t1") == ["t2"]
    world.drain()
    assert run.state == "completed"


def test_a_group_limit_holds_its_group_only(world):
    specs = [spec(f"w{i}", group="web") for i in range(4)] + [spec("a"), spec("b", group="other")]
    run = world.add(specs, groups={"web": {"limit": 2}})
    assert world.turn() == ["w0", "w1", "a", "b"]
    assert world.succeed(run, "w0", "w1") == ["w2", "w3"]
    world.drain()


def test_a_group_rate_spaces_starts(world):
    run = world.add([spec(f"w{i}", group="web") for i in range(3)] + [spec("a")], groups={"web": {"rate": 4.0}})
    assert world.turn() == ["w0", "a"]
    assert run.wake_at(world.now) == world.now + 0.25
    world.now += 0.25
    assert world.turn() == ["w1"]
    world.now += 10
    assert world.turn() == ["w2"], "waiting does not save starts up"


# ---- what is handed in twice, imported, replayed -------------------------------------------------


def test_the_same_task_twice_is_one_and_other_content_is_refused(world):
    run = world.add([spec("a")])
    events = len(run.new_events)
    assert run.queue([spec("a"), spec("a")], world.now) == []
    other = spec("a", retries=1)
    assert run.queue([other, spec("b"), spec("b", retries=2)], world.now) == [other, spec("b", retries=2)]
    assert run.total == 2
    assert len(run.new_events) == events + 1


def imported(task: TaskSpec, status: str, **fields: object) -> ev.TaskImported:
    at = to_iso(T0)
    return ev.TaskImported(at=at, task=task, status=status, created_at=at, completed_at=at, **fields)


def test_import_takes_ends_over_and_goes_on_with_the_rest(world):
    run = world.add()
    run.import_tasks(
        [
            spec("todo", "done"),
            imported(spec("done"), "completed", result=3, attempt=2),
            imported(spec("bad"), "failed", reason="exit", exit_code=3),
            imported(spec("skipped", "bad"), "failed", reason="skipped"),
            spec("hopeless", "bad"),
            spec("anyway", "bad", "hopeless", trigger_rule="all_done"),
            spec("x", "y"),
            spec("y", "x"),
        ],
        world.now,
    )
    assert world.turn() == ["todo", "anyway"]
    assert states(run) == {
        "todo": "running",
        "done": "completed",
        "bad": "exit",
        "skipped": "skipped",
        "hopeless": "skipped",
        "anyway": "running",
        "x": "skipped",
        "y": "skipped",
    }
    assert run.failures == 1
    world.drain()
    assert run.reason == "cycle"
    run.retry(world.now, ["skipped"])
    world.drain()
    assert states(run)["bad"] == states(run)["skipped"] == "completed"


def test_warnings_are_told_once(world):
    run = world.add()
    run.warn("careful", world.now)
    run.warn("careful", world.now)
    assert run.warnings == ["careful"]


def test_events_that_the_state_forbids_are_refused():
    at = to_iso(T0)
    started = ev.AttemptStarted(at=at, task="a", attempt=1, launcher="l")
    ended = ev.RunEnded(at=at, state="completed")
    begin = [created(), ev.TaskQueued(at=at, task=spec("a")), ev.TaskQueued(at=at, task=spec("b", "a"))]
    for bad in (
        [begin[1]],
        [*begin, created()],
        [*begin, begin[1]],
        [*begin, ended],
        [*begin, ev.RunReopened(at=at)],
        [*begin, ev.AttemptStarted(at=at, task="b", attempt=1, launcher="l")],
        [*begin, ev.AttemptStarted(at=at, task="a", attempt=2, launcher="l")],
        [*begin, ev.AttemptStarted(at=at, task="c", attempt=1, launcher="l")],
        [*begin, started, started],
        [*begin, started, ev.AttemptExited(at=at, task="a", attempt=2)],
        [*begin, started, ev.TaskCancelled(at=at, task="a", error="")],
        [*begin, ev.TaskRetried(at=at, task="a")],
        [created(), ended, ended],
    ):
        with pytest.raises(IllegalTransition):
            Run(bad)


def test_a_restart_finishes_a_skip_of_which_the_journal_has_only_the_cause(world):
    run = world.add([spec("a"), spec("b", "a"), spec("c", "b")])
    world.turn()
    world.end(run, "a", reason="exit")
    world.journal()
    assert [type(event).__name__ for event in world.journals[0][-2:]] == ["TaskSkipped"] * 2
    world.restart({0: len(world.journals[0]) - 2})
    world.drain()
    assert states(world.runs[0]) == {"a": "exit", "b": "skipped", "c": "skipped"}
    assert world.runs[0].reason == "failures"


def test_a_restart_finishes_a_cancel_and_asks_for_the_stop_again(world):
    run = world.add([spec("a"), spec("b"), spec("c", "a")], max_parallel=1)
    world.turn()
    run.cancel(world.now)
    world.journal()
    world.restart({0: len(world.journals[0]) - 1})
    run = world.runs[0]
    assert [stop.task for stop in run.stops] == ["a"]
    world.end(run, "a", reason="signal")
    run.stops.clear()
    world.drain()
    assert states(run) == dict.fromkeys("abc", "cancelled")
    assert run.reason == "cancelled"


def test_a_restart_finishes_an_early_stop(world):
    run = world.add([spec("a"), spec("b", "ghost")], max_failures=1, open=True)
    world.turn()
    world.end(run, "a", reason="exit")
    world.journal()
    cut = next(i for i, e in enumerate(world.journals[0]) if isinstance(e, ev.CancelRequested))
    world.restart({0: cut})
    world.drain()
    assert world.runs[0].reason == "max_failures"


def test_a_task_set_aside_for_want_of_room_keeps_what_waits_for_it():
    world = World(Capacity(10, 2.0, 100.0))
    other = world.add([spec("hog", cpus=2)])
    world.turn()
    run = world.add([spec("a", cpus=1), spec("b", "a"), spec("f", "a", final=True)])
    assert world.turn() == []
    assert states(run) == {"a": "pending", "b": "pending", "f": "pending"}
    assert world.succeed(other, "hog") == ["a"]
    world.drain()
    assert run.state == "completed"
