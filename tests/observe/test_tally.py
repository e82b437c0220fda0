"""The numbers of observers agree with what the lifecycle says, whatever happens to a job in whatever order."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings

from air_executor import events as ev
from air_executor.lifecycle import Run
from air_executor.observe.history.rows import RunRows
from air_executor.observe.tally import Tally
from tests.unit.test_lifecycle_properties import Play, numbers, programs


def check(tally: Tally, run: Run) -> None:
    tasks = run.tasks.values()
    states = Counter(task.status for task in tasks)
    reasons = Counter(task.reason for task in tasks)
    assert (tally.total, tally.pending, tally.running) == (len(run.tasks), states["pending"], states["running"])
    assert (tally.completed, tally.failed) == (states["completed"], states["failed"])
    assert (tally.skipped, tally.cancelled) == (reasons["skipped"], reasons["cancelled"])
    assert (tally.state, tally.reason, tally.error) == (run.state, run.reason, run.error)
    assert tally.paused == run.paused
    groups: dict[str | None, list[int]] = {}
    for task in tasks:
        counts = groups.setdefault(task.spec.group, [0, 0, 0])
        counts[0] += 1
        counts[1] += task.status == "completed"
        counts[2] += task.status == "failed"
    assert tally.groups == groups


@settings(max_examples=150)
@given(program=programs, seed=numbers)
def test_counts_are_those_of_the_run(program: dict[str, Any], seed: int) -> None:
    play = Play(program["capacity"], program["jobs"])
    for step in program["steps"]:
        play.step(*step)
    play.finish(seed)
    for run, journal in zip(play.world.runs, play.world.journals, strict=True):
        tally, attempts = Tally(), []
        for event in journal:
            attempt = tally.add(event)
            if attempt is not None:
                attempts.append(attempt)
        check(tally, run)
        assert len(attempts) == sum(isinstance(event, ev.AttemptExited) for event in journal)
        assert all(attempt.queue_s >= 0 and attempt.took_s >= 0 for attempt in attempts)


@settings(max_examples=100)
@given(program=programs, seed=numbers, cut=numbers)
def test_rows_are_the_same_from_wherever_reading_went_on(program: dict[str, Any], seed: int, cut: int) -> None:
    play = Play(program["capacity"], program["jobs"])
    for step in program["steps"]:
        play.step(*step)
    play.finish(seed)
    for journal in play.world.journals:
        created = journal[0]
        assert isinstance(created, ev.RunCreated)
        whole = RunRows("job", created, "base")
        whole.add(journal, len(journal), known=False)
        at = 1 + cut % len(journal)
        first = RunRows("job", created, "base")
        first.add(journal[:at], at, known=False)
        again = RunRows("job", created, "base")  # another observer, that finds what the first has written
        again.add(journal[:at], at, known=True)
        again.sampler.resume(first.sampler.last)
        again.changed.clear()
        again.add(journal[at:], len(journal), known=False)
        assert first.attempts + again.attempts == whole.attempts
        assert first.progress + again.progress == whole.progress
        assert again.run_row() == whole.run_row()
