"""What came of a job: its summary, why it failed in words, and what becomes of an Airflow task then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from air_executor import AirExecutorClient
from air_executor.airflow import outcome
from air_executor.airflow._compat import AirflowException, AirflowFailException
from tests.airflow.inside.dags import say
from tests.airflow.inside.jobs import Jobs, jobs_in, server_of

SIX: list[dict[str, Any]] = [
    say("good"),
    {"id": "value", "command": "echo 5 > $AIR_EXECUTOR_RESULT", "shell": True},
    {"id": "bad", "command": "echo first; echo 'ValueError: bad row 12' >&2; exit 3", "shell": True},
    {"id": "quiet", "command": "exit 4", "shell": True},
    {"id": "slow", "command": "sleep", "args": ["60"], "timeout_s": 0.1},
    {"id": "after", "command": "true", "dependencies": ["bad"]},
]


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with jobs_in(tmp_path) as jobs:
        jobs.manage()
        yield jobs


@pytest.fixture(params=["folder", "server"])
def client(request: pytest.FixtureRequest, jobs: Jobs) -> Iterator[AirExecutorClient]:
    if request.param == "folder":
        yield jobs.client
        return
    with server_of(jobs.base) as server:
        yield AirExecutorClient(url=server.url)


def run(client: AirExecutorClient, name: str, tasks: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    job_id = client.create_job(name, tasks, **options)
    return client.wait(name, 60, job_id=job_id)


def test_a_summary(client: AirExecutorClient) -> None:
    state = run(client, "six", SIX)
    told = outcome.summary(client, "six", state["id"])
    assert 0.1 <= told.pop("duration_s") < 30
    assert told == {
        "job_name": "six",
        "job_id": state["id"],
        "state": "failed",
        "total_tasks": 6,
        "completed": 2,
        "failed": 4,
        "skipped": 1,
        "cancelled": 0,
        "results": {"value": 5},
    }
    assert "results" not in outcome.summary(client, "six", results=False)


def test_a_failure_is_told_with_last_lines_those_first_that_failed_by_themselves(client: AirExecutorClient) -> None:
    state = run(client, "six", SIX)
    first, *lines = outcome.failure_text(client, {**state, "name": "six"}).split("\n")
    assert first == "job 'six' failed: 3 of 6 tasks failed: 'bad', 'quiet', 'slow'"
    told = {line.split(":")[0].strip(): line for line in lines[:4]}
    assert set(list(told)[:3]) == {"bad", "quiet", "slow"}
    assert list(told)[3] == "after"
    assert told["bad"].endswith("ValueError: bad row 12")
    assert "exit" in told["quiet"]
    assert "time" in told["slow"]
    assert "bad" in told["after"]
    assert lines[4].startswith("see ")


def test_of_many_failures_ten_are_told(client: AirExecutorClient) -> None:
    state = run(client, "many", [say(f"t{n}", fail=True) for n in range(40)])
    lines = outcome.failure_text(client, {**state, "name": "many"}).split("\n")
    assert sum(": exit" in line or "exit: " in line for line in lines[1:]) == 10
    assert "  and 30 more" in lines


def test_how_an_airflow_task_ends(client: AirExecutorClient) -> None:
    outcome.raise_if_failed(client, run(client, "good", [say("a")]))
    with pytest.raises(AirflowException) as caught:
        outcome.raise_if_failed(client, {**run(client, "bad", [say("a", fail=True)]), "name": "bad"})
    assert not isinstance(caught.value, AirflowFailException)
    client.create_job("hand", [{"command": "sleep", "args": ["60"]}])
    client.cancel("hand")
    with pytest.raises(AirflowFailException, match="somebody cancelled it, so it is not tried again; clear the task"):
        outcome.raise_if_failed(client, {**client.wait("hand", 60), "name": "hand"})


def test_a_job_whose_owner_was_lost_is_tried_again(jobs: Jobs) -> None:
    state = run(jobs.client, "lost", [{"command": "sleep", "args": ["60"]}], lease_s=0.2)
    assert state["reason"] == "cancelled"
    with pytest.raises(AirflowException, match="its owner was not heard of") as caught:
        outcome.raise_if_failed(jobs.client, state)
    assert not isinstance(caught.value, AirflowFailException)


def test_a_job_that_could_not_be_understood(client: AirExecutorClient) -> None:
    state = run(client, "deps", [{"id": "a", "command": "true", "dependencies": ["nobody"]}])
    text = outcome.failure_text(client, {**state, "name": "deps"})
    assert "job 'deps' failed: task 'a' depends on unknown 'nobody'" in text


def test_a_run_that_another_has_followed(client: AirExecutorClient) -> None:
    first = run(
        client,
        "twice",
        [say("one", fail=True), {"id": "r", "command": "echo 1 > $AIR_EXECUTOR_RESULT", "shell": True}],
    )
    second = run(client, "twice", [say("two")])
    told = outcome.summary(client, "twice", first["id"])
    assert (told["job_id"], told["state"], told["failed"], told["total_tasks"]) == (first["id"], "failed", 1, 2)
    assert outcome.summary(client, "twice", second["id"])["completed"] == 1
    text = outcome.failure_text(client, {**client.wait("twice", 0, job_id=first["id"]), "name": "twice"})
    assert "'one'" in text
    if not hasattr(client, "url"):
        assert told["results"] == {"r": 1}
        assert "  one: exit code 3: one" in text


def test_what_is_too_much_for_an_xcom_is_told_by_place_number_and_digest() -> None:
    small = {"a": "x" * 47_000}
    assert outcome.bounded(small, "/there", 1) is small
    told = outcome.bounded({"a": "ä" * 24_000}, "/there", 1)
    assert told["path"] == "/there"
    assert told["count"] == 1
    assert len(told["sha256"]) == 64


def test_a_hundred_thousand_failures_do_not_take_long(jobs: Jobs) -> None:
    import json
    import time

    folder = jobs.folder("huge")
    folder.mkdir(parents=True)
    ended = {"status": "failed", "reason": "exit", "error": "exit code 1", "created_at": "2025-10-02T07:30:00Z"}
    tasks = [{"id": f"t{n}", "command": "false", "args": ["x" * 50], **ended} for n in range(100_000)]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    state = {"id": "huge-1", "name": "huge", "state": "failed", "error": "e", "progress": {"failed": 100_000}}
    (folder / "state.json").write_text(json.dumps(state))
    began = time.process_time()
    assert "and 99,990 more" in outcome.failure_text(AirExecutorClient(jobs.base), state)
    assert time.process_time() - began < 5
