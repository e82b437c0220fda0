"""example_air_executor_dag: a function whose tasks Airflow need not know, callbacks, and a DAG that follows.

Every file of a folder gets its checksum, in a task of its own. Trigger it with {"folder": "/my/folder"}.
"""

import sysconfig
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

try:
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.10
    from airflow.decorators import dag, task
    from airflow.operators.trigger_dagrun import TriggerDagRunOperator


def tell(context: dict[str, Any]) -> None:
    """A callback: the job's name and counts are in XCom, whatever became of it."""
    ti = context["ti"]
    job, failed = (ti.xcom_pull(task_ids=ti.task_id, key=key) for key in ("job_name", "failed_tasks"))
    print(f"{ti.task_id}: job {job} has ended with {failed} failed tasks")


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["air-executor"],
    params={"folder": f"{sysconfig.get_paths()['stdlib']}/json"},
)
def example_air_executor_dag() -> None:
    # Runs inside the job, not in the Airflow task; so all that it needs is imported in it.
    @task.air_executor(
        key=lambda found: found["args"][0],  # the task's id: a second run of the function queues nothing twice
        allow_failures="5%",
        retries=2,  # of the Airflow task; they go on with the same job
        retry_delay=timedelta(seconds=10),
        execution_timeout=timedelta(hours=1),
        on_success_callback=tell,
        on_failure_callback=tell,
    )
    def checksums(folder: str) -> Iterator[dict[str, Any]]:
        from pathlib import Path

        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                yield {"command": "sha256sum", "args": [str(path)], "timeout_s": 60}

    then = TriggerDagRunOperator(task_id="then", trigger_dag_id="air_executor_demo")

    checksums("{{ params.folder }}") >> then


example_air_executor_dag()
