"""hybrid_control_flow: Airflow plans, Air-Executor does what nobody can plan, Airflow goes on.

prepare >> hand_over >> wait >> post_process >> notify. What is handed over grows in phases: the function below lists
packages, each of those tasks lists the modules of its package, and each module is a task again.
"""

import sysconfig
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from air_executor.airflow import AirExecutorJobSensor

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.10
    from airflow.decorators import dag, task

JOB = "airflow-hybrid-{{ run_id }}"


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["air-executor"],
    params={"packages": ["json", "email", "xml"]},
)
def hybrid_control_flow() -> None:
    @task
    def prepare(params: dict[str, Any] | None = None) -> list[str]:
        assert params is not None
        return [f"{sysconfig.get_paths()['stdlib']}/{package}" for package in params["packages"]]

    # The first phase. It runs inside the job: each task is queued, and may start, as soon as it is yielded.
    @task.air_executor(job_name=JOB, wait_for_termination=False)
    def hand_over(folders: list[str]) -> Iterator[dict[str, Any]]:
        import os

        count = 'wc -l < "$1" > "$AIR_EXECUTOR_RESULT"'  # a number is JSON
        queue_each = f"\"$AIR_EXECUTOR_PYTHON\" -m air_executor queue --each -- sh -c '{count}' count {{}}"
        for folder in folders:
            yield {
                "id": os.path.basename(folder),
                "command": f"find \"$1\" -name '*.py' | {queue_each}",  # the second phase
                "shell": True,
                "args": [folder],
            }

    wait = AirExecutorJobSensor(task_id="wait", job_name=JOB, deferrable=True, visibility="log,xcom")

    @task
    def post_process(summary: dict[str, Any]) -> dict[str, int]:
        lines = [count for count in summary["results"].values() if isinstance(count, int)]
        return {"modules": len(lines), "lines": sum(lines)}

    @task
    def notify(found: dict[str, int]) -> None:
        print(f"{found['modules']} modules with {found['lines']} lines")

    hand_over(prepare()) >> wait
    notify(post_process(wait.output))


hybrid_control_flow()
