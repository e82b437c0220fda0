"""The sensor: here, in the triggerer, rescheduled; of jobs that end, fail, vanish or take too long."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from air_executor.airflow import AirExecutorJobSensor, _compat
from tests.airflow.inside.conftest import Ran
from tests.airflow.inside.dags import said_by
from tests.airflow.inside.jobs import Jobs, jobs_in
from tests.support import wait_for

try:
    from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferred
except ImportError:
    from airflow.exceptions import AirflowRescheduleException, TaskDeferred

RunDag = Callable[..., Ran]
GOOD = [{"id": "t", "command": """printf '{"rows": 3}' > "$AIR_EXECUTOR_RESULT" """, "shell": True}]
BAD = [{"id": "fine", "command": "true"}, {"id": "odd", "command": "echo no such table >&2; exit 3", "shell": True}]
BOTH = pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferrable"])


@pytest.fixture
def jobs(tmp_path: Path, base: Path) -> Iterator[Jobs]:
    with jobs_in(tmp_path) as jobs:
        yield jobs


def dag_of(dag_id: str, **arguments: Any) -> Any:
    try:
        from airflow.sdk import DAG
    except ImportError:
        from airflow import DAG

    arguments = {"job_name": "job", "poke_interval": 0.1, "timeout": 60, **arguments}
    with DAG(dag_id, schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        AirExecutorJobSensor(task_id="wait", **arguments)
    return dag


def sensor(**arguments: Any) -> AirExecutorJobSensor:
    return dag_of("alone", **arguments).get_task("wait")  # type: ignore[no-any-return]


class Task:
    """What a sensor that is run by hand needs of a task instance."""

    def __init__(self) -> None:
        self.xcom: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcom[key] = value

    def get_first_reschedule_date(self, _: Any) -> None:
        return None


@BOTH
def test_it_waits_for_the_end_and_returns_the_summary(jobs: Jobs, run_dag: RunDag, deferrable: bool) -> None:
    jobs.manage()
    later = threading.Timer(2.0, lambda: jobs.client.create_job("job", GOOD, cwd=jobs.base))
    later.start()
    try:
        ran = run_dag(dag_of(f"waits_{deferrable}", deferrable=deferrable, visibility="log,xcom"))
    finally:
        later.join()
    assert ran.tasks == {"wait": "success"}
    told = ran.xcom("wait")
    assert (told["state"], told["total_tasks"], told["results"]) == ("completed", 1, {"t": {"rows": 3}})
    assert ran.xcom("wait", "completed_tasks") == 1
    history = ran.xcom("wait", "progress_history")
    assert history[-1]["completed"] == 1
    assert history[-1]["timestamp"].endswith("+00:00")


@BOTH
def test_a_failed_job_fails_it_with_the_failed_tasks(
    jobs: Jobs, run_dag: RunDag, capfd: pytest.CaptureFixture[str], deferrable: bool
) -> None:
    jobs.manage()
    jobs.client.create_job("job", BAD, cwd=jobs.base)
    ran = run_dag(dag_of(f"fails_{deferrable}", deferrable=deferrable))
    assert ran.tasks == {"wait": "failed"}
    said = said_by(capfd)
    assert "odd: exit code 3: no such table" in said
    assert "Air-Executor Progress Report" in said


@BOTH
@pytest.mark.parametrize("how", ["soft_fail", "never_fail"])
def test_where_failing_is_to_be_soft_it_is_skipped(jobs: Jobs, run_dag: RunDag, deferrable: bool, how: str) -> None:
    jobs.manage()
    jobs.client.create_job("job", BAD, cwd=jobs.base)
    ran = run_dag(dag_of(f"soft_{how}_{deferrable}", deferrable=deferrable, **{how: True}))
    assert ran.tasks == {"wait": "skipped"}


def test_an_end_in_the_triggerer_is_taken_back(jobs: Jobs, run_dag: RunDag, tmp_path: Path) -> None:
    jobs.manage()
    go = tmp_path / "go"
    job_id = jobs.until("job", go)
    later = threading.Timer(3.0, go.touch)
    later.start()
    try:
        ran = run_dag(dag_of("takes_back", deferrable=True, job_id=job_id))
    finally:
        later.join()
    assert ran.tasks == {"wait": "success"}
    assert ran.xcom("wait")["job_id"] == job_id


@pytest.mark.parametrize("soft", [False, True])
def test_the_time_out_says_how_far_the_job_is_and_who_works_on_it(jobs: Jobs, tmp_path: Path, soft: bool) -> None:
    manager = jobs.manage()
    jobs.until("job", tmp_path / "never", {"command": "true"}, {"command": "true"})
    wait_for(lambda: jobs.client.get_job("job")["progress"]["completed"] == 2, "two of three tasks")
    expected = _compat.AirflowSkipException if soft else _compat.AirflowSensorTimeout
    text = "job 'job' has not ended after 0 s: 2 of 3 tasks done, 1 running, 0 failed; "
    waiting = sensor(timeout=0.3, soft_fail=soft)
    with pytest.raises(expected) as caught:
        waiting.execute({"ti": Task()})
    assert str(caught.value) == text + "a manager works on it"
    manager.kill()
    with pytest.raises(expected) as caught:
        sensor(timeout=0.3, soft_fail=soft).resume_execution("__fail__", {"error": "Trigger timeout"}, {"ti": Task()})
    assert str(caught.value) == f"{text}no manager is running: `air-executor start --base {jobs.base}`"
    jobs.manage()
    with pytest.raises(expected, match="there is no such job"):
        sensor(job_name="nobody", timeout=0.3, soft_fail=soft).execute({"ti": Task()})


def test_another_fault_of_the_trigger_is_no_time_out(jobs: Jobs) -> None:
    with pytest.raises(Exception, match="Trigger failure") as caught:
        sensor().resume_execution("__fail__", {"error": "Trigger failure"}, {"ti": Task()})
    assert not isinstance(caught.value, _compat.AirflowSensorTimeout)


def test_a_job_that_was_seen_and_is_gone_fails(jobs: Jobs, tmp_path: Path) -> None:
    jobs.until("job", tmp_path / "never")
    waiting = sensor()
    assert waiting.poke({"ti": Task()}) is False
    shutil.rmtree(jobs.folder("job"))
    with pytest.raises(
        _compat.AirflowException, match="job 'job' is gone: its folder, or this run of it, was removed"
    ):
        waiting.execute({"ti": Task()})
    event = {"status": "missing", "job_name": "job", "job_id": None, "state": None, "message": "job 'job' is gone"}
    with pytest.raises(_compat.AirflowException, match="job 'job' is gone"):
        sensor(deferrable=True).execute_complete({"ti": Task()}, event)


def test_between_event_and_task_much_may_happen(jobs: Jobs, tmp_path: Path) -> None:
    jobs.manage()
    job_id = jobs.client.create_job("job", [{"command": "false"}], cwd=jobs.base)
    jobs.client.wait("job", 30)
    event = {"status": "ended", "job_name": "job", "job_id": job_id, "state": "failed", "message": "", "progress_history": []}  # fmt: skip  # noqa: E501
    jobs.managers.pop().stop()
    jobs.client.retry("job")
    with pytest.raises(TaskDeferred):  # it was given another go, so it is waited for again
        sensor(deferrable=True, job_id=job_id).execute_complete({"ti": Task()}, event)
    shutil.rmtree(jobs.folder("job"))
    with pytest.raises(_compat.AirflowException, match=r"has ended \(failed\), but is gone"):
        sensor(deferrable=True, job_id=job_id).execute_complete({"ti": Task()}, event)


def test_rescheduled_it_looks_anew_each_time(jobs: Jobs, tmp_path: Path) -> None:
    if not _compat.AIRFLOW_3:  # 2.10 asks the database for the date itself
        context: dict[str, Any] = {"ti": Task()}
        look = AirExecutorJobSensor.poke
    else:
        context, look = {"ti": Task()}, AirExecutorJobSensor.execute
    jobs.manage()
    go = tmp_path / "go"
    job_id = jobs.until("job", go)
    again = sensor(mode="reschedule", job_id=job_id)
    if _compat.AIRFLOW_3:
        with pytest.raises(AirflowRescheduleException):
            look(again, context)
    else:
        assert look(again, context) is False
    go.touch()
    jobs.client.wait("job", 30, job_id=job_id)
    told = look(sensor(mode="reschedule", job_id=job_id), context)
    assert (told if _compat.AIRFLOW_3 else told.xcom_value)["job_id"] == job_id
    shutil.rmtree(jobs.folder("job"))
    began = time.monotonic()
    with pytest.raises(_compat.AirflowException, match="it was removed, or that is not the folder"):
        look(sensor(mode="reschedule", job_id=job_id), context)
    assert time.monotonic() - began < 5.0
    assert sensor(mode="reschedule").poke(context) is False, "without a run it may still come"


def test_an_unknown_word_is_told_when_the_dag_is_read() -> None:
    with pytest.raises(_compat.AirflowException, match="visibility: 'logs' is none of log, xcom"):
        sensor(visibility="logs")


def test_what_airflow_stores_of_it_can_be_read_again() -> None:
    try:
        from airflow.serialization.serialized_objects import DagSerialization as Serialized
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG as Serialized

    dag = dag_of("stored", job_id="{{ ti.xcom_pull('submit', key='job_id') }}", deferrable=True)
    data = Serialized.to_dict(dag)
    assert "job_id" in str(data)
    assert {"job_name", "job_id"} <= set(dag.get_task("wait").template_fields)
