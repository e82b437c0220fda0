"""Waiting for many jobs by one question, and the report that a server gives."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from air_executor import AirExecutorClient, errors
from air_executor.client_http import HttpClient
from tests.acceptance.command_line import environment
from tests.acceptance.web_server import Server, served
from tests.support import ManagerProcess, wait_for

ODD = "a&b=ü +%2F#?"


@pytest.fixture
def server(base: Path) -> Iterator[Server]:
    with served(base) as server:
        yield server


@pytest.fixture
def remote(server: Server) -> HttpClient:
    return HttpClient(url=server.url)


def test_each_run_is_told_of_in_the_order_asked(
    base: Path, remote: HttpClient, start_manager: Callable[..., ManagerProcess], tmp_path: Path
) -> None:
    client = AirExecutorClient(base)
    go = tmp_path / "go"
    first = client.create_job(ODD, [{"command": "true"}], cwd=tmp_path)
    assert remote.ends([(ODD, first)])[0]["state"]["state"] == "waiting"
    start_manager("--slots", "2")
    client.wait(ODD, 30, job_id=first)
    waits = [{"command": f"until test -e {go}; do sleep 0.02; done", "shell": True, "env": {"TOKEN": "s3cret"}}]
    second = client.create_job(ODD, waits, cwd=tmp_path)
    wait_for(lambda: client.get_job(ODD)["id"] == second, "the second run")
    third = client.create_job(ODD, [{"command": "true"}], cwd=tmp_path)
    wanted: list[tuple[str, str | None]] = [(ODD, third), ("nobody", None), (ODD, None), (ODD, first), (ODD, "other")]
    found = {(one["job"], one["run"]): one for one in remote.ends(wanted)}
    assert list(found) == wanted
    assert found["nobody", None] == {
        "job": "nobody", "run": None, "found": False, "missing": True, "ended": False, "state": None
    }  # fmt: skip
    assert [found[key]["missing"] for key in wanted] == [False, True, False, False, True]
    assert [found[key]["ended"] for key in wanted] == [False, False, False, True, False]
    assert found[ODD, first]["state"]["id"] == first
    assert found[ODD, None]["state"]["id"] == second
    assert "environment" not in found[ODD, None]["state"]
    go.touch()
    wait_for(lambda: remote.ends([(ODD, None)])[0]["ended"], "the end of the last run")
    ended = remote.ends([(ODD, third), (ODD, second), (ODD, None)])
    assert [one["state"]["id"] for one in ended] == [third, second, third]
    assert all(one["ended"] and one["state"]["state"] == "completed" for one in ended)


def test_an_end_that_is_to_be_undone_is_none(
    base: Path, remote: HttpClient, start_manager: Callable[..., ManagerProcess], tmp_path: Path
) -> None:
    client = AirExecutorClient(base)
    manager = start_manager("--slots", "2")
    marker = tmp_path / "marker"
    job_id = client.create_job("again", [{"command": f"test -e {marker}", "shell": True}], cwd=tmp_path)
    assert client.wait("again", 30)["state"] == "failed"
    manager.stop()
    marker.touch()
    client.retry("again")
    for run in (job_id, None):
        (found,) = remote.ends([("again", run)])
        assert found["ended"] is False, "it was told to go on, though nobody has heard it yet"
    start_manager("--slots", "2")
    state = wait_for(lambda: (end := remote.ends([("again", job_id)])[0])["ended"] and end["state"], "the new end")
    assert state["state"] == "completed"


def test_more_than_an_address_can_hold_are_asked_for_in_portions(base: Path, remote: HttpClient) -> None:
    client = AirExecutorClient(base)
    names = [f"{'é' * 100}{n}" for n in range(30)]
    for name in names:
        client.create_job(name)
    found = remote.ends([(name, None) for name in names])
    assert [one["job"] for one in found] == names
    assert all(one["found"] for one in found)
    assert remote.ends([]) == []


def test_questions_that_make_no_sense_are_refused(server: Server, remote: HttpClient) -> None:
    for query, said in (
        ("job=a&run=1&run=2", "run: expected one for each job (1) or none at all, got 2"),
        ("run=1", "run: expected one for each job (0) or none at all, got 1"),
        ("job=a%2Fb", "'/' is not allowed"),
        ("job=..", "a leading '.' is not allowed"),
    ):
        answer = server.get(f"/ends?{query}")
        assert answer.status == 422, query
        assert said in answer.json["error"]
    assert server.get("/ends").json == {"ends": []}
    assert server.get("/ends?" + urlencode({"job": "x" * 250, "run": "../../etc"})).json["ends"][0]["missing"]
    with pytest.raises(errors.InvalidName):
        remote.ends([("a/b", None)])


def test_a_base_that_is_gone_is_said_to_be(base: Path, server: Server, remote: HttpClient) -> None:
    shutil.rmtree(base)
    assert server.get("/ends?job=a").status == 503
    with pytest.raises(errors.BaseUnusable, match="no base folder at"):
        remote.ends([("a", None)])


def test_the_report_is_what_status_prints(base: Path, server: Server, remote: HttpClient, tmp_path: Path) -> None:
    client = AirExecutorClient(base)
    client.create_job(ODD, [{"id": "t", "command": "true"}], cwd=tmp_path)
    assert "no manager is running, so nothing starts" in remote.report(ODD)
    manager = ManagerProcess(base).start()
    try:
        client.wait(ODD, 30)
    finally:
        manager.stop()
    printed = subprocess.run(
        [sys.executable, "-m", "air_executor", "status", "--base", str(base), ODD],
        env=environment(PYTHONIOENCODING="utf-8"), capture_output=True, check=True, encoding="utf-8",
    ).stdout  # fmt: skip
    answer = server.get(f"/jobs/{quote(ODD, safe='')}/report")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body.decode() == printed == remote.report(ODD)
    assert "✔ t" in printed
    assert server.get("/jobs/nobody/report").status == 404


def test_every_route_that_tells_of_jobs_needs_the_token(base: Path) -> None:
    with served(base, AIR_EXECUTOR_TOKEN="t" * 40) as server:
        paths: dict[str, Any] = server.get("/openapi.json").json["paths"]
        asked = []
        for path, operations in paths.items():
            for method in operations:
                if path == "/healthz":
                    continue
                answer = server.ask(method.upper(), path.replace("{name}", "job").replace("{id}", "t"))
                assert answer.status == 401, (method, path)
                asked.append(path)
        assert "/ends" in asked
        assert len(asked) > 25
