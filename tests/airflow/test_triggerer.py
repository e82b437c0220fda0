"""Deferred tasks in a real triggerer: what is seen meanwhile, its death, and a user who ends the task."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from air_executor import AirExecutorClient
from tests.airflow.configuration import ASK_S
from tests.airflow.site import AirflowSite, ApiError
from tests.support import wait_for

DAG = """
from datetime import datetime

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG
from air_executor.airflow import AirExecutorJobOperator, AirExecutorJobSensor

GATE = "until test -e '{{{{ dag_run.conf.get('go') }}}}'; do sleep 0.1; done"

with DAG("{dag_id}", schedule=None, start_date=datetime(2024, 1, 1)):
    AirExecutorJobOperator(
        task_id="job",
        tasks=[
            {{"id": "quick", "command": "true"}},
            {{"id": "odd", "command": "exit 3", "shell": True}},
            {{"id": "gate", "command": GATE, "shell": True}},
        ],
        allow_failures=1,
        deferrable=True,
        visibility="log,xcom,metrics",
    )
    AirExecutorJobSensor(
        task_id="sensor",
        job_name="airflow-{dag_id}~{{{{ run_id }}}}~job",
        deferrable=True,
        poke_interval=0.2,
        timeout=300,
    )
"""


def begun(airflow: AirflowSite, dag_id: str, go: Path) -> tuple[str, AirExecutorClient, str]:
    """Both tasks deferred: the run, a client of the base, and the name of the job."""
    airflow.add_dag(f"{dag_id}.py", DAG.format(dag_id=dag_id))
    run_id = airflow.trigger(dag_id, conf={"go": str(go)}, run_id="a:run+1")
    for task in ("job", "sensor"):
        state = airflow.wait_task(dag_id, run_id, task, "deferred", "failed", deadline_s=90)
        assert state == "deferred", airflow.task_log(dag_id, run_id, task)
    return run_id, AirExecutorClient(airflow.base), f"airflow-{dag_id}~{run_id}~job"


def xcom(airflow: AirflowSite, dag_id: str, run_id: str, key: str) -> Any:
    try:
        return airflow.xcom(dag_id, run_id, "job", key)
    except ApiError as error:
        if error.status != 404:
            raise
        return None


def test_a_deferred_job_is_seen_and_outlives_the_triggerer(airflow: AirflowSite, tmp_path: Path) -> None:
    dag_id, go = "triggerer_dies", tmp_path / "go"
    run_id, client, name = begun(airflow, dag_id, go)
    wait_for(
        lambda: (told := xcom(airflow, dag_id, run_id, "progress_history")) and told[-1]["failed"] == 1,
        "the XComs of a deferred task",
        every_s=ASK_S,
    )
    assert xcom(airflow, dag_id, run_id, "total_tasks") == 3
    assert xcom(airflow, dag_id, run_id, "failed_tasks") == 1
    log = wait_for(
        lambda: (text := airflow.task_log(dag_id, run_id, "job")) and "odd: exit code 3" in text and text,
        "a report in the log of a deferred task",
        every_s=ASK_S,
    )
    assert "Air-Executor Progress Report" in log
    airflow.kill("triggerer")
    airflow.start("triggerer")
    job_id = client.get_job(name)["id"]
    assert client.get_job(name)["state"] == "working"
    go.touch()
    assert airflow.wait_run(dag_id, run_id) == "success"
    assert client.get_job(name)["id"] == job_id, "it ran once"
    assert xcom(airflow, dag_id, run_id, "completed_tasks") == 2
    told = airflow.xcom(dag_id, run_id, "sensor")
    assert (told["job_id"], told["completed"], told["failed"]) == (job_id, 2, 1)


def test_the_job_of_a_task_that_a_user_ends_is_cancelled(airflow: AirflowSite, tmp_path: Path) -> None:
    dag_id = "user_ends"
    run_id, client, name = begun(airflow, dag_id, tmp_path / "never")
    # a trigger that has not begun is never told
    wait_for(lambda: xcom(airflow, dag_id, run_id, "total_tasks"), "the trigger to look at the job", every_s=ASK_S)
    where = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/job"
    airflow.api("PATCH", where, {"new_state": "failed", **({} if airflow.is_3 else {"dry_run": False})})
    state = client.wait(name, 30)
    assert state["reason"] == "cancelled"
    wait_for(lambda: airflow.tasks(dag_id, run_id)["sensor"] == "failed", "the end of the sensor", every_s=ASK_S)
    assert "somebody cancelled it" in airflow.task_log(dag_id, run_id, "sensor")
