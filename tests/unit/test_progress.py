"""Progress as it is derived from events: equal to the machine's own state, and estimates that make sense."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air_executor import events as ev
from air_executor.lifecycle import AttemptEnd, Run
from air_executor.model import JobOptions, TaskSpec
from air_executor.observe.progress import Progress
from air_executor.observe.run_times import RunTimes
from air_executor.times import to_iso

START = 1_790_000_000.0


def created(**options: Any) -> ev.RunCreated:
    at = to_iso(START)
    return ev.RunCreated(at=at, version=1, id="r1", name="job", created_at=at, options=JobOptions(**options), cwd="/")


def queued(*ids: str, at: float = 0.0) -> list[ev.Event]:
    return [ev.TaskQueued(at=to_iso(START + at), task=TaskSpec(id=i, command="true")) for i in ids]


def started(task: str, at: float, attempt: int = 1) -> ev.Event:
    return ev.AttemptStarted(at=to_iso(START + at), task=task, attempt=attempt, launcher="l0")


def exited(task: str, at: float, attempt: int = 1, **fields: Any) -> ev.Event:
    return ev.AttemptExited(at=to_iso(START + at), task=task, attempt=attempt, **fields)


def progress_of(*events: ev.Event) -> Progress:
    progress = Progress()
    for event in events:
        progress.add(event)
    return progress


# ---- equal to the machine -----------------------------------------------------------------------


class Story:
    """A run that random decisions are made on, as the manager would make them."""

    def __init__(self, **options: Any) -> None:
        self.run = Run()
        self.now = START
        self.made = 0
        self.run.create(created(**options))

    def queue(self, draw: st.DrawFn) -> None:
        if self.run.ended:
            if not draw(st.booleans()):
                return
            self.run.reopen(self.now)
        specs = []
        for _ in range(draw(st.integers(1, 4))):
            others = st.sampled_from([f"t{i}" for i in range(self.made + 3)])
            specs.append(
                TaskSpec(
                    id=f"t{self.made}",
                    command="true",
                    dependencies=draw(st.lists(others, max_size=2)),
                    retries=draw(st.integers(0, 1)),
                    final=draw(st.integers(0, 5)) == 0,
                    trigger_rule=draw(st.sampled_from(["all_success", "all_done"])),
                )
            )
            self.made += 1
        self.run.queue(specs, self.now)

    def start(self, draw: st.DrawFn) -> None:
        task = self.run.peek(self.now)
        if task is not None:
            self.run.take(task)
            self.run.start(task, "l0", self.now)

    def end(self, draw: st.DrawFn) -> None:
        running = [task.spec.id for task in self.run.running_tasks()]
        if not running:
            return
        task = self.run.tasks[draw(st.sampled_from(running))]
        reason = draw(st.sampled_from([None, None, None, "exit", "lost", "timeout"]))
        end = AttemptEnd(ended_at=self.now, reason=reason, run_s=draw(st.floats(0, 5)))
        self.run.exited(task.spec.id, task.attempt, end, self.now, lambda: 0.5)

    def ask(self, draw: st.DrawFn) -> None:
        task = f"t{draw(st.integers(0, self.made + 1))}"
        what = draw(st.sampled_from(["cancel", "cancel task", "retry", "retry task", "pause", "resume", "close"]))
        if what == "cancel":
            self.run.cancel(self.now)
        elif what == "cancel task":
            self.run.cancel(self.now, task)
        elif what == "retry":
            self.run.retry(self.now)
        elif what == "retry task":
            self.run.retry(self.now, [task])
        else:
            getattr(self.run, what)(self.now)

    def settle(self, draw: st.DrawFn) -> None:
        if self.run.idle:
            self.run.settle(self.now)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_counts_are_those_of_the_machine(data: st.DataObject) -> None:
    story = Story(open=data.draw(st.booleans()), max_failures=data.draw(st.sampled_from([None, 2])))
    progress = Progress()
    steps = [story.queue, story.start, story.start, story.end, story.end, story.ask, story.settle]
    for _ in range(data.draw(st.integers(5, 60))):
        story.now += data.draw(st.sampled_from([0.0, 0.01, 1.0, 30.0]))
        data.draw(st.sampled_from(steps))(data.draw)
        new, story.run.new_events = story.run.new_events, []
        for event in new:
            progress.add(event)
        check_equal(progress, story.run, story.now)


def check_equal(progress: Progress, run: Run, now: float) -> None:
    assert progress.counts == run.counts
    assert progress.total == run.total
    assert set(progress.running) == {task.spec.id for task in run.running_tasks()}
    failed = {task.spec.id: task.reason for task in run.in_order if task.status == "failed"}
    assert {f.task: f.reason for f in progress.failures()} == failed
    assert progress.failed_by_reason["skipped"] == run.skipped
    for name in ("state", "reason", "error", "warnings", "open", "paused", "stopping"):
        assert getattr(progress, name) == getattr(run, name), name
    completed = {task.spec.id for task in run.in_order if task.status == "completed"}
    assert {e.task for e in progress.recent} <= completed
    assert len(progress.recent) <= 5
    assert progress.rate(now) >= 0
    estimate = progress.estimate(now)
    if estimate is not None:
        assert 0 <= estimate.low_s <= estimate.mid_s <= estimate.high_s


# ---- single cases -------------------------------------------------------------------------------


def test_nothing_known() -> None:
    progress = Progress()
    assert (progress.total, progress.percent, progress.rate(START), progress.elapsed_s(START)) == (0, 0, 0, 0)
    assert progress.estimate(START) is None
    assert progress.last_failures(5) == []


def test_recently_completed_are_the_last_five() -> None:
    ids = [f"t{i}" for i in range(8)]
    events = [created(), *queued(*ids)]
    for number, task in enumerate(ids):
        events += [started(task, number), exited(task, number + 1, run_s=0.5)]
    progress = progress_of(*events)
    assert [ended.task for ended in progress.recent] == ["t3", "t4", "t5", "t6", "t7"]
    assert progress.recent[-1].run_s == 0.5


def test_a_failed_attempt_that_is_repeated_is_no_failure() -> None:
    progress = progress_of(
        created(),
        *queued("a"),
        started("a", 1),
        exited("a", 2, reason="exit", exit_code=1, retry_at=START + 3),
    )
    assert progress.counts["pending"] == 1
    assert progress.retries == 1
    assert progress.last_failures(5) == []


def test_a_retried_task_leaves_the_failures() -> None:
    progress = progress_of(created(), *queued("a", "b"), started("a", 1), exited("a", 2, reason="exit"))
    progress.add(ev.TaskSkipped(at=to_iso(START + 2), task="b", error="dependency 'a' failed"))
    assert [failure.task for failure in progress.last_failures(5)] == ["a"]  # 'b' only follows from it
    assert progress.failed_by_reason == {"exit": 1, "skipped": 1}
    for task in ("a", "b"):
        progress.add(ev.TaskRetried(at=to_iso(START + 3), task=task))
    assert progress.counts == {"pending": 2, "running": 0, "completed": 0, "failed": 0}
    assert list(progress.failures()) == []


def test_elapsed_leaves_out_the_time_before_a_reopening() -> None:
    progress = progress_of(
        created(),
        *queued("a"),
        started("a", 1),
        exited("a", 9),
        ev.RunEnded(at=to_iso(START + 10), state="completed"),
    )
    assert progress.elapsed_s(START + 500) == pytest.approx(10)
    assert progress.rate(START + 500) == pytest.approx(0.1)
    progress.add(ev.RunReopened(at=to_iso(START + 1000)))
    assert progress.elapsed_s(START + 1003) == pytest.approx(13)
    assert not progress.ended


def steady(tasks: int, parallel: int, seconds: float, until: float) -> Progress:
    """`tasks` of `seconds` each, `parallel` at a time, as far as they have got at `until`."""
    ids = [f"t{i}" for i in range(tasks)]
    moments: list[tuple[float, int, ev.Event]] = []
    for number, task in enumerate(ids):
        at = seconds * (number // parallel)
        moments += [(at, 1, started(task, at)), (at + seconds, 0, exited(task, at + seconds, run_s=seconds))]
    moments.sort(key=lambda moment: moment[:2])
    return progress_of(created(), *queued(*ids), *(event for at, _, event in moments if at <= until))


@pytest.mark.parametrize(("parallel", "seconds"), [(1, 0.5), (4, 2.0), (50, 0.25), (3, 20.0)])
def test_rate_parallelism_and_estimate_of_a_steady_job(parallel: int, seconds: float) -> None:
    waves, done = 40, 20
    progress = steady(parallel * waves, parallel, seconds, until=seconds * done)
    now = START + seconds * done
    assert progress.parallelism(now) == pytest.approx(parallel, rel=0.05)
    if seconds < 5:
        assert progress.rate(now) == pytest.approx(parallel / seconds, rel=0.4)
    estimate = progress.estimate(now)
    assert estimate is not None
    assert estimate.mid_s == pytest.approx(seconds * (waves - done), rel=0.1)
    assert progress.run_times.mean_s == pytest.approx(seconds)


def test_spread_of_the_estimate_grows_with_that_of_the_tasks() -> None:
    def spread(times: Iterable[float]) -> float:
        progress = progress_of(created(), *queued(*(f"t{i}" for i in range(200))))
        at = 0.0
        for number, seconds in enumerate(times):
            progress.add(started(f"t{number}", at))
            at += seconds
            progress.add(exited(f"t{number}", at))
        estimate = progress.estimate(START + at)
        assert estimate is not None
        return (estimate.high_s - estimate.low_s) / estimate.mid_s

    assert spread([1.0] * 20) < 0.01
    assert 0.05 < spread([0.5, 1.5] * 10) < spread([0.1, 5.0] * 10)


def test_what_is_left_of_a_running_task_is_judged_by_those_that_ran_longer() -> None:
    times = RunTimes()
    for seconds in (1.0, 1.0, 10.0):
        times.add(seconds)
    left = times.time_left()
    assert left.after(0.0) == pytest.approx(4.0)
    assert left.after(2.0) == pytest.approx(8.0)
    assert left.after(30.0) == pytest.approx(30.0)


def test_no_estimate_while_paused_or_before_anything_is_measured() -> None:
    progress = progress_of(created(), *queued("a", "b"), started("a", 0))
    assert progress.estimate(START + 1) is None
    progress.add(exited("a", 2))
    assert progress.estimate(START + 2) is not None
    progress.add(ev.RunPaused(at=to_iso(START + 2)))
    assert progress.estimate(START + 3) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_run_times_of_a_small_job_are_exact(values: list[float]) -> None:
    times = RunTimes()
    for value in values:
        times.add(value)
    assert times.mean_s == pytest.approx(sum(values) / len(values))
    assert times.max_s == times.percentile(100) == max(values)
    assert times.percentile(50) == sorted(values)[len(values) // 2]


def test_run_times_of_a_large_job_take_no_more_room() -> None:
    times = RunTimes()
    for number in range(20_000):
        times.add(number / 20_000)
    assert times.percentile(50) == pytest.approx(0.5, abs=0.1)
    assert times.percentile(90) == pytest.approx(0.9, abs=0.1)
    assert len(times._sample) == 512
