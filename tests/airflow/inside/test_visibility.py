"""What is to be seen of a job from Airflow: reports in the log, XComs, metrics, the history."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from air_executor.airflow.visibility import MOST_SNAPSHOTS, Reporter, Visibility, snapshots
from air_executor.errors import InvalidInput
from tests.airflow.inside.jobs import Jobs, Lines, jobs_in, server_of
from tests.support import wait_for


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with jobs_in(tmp_path) as jobs:
        yield jobs


def test_words_are_read_and_an_unknown_one_is_named_with_those_there_are() -> None:
    assert Visibility.parse("log, xcom") == Visibility(log=True, xcom=True)
    assert Visibility.parse("") == Visibility.parse(None) == Visibility()
    both = Visibility.parse("metrics-by-name,history")
    assert both.metrics
    assert both.by_name
    for text in ("log,xcom,metrics,history", "metrics-by-name", ""):
        assert str(Visibility.parse(text)) == text
    with pytest.raises(InvalidInput, match=r"'logs' is none of log, xcom, metrics, metrics-by-name, history"):
        Visibility.parse("logs,xcom")
    with pytest.raises(InvalidInput, match="words with commas between"):
        Visibility.parse(["log"])  # type: ignore[arg-type]


def test_a_job_is_reported_when_it_gets_on_and_at_its_first_failure(jobs: Jobs, tmp_path: Path) -> None:
    jobs.manage()
    go = tmp_path / "go"
    log, xcom = Lines(), dict[str, Any]()
    job_id = jobs.until("seen", go, {"id": "bad", "command": "echo why >&2; exit 3", "shell": True})
    reporter = Reporter("seen", "log,xcom", log, xcom.__setitem__, client=jobs.client, job_id=job_id)

    def failed() -> bool:
        reporter.look(jobs.client.get_job("seen"))
        return xcom.get("failed_tasks") == 1

    wait_for(failed, "a report of the failure")
    assert "✘ bad: exit code 3" in log.text
    assert "Air-Executor Progress Report" in log.text
    assert "Total:           2" in log.text
    assert all("\n" not in line for line in log.said)
    assert xcom["total_tasks"] == 2
    before = len(log.said)
    reporter.look(jobs.client.get_job("seen"))
    assert len(log.said) == before, "nothing has happened since"
    go.touch()
    state = jobs.client.wait("seen", 30, job_id=job_id)
    reporter.end(state)
    assert "State:    failed" in log.text
    assert xcom["completed_tasks"] == 1
    assert xcom["progress_percent"] == 50.0
    history = xcom["progress_history"]
    assert history[-1] | {"timestamp": ""} == {
        "timestamp": "", "total": 2, "completed": 1, "running": 0, "failed": 1, "pending": 0
    }  # fmt: skip
    assert all(at["timestamp"].endswith("+00:00") for at in history)
    times = [datetime.fromisoformat(at["timestamp"]) for at in history]
    assert times == sorted(times)
    assert log.warned == []


def test_without_a_client_the_counts_are_shown() -> None:
    log = Lines()
    reporter = Reporter("counts", "log", log)
    reporter.look({"state": "working", "progress": {"total": 1_237, "completed": 800, "running": 4, "failed": 12}})
    assert log.said == ["job counts: working, 812 of 1,237 tasks done, 4 running, 12 failed (64.67% completed)"]
    for odd in ({}, {"progress": None}, {"progress": {"total": "many"}}, {"progress": {"total": -1}}):
        reporter.look(odd)


def test_a_report_comes_each_five_percent_and_each_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    log = Lines()
    reporter = Reporter("steps", "log", log)

    def look(completed: int, after_s: float) -> int:
        now[0] += after_s
        before = len(log.said)
        reporter.look({"state": "working", "progress": {"total": 1_000, "completed": completed}})
        return len(log.said) - before

    assert look(0, 0.0) == 1
    assert look(49, 5.0) == 0
    assert look(50, 0.5) == 1
    assert look(500, 0.5) == 0, "not twice a second, however fast the job is"
    assert look(500, 0.5) == 1
    assert look(501, 29.0) == 0
    assert look(501, 1.0) == 1
    assert look(501, 30.0) == 1


def test_the_history_is_thinned_evenly_with_first_and_last_kept() -> None:
    count = 5_000
    columns = {name: [float(n) for n in range(count)] for name in ("t", "total", "completed")}
    columns |= {"running": [0.0] * count, "failed": [0.0] * count}
    found = snapshots(columns)
    assert len(found) == MOST_SNAPSHOTS
    totals = [at["total"] for at in found]
    assert (totals[0], totals[-1]) == (0, count - 1)
    gaps = {b - a for a, b in pairwise(totals)}
    assert gaps <= {25, 26}
    assert snapshots({name: [] for name in columns}) == []


def test_what_was_polled_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_700_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    reporter = Reporter("polled", "", Lines())
    for n in range(3_000):
        now[0] += 1.0
        reporter.note({"progress": {"total": 3_000, "completed": n}})
    found = reporter.polled()
    assert len(found) <= MOST_SNAPSHOTS
    assert found[0]["completed"] == 0
    assert found[-1]["completed"] == 2_999


class Recorder:
    """What Airflow's own metrics hand on to a backend."""

    def __init__(self) -> None:
        self.gauges: list[tuple[str, float, dict[str, str] | None]] = []
        self.counts: list[tuple[str, dict[str, str] | None]] = []

    def gauge(self, stat: str, value: float, *_: Any, tags: dict[str, str] | None = None, **__: Any) -> None:
        self.gauges.append((stat, value, tags))

    def incr(self, stat: str, *_: Any, tags: dict[str, str] | None = None, **__: Any) -> None:
        self.counts.append((stat, tags))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    try:
        from airflow.sdk.observability import stats
    except ImportError:
        from airflow.stats import Stats

        before = Stats.instance
        Stats.instance = recorder
        yield recorder
        Stats.instance = before
    else:
        stats.initialize(factory=lambda: recorder, export_legacy_names=True)
        yield recorder
        stats.initialize(factory=None, export_legacy_names=True)


def test_metrics_have_the_names_that_dashboards_know(recorder: Recorder) -> None:
    reporter = Reporter("air: flow|1", "metrics-by-name", Lines())
    state = {"progress": {"total": 8, "completed": 2, "running": 3, "failed": 1}}
    reporter.look(state)
    reporter.look(state)
    assert recorder.counts == [("air_executor.polls", {"job": "air__flow_1"})] * 2
    tagged = {(name, value) for name, value, tags in recorder.gauges if tags}
    assert tagged == {
        ("air_executor.total_tasks", 8),
        ("air_executor.completed_tasks", 2),
        ("air_executor.running_tasks", 3),
        ("air_executor.failed_tasks", 1),
        ("air_executor.progress_percent", 25.0),
    }
    named = {name: value for name, value, tags in recorder.gauges if not tags}
    assert named["air_executor.air__flow_1.total_tasks"] == 8
    assert named["air_executor.air__flow_1.progress"] == 25.0
    assert len(recorder.gauges) == 10, "counts that are as before are not sent again at once"


def test_the_history_is_kept_in_the_base_where_no_observer_does(jobs: Jobs) -> None:
    jobs.manage()
    job_id = jobs.client.create_job("kept", [{"id": f"t{n}", "command": "true"} for n in range(7)], cwd=jobs.base)
    state = jobs.client.wait("kept", 30, job_id=job_id)
    log, xcom = Lines(), dict[str, Any]()
    Reporter("kept", "history,xcom", log, xcom.__setitem__, client=jobs.client, job_id=job_id).end(state)
    with contextlib.closing(sqlite3.connect(jobs.base / "history.sqlite")) as database:
        rows = database.execute("SELECT total_tasks, completed_tasks FROM air_executor_progress").fetchall()
        runs = database.execute("SELECT id, state, attempts FROM air_executor_runs").fetchall()
    assert rows[-1] == (7, 7)
    assert runs == [(job_id, "completed", 7)]
    assert f"history: {jobs.base / 'history.sqlite'}" in log.said
    if "chart" in xcom:
        assert Path(xcom["chart"]).read_bytes().startswith(b"\x89PNG")
    else:
        assert log.warned == ["job kept: no chart: charts need matplotlib: pip install 'air-executor[plot]'"]


def test_a_server_tells_the_same_as_the_folder(jobs: Jobs, tmp_path: Path) -> None:
    from air_executor import AirExecutorClient

    jobs.manage()
    go = tmp_path / "go"
    go.touch()
    job_id = jobs.until("both", go)
    state = jobs.client.wait("both", 30, job_id=job_id)
    with server_of(jobs.base) as server:
        remote = AirExecutorClient(url=server.url)
        texts, pushed = [], []
        for client in (jobs.client, remote):
            log, xcom = Lines(), dict[str, Any]()
            Reporter("both", "log,xcom", log, xcom.__setitem__, client=client, job_id=job_id).end(state)
            assert log.warned == []
            texts.append(log.said)
            pushed.append(xcom)
    assert texts[0] == texts[1]
    assert pushed[0]["progress_history"][0] == pushed[1]["progress_history"][0]
    assert pushed[0]["total_tasks"] == pushed[1]["total_tasks"] == 1


def test_an_earlier_run_is_told_from_its_own_journal(jobs: Jobs) -> None:
    jobs.manage()
    first = jobs.client.create_job("again", [{"id": "a", "command": "true"}], cwd=jobs.base)
    jobs.client.wait("again", 30, job_id=first)
    second = jobs.client.create_job("again", [{"id": n, "command": "true"} for n in "bcd"], cwd=jobs.base)
    jobs.client.wait("again", 30, job_id=second)
    log, xcom = Lines(), dict[str, Any]()
    state = jobs.client.wait("again", 30, job_id=first)
    Reporter("again", "log,xcom", log, xcom.__setitem__, client=jobs.client, job_id=first).end(state)
    assert xcom["progress_history"][-1]["total"] == 1
    assert "✔ a" in log.text
    assert "✔ b" not in log.text


def test_what_cannot_be_shown_is_said_once_and_is_no_error(jobs: Jobs) -> None:
    def refuse(key: str, value: Any) -> None:
        raise RuntimeError(f"no room for {key}")

    log = Lines()
    reporter = Reporter("nobody", "log,xcom", log, refuse, client=jobs.client)
    state = {"state": "working", "progress": {"total": 2, "completed": 1}}
    reporter.report(state)
    reporter.report(state)
    assert log.warned == ["job nobody: XCom cannot be set: no room for total_tasks"]
    assert log.said[0].startswith("job nobody: working, 1 of 2 tasks done")
