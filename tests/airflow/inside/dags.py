"""DAGs of one task that hands a job over, for the tests inside Airflow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from air_executor.airflow import AirExecutorJobOperator

__all__ = ["Said", "a_dag", "listening", "say"]


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


class Said(logging.Handler):
    """What Airflow's loggers said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if record.exc_info:
            self.lines.append(str(record.exc_info[1]))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@contextmanager
def listening() -> Iterator[Said]:
    said = Said()
    root = logging.getLogger()
    root.addHandler(said)
    try:
        yield said
    finally:
        root.removeHandler(said)
