"""DAGs of one task that hands a job over, for the tests inside Airflow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from air_executor.airflow import AirExecutorJobOperator

__all__ = ["a_dag", "said_by", "say"]


def a_dag(dag_id: str, **arguments: Any) -> Any:
    """A DAG with one task `job`; retries come at once."""
    try:
        from airflow.sdk import DAG
    except ImportError:
        from airflow import DAG

    with DAG(dag_id, schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        AirExecutorJobOperator(task_id=arguments.pop("task_id", "job"), retry_delay=timedelta(seconds=0), **arguments)
    return dag


def say(text: str, *, fail: bool = False, **more: Any) -> dict[str, Any]:
    """A task that says something, and may fail then."""
    command = f"echo {text}" + ("; exit 3" if fail else "")
    return {"id": text, "command": command, "shell": True, **more}


def said_by(capfd: pytest.CaptureFixture[str]) -> str:
    """What was logged since the last time, by whichever way this version of Airflow logs."""
    return "".join(capfd.readouterr())
