"""`@task.air_executor` in a DAG run: the function runs inside the job, and its yields are tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from air_executor import AirExecutorClient
from air_executor.airflow._compat import AirflowException
from tests.airflow.inside.dags import said_by
from tests.support import ManagerProcess

try:
    from airflow.sdk import DAG, task
except ImportError:
    from airflow import DAG
    from airflow.decorators import task

RunDag = Callable[..., Any]
OUTSIDE = "only in this file"
START = datetime(2024, 1, 1, tzinfo=UTC)


def a_dag(dag_id: str) -> Any:
    return DAG(dag_id, schedule=None, start_date=START)


def job_of(base: Path, ran: Any, task_id: str) -> str:
    """The name of the job that a task has handed over."""
    name = ran.xcom(task_id, "job_name")
    assert AirExecutorClient(base).get_job(name)["id"] == ran.xcom(task_id, "job_id")
    return str(name)


def test_each_yield_of_the_function_is_a_task(base: Path, manager: ManagerProcess, run_dag: RunDag) -> None:
    with a_dag("deco_plain") as dag:

        @task
        def sizes() -> list[int]:
            return [1, 2, 3]

        @task.air_executor(max_active_tis_per_dag=1, results=True)
        def squares(
            numbers: list[int], text: str, run_id: Any = None, params: Any = None, ds_nodash: Any = None
        ) -> Iterator[dict[str, Any]]:
            import os

            print("discovering in process", os.getpid(), run_id, ds_nodash, params, text)
            for number in numbers:
                script = f"echo {number * number} > $AIR_EXECUTOR_RESULT"
                yield {"command": "sh", "args": ["-c", script], "group": "squares"}

        @task
        def total(summary: dict[str, Any]) -> int:
            return sum(summary["results"].values())

        total(squares(sizes(), "{{ dag_run.conf['word'] }}"))
    ran = run_dag(dag, {"word": "templated"})
    assert ran.tasks == {"sizes": "success", "squares": "success", "total": "success"}
    assert ran.xcom("total") == 1 + 4 + 9
    told = ran.xcom("squares")
    assert told["results"] == {f"discover-{n:06d}": n * n for n in (1, 2, 3)}
    client = AirExecutorClient(base)
    job = job_of(base, ran, "squares")
    said = client.logs(job, "discover").split()
    assert int(said[3]) != os.getpid()
    assert said[4] == ran.run_id
    assert said[6:] == ["{'word':", "'templated'}", "templated"]
    discover = client.find_task(job, "discover")
    assert discover["args"] == ["squares"]
    assert "discovering in process" in discover["env"]["AIR_EXECUTOR_DISCOVERY"]


def test_without_arguments_and_with_all_of_them(base: Path, manager: ManagerProcess, run_dag: RunDag) -> None:
    with a_dag("deco_options") as dag:

        @task.air_executor
        def plain():
            return [{"id": "one", "command": "true"}]

        @task.air_executor(
            task_id="renamed",
            key=lambda one: one["args"][0],
            job_name="keyed-{{ run_id }}",
            options={"max_parallel": 1, "defaults": {"group": "g"}},
            allow_failures=1,
            job_params={"word": "from params"},
            secrets={"TOKEN": "var:deco_token"},
            cwd="/",
        )
        def keyed(count):
            import os

            assert os.environ["TOKEN"].split() == ["of", "a", "variable"]
            for number in range(count):
                yield {"command": "sh", "args": [f"-{'e' * (number % 2)}c", 'echo "$word" in "$PWD" with ${#TOKEN}']}
            yield {"id": "bad", "command": "false"}

        plain() >> keyed(4)
    from airflow.models import Variable

    Variable.set("deco_token", "of a variable")
    ran = run_dag(dag)
    assert ran.tasks == {"plain": "success", "renamed": "success"}
    assert ran.xcom("plain")["total_tasks"] == 2
    client = AirExecutorClient(base)
    job = job_of(base, ran, "renamed")
    assert job.startswith("keyed-")
    assert [one["id"] for one in client.tasks(job)] == ["discover", "-c", "-ec", "bad"]
    assert client.logs(job, "-c") == "from params in / with 13\n"
    assert {one.get("group") for one in client.tasks(job)} == {"g"}
    assert client.get_job(job)["max_parallel"] == 1
    for path in base.rglob("*"):
        assert not path.is_file() or b"of a variable" not in path.read_bytes()


def test_a_function_of_the_bundle(base: Path, manager: ManagerProcess, run_dag: RunDag) -> None:
    module = Path(os.environ["AIRFLOW_HOME"]) / "dags" / "deco_of_this_test.py"
    module.parent.mkdir(exist_ok=True)
    module.write_text(
        "WORD = 'word'\n"
        "def words(count, *, suffix=''):\n"
        "    for n in range(count):\n"
        "        yield {'command': 'echo', 'args': [WORD, str(n), suffix]}\n"
    )
    try:
        with a_dag("deco_module") as dag:
            words = task.air_executor("deco_of_this_test:words", retries=0)
            words(2, suffix="{{ task.task_id }}")
        ran = run_dag(dag)
    finally:
        module.unlink()
    assert ran.tasks == {"words": "success"}
    assert AirExecutorClient(base).logs(job_of(base, ran, "words"), "discover-000002") == "word 1 words\n"


def test_mapped_over_what_another_task_returns(base: Path, manager: ManagerProcess, run_dag: RunDag) -> None:
    with a_dag("deco_mapped") as dag:

        @task
        def folders():
            return ["a", "b"]

        @task.air_executor
        def files(folder, count):
            for number in range(count):
                yield {"id": f"{folder}{number}", "command": "true"}

        @task.air_executor
        def all_of(summaries):
            return [{"id": one["job_id"], "command": "true"} for one in summaries]

        all_of(files.partial(count=2).expand(folder=folders()))
    ran = run_dag(dag)
    assert ran.tasks == {"folders": "success", "files[0]": "success", "files[1]": "success", "all_of": "success"}
    client = AirExecutorClient(base)
    for index, folder in enumerate("ab"):
        name = ran.xcom("files", "job_name", index)
        assert [one["id"] for one in client.tasks(name)] == ["discover", f"{folder}0", f"{folder}1"]
    assert ran.xcom("all_of")["total_tasks"] == 3


def test_an_error_of_the_function_is_told_with_its_own_line(
    base: Path, manager: ManagerProcess, run_dag: RunDag, capfd: pytest.CaptureFixture[str]
) -> None:
    with a_dag("deco_wrong") as dag:

        @task.air_executor
        def wrong():
            yield {"command": "true"}
            raise ValueError("of the function")  # this line

        wrong()
    ran = run_dag(dag)
    assert ran.tasks == {"wrong": "failed"}
    assert "ValueError: of the function" in said_by(capfd)
    lines = Path(__file__).read_text().split("\n")
    line = next(n for n, text in enumerate(lines, 1) if text.endswith("# this line"))
    log = AirExecutorClient(base).logs(job_of(base, ran, "wrong"), "discover")
    assert f'File "{__file__}", line {line}, in wrong' in log
    assert 'raise ValueError("of the function")  # this line' in log


def test_what_the_function_would_not_find_is_refused_when_the_file_is_parsed() -> None:
    from_around = "x"

    def uses_a_global():
        yield {"command": OUTSIDE}

    def uses_a_closure():
        yield {"command": from_around, "args": [str(Path("/"))]}

    def nothing():
        return []

    def asks_for_ti(ti=None):
        yield {"command": str(ti)}

    for decorate in (task.air_executor, task.air_executor(retries=2)):
        with pytest.raises(AirflowException, match=r"where there is no OUTSIDE \(line \d+\); import it inside"):
            decorate(uses_a_global)
        with pytest.raises(AirflowException, match=r"from_around \(line \d+, of the function around it\), Path \("):
            decorate(uses_a_closure)
    with pytest.raises(AirflowException, match=r"there is no OUTSIDE \(line"):
        task.air_executor(key=lambda one: OUTSIDE)(nothing)
    with pytest.raises(AirflowException, match=r"expected a function, or a text like 'package\.module:function'"):
        task.air_executor("no reference")
    with a_dag("deco_refused"):
        with pytest.raises(AirflowException, match=r"asks_for_ti\(\) asks for 'ti', which is there in the Airflow"):
            task.air_executor(asks_for_ti)()
        with pytest.raises(AirflowException, match="tasks: the function says what there is to do"):
            task.air_executor(tasks=[{"command": "true"}], task_id="both")(nothing)()
        with pytest.raises(AirflowException, match="expected seconds over 0"):
            task.air_executor(poll_interval=0, task_id="poll")(nothing)()


def test_arguments_that_cannot_be_sent(base: Path, run_dag: RunDag, capfd: pytest.CaptureFixture[str]) -> None:
    with a_dag("deco_arguments") as dag:

        @task.air_executor
        def files(folder):
            return [{"command": str(folder)}]

        files.override(task_id="of_a_kind")({1, 2})
        files.override(task_id="too_long")("x" * 100_000)
    ran = run_dag(dag)
    assert ran.tasks == {"of_a_kind": "failed", "too_long": "failed"}
    said = said_by(capfd)
    assert (
        "files: argument number 1: expected what JSON can hold: Object of type set is not JSON serializable" in said
    )
    assert "the limit is 100,000; write large arguments to a file and pass its path" in said
    assert not (base / "jobs").exists()


def test_it_can_be_deferred_and_tried_again(base: Path, run_dag: RunDag, tmp_path: Path) -> None:
    with a_dag("deco_deferred") as dag:

        @task.air_executor(deferrable=True, retries=1, retry_delay=0.0, poll_interval=0.1)
        def once(folder):
            import os

            yield {"id": "first", "command": "true"}
            if not os.path.exists(f"{folder}/marked"):
                open(f"{folder}/marked", "w").close()
                raise ValueError("for the first time")
            yield {"id": "second", "command": "true"}

        once(str(tmp_path))
    ran = run_dag(dag)
    assert ran.tasks == {"once": "success"}
    client = AirExecutorClient(base)
    job = job_of(base, ran, "once")
    assert {one["id"]: one["attempt"] for one in client.tasks(job)} == {"discover": 2, "first": 1, "second": 1}
