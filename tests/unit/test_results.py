"""The results of a run, read from its journal."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from air_executor import events as ev
from air_executor.model import JobOptions
from air_executor.store.journal import Journal
from air_executor.store.results import completed_results, results_of
from tests.unit.world import spec

AT = "2025-10-02T07:30:00.000000Z"


def ended(task: str, result: object, *, reason: str | None = None, attempt: int = 1) -> ev.AttemptExited:
    return ev.AttemptExited(at=AT, task=task, attempt=attempt, result=result, reason=reason)  # type: ignore[arg-type]


def queued(task: str, group: str | None = None) -> ev.TaskQueued:
    return ev.TaskQueued(at=AT, task=spec(task, group=group))


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(*events: ev.Event) -> Path:
        path = tmp_path / "journal.jsonl"
        journal = Journal(path)
        begun = ev.RunCreated(at=AT, version=1, id="r", name="j", created_at=AT, options=JobOptions(), cwd="/")
        journal.append([begun, *events])
        journal.close()
        return path

    return write


def test_results_stand_in_order_of_queueing(written: Callable[..., Path]) -> None:
    path = written(
        queued("a"), queued("b", "g"), ended("b", {"n": 2}), queued("c", "g"), ended("c", [3]), ended("a", "one")
    )
    assert list(completed_results(path).items()) == [("a", "one"), ("b", {"n": 2}), ("c", [3])]
    assert completed_results(path, "g") == {"b": {"n": 2}, "c": [3]}
    assert completed_results(path, "other") == {}


def test_only_the_last_attempt_of_a_completed_task_counts(written: Callable[..., Path]) -> None:
    path = written(
        *(queued(task) for task in "abcde"),
        ended("a", 1, reason="exit"),
        ended("b", 1, reason="exit"),
        ended("b", 2, attempt=2),
        ended("c", 1),
        ev.TaskRetried(at=AT, task="c"),
        ended("d", 1),
        ev.TaskRetried(at=AT, task="d"),
        ended("d", None, attempt=2),
        ended("e", False),
    )
    assert completed_results(path) == {"b": 2, "e": False}


def test_tasks_that_were_taken_over_have_theirs(written: Callable[..., Path]) -> None:
    path = written(
        ev.TaskImported(at=AT, task=spec("a"), status="completed", created_at=AT, result={"x": 1}),
        ev.TaskImported(at=AT, task=spec("b"), status="failed", created_at=AT, result=2),
        ev.TaskImported(at=AT, task=spec("c"), status="completed", created_at=AT),
    )
    assert completed_results(path) == {"a": {"x": 1}}


def test_no_journal_no_results(tmp_path: Path) -> None:
    assert completed_results(tmp_path / "journal.jsonl") == {}


def test_large_results_are_not_all_held_at_once(written: Callable[..., Path]) -> None:
    large = "x" * 500_000
    path = written(*(queued(f"t{n}") for n in range(60)), *(ended(f"t{n}", [n, large]) for n in range(60)))
    tracemalloc.start()
    try:
        seen = [value[0] for _, value in results_of(path)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == list(range(60))
    assert most < 12_000_000, f"{most:,} bytes for 30 MB of results"
