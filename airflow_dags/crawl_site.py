"""crawl_site: fetch every page of a site, and find its dead links. Pages are known from the pages that link to them.

Shows a job that is handed over by one task and waited for by another, and failures that are allowed.
"""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from air_executor.airflow import AirExecutorJobOperator, AirExecutorJobSensor

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.10
    from airflow.decorators import dag, task

JOB = "airflow-crawl-{{ run_id }}"
FOLDER = "{{ params.folder }}/{{ run_id }}"


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["air-executor", "example"],
    params={"folder": "/tmp/air-executor-examples/crawl_site"},
)
def crawl_site() -> None:
    crawl = AirExecutorJobOperator(
        task_id="crawl",
        job_name=JOB,
        job_file="air_executor_jobs/crawl/job.yaml",  # beside this file
        job_params={"folder": FOLDER, "python": sys.executable},
        allow_failures="20%",  # dead links
        wait_for_termination=False,
    )
    wait = AirExecutorJobSensor(task_id="wait", job_name=JOB, visibility="log,xcom,metrics,history", timeout=3600)

    @task
    def check(folder: str) -> None:
        program = Path(__file__).parent / "air_executor_jobs" / "crawl" / "plain_loop.py"
        print(subprocess.check_output([sys.executable, program, "", folder], text=True))

    crawl >> wait >> check(FOLDER)


crawl_site()
