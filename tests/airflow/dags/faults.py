"""DAGs of test_faults.py. Jobs wait until the test makes the file `go` in the folder that the run's conf names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG

from air_executor.airflow import AirExecutorJobOperator

FOLDER = "{{ dag_run.conf['folder'] }}"
COMMON: dict[str, Any] = {"schedule": None, "start_date": datetime(2024, 1, 1, tzinfo=UTC), "catchup": False}
RETRIES: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=1)}
UNTIL_GO = 'echo begun >>"$0/$1"; until [ -e "$0/go" ]; do sleep 0.1; done; echo ended >>"$0/$1"'


def job(mark: str) -> list[dict[str, Any]]:
    """A job that writes when it begins and ends, once each, into the file `mark`."""
    return [{"id": "work", "command": "sh", "args": ["-c", UNTIL_GO, FOLDER, mark]}]


def both(mark: str, **more: Any) -> None:
    """A task that waits and one that defers; `more` may name the mark."""
    for way in ("waits", "defers"):
        AirExecutorJobOperator(
            task_id=f"{mark}_{way}",
            job_name=f"{{{{ run_id }}}}-{mark}_{way}",
            tasks=job(f"{mark}_{way}"),
            deferrable=way == "defers",
            **more,
        )


with DAG("killed", default_args=RETRIES, **COMMON):
    both("killed")

with DAG("server", **COMMON):
    both("server", air_executor_conn_id="far")

with DAG("ended", default_args=RETRIES, **COMMON):
    both("cancelled")
    both("removed")

with DAG("refused", **COMMON):
    more = {"tasks": [{"command": "true"}]}
    AirExecutorJobOperator(task_id="no_manager", manager="required", base_path=f"{FOLDER}/empty", **more)
    AirExecutorJobOperator(task_id="no_folder", base_path="/proc/nobody/shares/this", **more)
    AirExecutorJobOperator(task_id="wrong_token", air_executor_conn_id="stranger", **more)
    AirExecutorJobOperator(task_id="no_connection", air_executor_conn_id="nowhere", **more)
