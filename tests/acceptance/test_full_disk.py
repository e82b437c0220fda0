"""Disks that are really full, one for each place that is written to: what happens then, and after."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

import air_executor
from air_executor import AirExecutorClient
from air_executor.store.journal import read_journal
from tests.acceptance.command_line import air_executor as command
from tests.support import ManagerProcess, by_id, ended, read, wait_end, wait_for, write_job

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")

StartManager = Callable[..., ManagerProcess]
NO_ROOM = os.strerror(errno.ENOSPC)


def write_for_ever(file: FileIO) -> None:
    while True:
        file.write(b"x" * 4_096)


class SmallDisk:
    """A small file system of its own, mounted where only the files in question are."""

    def __init__(self, place: Path, options: str) -> None:
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "none", str(place)], check=True)

    def fill(self, leave: int = 0) -> None:
        """Leave no room but `leave` bytes."""
        with open(self.place / ".filler", "ab", buffering=0) as file:
            with pytest.raises(OSError, match=NO_ROOM):
                write_for_ever(file)
            if leave:
                file.truncate(os.fstat(file.fileno()).st_size - leave)

    def make_room(self) -> None:
        (self.place / ".filler").unlink()

    def grow(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.place)], check=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.place)], check=True)


@pytest.fixture
def small_disk(base: Path) -> Iterator[Callable[..., SmallDisk]]:
    """Mounts small file systems below the base; they go with the test."""
    mounted: list[SmallDisk] = []

    def mount(place: Path, options: str) -> SmallDisk:
        mounted.append(SmallDisk(place, options))
        return mounted[-1]

    yield mount
    for disk in reversed(mounted):
        disk.close()


@pytest.fixture
def start(small_disk: Callable[..., SmallDisk], start_manager: StartManager) -> StartManager:
    """Starts managers, which are ended before the disks go."""
    return start_manager


def log_of(base: Path) -> str:
    return (base / "manager.log").read_text()


def counting(folder: Path, count: int) -> list[dict[str, Any]]:
    """Tasks of which each adds a line to a file of its own, outside of every small disk."""
    folder.mkdir()
    name = folder.name
    line = 'echo x >> "$1"'
    return [
        {"id": f"{name}{n}", "command": "/bin/sh", "args": ["-c", line, "sh", str(folder / str(n))]}
        for n in range(count)
    ]


def times_run(folder: Path) -> list[int]:
    return [path.read_text().count("x") for path in folder.iterdir()]


def test_journal(base: Path, tmp_path: Path, small_disk: Callable[..., SmallDisk], start: StartManager) -> None:
    """The manager may even be killed and started again while there is no room."""
    disk = small_disk(base / "jobs", "size=400k")
    small_disk(base / "jobs" / "full" / "logs", "size=20m")
    manager = start("--slots", "4")
    effects = tmp_path / "effects"
    tasks = counting(effects, 1_500)
    folder = base / "jobs" / "full"
    (folder / "tasks.json").write_text(json.dumps(tasks))
    (folder / "state.json").write_text(json.dumps({"id": "full-1", "name": "full"}))
    wait_for(lambda: "no new work starts" in log_of(base), "the message")
    manager.kill()
    manager.start()
    wait_for(lambda: log_of(base).count("no new work starts") > 1, "the message again")
    assert ended(folder) is None
    assert len(times_run(effects)) < 1_500
    disk.grow("size=40m")
    state = wait_end(folder)
    assert (state["state"], state["progress"]["completed"]) == ("completed", 1_500)
    assert times_run(effects) == [1] * 1_500
    wait_for(lambda: "work goes on" in log_of(base), "the word that all is well")


def test_views(base: Path, tmp_path: Path, small_disk: Callable[..., SmallDisk], start: StartManager) -> None:
    """The journal has room, a view has not: tasks go on, and the views come when there is room."""
    disk = small_disk(base / "jobs", "size=6m")
    small_disk(base / "jobs" / "views" / "logs", "size=20m")
    folder = base / "jobs" / "views"
    effects = tmp_path / "effects"
    tasks = counting(effects, 400)
    tasks += [
        {"id": "gate", "command": "/bin/sh", "args": ["-c", f"until [ -e {tmp_path}/gate ]; do sleep .02; done"]}
    ]
    for task in tasks:
        task["note"] = "x" * 1_000  # the view has it, the journal once
    manager = start("--slots", "4")
    (folder / "tasks.json").write_text(json.dumps(tasks))
    (folder / "state.json").write_text(json.dumps({"id": "views-1", "name": "views"}))
    wait_for(lambda: by_id(folder).get("gate", {}).get("status") == "running", "a first view")
    disk.fill(leave=400_000)  # a view needs more
    AirExecutorClient(base).queue_tasks("views", counting(tmp_path / "more", 50))
    wait_for(lambda: "cannot write its views" in log_of(base), "the message")
    wait_for(lambda: len(times_run(tmp_path / "more")) == 50, "the tasks queued meanwhile")
    assert read(folder / "tasks.json")  # the last one that could be written, whole
    (tmp_path / "gate").touch()
    wait_for(lambda: str(read_journal(folder / "journal.jsonl")[0][-1]).startswith("RunEnded"), "the end")
    assert ended(folder) is None, "state.json is last to change"
    disk.make_room()
    assert wait_end(folder)["progress"]["completed"] == 451
    assert {task["status"] for task in read(folder / "tasks.json")} == {"completed"}
    assert manager.process.poll() is None


def test_logs(base: Path, tmp_path: Path, small_disk: Callable[..., SmallDisk], start: StartManager) -> None:
    """A task sees that its output has no room, as with any program; no file for it to write to is waited for."""
    disk = small_disk(base / "jobs" / "logs" / "logs", "size=400k,nr_inodes=12")
    folder = base / "jobs" / "logs"
    start("--slots", "2", "--launchers", "1")
    script = f"until [ -e {tmp_path}/gate ]; do sleep .02; done; printf '%2000s' end"
    chatty = {"id": "chatty", "command": "/bin/sh", "args": ["-c", script]}
    (folder / "tasks.json").write_text(json.dumps([chatty]))
    (folder / "state.json").write_text(json.dumps({"id": "logs-1", "name": "logs", "open": True}))
    wait_for((folder / "logs" / "chatty.log").exists, "its log")
    disk.fill()
    for number in range(12):  # and no room for another name either
        try:
            (folder / "logs" / f".name-{number}").touch()
        except OSError:
            break
    (tmp_path / "gate").touch()
    effects = tmp_path / "effects"
    client = AirExecutorClient(base)
    client.queue_tasks("logs", [*counting(effects, 20), {"id": "after", "command": "echo", "args": ["heard"]}])
    wait_for(lambda: f"starts nothing for now: {folder}/logs" in log_of(base), "the message")
    assert NO_ROOM in log_of(base)
    wait_for(lambda: by_id(folder)["chatty"].get("status") == "failed", "the end of the one that writes")
    assert by_id(folder)["chatty"]["reason"] == "exit"
    assert not times_run(effects)
    disk.make_room()
    for path in (folder / "logs").glob(".name-*"):
        path.unlink()
    wait_for(lambda: read(folder / "state.json")["progress"]["completed"] == 21, "the others")
    client.close("logs")
    wait_end(folder)
    assert times_run(effects) == [1] * 20
    assert client.logs("logs", "after") == "heard\n"
    assert "starts tasks again" in log_of(base)


def test_spool(base: Path, tmp_path: Path, small_disk: Callable[..., SmallDisk], start: StartManager) -> None:
    """A launcher starts nothing that it could not write down, and an end it could not is kept until it can."""
    disk = small_disk(base / "runtime", "size=200k")
    manager = start("--slots", "3", "--launchers", "1")
    gate = {
        "id": "gate",
        "command": "/bin/sh",
        "args": ["-c", f"until [ -e {tmp_path}/gate ]; do sleep .02; done; exit 7"],
    }
    folder = write_job(base, "spool", [gate])
    wait_for(lambda: by_id(folder).get("gate", {}).get("status") == "running", "the first task")
    disk.fill()
    spool = next((base / "runtime").glob("*.spool"))
    with open(spool, "r+b") as file:  # what is left of its last page
        file.seek(0, 2)
        room = -file.tell() % 4_096
        file.write(b" " * (room - 1) + b"\n")
    effects = tmp_path / "effects"
    AirExecutorClient(base).queue_tasks("spool", counting(effects, 30))
    wait_for(lambda: f"starts nothing for now: {spool}: {NO_ROOM}" in log_of(base), "the message")
    manager.kill()
    (tmp_path / "gate").touch()  # it ends unseen by a manager, and its launcher has no room for it
    manager.start()
    wait_for(lambda: log_of(base).count("starts nothing for now") > 1, "the message to the next manager")
    assert not times_run(effects)
    disk.make_room()
    state = wait_end(folder)
    assert (state["progress"]["completed"], state["progress"]["failed"]) == (30, 1)
    assert by_id(folder)["gate"]["exit_code"] == 7
    assert times_run(effects) == [1] * 30


def test_inbox(base: Path, tmp_path: Path, small_disk: Callable[..., SmallDisk], start: StartManager) -> None:
    """Whoever queues is told, and nothing of it is accepted; what was accepted before is carried out."""
    disk = small_disk(base / "jobs" / "inbox" / "inbox", "size=200k")
    (base / "jobs" / "inbox" / "inbox" / "results").mkdir(mode=0o700)
    folder = base / "jobs" / "inbox"
    start("--slots", "3")
    program = (
        "import os, sys, time; from air_executor import task\n"
        f"while not os.path.exists({str(tmp_path / 'gate')!r}): time.sleep(.02)\n"
        "try: task.queue([{'id': 'never', 'command': 'true'}])\n"
        "except OSError as error: sys.exit(f'told: {error}')"
    )
    source = str(Path(air_executor.__file__).parents[1])
    tasks = [
        {"id": "asks", "command": sys.executable, "args": ["-c", program],
         "env": {"PYTHONPATH": os.pathsep.join([source, *sys.path])}},
        {"id": "prints", "command": "/bin/bash", "args": [
            "-c", f"until [ -e {tmp_path}/gate ]; do sleep .02; done\n"
            "printf '\\n{\"id\":\"not-either\",\"command\":\"true\"}\\n' >> \"$AIR_EXECUTOR_INBOX\""]},
    ]  # fmt: skip
    (folder / "tasks.json").write_text(json.dumps(tasks))
    (folder / "state.json").write_text(json.dumps({"id": "inbox-1", "name": "inbox", "open": True}))
    wait_for(
        lambda: (
            (folder / "state.json").exists() and read(folder / "state.json").get("progress", {}).get("running") == 2
        ),
        "the tasks",
    )
    disk.fill()
    (tmp_path / "gate").touch()
    said = command("queue", "--job", "inbox", "--base", str(base), "--", "true", cwd=tmp_path, code=6).stderr
    assert said == f"air-executor: error: cannot write to {folder / 'inbox'}: {NO_ROOM}\n"
    wait_for(lambda: read(folder / "state.json")["progress"]["failed"] == 2, "the ends of both")
    assert {task["reason"] for task in read(folder / "tasks.json")} == {"exit"}
    assert f"told: [Errno {errno.ENOSPC}]" in AirExecutorClient(base).logs("inbox", "asks")
    assert [n for n in os.listdir(folder / "inbox") if "drop" in n] == []
    disk.make_room()
    command("queue", "--job", "inbox", "--id", "now", "--base", str(base), "--", "true", cwd=tmp_path)
    command("close", "inbox", "--base", str(base), cwd=tmp_path)
    assert wait_end(folder)["progress"] == {"total": 3, "pending": 0, "running": 0, "completed": 1, "failed": 2}
    assert set(by_id(folder)) == {"asks", "prints", "now"}


def test_a_run_handed_in_by_hand_is_not_lost_when_it_cannot_be_kept(
    base: Path, tmp_path: Path, small_disk: Callable[..., SmallDisk], start: StartManager
) -> None:
    """Views are replaced only after what others wrote there could be kept."""
    disk = small_disk(base / "jobs", "size=3m")
    folder = write_job(
        base,
        "next",
        [{"id": "gate", "command": "/bin/sh", "args": ["-c", f"until [ -e {tmp_path}/gate ]; do sleep .02; done"]}],
    )
    manager = start()
    wait_for(lambda: by_id(folder).get("gate", {}).get("status") == "running", "the first run")
    effects = tmp_path / "effects"
    following = counting(effects, 300)
    (folder / "new-tasks").write_text(json.dumps(following))
    (folder / "new-state").write_text(json.dumps({"id": "next-2", "name": "next", "note": "x" * 10_000}))
    disk.fill()
    (folder / "new-state").rename(folder / "state.json")
    wait_for(lambda: NO_ROOM in log_of(base), "the message")
    (folder / "new-tasks").rename(folder / "tasks.json")
    manager.kill()
    disk.make_room()
    (tmp_path / "gate").touch()
    manager.start()
    state = wait_end(folder, "next-2")
    assert (state["state"], state["progress"]["completed"]) == ("completed", 300)
    assert times_run(effects) == [1] * 300


def test_what_a_task_left_is_kept_when_there_is_room(
    base: Path, tmp_path: Path, small_disk: Callable[..., SmallDisk], start: StartManager
) -> None:
    """No job is given up because something wrong in it cannot be set aside."""
    disk = small_disk(base / "jobs", "size=1m")
    folder = base / "jobs" / "kept"
    for name in ("inbox", "logs"):
        small_disk(folder / name, "size=1m")
    (folder / "inbox" / "results").mkdir(mode=0o700)
    script = (
        f"until [ -e {tmp_path}/gate ]; do sleep .02; done; "
        "printf '\\n%6000s\\n' wrong >> \"$AIR_EXECUTOR_INBOX\"; exit 5"
    )
    (folder / "tasks.json").write_text(json.dumps([{"id": "a", "command": "/bin/sh", "args": ["-c", script]}]))
    (folder / "state.json").write_text(json.dumps({"id": "kept-1", "name": "kept"}))
    start("--slots", "2")
    wait_for(lambda: by_id(folder)["a"].get("status") == "running", "the task")
    disk.fill()
    (tmp_path / "gate").touch()
    wait_for(lambda: NO_ROOM in log_of(base), "the message")
    disk.make_room()
    state = wait_end(folder)
    assert (state["state"], state["reason"]) == ("failed", "invalid")
    assert "kept as refused-record-0" in state["error"]
    assert "wrong" in (folder / "refused-record-0").read_text()
    assert by_id(folder)["a"]["exit_code"] == 5


def test_submitting_says_so_and_leaves_nothing(
    base: Path, tmp_path: Path, small_disk: Callable[..., SmallDisk], start: StartManager
) -> None:
    disk = small_disk(base, "size=1m")
    (base / "jobs").mkdir(mode=0o700)
    start()
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"name": "submitted", "tasks": [{"command": "true", "env": {"A": "x" * 20_000}}]}))
    disk.fill()
    said = command("submit", str(job), "--base", str(base), cwd=tmp_path, code=6).stderr
    assert said == f"air-executor: error: cannot write to {base}: {NO_ROOM}\n"
    assert os.listdir(base / "jobs") == []
    disk.make_room()
    command("submit", str(job), "--wait", "--base", str(base), cwd=tmp_path)
    disk.fill()
    command("submit", str(job), "--base", str(base), cwd=tmp_path, code=6)  # into a folder that is there
    disk.make_room()
    command("submit", str(job), "--wait", "--base", str(base), cwd=tmp_path)
    assert len(list((base / "jobs" / "submitted" / "runs").iterdir())) == 1


def test_a_manager_that_cannot_begin_says_so_in_one_line(
    base: Path, tmp_path: Path, small_disk: Callable[..., SmallDisk], start: StartManager
) -> None:
    disk = small_disk(base, "size=1m")
    (base / "jobs").mkdir(mode=0o700)
    folder = write_job(base, "waits", [{"command": "true"}])
    disk.fill()
    said = command("manager", "--base", str(base), cwd=tmp_path, code=6).stderr
    assert said.splitlines()[-1].startswith("air-executor: error: ")
    assert NO_ROOM in said.splitlines()[-1]
    disk.make_room()
    start()
    assert wait_end(folder)["state"] == "completed"
