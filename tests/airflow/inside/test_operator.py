"""The operator in a DAG run: a job is handed over, waited for, and taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.airflow.inside.dags import a_dag, say


def test_a_job_runs_to_its_end_without_anybody_starting_a_manager(base: Path, run_dag: Callable[..., Any]) -> None:
    ran = run_dag(a_dag("op_plain", tasks=[say("one"), say("two")]))
    assert ran.tasks == {"job": "success"}
    told = ran.xcom("job")
    print(told)
    assert told["state"] == "completed"
