"""Jobs handed over by DAGs of a running Airflow, and taken back: few DAG runs, looked at from all sides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from air_executor import AirExecutorClient
from air_executor.airflow.naming import job_name
from tests.airflow.site import AirflowSite, take_over
from tests.support import ManagerProcess, by_id, read, wait_for

DAGS = Path(__file__).with_name("dags")
LONG = "x" * 243


@pytest.fixture(scope="module")
def manager(airflow: AirflowSite) -> Iterator[ManagerProcess]:
    """On the folder that the site's configuration names."""
    process = take_over(airflow.base, "--slots", "120")
    yield process
    process.stop()


@pytest.fixture(scope="module")
def dags(airflow: AirflowSite, manager: ManagerProcess) -> AirflowSite:
    found = airflow.add_dag("hand_over.py", (DAGS / "hand_over.py").read_text())
    assert set(found) == {"hand_over", "d" + LONG, "mapped", "retried"}
    return airflow


@pytest.fixture
def job(airflow: AirflowSite) -> Callable[..., Path]:
    """The folder of a task's job."""

    def find(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Path:
        return airflow.base / "jobs" / job_name(dag_id, run_id, task_id, map_index)

    return find


@pytest.mark.airflow(pre=True)
def test_two_runs_at_once_each_with_its_jobs(dags: AirflowSite, folder: Path, job: Callable[..., Path]) -> None:
    by_api, by_cli = "manual:by+api", "by-command:line+2"
    folders = {run_id: folder / str(n) for n, run_id in enumerate((by_api, by_cli))}
    for path in folders.values():
        path.mkdir()
    dags.trigger("hand_over", {"folder": str(folders[by_api])}, by_api)
    conf = json.dumps({"folder": str(folders[by_cli])})
    dags.airflow("dags", "trigger", "hand_over", "--run-id", by_cli, "--conf", conf)
    for run_id, path in folders.items():
        # both are under way: the sensor waits for a job that waits for us
        for task in ("defers", "sees"):
            dags.wait_task("hand_over", run_id, task, "deferred", deadline_s=120)
        assert dags.run_state("hand_over", run_id) == "running"
        assert read(dags.base / "jobs" / f"named for {run_id}" / "state.json")["state"] == "working"
        (path / "go").touch()
    for run_id, path in folders.items():
        dags.succeed("hand_over", run_id)
        assert set(dags.tasks("hand_over", run_id).values()) == {"success"}
        look_at_waits(dags, run_id, job("hand_over", run_id, "waits"))
        look_at_defers(dags, run_id, job("hand_over", run_id, "defers"))
        assert (path / job("hand_over", run_id, "defers").name).read_text() == "+".join(map(str, range(1, 21))) + "\n"
        handed = dags.xcom("hand_over", run_id, "hands")
        assert handed["job_name"] == f"named for {run_id}"
        seen = dags.xcom("hand_over", run_id, "sees")
        assert (seen["job_id"], seen["state"], seen["total_tasks"]) == (handed["job_id"], "completed", 1)


def look_at_waits(site: AirflowSite, run_id: str, folder: Path) -> None:
    state = read(folder / "state.json")
    summary = site.xcom("hand_over", run_id, "waits")
    assert summary.pop("duration_s") >= 0
    assert summary == {
        "job_name": folder.name,
        "job_id": state["id"],
        "state": "completed",
        "total_tasks": 1,
        "completed": 1,
        "failed": 0,
        "skipped": 0,
        "cancelled": 0,
        "results": {"answer": 42},
    }
    keys = {"job_name": folder.name, "job_id": state["id"], "results": {"answer": 42}, "progress_percent": 100.0}
    counts = {"total_tasks": 1, "completed_tasks": 1, "failed_tasks": 0}
    assert {key: site.xcom("hand_over", run_id, "waits", key) for key in keys | counts} == keys | counts
    origin = state["options"]["origin"] if "options" in state else state["origin"]
    assert {key: origin["airflow"][key] for key in ("dag_id", "run_id", "task_id", "map_index", "try_number")} == {
        "dag_id": "hand_over",
        "run_id": run_id,
        "task_id": "waits",
        "map_index": -1,
        "try_number": 1,
    }


def look_at_defers(site: AirflowSite, run_id: str, folder: Path) -> None:
    tasks = by_id(folder)
    assert len(tasks) == 24  # found while it ran
    summary = site.xcom("hand_over", run_id, "defers")
    assert (summary["total_tasks"], summary["completed"], summary["results"]) == (24, 24, {"answer": 42})
    history = site.xcom("hand_over", run_id, "defers", "progress_history")
    assert history[-1]["completed"] == 24
    assert all(snapshot["timestamp"].endswith("+00:00") for snapshot in history)
    log = site.task_log("hand_over", run_id, "defers")
    assert folder.name in log
    assert "24" in log


def test_ids_as_long_as_airflow_lets_them_be(dags: AirflowSite, job: Callable[..., Path]) -> None:
    run_id = "r:" + "+" * 241
    dags.trigger("d" + LONG, run_id=run_id)
    dags.succeed("d" + LONG, run_id)
    folder = job("d" + LONG, run_id, "t" + LONG)
    assert len(folder.name.encode()) <= 255
    assert dags.xcom("d" + LONG, run_id, "t" + LONG, "job_name") == folder.name
    assert read(folder / "state.json")["state"] == "completed"


@pytest.mark.airflow(soak=(2, 10))
@pytest.mark.timeout(1000)
def test_a_hundred_mapped_jobs_at_once(dags: AirflowSite, folder: Path, job: Callable[..., Path]) -> None:
    run_id = dags.trigger("mapped", {"folder": str(folder)})
    try:
        begun = folder / "begun"
        wait_for(lambda: begun.exists() and len(begun.read_text().split()) == 100, "100 jobs at once", 500)
    finally:
        (folder / "go").touch()
    dags.succeed("mapped", run_id, deadline_s=400)
    assert sorted(map(int, begun.read_text().split())) == list(range(100))
    names = {job("mapped", run_id, "each", n).name for n in range(100)}
    client = AirExecutorClient(dags.base)
    assert {name: client.get_job(name)["state"] for name in names} == dict.fromkeys(names, "completed")


def test_a_retry_gives_only_failed_tasks_another_go(dags: AirflowSite, folder: Path) -> None:
    run_id = dags.trigger("retried", {"folder": str(folder)})
    dags.succeed("retried", run_id)
    for one in dags.instances("retried", run_id):
        name = f"retried-{one['task_id']}"
        assert one["try_number"] == 2
        assert sorted((folder / name).read_text().split()) == ["after", "once", "twice", "twice"]
        first = dags.task_log("retried", run_id, one["task_id"], 1)
        assert "not yet" in first, "the failure names the last line of the task that failed"
        assert f"job '{name}' failed" in first
        assert AirExecutorClient(dags.base).get_job(name)["state"] == "completed"


def test_import_errors(dags: AirflowSite) -> None:
    assert dags.import_errors() == []
    listed: Any = dags.airflow("dags", "list-import-errors", "--output", "json").stdout
    assert "hand_over" not in listed
