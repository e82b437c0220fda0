"""The client speaks to a server as it does to a folder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from air_executor import AirExecutorClient, errors
from air_executor.client_http import HttpClient
from tests.acceptance.web_server import Server, served
from tests.support import ManagerProcess, wait_for

TOKEN = "t" * 40
NAME = "näme 1/2".replace("/", "%2F")


@pytest.fixture
def server(base: Path, start_manager: Callable[..., ManagerProcess]) -> Iterator[Server]:
    start_manager("--slots", "4")
    with served(base, AIR_EXECUTOR_TOKEN=TOKEN) as server:
        yield server


@pytest.fixture
def remote(server: Server) -> AirExecutorClient:
    return AirExecutorClient(url=server.url, token=TOKEN)


def test_it_has_all_the_methods_with_the_same_parameters() -> None:
    for name, method in inspect.getmembers(AirExecutorClient, inspect.isfunction):
        if not name.startswith("_"):
            assert name in vars(HttpClient), f"{name} would ask a folder"
            mine, theirs = (list(inspect.signature(m).parameters) for m in (getattr(HttpClient, name), method))
            assert mine == theirs, name


def test_a_job_from_its_making_to_its_end(remote: AirExecutorClient, base: Path, tmp_path: Path) -> None:
    assert isinstance(remote, AirExecutorClient)
    local = AirExecutorClient(base)
    tasks = [{"id": "a/b", "command": "echo ☃ $PWD; sleep 0.2", "shell": True}, {"id": "c", "command": "false"}]
    job_id = remote.create_job(NAME, tasks, cwd=tmp_path, job_id="mine/1", open=True, allow_failures=1)
    assert job_id == "mine/1"
    assert remote.create_job(NAME, tasks, cwd=tmp_path, job_id="mine/1") == job_id, "the same once more"
    assert remote.queue_tasks(NAME, [{"id": "d", "command": "true"}, {"command": "true"}])[0] == "d"
    with pytest.raises(errors.WaitTimeout):
        remote.wait(NAME, 0.2)
    remote.close(NAME)
    state = remote.wait(NAME, 30, job_id=job_id)
    assert state == {key: value for key, value in local.get_job(NAME).items() if key != "environment"}
    assert (state["id"], state["state"]) == (job_id, "completed")
    assert remote.progress(NAME) == local.progress(NAME)
    assert remote.tasks(NAME, "failed") == local.tasks(NAME, "failed")
    assert remote.logs(NAME, "a/b") == local.logs(NAME, "a/b") == f"☃ {tmp_path}\n"
    assert remote.logs(NAME, "c") == ""
    assert list(remote.events(NAME)) == json.loads(json.dumps(list(local.events(NAME))))  # without tuples
    assert list(remote.events(NAME, follow=True))[-1]["type"] == "RunEnded"
    assert remote.get_job(NAME)["progress"] == local.get_job(NAME)["progress"]
    assert [job["name"] for job in remote.jobs()] == [NAME]
    assert remote.find_task(NAME, "c")["exit_code"] == 1
    assert remote.manager_pid == local.manager_pid
    with pytest.raises(errors.JobSealed):
        remote.queue_tasks(NAME, [{"command": "true"}])
    remote.retry(NAME, ["c"])
    wait_for(lambda: remote.find_task(NAME, "c")["attempt"] == 2, "another attempt")
    remote.queue_tasks(NAME, [{"id": "e", "command": "true"}], reopen=True)
    wait_for(lambda: remote.wait(NAME, 30)["progress"]["completed"] == 4, "the task that was queued late")


def test_the_results_of_a_job(remote: AirExecutorClient, base: Path) -> None:
    leave = 'echo "$1" > "$AIR_EXECUTOR_RESULT"'
    tasks = [
        {"id": f'part "{n}"', "command": leave, "shell": True, "args": [json.dumps({"n": n, "text": "ü☃"})],
         "group": "odd" if n % 2 else "even"}
        for n in range(450)
    ]  # fmt: skip
    remote.create_job(NAME, [*tasks, {"id": "silent", "command": "true"}, {"id": "bad", "command": "false"}])
    remote.wait(NAME, 60)
    results = remote.results(NAME)
    assert list(results) == [task["id"] for task in tasks]
    assert all(value == {"n": n, "text": "ü☃"} for n, value in enumerate(results.values()))
    assert results == AirExecutorClient(base).results(NAME)
    assert [value["n"] for value in remote.results(NAME, "odd").values()] == list(range(1, 450, 2))
    assert remote.results(NAME, group="none") == AirExecutorClient(base).results(NAME, group="none") == {}
    for client in (remote, AirExecutorClient(base)):
        with pytest.raises(errors.NotFound):
            client.results("never")


def test_a_job_file_and_what_stops_it(remote: AirExecutorClient, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(
        "name: from-file\nparams: {n: 3}\ntasks:\n  - {id: t, command: sleep, args: ['30']}\n"
        "  - {id: u, command: echo, args: ['${n}'], dependencies: [t]}\n"
    )
    name, _ = remote.submit_file(file, {"n": "7"}, name="other")
    assert name == "other"
    wait_for(lambda: remote.get_job(name)["progress"]["running"] == 1, "a running task")
    remote.pause(name)
    wait_for(lambda: remote.get_job(name)["paused"], "the pause")
    remote.resume(name)
    remote.cancel(name, "t")
    wait_for(lambda: remote.find_task(name, "t").get("reason") == "cancelled", "the cancelled task")
    remote.retry(name)
    wait_for(lambda: remote.get_job(name)["progress"]["running"] == 1, "the task once more")
    remote.cancel(name)
    # state.json, which tells of ends, may still be that of the end before
    wait_for(lambda: remote.wait(name, 30)["reason"] == "cancelled", "the end of the cancelled job")


def test_errors_are_those_of_the_folder(remote: AirExecutorClient, server: Server) -> None:
    with pytest.raises(errors.NotFound, match="nobody"):
        remote.get_job("nobody")
    with pytest.raises(errors.NotFound):
        remote.logs("nobody", "t")
    with pytest.raises(errors.InvalidName):
        remote.get_job("a/b")
    with pytest.raises(errors.InvalidInput, match=r"tasks\[0\]\.retries"):
        remote.create_job("x", [{"command": "true", "retries": -1}])
    with pytest.raises(errors.InvalidInput):
        remote.create_job("x", [{"command": "true", "n": float("nan")}])
    with pytest.raises(errors.Refused, match="token"):
        AirExecutorClient(url=server.url, token="wrong").jobs()
    with pytest.raises(errors.InvalidInput):
        AirExecutorClient("base", url=server.url)
    for odd in ("", "ftp://x", "localhost:5001", "http://"):
        with pytest.raises(errors.InvalidInput):
            AirExecutorClient(url=odd)
    server.stop()
    with pytest.raises(errors.AirExecutorError, match="cannot be asked"):
        remote.jobs()
