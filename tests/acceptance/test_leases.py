"""A job with a lease: it goes on while somebody renews it, and is cancelled when nobody does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from air_executor import AirExecutorClient, errors
from tests.acceptance.web_server import served
from tests.support import ManagerProcess, read, wait_end, wait_for

SLEEP = [{"id": "sleep", "command": "sleep", "args": ["600"]}]
GONE = "its owner was not heard of for 0.5 s"


def began(client: AirExecutorClient, name: str) -> dict[str, str]:
    """The task of a job, when it runs."""
    found = wait_for(lambda: client.tasks(name, "running"), f"a running task of {name}")
    return found[0]  # type: ignore[no-any-return]


def dropped(base: Path, name: str) -> list[str]:
    return [path.name for path in (base / "jobs" / name / "inbox").glob("*.drop.jsonl")]


def test_a_job_whose_owner_is_gone_is_cancelled(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    began_at = time.monotonic()
    client.create_job("left", [*SLEEP, {"id": "next", "command": "true", "dependencies": ["sleep"]}], lease_s=0.5)
    state = client.wait("left", 30)
    assert time.monotonic() - began_at >= 0.5
    assert (state["state"], state["reason"], state["error"]) == ("failed", "cancelled", GONE)
    assert [task["reason"] for task in client.tasks("left")] == ["cancelled", "cancelled"]
    request = [event for event in client.events("left") if event["type"] == "CancelRequested"]
    assert [event["error"] for event in request] == [GONE]


def test_a_job_that_is_renewed_goes_on(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    job_id = client.create_job("kept", SLEEP, lease_s=3)
    began(client, "kept")
    until = time.monotonic() + 4
    while time.monotonic() < until:
        client.renew("kept", job_id=job_id)
        wait_for(lambda: not dropped(base, "kept"), "the renewal to be read")
    assert client.get_job("kept")["state"] == "working"
    journal = (base / "jobs" / "kept" / "journal.jsonl").read_text()
    assert "renew" not in journal
    assert "RequestDone" not in journal
    client.renew("kept", job_id="another run's")  # does not count
    state = client.wait("kept", 30)
    assert state["error"] == "its owner was not heard of for 3 s"
    client.renew("kept")
    assert dropped(base, "kept") == []
    with pytest.raises(errors.NotFound):
        client.renew("never")


def test_renewals_that_nobody_reads_do_not_pile_up(base: Path) -> None:
    client = AirExecutorClient(base)
    client.create_job("unread", SLEEP, lease_s=60)
    for _ in range(5):
        client.renew("unread")
        client.renew("unread", job_id="one")
    assert len(dropped(base, "unread")) == 2


def test_a_killed_manager_cancels_nothing_and_the_next_one_begins_the_lease_anew(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    first = start_manager("--slots", "2")
    client = AirExecutorClient(base)
    client.create_job("orphan", SLEEP, lease_s=1)
    client.create_job("other", SLEEP, lease_s=600)
    began(client, "orphan"), began(client, "other")
    first.kill()
    time.sleep(1.1)  # longer than the lease: nobody could be heard
    restarted = time.monotonic()
    start_manager("--slots", "2")
    state = wait_end(base / "jobs" / "orphan")
    assert time.monotonic() - restarted >= 1
    assert state["error"] == "its owner was not heard of for 1 s"
    [task] = client.tasks("orphan")
    assert (task["attempt"], task["reason"]) == (1, "cancelled")
    assert read(base / "jobs" / "other" / "state.json")["state"] == "working"


def test_a_server_passes_renewals_and_origins_on(base: Path, manager: ManagerProcess) -> None:
    origin = {"airflow": {"dag_id": "d", "run_id": "manual__2025-10-02T07:30:00+00:00", "map_index": -1}}
    with served(base) as server:
        client = AirExecutorClient(url=server.url)
        job_id = client.create_job("remote", SLEEP, lease_s=600, origin=origin)
        wait_for(lambda: client.get_job("remote")["state"] == "working", "a running task")
        client.renew("remote", job_id=job_id)
        wait_for(lambda: not dropped(base, "remote"), "the renewal to be read")
        job = client.get_job("remote")
        assert (job["state"], job["origin"], job["options"]["origin"]) == ("working", origin, origin)
        with pytest.raises(errors.InvalidInput, match="run: expected the id of a run"):
            client.renew("remote", job_id=7)  # type: ignore[arg-type]
        client.cancel("remote")
        assert client.wait("remote", 30)["origin"] == origin
        client.renew("remote")
        with pytest.raises(errors.NotFound):
            client.renew("never")


def test_the_origin_of_a_job_is_kept_as_it_came(base: Path, manager: ManagerProcess, tmp_path: Path) -> None:
    client = AirExecutorClient(base)
    file = tmp_path / "job.json"
    origin = {"team": {"name": "${who}", "tries": [1, None]}}
    file.write_text(json.dumps({"tasks": [], "params": {"who": "me"}, "origin": origin}))
    client.submit_file(file)
    assert client.wait("job", 30)["origin"] == origin
    assert next(client.events("job"))["options"]["origin"] == origin
    client.create_job("job", origin={"next": 2})
    wait_for(lambda: client.get_job("job").get("origin") == {"next": 2}, "the next run")
    with pytest.raises(errors.InvalidInput, match="origin: expected an object of at most 4,096 bytes of JSON"):
        client.create_job("long", origin={"a": "x" * 4_096})
    with pytest.raises(errors.InvalidInput, match="lease_s: expected a number of seconds over 0"):
        client.create_job("none", lease_s=0)
