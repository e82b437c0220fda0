"""shard_tests: a test suite of the standard library in over a thousand shards; junit.xml for whoever reads that.

Shows a second try of the Airflow task that gives only the failed shards another go.
"""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
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
    params={"folder": "/tmp/air-executor-examples/shard_tests", "modules": ""},
)
def shard_tests() -> None:
    run_tests = AirExecutorJobOperator(
        task_id="run_tests",
        job_file="air_executor_jobs/shard_tests/job.yaml",  # beside this file
        job_params={"folder": FOLDER, "python": sys.executable, "modules": "{{ params.modules }}"},
        retries=1,
        retry_delay=timedelta(seconds=5),
        on_retry="retry_failed",
    )

    @task
    def check(modules: str, folder: str) -> None:
        program = Path(__file__).parent / "air_executor_jobs" / "shard_tests" / "plain_loop.py"
        print(subprocess.check_output([sys.executable, program, modules, folder], text=True))

    run_tests >> check("{{ params.modules }}", FOLDER)


shard_tests()
