"""Whose word a manager takes, what it shows, and where it does not follow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from air_executor import AirExecutorClient
from air_executor.masking import looks_secret
from tests.support import ManagerProcess, by_id, read, wait_end, wait_for, write_job

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="acting as another user needs root")


def refusal(base: Path, **environment: str) -> str:
    """What a manager that does not start says."""
    done = subprocess.run(
        [sys.executable, "-m", "air_executor", "manager", "--base", str(base), "--until-idle"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode in (0, 6), done
    return done.stderr if done.returncode else ""


def test_a_base_that_everybody_may_write_to_is_refused(base: Path) -> None:
    base.chmod(0o777)
    assert "can be written by everybody" in refusal(base)
    assert refusal(base, AIR_EXECUTOR_ALLOW_UNSAFE_BASE="1") == ""
    base.chmod(0o770)
    assert "init --group" in refusal(base)


@needs_root
def test_root_does_not_run_another_users_tasks(base: Path) -> None:
    os.chown(base, 65_534, 65_534)
    assert "as root" in refusal(base)


@needs_root
def test_inbox_files_of_others_are_passed_over(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    client.create_job("open", open=True)
    wait_for((base / "jobs/open/journal.jsonl").exists, "the job")
    inbox = base / "jobs" / "open" / "inbox"
    planted = inbox / ".planted"
    planted.write_text('{"id": "evil", "command": "touch", "args": ["/tmp/evil"]}\n')
    os.chown(planted, 65_534, 65_534)
    planted.rename(inbox / "0-planted.drop.jsonl")
    wait_for(lambda: "passed over" in (base / "manager.log").read_text(), "the warning")
    client.queue_tasks("open", [{"id": "good", "command": "true"}])
    client.close("open")
    client.wait("open", 20)
    assert list(by_id(base / "jobs/open")) == ["good"]


@pytest.mark.parametrize("name", ["inbox", "logs", "inbox/results"])
def test_a_file_in_the_place_of_a_folder_ends_the_job(base: Path, manager: ManagerProcess, name: str) -> None:
    folder, new = base / "jobs" / "job", base / "new"
    (new / name).parent.mkdir(parents=True)
    (new / name).write_text("not a folder")
    (new / "tasks.json").write_text('[{"command": "true"}]')
    (new / "state.json").write_text('{"id": "x"}')
    new.rename(folder)
    state = wait_end(folder)
    assert state["state"] == "failed"
    assert str(folder / name) in state["error"]


def test_symbolic_links_are_not_followed(base: Path, manager: ManagerProcess, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "tasks.json").write_text('[{"id": "a", "command": "true"}]')
    (outside / "state.json").write_text('{"id": "x", "name": "linked"}')
    (base / "jobs" / "linked").symlink_to(outside)
    for name, target in (("logs", outside), ("inbox", outside)):
        folder = base / "jobs" / f"linked {name}"
        folder.mkdir()
        (folder / name).symlink_to(target)
        (folder / "state.json").write_text('{"id": "y"}')
        (folder / "tasks.json").write_text('[{"id": "a", "command": "echo", "args": ["x"]}]')
    folder = base / "jobs" / "linked tasks"
    folder.mkdir()
    (folder / "tasks.json").symlink_to(outside / "tasks.json")
    (folder / "state.json").write_text('{"id": "z"}')
    for name in ("linked logs", "linked inbox", "linked tasks"):
        state = wait_end(base / "jobs" / name)
        assert state["state"] == "failed", state
    assert "symbolic link" in (base / "manager.log").read_text()
    assert sorted(os.listdir(outside)) == ["state.json", "tasks.json"]
    assert wait_end(write_job(base, "good", [{"command": "true"}]))["state"] == "completed"


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "PGPASSWORD", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "API_KEY", "key"]
)
def test_names_that_look_secret(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["AUTHOR", "KEYBOARD", "PATH", "COMPASS_X", "MONKEY"])
def test_names_that_do_not(name: str) -> None:
    assert not looks_secret(name)


def test_secret_looking_values_are_masked_where_they_are_shown(
    base: Path, manager: ManagerProcess, tmp_path: Path
) -> None:
    client = AirExecutorClient(base)
    script = "test ${#DB_PASSWORD} = 10 && test ${#api_token} = 13 && sleep 0.6"
    task = {"id": "a", "command": script, "shell": True, "env": {"DB_PASSWORD": "hunter2-db", "REGION": "eu"}}
    client.create_job("masked", [task], params={"api_token": "hunter2-param"})
    folder = base / "jobs" / "masked"
    wait_for(lambda: by_id(folder)["a"]["env"]["DB_PASSWORD"] == "***", "the masked view")
    # Written back, masks and all, by somebody who appends: nothing changes, and nothing is complained of.
    tasks = read(folder / "tasks.json")
    (folder / "new").write_text(json.dumps([*tasks, {"id": "b", "command": "true"}]))
    (folder / "new").rename(folder / "tasks.json")
    state = client.wait("masked", 20)
    assert (state["state"], state["warnings"], state["progress"]["completed"]) == ("completed", [], 2)
    assert by_id(folder)["a"]["env"] == {"DB_PASSWORD": "***", "REGION": "eu"}
    shown = [json.dumps(client.get_job("masked")), json.dumps(list(client.events("masked")))]
    shown += [(base / "manager.log").read_text(), (folder / "tasks.json").read_text()]
    for command in ("tasks", "events", "status"):
        done = subprocess.run(
            [sys.executable, "-m", "air_executor", command, "masked", "--base", str(base), "--json"],
            capture_output=True,
            text=True,
            check=True,
        )
        shown.append(done.stdout)
    assert not any("hunter2" in text for text in shown)


def test_everything_in_a_private_base_is_private(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    old = os.umask(0)
    try:
        start_manager()
        client = AirExecutorClient(base)
        client.create_job("private", [{"id": "a", "command": "echo", "args": ["x"]}])
        client.wait("private", 20)
    finally:
        os.umask(old)
    assert base.stat().st_mode & 0o777 == 0o700
    for path in (base / "jobs" / "private").rglob("*"):
        if path.is_file() and path.suffix in (".json", ".jsonl"):
            assert path.stat().st_mode & 0o077 == 0, path
