"""Jobs by who handed them in: told of each, asked for by it, counted apart by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from air_executor import AirExecutorClient
from tests.acceptance.web_server import Server, Stream, served
from tests.support import ManagerProcess, wait_end, write_job

ORIGINS: dict[str, Any] = {
    "first": {"airflow": {"dag_id": "etl", "run_id": "r+1", "map_index": 0}},
    "second": {"airflow": {"dag_id": "etl", "run_id": "r+2", "map_index": 0}},
    "third": {"airflow": {"dag_id": "other", "run_id": "r+1", "map_index": 1}},
    "by-hand": None,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With ended jobs, and one that no manager has taken up."""
    base = tmp_path_factory.mktemp("origin") / "base"
    (base / "jobs").mkdir(parents=True)
    base.chmod(0o700)
    manager = ManagerProcess(base).start()
    client = AirExecutorClient(base)
    for name, origin in ORIGINS.items():
        given = {} if origin is None else {"origin": origin}
        job_id = client.create_job(name, [{"command": "true" if name != "second" else "false"}], **given)
        wait_end(base / "jobs" / name, job_id)
    manager.stop()
    write_job(base, "waiting", [], origin={"airflow": {"dag_id": "late"}}, state="waiting")
    write_job(base, "too-much", [], origin={"airflow": {"dag_id": "late", "more": "x" * 5_000}}, state="waiting")
    with served(base) as server:
        yield server


def named(server: Server, wanted: Any) -> set[str]:
    return {job["name"] for job in server.get(f"/jobs?origin={quote(json.dumps(wanted))}").json["jobs"]}


def test_each_job_tells_its_origin(server: Server) -> None:
    listed = {job["name"]: job["origin"] for job in server.get("/jobs").json["jobs"]}
    assert listed == {**ORIGINS, "waiting": {"airflow": {"dag_id": "late"}}, "too-much": None}
    for name, origin in listed.items():
        told = server.get(f"/jobs/{name}/origin").json
        assert told["origin"] == origin
        assert told["id"] == server.get(f"/jobs/{name}").json["id"]
    assert server.get("/jobs/first/history").json["runs"][0]["origin"] == ORIGINS["first"]
    assert server.get("/jobs/none/origin").status == 404


def test_jobs_are_asked_for_by_it(server: Server) -> None:
    assert named(server, {"airflow": {"dag_id": "etl"}}) == {"first", "second"}
    assert named(server, {"airflow": {"dag_id": "etl", "run_id": "r+1"}}) == {"first"}
    assert named(server, {"airflow": {"map_index": 1}}) == {"third"}
    assert named(server, {"airflow": {}}) == {"first", "second", "third", "waiting"}
    assert named(server, {"airflow": "etl"}) == set()
    for wrong in ("x", "[]", "{"):
        assert server.get(f"/jobs?origin={wrong}").status == 422
        assert server.get(f"/events?origin={wrong}").status == 422


def test_events_of_those_only(server: Server) -> None:
    stream = Stream(server, f"/events?origin={quote(json.dumps({'airflow': {'dag_id': 'other'}}))}")
    event = next(iter(stream))
    assert [job["name"] for job in event.data["jobs"]] == ["third"]


def test_numbers_apart(server: Server) -> None:
    told = server.get("/info?by=airflow.dag_id").json
    apart = {group["value"]: group["counts"] for group in told["apart"]}
    assert set(apart) == {"etl", "other", "late", None}
    assert apart["etl"] == {"waiting": 0, "working": 0, "completed": 1, "failed": 1}
    for state, count in told["counts"].items():
        assert count == sum(group[state] for group in apart.values())
    assert "apart" not in server.get("/info").json
