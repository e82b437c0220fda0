"""The fixtures of these tests, and what Airflow knows of the provider without running."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from air_executor import AirExecutorClient
from tests.support import ManagerProcess


def a_dag(dag_id: str) -> Any:
    try:
        from airflow.sdk import dag, task
    except ImportError:
        from airflow.decorators import dag, task

    @dag(dag_id, schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC))
    def defined() -> None:
        @task
        def half(number: int) -> float:
            return number / 2

        half.expand(number=[4, 6])

    return defined()


def test_a_dag_runs_in_this_process(run_dag: Callable[..., Any]) -> None:
    for _ in range(2):
        ran = run_dag(a_dag("inside_plain"))
        assert ran.state == "success"
        assert ran.tasks == {"half[0]": "success", "half[1]": "success"}
        assert ran.xcom("half", map_index=1) == 3.0
        assert ran.xcom("half", key="none") is None


def test_a_manager_runs_jobs(manager: ManagerProcess, base: Path) -> None:
    client = AirExecutorClient(base)
    client.create_job("inside", [{"command": "true"}])
    assert client.wait("inside", 30)["state"] == "completed"


def test_the_config_section_is_known(base: Path) -> None:
    from air_executor.airflow._compat import conf

    assert conf.get("air_executor", "base_path") == str(base)
