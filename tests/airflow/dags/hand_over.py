"""DAGs of test_hand_over.py. Their jobs write into the folder that the run's conf names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG

from air_executor.airflow import AirExecutorJobOperator, AirExecutorJobSensor

FOLDER = "{{ dag_run.conf['folder'] }}"
LONG = "x" * 243
COMMON: dict[str, Any] = {
    "schedule": None,
    "start_date": datetime(2024, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 4,
}


def shell(task_id: str, script: str, **more: Any) -> dict[str, Any]:
    """A task of a job; `$0` is the folder of this run."""
    return {"id": task_id, "command": "sh", "args": ["-c", script, FOLDER], **more}


WORK = [
    shell(
        "discover",
        'seq 1 20 | "$AIR_EXECUTOR_PYTHON" -m air_executor queue --each -- sh -c \'echo {} >>"$0/found"\' "$0"',
    ),
    shell("answer", 'echo 42 >"$AIR_EXECUTOR_RESULT"; echo said'),
    shell("merge", 'sort -n "$0/found" | paste -sd+ | tee "$0/$AIR_EXECUTOR_JOB"', final=True),
]

with DAG("hand_over", **COMMON):
    waits = AirExecutorJobOperator(task_id="waits", tasks=WORK[1:2])
    defers = AirExecutorJobOperator(
        task_id="defers",
        tasks=[
            shell("begin", 'until [ -e "$0/go" ]; do sleep 0.05; done'),
            {**WORK[0], "dependencies": ["begin"]},
            *WORK[1:],
        ],
        deferrable=True,
        visibility="log,xcom,metrics",
    )
    hands = AirExecutorJobOperator(
        task_id="hands",
        tasks=[shell("wait", 'until [ -e "$0/go" ]; do sleep 0.05; done')],
        job_name="named for {{ run_id }}",
        wait_for_termination=False,
    )
    sees = AirExecutorJobSensor(task_id="sees", job_name="named for {{ run_id }}", deferrable=True, timeout=300)
    hands >> sees

# Airflow's own log files begin with `dag_id=`, `run_id=` and `task_id=`: 247 characters is what a task id may have.
with DAG("d" + LONG, **COMMON):
    AirExecutorJobOperator(task_id="t" + LONG, tasks=[{"command": "echo", "args": ["long"]}])

with DAG("mapped", max_active_tasks=200, **COMMON):
    AirExecutorJobOperator.partial(task_id="each", deferrable=True, results=False, visibility="log").expand(
        tasks=[[shell("one", f'echo {n} >>"$0/begun"; until [ -e "$0/go" ]; do sleep 0.2; done')] for n in range(100)]
    )

RETRIED = [
    shell("once", 'echo once >>"$0/$AIR_EXECUTOR_JOB"'),
    shell(
        "twice",
        'echo twice >>"$0/$AIR_EXECUTOR_JOB"; '
        'mkdir "$0/$AIR_EXECUTOR_JOB.was" 2>&- || exit 0; echo "not yet" >&2; exit 3',
    ),
    shell("after", 'echo after >>"$0/$AIR_EXECUTOR_JOB"', dependencies=["twice"]),
]

with DAG("retried", default_args={"retries": 1, "retry_delay": timedelta(seconds=1)}, **COMMON):
    for name, deferrable in (("waits", False), ("defers", True)):
        AirExecutorJobOperator(task_id=name, tasks=RETRIED, job_name=f"retried-{name}", deferrable=deferrable)
