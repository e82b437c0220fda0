"""The DAGs of airflow_dags/ on a running Airflow, started through its API and its command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from air_executor import AirExecutorClient
from tests.airflow.our_dags import FILES, deploy
from tests.airflow.site import AirflowSite


@pytest.fixture
def site(airflow: AirflowSite) -> AirflowSite:
    deploy(airflow)
    return airflow


@pytest.mark.airflow(pre=True)
def test_all_are_known_and_none_has_an_error(site: AirflowSite) -> None:
    known = {dag["dag_id"]: dag["fileloc"] for dag in site.all_of("/dags", "dags")}
    assert {Path(known[dag_id]).name: dag_id for dag_id in FILES.values()} == FILES
    listed = site.airflow("dags", "list-import-errors", "--output", "json").stdout
    *_, last = listed.strip().splitlines()
    errors = [] if last == "No data found" else json.loads(last)
    assert [one for one in errors if "ours/" in one["filepath"]] == []


@pytest.mark.airflow(pre=True)
def test_the_demo_from_end_to_end(site: AirflowSite) -> None:
    run_id = site.trigger("air_executor_demo", run_id="manual__2025-10-02T07:30:00+00:00")
    site.airflow("dags", "trigger", "air_executor_demo", "--run-id", "by-hand", "--conf", '{"outcome": "failed"}')
    assert site.wait_run("air_executor_demo", run_id) == "success"
    name = f"airflow-{run_id}"
    client = AirExecutorClient(site.base)
    job = client.get_job(name)
    assert job["state"] == "completed"
    assert site.xcom("air_executor_demo", run_id, "create_air_executor_job", "job_id") == job["id"]
    summary = site.xcom("air_executor_demo", run_id, "wait_for_air_executor_completion")
    assert (summary["state"], summary["total_tasks"]) == ("completed", 3)
    log = site.task_log("air_executor_demo", run_id, "get_air_executor_results")
    assert "Air-Executor Job Results" in log
    for task in client.tasks(name):
        assert f"{task['id']}: completed" in log
        assert f"Command:   {task['command']} {' '.join(task['args'])}" in log
        assert f"Started:   {task['started_at']}" in log
        assert f"Completed: {task['completed_at']}" in log

    assert site.wait_run("air_executor_demo", "by-hand") == "failed"
    assert site.tasks("air_executor_demo", "by-hand") == {
        "create_air_executor_job": "success",
        "wait_for_air_executor_completion": "failed",
        "get_air_executor_results": "failed",
    }
    why = site.task_log("air_executor_demo", "by-hand", "wait_for_air_executor_completion")
    assert "complete" in why
    assert "exit code 1" in why


def test_control_goes_over_and_comes_back(site: AirflowSite) -> None:
    hybrid = site.trigger("hybrid_control_flow", {"packages": ["json"]})
    pipeline = site.trigger("air_executor_pipeline", {"parts": 2})
    assert site.wait_run("hybrid_control_flow", hybrid) == "success"
    found = site.xcom("hybrid_control_flow", hybrid, "post_process")
    tasks = AirExecutorClient(site.base).tasks(f"airflow-hybrid-{hybrid}")
    # the discovery, one package, and its modules
    assert found["modules"] == len(tasks) - 2 > 3
    assert f"{found['modules']} modules with {found['lines']} lines" in site.task_log(
        "hybrid_control_flow", hybrid, "notify"
    )
    assert site.wait_run("air_executor_pipeline", pipeline) == "success"
    assert site.xcom("air_executor_pipeline", pipeline, "get_job_result") == 303  # primes below 2,000


def test_a_function_callbacks_and_a_dag_that_follows(site: AirflowSite, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text(str(number))
    before = {run["dag_run_id"] for run in site.all_of("/dags/air_executor_demo/dagRuns", "dag_runs")}
    run_id = site.trigger("example_air_executor_dag", {"folder": str(tmp_path)})
    assert site.wait_run("example_air_executor_dag", run_id) == "success"
    summary = site.xcom("example_air_executor_dag", run_id, "checksums")
    assert (summary["total_tasks"], summary["failed"]) == (6, 0)
    log = site.task_log("example_air_executor_dag", run_id, "checksums")
    assert f"checksums: job {summary['job_name']} has ended with 0 failed tasks" in log
    runs = {run["dag_run_id"] for run in site.all_of("/dags/air_executor_demo/dagRuns", "dag_runs")}
    (followed,) = runs - before
    assert site.wait_run("air_executor_demo", followed) == "success"


@pytest.mark.timeout(600)
def test_over_a_thousand_tasks_in_one_of_airflow(site: AirflowSite, tmp_path: Path) -> None:
    """Deferred, with all that can be seen of a job."""
    run_id = site.trigger("data_partitions", {"folder": str(tmp_path)})
    assert site.wait_run("data_partitions", run_id, 500) == "success"
    summary = site.xcom("data_partitions", run_id, "count_calls")
    assert summary["total_tasks"] == summary["completed"] >= 1000
    assert set(site.tasks("data_partitions", run_id)) == {"count_calls", "check"}
    assert "the plain loop counts the same" in site.task_log("data_partitions", run_id, "check")
    history = site.xcom("data_partitions", run_id, "count_calls", "progress_history")
    assert history[-1]["completed"] == summary["total_tasks"]
    assert 2 <= len(history) <= 200
    assert all(one["timestamp"].endswith("+00:00") for one in history)
    assert "Air-Executor Progress Report" in site.task_log("data_partitions", run_id, "count_calls")
