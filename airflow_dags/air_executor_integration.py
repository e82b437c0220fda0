"""air_executor_demo: hand a job over, wait for it, look at what came of it.

Trigger it with {"outcome": "failed"} to see what a failed job looks like in Airflow.
"""

from datetime import UTC, datetime

from air_executor.airflow import AirExecutorHook, AirExecutorJobOperator, AirExecutorJobSensor

try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2.10
    from airflow import DAG
    from airflow.decorators import task

JOB = "airflow-{{ run_id }}"

with DAG(
    "air_executor_demo",
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["air-executor", "demo", "integration"],
    params={"outcome": "completed"},
):
    create_job = AirExecutorJobOperator(
        task_id="create_air_executor_job",
        job_name=JOB,
        tasks=[
            {"id": "greet", "command": "echo", "args": ["hello from {{ dag.dag_id }}"]},
            {"id": "process", "command": "sleep", "args": ["1"], "dependencies": ["greet"]},
            {
                "id": "complete",
                "command": "test",
                "args": ["{{ params.outcome }}", "=", "completed"],
                "dependencies": ["process"],
            },
        ],
        wait_for_termination=False,  # the next task does that
    )

    wait_for_job = AirExecutorJobSensor(task_id="wait_for_air_executor_completion", job_name=JOB, timeout=600)

    @task(trigger_rule="all_done")  # a failed job has results as well
    def get_air_executor_results(job_name: str) -> None:
        client = AirExecutorHook().get_conn()
        job = client.get_job(job_name)
        print("=" * 70, "Air-Executor Job Results", "=" * 70, sep="\n")
        print(f"Job Name:    {job_name}")
        print(f"Final State: {job['state']}")
        print(f"Created:     {job['created_at']}")
        print(f"Updated:     {job['updated_at']}")
        for one in client.tasks(job_name):
            print(f"{'✔' if one['status'] == 'completed' else '✘'} {one['id']}: {one['status']}")
            print(f"    Command:   {' '.join([one['command'], *one['args']])}")
            print(f"    Started:   {one['started_at']}")
            print(f"    Completed: {one['completed_at']}")
        if job["state"] != "completed":
            raise RuntimeError(f"job {job_name} is {job['state']}: {job['error']}")

    create_job >> wait_for_job >> get_air_executor_results(JOB)
