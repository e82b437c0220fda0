"""Who works on the job that Airflow waits for, and what a task says when nobody does."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from air_executor import AirExecutorClient
from air_executor.airflow import attendance
from air_executor.airflow._compat import AirflowException
from air_executor.airflow.attendance import Attendance
from tests.airflow.inside.dags import a_dag, said_by, say
from tests.airflow.inside.jobs import server_of
from tests.support import ManagerProcess, wait_for

log = logging.getLogger("tests.attendance")


@pytest.fixture
def client(base: Path) -> Iterator[AirExecutorClient]:
    """A folder; whatever manager was started on it is ended."""
    client = AirExecutorClient(base)
    client.base.create()
    yield client
    if (pid := client.manager_pid) is not None:
        import os

        os.kill(pid, signal.SIGUSR2)
        wait_for(lambda: client.manager_pid is None, "the end of the manager")


def test_one_that_is_required_and_not_there_is_said_with_the_command(
    base: Path, run_dag: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    ran = run_dag(a_dag("manager_required", tasks=[say("a")], manager="required"))
    assert ran.tasks == {"job": "failed"}
    said = said_by(capfd)
    assert f"no manager works on {base} (asked on " in said
    assert f"`air-executor start --base {base}` starts one" in said
    assert not (base / "jobs").exists(), "nothing was handed over"


def test_one_that_is_required_and_there_is_enough(manager: ManagerProcess, run_dag: Callable[..., Any]) -> None:
    assert run_dag(a_dag("manager_there", tasks=[say("a")], manager="required")).tasks == {"job": "success"}


def test_one_is_started_when_the_job_is_handed_over_and_again_when_it_is_gone(
    client: AirExecutorClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(attendance, "GONE_S", 0.2)
    monkeypatch.setattr(attendance, "LOOK_S", 0.05)
    go = tmp_path / "go"
    attending = Attendance(client, "job", "auto", log)
    attending.begin()
    assert client.manager_pid is None
    client.create_job("job", [{"command": f"until test -e '{go}'; do sleep 0.02; done", "shell": True}])
    attending.take_up()
    first = client.manager_pid
    assert first is not None
    import os

    os.kill(first, signal.SIGKILL)
    wait_for(lambda: client.manager_pid is None, "the end of the manager")

    def another() -> bool:
        attending.look(client.get_job("job"))
        return client.manager_pid is not None

    wait_for(another, "another manager")
    go.touch()
    assert client.wait("job", 30)["state"] == "completed"


def test_a_required_one_that_goes_away_is_missed_after_a_while(
    client: AirExecutorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attendance, "GONE_S", 0.2)
    monkeypatch.setattr(attendance, "LOOK_S", 0.05)
    manager = ManagerProcess(client.base.path).start()
    attending = Attendance(client, "job", "required", log)
    attending.begin()
    client.create_job("job", [{"command": "sleep", "args": ["60"]}])
    attending.take_up()
    attending.look(client.get_job("job"))
    manager.stop()

    def missed() -> bool:
        try:
            attending.look(client.get_job("job"))
        except AirflowException as error:
            return "no manager works on" in str(error)
        return False

    wait_for(missed, "an error")


def another_machine(client: AirExecutorClient) -> None:
    """What is left where the folder of another machine's manager was copied, or its locks are not shared."""
    client.base.manager_json.write_text(json.dumps({"pid": 4711, "host": "elsewhere"}))


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_folder_that_is_not_shared_is_found_out_and_the_machine_named(
    deferrable: bool,
    client: AirExecutorClient,
    run_dag: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(attendance, "PICK_UP_S", 0.3)
    monkeypatch.setattr(attendance, "LOOK_S", 0.05)
    another_machine(client)
    ran = run_dag(a_dag("manager_elsewhere", tasks=[say("a")], manager="required", deferrable=deferrable))
    assert ran.tasks == {"job": "failed"}
    said = said_by(capfd)
    assert f"the manager of {client.base} is said to run on elsewhere; what " in said
    assert "probably another folder of that name" in said


def test_where_that_machine_is_gone_one_is_started_here(
    client: AirExecutorClient, run_dag: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attendance, "PICK_UP_S", 0.3)
    monkeypatch.setattr(attendance, "LOOK_S", 0.05)
    another_machine(client)
    assert run_dag(a_dag("manager_took_over", tasks=[say("a")])).tasks == {"job": "success"}


def test_a_manager_that_cannot_be_seen_but_works_is_trusted(
    client: AirExecutorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attendance, "PICK_UP_S", 0.0)
    monkeypatch.setattr(attendance, "LOOK_S", 0.0)
    manager = ManagerProcess(client.base.path).start()
    client.create_job("job", [{"command": "true"}])
    client.wait("job", 30)
    manager.stop()
    another_machine(client)
    attending = Attendance(client, "job", "required", log)
    attending.begin()
    attending.look(client.get_job("job"))
    attending.look(client.get_job("job"))


def test_a_server_without_a_manager(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    AirExecutorClient(base).base.create()
    with server_of(base) as server:
        client = AirExecutorClient(url=server.url)
        said = f"no manager works on the base folder of {server.url}; run `air-executor start` on its machine"
        with pytest.raises(AirflowException, match=said):
            Attendance(client, "job", "required", log, server.url).begin()
        with caplog.at_level(logging.WARNING, "tests.attendance"):
            Attendance(client, "job", "auto", log, server.url).begin()
        assert caplog.messages == [said]
        url = server.url
    with pytest.raises(AirflowException, match=f"{url} cannot be asked: "):
        Attendance(AirExecutorClient(url=url), "job", "auto", log, url).begin()
