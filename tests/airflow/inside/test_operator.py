"""The operator in a DAG run: a job is handed over, waited for, and taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.exceptions import TaskDeferred

from air_executor import AirExecutorClient
from air_executor.airflow import AirExecutorJobOperator
from air_executor.airflow._compat import AirflowException
from tests.airflow.inside.dags import a_dag, said_by, say
from tests.support import ManagerProcess

RunDag = Callable[..., Any]


def test_a_job_runs_to_its_end_without_anybody_starting_a_manager(
    base: Path, run_dag: RunDag, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = run_dag(a_dag("op_plain", tasks=[say("one"), say("two"), {"command": "true"}]))
    said = said_by(capfd)
    assert ran.tasks == {"job": "success"}
    told = ran.xcom("job")
    name = f"airflow-op_plain~{ran.run_id}~job"
    assert told == {
        "job_name": name,
        "job_id": told["job_id"],
        "state": "completed",
        "total_tasks": 3,
        "completed": 3,
        "failed": 0,
        "skipped": 0,
        "cancelled": 0,
        "duration_s": told["duration_s"],
        "results": {},
    }
    state = AirExecutorClient(base).get_job(name)
    assert state["id"] == told["job_id"]
    assert state["origin"]["airflow"]["conn_id"] == "air_executor_default"
    assert 0 <= told["duration_s"] < 30
    keys = ("job_name", "job_id", "results", "total_tasks", "completed_tasks", "failed_tasks", "progress_percent")
    assert [ran.xcom("job", key) for key in keys] == [name, told["job_id"], {}, 3, 3, 0, 100.0]
    history = ran.xcom("job", "progress_history")
    assert history[-1]["completed"] == 3
    assert history[-1]["timestamp"].endswith("+00:00")
    assert "started manager" in said
    assert "Air-Executor Progress Report" in said


def test_tasks_grow_and_report_results(manager: ManagerProcess, base: Path, run_dag: RunDag) -> None:
    grow = """
from air_executor import task
for n in range(20):
    task.queue([{"id": f"part-{n}", "command": "sh", "args": ["-c", f"echo {n*n} > $AIR_EXECUTOR_RESULT"]}])
"""
    python = {"id": "discover", "command": "sh", "args": ["-c", f"exec \"$AIR_EXECUTOR_PYTHON\" -c '{grow}'"]}
    ran = run_dag(a_dag("op_grow", tasks=[python]))
    assert ran.tasks == {"job": "success"}
    told = ran.xcom("job")
    assert told["total_tasks"] == 21
    assert told["results"] == {f"part-{n}": n * n for n in range(20)} == ran.xcom("job", "results")


def test_templates_are_filled_in_where_there_are_some(manager: ManagerProcess, base: Path, run_dag: RunDag) -> None:
    dag = a_dag(
        "op_templates",
        job_name="nightly-{{ dag_run.conf['day'] }}",
        tasks=[
            {
                "id": "{{ ti.task_id }}",
                "command": "sh",
                "args": ["-c", "echo '${day} {{ run_id }} {% raw %}{{x}}{% endraw %}'"],
            }
        ],
        job_params={"day": "{{ dag_run.conf['day'] }}"},
        options={"max_parallel": 2},
        allow_failures="5%",
        cwd="{{ dag_run.conf['cwd'] }}",
    )
    ran = run_dag(dag, conf={"day": "2025-10-02", "cwd": str(base.parent)})
    assert ran.tasks == {"job": "success"}
    client = AirExecutorClient(base)
    assert client.logs("nightly-2025-10-02", "job") == f"2025-10-02 {ran.run_id} {{{{x}}}}\n"
    state = client.get_job("nightly-2025-10-02")
    assert (state["max_parallel"], state["allow_failures"], state["params"]) == (2, "5%", {"day": "2025-10-02"})


def test_texts_without_a_template_are_not_looked_at(base: Path) -> None:
    operator = AirExecutorJobOperator(task_id="job", tasks=[say("a")])
    assert operator.render_template("plain ${x} {y}", {}) == "plain ${x} {y}"
    assert operator.render_template({"a": ["{{ x }}", "b"]}, {"x": 1}) == {"a": ["1", "b"]}


def listed(params: Any, ti: Any) -> list[dict[str, Any]]:
    return [say(f"{ti.task_id}-{n}") for n in range(params["count"])]


def yielded(**context: Any) -> Iterator[dict[str, Any]]:
    for n in range(context["params"]["count"]):
        yield say(f"{context['dag'].dag_id}-{n}")


def picky(no_such_thing: str) -> list[dict[str, Any]]:
    return []


@pytest.mark.parametrize("function", [listed, yielded])
def test_a_function_makes_the_tasks(manager: ManagerProcess, base: Path, run_dag: RunDag, function: Any) -> None:
    ran = run_dag(a_dag("op_function", tasks=function, params={"count": 3}))
    assert ran.tasks == {"job": "success"}
    prefix = "job" if function is listed else "op_function"
    tasks = AirExecutorClient(base).tasks(ran.xcom("job", "job_name"))
    assert [task["id"] for task in tasks] == [f"{prefix}-{n}" for n in range(3)]


def test_a_job_file_lies_beside_the_dag_or_anywhere(
    manager: ManagerProcess, base: Path, tmp_path: Path, run_dag: RunDag
) -> None:
    (tmp_path / "jobs").mkdir()
    file = tmp_path / "jobs" / "job.yaml"
    file.write_text(
        "params: {count: 2, who: nobody}\nmax_parallel: 1\ntasks:\n"
        """  - {id: 'a-${who}', command: sh, args: ['-c', "pwd; echo ${count} '$${who}' $who ${HOME+home}"]}"""
    )
    for place in (str(file), "jobs/job.yaml"):
        dag = a_dag(
            "op_file", job_file=place, job_params={"who": "{{ ti.task_id }}", "count": 7}, options={"max_parallel": 3}
        )
        dag.fileloc = str(tmp_path / "dag.py")
        ran = run_dag(dag)
        assert ran.tasks == {"job": "success"}
        client, name = AirExecutorClient(base), ran.xcom("job", "job_name")
        assert client.logs(name, "a-job").split("\n")[:2] == [str(tmp_path / "jobs"), "7 ${who} job home"]
        assert client.get_job(name)["max_parallel"] == 3


def test_handing_over_only(manager: ManagerProcess, base: Path, tmp_path: Path, run_dag: RunDag) -> None:
    go = tmp_path / "go"
    wait = {"id": "w", "command": f"until test -e '{go}'; do sleep 0.02; done", "shell": True}
    ran = run_dag(a_dag("op_over", tasks=[wait], wait_for_termination=False))
    assert ran.tasks == {"job": "success"}
    told = ran.xcom("job")
    assert told.keys() == {"job_name", "job_id", "state"}
    assert told["state"] in ("waiting", "working")
    go.touch()
    assert AirExecutorClient(base).wait(told["job_name"], 30)["state"] == "completed"


def test_a_deferred_task_comes_back_with_the_same(manager: ManagerProcess, base: Path, run_dag: RunDag) -> None:
    slow = {"id": "slow", "command": "sleep 1.2; echo 4 > $AIR_EXECUTOR_RESULT", "shell": True}
    ran = run_dag(a_dag("op_deferred", tasks=[slow], deferrable=True))
    assert ran.tasks == {"job": "success"}
    assert ran.xcom("job")["results"] == {"slow": 4} == ran.xcom("job", "results")
    assert ran.xcom("job", "completed_tasks") == 1
    assert ran.xcom("job", "progress_history")[-1]["completed"] == 1


def test_a_job_that_ends_at_once_is_not_deferred(
    manager: ManagerProcess, base: Path, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("air_executor.airflow.operator.QUICK_S", 60.0)
    monkeypatch.setattr(AirExecutorJobOperator, "_defer", lambda *_: pytest.fail("it is deferred"))
    ran = run_dag(a_dag("op_quick", tasks=[{"id": "quick", "command": "sleep", "args": ["0.1"]}], deferrable=True))
    assert ran.tasks == {"job": "success"}
    assert ran.xcom("job")["completed"] == 1


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"status": "missing", "message": "job 'x' is gone"}, "job 'x' is gone"),
        ({"status": "error", "message": "no server"}, "no server"),
        ({"status": "error"}, "error"),
        (None, "the trigger ended without saying why"),
        (
            {"status": "ended", "job_name": "none", "job_id": "1", "state": "completed"},
            "job 'none' is gone: somebody",
        ),
    ],
)
def test_a_trigger_that_saw_no_end_fails_the_task(base: Path, event: Any, said: str) -> None:
    AirExecutorClient(base).base.create()
    operator = AirExecutorJobOperator(task_id="job", tasks=[])
    with pytest.raises(AirflowException, match=said):
        operator.execute_complete({}, event)


def test_the_event_of_an_earlier_trigger_is_waited_past(base: Path) -> None:
    """A cleared task may be given what the trigger of its former run has fired."""
    operator = AirExecutorJobOperator(task_id="job", tasks=[], deferrable=True)
    event = {"status": "ended", "job_name": "j", "job_id": "before", "state": "failed", "message": "cancelled"}
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute_complete({}, event, job_id="now")
    assert (deferred.value.trigger.job_name, deferred.value.trigger.job_id) == ("j", "now")
    assert deferred.value.kwargs == {"job_id": "now"}


def test_a_failed_job_fails_the_task_and_says_which_and_why(
    manager: ManagerProcess, base: Path, run_dag: RunDag, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = run_dag(a_dag("op_failed", tasks=[say("good"), say("bad", fail=True)], visibility=""))
    said = said_by(capfd)
    assert ran.tasks == {"job": "failed"}
    assert f"job {ran.xcom('job', 'job_name')!r} failed: 1 of 2 tasks failed: 'bad'" in said
    assert "  bad: exit code 3: bad" in said
    assert f"air-executor logs '{ran.xcom('job', 'job_name')}' bad --base {base}" in said
    assert ran.xcom("job") is None


def test_retries_try_what_failed_and_nothing_else(
    manager: ManagerProcess, base: Path, tmp_path: Path, run_dag: RunDag
) -> None:
    count = tmp_path / "count"
    once = {"id": "once", "command": f"echo once >> '{count}'", "shell": True}
    third = {"id": "third", "command": f"echo x >> '{count}'; test $(grep -c x '{count}') = 3", "shell": True}
    ran = run_dag(a_dag("op_retries", tasks=[once, third], retries=3))
    assert ran.tasks == {"job": "success"}
    assert sorted(count.read_text().split()) == ["once", "x", "x", "x"]
    assert ran.xcom("job")["completed"] == 2


@pytest.mark.parametrize(("on_retry", "runs"), [("resume", 1), ("restart", 3)])
def test_other_ways_to_try_again(
    manager: ManagerProcess, base: Path, tmp_path: Path, run_dag: RunDag, on_retry: str, runs: int
) -> None:
    count = tmp_path / "count"
    tasks = [{"id": "once", "command": f"echo x >> '{count}'", "shell": True}, say("bad", fail=True)]
    ran = run_dag(a_dag(f"op_{on_retry}", tasks=tasks, retries=2, on_retry=on_retry))
    assert ran.tasks == {"job": "failed"}
    assert count.read_text().split() == ["x"] * runs


def test_a_job_cancelled_by_hand_is_not_tried_again(
    manager: ManagerProcess, base: Path, run_dag: RunDag, capfd: pytest.CaptureFixture[str]
) -> None:
    cancel = {
        "id": "c",
        "command": "sh",
        "args": ["-c", 'printf \'\\n{"request":"cancel"}\\n\' >> $AIR_EXECUTOR_INBOX; sleep 60'],
    }
    ran = run_dag(a_dag("op_cancelled", tasks=[cancel], retries=3))
    said = said_by(capfd)
    assert ran.tasks == {"job": "failed"}
    assert said.count("somebody cancelled it") >= 1
    state = AirExecutorClient(base).get_job(ran.xcom("job", "job_name"))
    assert (state["state"], state["reason"]) == ("failed", "cancelled")
    assert state["origin"]["airflow"]["try_number"] == 1


def test_mapped_tasks_hand_over_a_job_each(manager: ManagerProcess, base: Path, run_dag: RunDag) -> None:
    try:
        from airflow.sdk import DAG
    except ImportError:
        from airflow import DAG
    with DAG("op_mapped", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        AirExecutorJobOperator.partial(task_id="job", visibility="", wait_for_termination=False).expand(
            tasks=[[say(f"t{n}")] for n in range(10)]
        )
    ran = run_dag(dag)
    assert set(ran.tasks.values()) == {"success"}
    client = AirExecutorClient(base)
    names = {f"airflow-op_mapped~{ran.run_id}~job@{n}": f"t{n}" for n in range(10)}
    for name, task in names.items():
        assert client.wait(name, 60)["state"] == "completed"
        assert client.logs(name, task) == f"{task}\n"
    assert {job["name"] for job in client.jobs()} == set(names)


def test_long_ids_and_strange_run_ids(manager: ManagerProcess, base: Path, run_dag: RunDag) -> None:
    ran = run_dag(a_dag("d" * 240, task_id="t" * 240, tasks=[say("a")], visibility=""))
    assert set(ran.tasks.values()) == {"success"}
    name = ran.xcom("t" * 240, "job_name")
    assert name.startswith("airflow-ddd")
    assert len(name.encode()) <= 200
    assert AirExecutorClient(base).get_job(name)["origin"]["airflow"]["task_id"] == "t" * 240


def test_many_results_stay_where_they_are(manager: ManagerProcess, base: Path, run_dag: RunDag) -> None:
    import hashlib

    big = {"id": "big", "command": """printf '"%060000d"' 7 > $AIR_EXECUTOR_RESULT""", "shell": True}
    ran = run_dag(a_dag("op_big", tasks=[big], visibility=""))
    found = ran.xcom("job")["results"]
    data = Path(found["path"]).read_bytes()
    assert json.loads(data) == {"big": f"{7:060000d}"}
    assert found == {"path": found["path"], "count": 1, "sha256": hashlib.sha256(data).hexdigest()}
    assert ran.xcom("job", "results") == found
    ran = run_dag(a_dag("op_none", tasks=[big], visibility="", results=False))
    assert "results" not in ran.xcom("job")
    assert ran.xcom("job", "results") is None


def test_allowed_failures_are_no_failure(manager: ManagerProcess, base: Path, run_dag: RunDag) -> None:
    after = {"id": "after", "command": "true", "dependencies": ["bad"]}
    ran = run_dag(
        a_dag("op_allowed", tasks=[say("good"), say("bad", fail=True), after], allow_failures=1, visibility="")
    )
    assert ran.tasks == {"job": "success"}
    told = ran.xcom("job")
    assert (told["state"], told["completed"], told["failed"], told["skipped"]) == ("completed", 1, 2, 1)
