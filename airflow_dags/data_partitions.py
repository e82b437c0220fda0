"""data_partitions: which functions does the standard library call most often? Over a thousand pieces of a table.

Shows a job file with params, waiting in the triggerer, and all that can be seen meanwhile.
"""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from air_executor.airflow import AirExecutorJobOperator

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.10
    from airflow.decorators import dag, task

FOLDER = "{{ params.folder }}/{{ run_id }}"


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["air-executor", "example"],
    params={"folder": "/tmp/air-executor-examples/data_partitions"},
)
def data_partitions() -> None:
    count_calls = AirExecutorJobOperator(
        task_id="count_calls",
        job_file="air_executor_jobs/data_partitions/job.yaml",  # beside this file
        job_params={"folder": FOLDER, "python": sys.executable},
        deferrable=True,
        visibility="log,xcom,metrics,history",
    )

    @task
    def check(folder: str) -> None:
        program = Path(__file__).parent / "air_executor_jobs" / "data_partitions" / "plain_loop.py"
        print(subprocess.check_output([sys.executable, program, folder], text=True))

    count_calls >> check(FOLDER)


data_partitions()
