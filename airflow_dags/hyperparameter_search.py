"""hyperparameter_search: the best of 240 models in three rounds, over a thousand fits.

scikit-learn need not be in Airflow's environment: the Variable `sklearn_python` names an interpreter that has it.
"""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from air_executor.airflow import AirExecutorJobOperator

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.10
    from airflow.decorators import dag, task

FOLDER = "{{ params.folder }}/{{ run_id }}"
SKLEARN_PYTHON = "{{ var.value.get('sklearn_python', 'python3') }}"


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["air-executor", "example"],
    params={"folder": "/tmp/air-executor-examples/hyperparameter_search"},
)
def hyperparameter_search() -> None:
    search = AirExecutorJobOperator(
        task_id="search",
        job_file="air_executor_jobs/hyperparameters/job.yaml",  # beside this file
        job_params={"folder": FOLDER, "python": sys.executable, "sklearn_python": SKLEARN_PYTHON},
        options={"deadline_s": 1800},  # of the job; what is left then is cancelled
        execution_timeout=timedelta(hours=1),  # of the Airflow task; the job is cancelled with it
        deferrable=True,
        retries=1,
        on_retry="restart",  # from the start: the process with scikit-learn has gone with the failed job
    )

    @task
    def best(summary: dict[str, Any]) -> dict[str, Any]:
        results = summary["results"]  # of so many tasks: where they are, rather than all of them
        print(results)
        found: dict[str, Any] = results
        return found

    @task
    def check(python: str, folder: str) -> None:
        program = Path(__file__).parent / "air_executor_jobs" / "hyperparameters" / "plain_loop.py"
        print(subprocess.check_output([python, program, folder], text=True))

    best(search.output) >> check(SKLEARN_PYTHON, FOLDER)


hyperparameter_search()
