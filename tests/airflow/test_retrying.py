"""Tasks of a running Airflow that are killed, cleared or late: the work of their jobs is done once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from air_executor import AirExecutorClient
from tests.airflow.configuration import ASK_S
from tests.airflow.site import AirflowSite
from tests.support import ManagerProcess, wait_for

LONG_S = 240.0
"""Airflow on a busy machine."""
DAG = """
import os
from datetime import datetime, timedelta
from pathlib import Path
try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG
from air_executor.airflow import AirExecutorJobOperator

WORK = Path({work!r})
OURS = {{"base_path": str(WORK / "base"), "retry_delay": timedelta(0)}}

def waiting(ti):
    # one line a start, and no end before there is a file `go`
    (WORK / f"{{ti.task_id}}.pid").write_text(str(os.getpid()))
    path = WORK / ti.task_id
    return [
        {{"id": "once", "command": "sh", "args": ["-c", f"echo once >> {{path}}"]}},
        {{"id": "wait", "dependencies": ["once"], "command": "sh",
          "args": ["-c", f"echo x >> {{path}}; until test -e {{path}}.go; do sleep 0.02; done"]}},
    ]

with DAG("retrying", schedule=None, start_date=datetime(2024, 1, 1), catchup=False, default_args=OURS):
    AirExecutorJobOperator(task_id="killed", tasks=waiting, retries=2)
    AirExecutorJobOperator(task_id="cleared", tasks=waiting)
    AirExecutorJobOperator(task_id="cleared_deferred", tasks=waiting, deferrable=True)
    AirExecutorJobOperator(task_id="late", tasks=waiting, retries=1, execution_timeout=timedelta(seconds=30))
"""


@pytest.fixture
def work(airflow: AirflowSite, tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "base").mkdir(mode=0o700)
    manager = ManagerProcess(tmp_path / "base", "--slots", "8").start()
    airflow.add_dag("retrying.py", DAG.format(work=str(tmp_path)))
    yield tmp_path
    manager.stop()


def starts(work: Path, task: str) -> list[str]:
    path = work / task
    return path.read_text().split() if path.exists() else []


def clear(airflow: AirflowSite, run_id: str, *tasks: str) -> None:
    body = {"dry_run": False, "task_ids": list(tasks), "dag_run_id": run_id, "only_failed": False}
    airflow.api("POST", "/dags/retrying/clearTaskInstances", body)


@pytest.mark.timeout(600)
def test_killed_cleared_and_late_tasks_do_no_work_twice(airflow: AirflowSite, work: Path) -> None:
    tasks = ("killed", "cleared", "cleared_deferred", "late")
    run_id = airflow.trigger("retrying", run_id="manual__2025-10-02T07:30:00+00:00")
    client = AirExecutorClient(work / "base")
    for task in tasks:
        wait_for(lambda task=task: starts(work, task)[:2] == ["once", "x"], f"the job of {task}", LONG_S)  # type: ignore[misc]
    before = {task: client.get_job(f"airflow-retrying~{run_id}~{task}") for task in tasks}
    airflow.wait_task("retrying", run_id, "cleared_deferred", "deferred", deadline_s=LONG_S)

    os.kill(int((work / "killed.pid").read_text()), signal.SIGKILL)
    # 2.10 may take a task that is cleared while it runs for a zombie, and leave its process alone
    clear(airflow, run_id, *(("cleared",) if airflow.is_3 else ()), "cleared_deferred")

    cleared = ["once", "x"] if airflow.is_3 else []
    for task, more in (("late", ["x"]), ("cleared", cleared), ("cleared_deferred", ["once", "x"])):
        wanted = ["once", "x", *more]
        wait_for(lambda task=task, wanted=wanted: starts(work, task) == wanted, f"more of {task}", LONG_S)  # type: ignore[misc]
        (work / f"{task}.go").touch()
    wait_for(
        lambda: "under way since an earlier try" in airflow.task_log("retrying", run_id, "killed", try_number=2),
        "another try of the killed task",
        LONG_S,
        every_s=ASK_S,
    )
    (work / "killed.go").touch()
    assert airflow.wait_run("retrying", run_id, deadline_s=LONG_S) == "success"
    assert starts(work, "killed") == ["once", "x"], "nobody told the job"
    assert starts(work, "late") == ["once", "x", "x"], "it goes on with what was left"
    assert starts(work, "cleared") == ["once", "x", *cleared]
    assert starts(work, "cleared_deferred") == ["once", "x"] * 2
    for task in tasks:
        told = airflow.xcom("retrying", run_id, task)
        name = f"airflow-retrying~{run_id}~{task}"
        assert (told["state"], told["completed"], told["job_name"]) == ("completed", 2, name)
        anew = task == "cleared_deferred" or (task == "cleared" and airflow.is_3)
        assert (told["job_id"] == before[task]["id"]) is not anew
    old = client.wait(name.replace("late", "cleared_deferred"), 0, job_id=before["cleared_deferred"]["id"])
    assert (old["state"], old["reason"]) == ("failed", "cancelled")
