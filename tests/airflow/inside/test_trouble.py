"""What happens while a job is waited for: killed, timed out, its folder removed, its server away or refusing."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from air_executor import AirExecutorClient
from air_executor.airflow._compat import AIRFLOW_3
from tests.airflow.inside.dags import a_dag, said_by, say
from tests.airflow.inside.jobs import server_of
from tests.support import ManagerProcess, wait_for

RunDag = Callable[..., Any]


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Airflow sets a handler for SIGTERM and leaves it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def until(go: Path, count: Path) -> dict[str, Any]:
    return {"id": "wait", "command": f"echo x >> '{count}'; until test -e '{go}'; do sleep 0.02; done", "shell": True}


@contextmanager
def meanwhile(base: Path, action: Callable[[str], None]) -> Iterator[None]:
    """Does something in a thread as soon as the one job of the folder runs; what that raises is raised here."""
    client, raised = AirExecutorClient(base), list[BaseException]()

    def job() -> str | None:
        found = client.jobs() if client.base.jobs.is_dir() else []
        return next((one["name"] for one in found if one["state"] == "working"), None)

    def act() -> None:
        try:
            action(wait_for(job, "a job"))
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=act)
    thread.start()
    yield
    thread.join()
    for error in raised:
        raise error


def run_to_its_death(run_dag: RunDag, dag: Any) -> None:
    """`dag.test()` of 2.10 dies with the task that it runs."""
    try:
        assert run_dag(dag).tasks == {"job": "failed"}
    except BaseException as error:
        if AIRFLOW_3 or type(error).__name__ not in ("AirflowTaskTerminated", "AirflowTaskTimeout"):
            raise


def the_job(base: Path) -> str:
    (job,) = AirExecutorClient(base).jobs()
    return str(job["name"])


def test_a_killed_task_cancels_its_job(
    manager: ManagerProcess, base: Path, tmp_path: Path, run_dag: RunDag, capfd: pytest.CaptureFixture[str]
) -> None:
    with meanwhile(base, lambda _: os.kill(os.getpid(), signal.SIGTERM)):
        run_to_its_death(run_dag, a_dag("trouble_killed", tasks=[until(tmp_path / "never", tmp_path / "count")]))
    name = the_job(base)
    assert f"killed: job {name!r} is being cancelled" in said_by(capfd)
    state = AirExecutorClient(base).wait(name, 30)
    assert (state["state"], state["reason"]) == ("failed", "cancelled")


def test_unless_it_is_not_to(manager: ManagerProcess, base: Path, tmp_path: Path, run_dag: RunDag) -> None:
    tasks = [until(tmp_path / "go", tmp_path / "count")]
    with meanwhile(base, lambda _: os.kill(os.getpid(), signal.SIGTERM)):
        run_to_its_death(run_dag, a_dag("trouble_kept", tasks=tasks, cancel_on_kill=False))
    (tmp_path / "go").touch()
    assert AirExecutorClient(base).wait(the_job(base), 30)["state"] == "completed"


def test_a_task_that_ran_out_of_time_cancels_its_job(
    manager: ManagerProcess, base: Path, tmp_path: Path, run_dag: RunDag
) -> None:
    tasks = [until(tmp_path / "never", tmp_path / "count")]
    run_to_its_death(run_dag, a_dag("trouble_late", tasks=tasks, execution_timeout=timedelta(seconds=2)))
    state = AirExecutorClient(base).wait(the_job(base), 30)
    assert (state["state"], state["reason"]) == ("failed", "cancelled")


@pytest.mark.skipif(not AIRFLOW_3, reason="dag.test() of 2.10 dies with a task that ran out of time")
def test_its_next_try_goes_on_with_what_is_left(
    manager: ManagerProcess, base: Path, tmp_path: Path, run_dag: RunDag
) -> None:
    count, go = tmp_path / "count", tmp_path / "go"
    once = {"id": "once", "command": f"echo once >> '{count}'", "shell": True}
    dag = a_dag(
        "trouble_time",
        tasks=[once, {**until(go, count), "dependencies": ["once"]}],
        retries=1,
        execution_timeout=timedelta(seconds=3),
    )

    def release(_: str) -> None:
        wait_for(lambda: count.read_text().split().count("x") == 2, "the second try")
        go.touch()

    with meanwhile(base, release):
        ran = run_dag(dag)
    assert ran.tasks == {"job": "success"}
    assert count.read_text().split() == ["once", "x", "x"]


def test_a_job_whose_folder_is_removed_is_said_to_be_gone(
    manager: ManagerProcess, base: Path, tmp_path: Path, run_dag: RunDag, capfd: pytest.CaptureFixture[str]
) -> None:
    with meanwhile(base, lambda name: shutil.rmtree(base / "jobs" / name)):
        ran = run_dag(a_dag("trouble_removed", tasks=[until(tmp_path / "never", tmp_path / "count")], visibility=""))
    assert ran.tasks == {"job": "failed"}
    assert f"job 'airflow-trouble_removed~{ran.run_id}~job' is gone: somebody removed its folder" in said_by(capfd)


def test_a_server_may_be_away_for_a_while(
    manager: ManagerProcess,
    base: Path,
    tmp_path: Path,
    run_dag: RunDag,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with server_of(base) as server:
        told: list[str] = []

        def warned() -> bool:
            told.append(said_by(capfd))
            return "cannot be asked" in (text := "".join(told)) and "asked again for up to 600 s" in text

        def restart(_: str) -> None:
            server.stop()
            (tmp_path / "go").touch()
            for name in AirExecutorClient(base).base.jobs.iterdir():
                AirExecutorClient(base).wait(name.name, 30)
            wait_for(warned, "a warning")
            server.start()

        monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps({"conn_type": "air_executor", "host": server.url}))
        with meanwhile(base, restart):
            dag = a_dag(
                "trouble_away", tasks=[until(tmp_path / "go", tmp_path / "count")], air_executor_conn_id="away"
            )
            ran = run_dag(dag)
    assert ran.tasks == {"job": "success"}
    assert ran.xcom("job")["completed"] == 1
    assert (tmp_path / "count").read_text() == "x\n"


def test_a_server_that_is_not_there_or_refuses_is_one_line(
    base: Path, tmp_path: Path, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    token.chmod(0o600)
    connection = {"conn_type": "air_executor", "password": "fedcba9876543210"}
    AirExecutorClient(base).base.create()
    with server_of(base, "--token-file", str(token)) as server:
        url = server.url
        monkeypatch.setenv("AIRFLOW_CONN_THERE", json.dumps({**connection, "host": url}))
        ran = run_dag(a_dag("trouble_token", tasks=[say("a")], air_executor_conn_id="there"))
        assert ran.tasks == {"job": "failed"}
        said = said_by(capfd)
        assert "token" in said
        assert connection["password"] not in said
        assert not list((base / "jobs").iterdir())
    ran = run_dag(a_dag("trouble_down", tasks=[say("a")], air_executor_conn_id="there"))
    assert ran.tasks == {"job": "failed"}
    assert f"{url} cannot be asked: " in said_by(capfd)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"tasks": [{"id": "a"}]}, "tasks[0].command: expected a command (a string)"),
        ({"tasks": "echo"}, "tasks: expected it to give a list of task objects, not str"),
        ({"tasks": lambda: None}, "to give a list of task objects, not nothing"),
        ({"tasks": lambda nothing: []}, "asks for nothing, which is not in Airflow's context"),
        ({"tasks": [], "options": {"max_paralel": 2}}, "unknown key 'max_paralel' (did you mean 'max_parallel'?)"),
        (
            {"tasks": [], "allow_failures": "many"},
            "allow_failures: expected a whole number, or a percentage like '10%'",
        ),
        ({"job_file": "none.yaml"}, "job_file 'none.yaml': there is no "),
        ({"job_file": __file__}, "test_trouble.py, line"),
        ({"tasks": [], "air_executor_conn_id": "none"}, "there is no connection 'none'"),
    ],
)
def test_what_cannot_be_handed_over_is_said_in_a_line(
    base: Path, run_dag: RunDag, capfd: pytest.CaptureFixture[str], arguments: dict[str, Any], said: str
) -> None:
    ran = run_dag(a_dag("trouble_input", **arguments))
    assert ran.tasks == {"job": "failed"}
    assert said in said_by(capfd)
    assert not list((base / "jobs").iterdir() if (base / "jobs").exists() else [])
