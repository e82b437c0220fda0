"""air_executor_pipeline: tasks made by a function, waited for in the triggerer, one result taken out of them.

Trigger it with {"parts": 500} for more of them.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from air_executor.airflow import AirExecutorHook, AirExecutorJobOperator, AirExecutorJobSensor

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.10
    from airflow.decorators import dag, task

JOB = "airflow-pipeline-{{ run_id }}"

COUNT_PRIMES = """
import sys
from air_executor import task
numbers = range(int(sys.argv[1]), int(sys.argv[2]))
task.result(sum(n > 1 and all(n % d for d in range(2, int(n**0.5) + 1)) for n in numbers))
"""
ADD_UP = "from air_executor import task; task.result(sum(task.results(group='parts').values()))"


def count_primes(params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The tasks of the job. Called in the Airflow task, with what it asks for of Airflow's context."""
    for first in range(0, 1000 * params["parts"], 1000):
        yield {
            "id": f"{first} to {first + 999}",
            "group": "parts",
            "command": sys.executable,
            "args": ["-c", COUNT_PRIMES, str(first), str(first + 1000)],
        }
    yield {"id": "sum", "command": sys.executable, "args": ["-c", ADD_UP], "final": True}  # when nothing else is left


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["air-executor"],
    params={"parts": 10},
)
def air_executor_pipeline() -> None:
    create_job = AirExecutorJobOperator(
        task_id="create_air_executor_job", job_name=JOB, tasks=count_primes, wait_for_termination=False
    )
    wait_for_job = AirExecutorJobSensor(task_id="wait_for_completion", job_name=JOB, deferrable=True)

    @task
    def get_job_result(job_name: str) -> int:
        primes: int = AirExecutorHook().get_conn().find_task(job_name, "sum")["result"]
        print(f"{primes} primes")
        return primes

    create_job >> wait_for_job >> get_job_result(JOB)


air_executor_pipeline()
