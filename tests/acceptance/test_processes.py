"""No process outlives its task unnoticed: children left behind, memory limits, time-outs of adopted tasks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from air_executor import AirExecutorClient
from tests.acceptance.test_bad_input import launcher_pids
from tests.acceptance.test_control import alive
from tests.support import ManagerProcess, by_id, read, wait_end, wait_for, write_job

SRC = Path(__file__).parents[2] / "src" / "air_executor"


def test_children_left_behind_are_ended_after_the_grace_time(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    start_manager(AIR_EXECUTOR_GRACE_S="0.5")
    tasks = [
        {"id": "ended", "command": "sleep 1000 & echo $!", "shell": True},
        {"id": "stubborn", "command": "(trap '' TERM; while :; do sleep 1; done) & echo $!", "shell": True},
        {"id": "kept", "command": "sleep 1000 & echo $!", "shell": True, "keep_children": True},
    ]
    folder = write_job(base, "left", tasks)
    assert wait_end(folder)["state"] == "completed"
    pids = {name: int((folder / "logs" / f"{name}.log").read_text()) for name in ("ended", "stubborn", "kept")}
    try:
        assert all(map(alive, pids.values()))
        wait_for(lambda: not alive(pids["ended"]) and not alive(pids["stubborn"]), "both to be ended")
        assert alive(pids["kept"])
        text = (base / "manager.log").read_text()
        assert "task 'ended' left processes behind" in text
        assert "'kept'" not in text
    finally:
        os.kill(pids["kept"], signal.SIGKILL)


def test_memory_limit(base: Path, manager: ManagerProcess) -> None:
    script = "data = bytearray(300_000_000); import time; time.sleep(1000)"
    fields = {"command": sys.executable, "args": ["-c", script], "memory_mb": 100}
    tasks = [
        {"id": "alone", **fields, "enforce_memory": True},
        {
            "id": "child",
            "command": "sh",
            "args": ["-c", '"$0" -c "$1" & wait', sys.executable, script],
            "memory_mb": 100,
        }
        | {"enforce_memory": True},
        {"id": "small", "command": "sleep", "args": ["0.6"], "memory_mb": 100, "enforce_memory": True},
    ]
    folder = write_job(base, "memory", tasks)
    wait_end(folder)
    found = by_id(folder)
    for name in ("alone", "child"):
        assert found[name]["reason"] == "memory"
        assert "its limit of 100 MB" in found[name]["error"]
    assert found["small"]["status"] == "completed"


def test_an_adopted_task_keeps_its_time_out(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    manager = start_manager("--slots", "2", "--launchers", "1", AIR_EXECUTOR_GRACE_S="0.2")
    task = {"id": "a", "command": "echo $$; exec sleep 1000", "shell": True, "timeout_s": 2}
    folder = write_job(base, "adopted", [task])
    log = folder / "logs" / "a.log"
    wait_for(lambda: log.exists() and log.read_text(), "the task")
    os.kill(launcher_pids(manager)[0], signal.SIGKILL)
    wait_end(folder)
    assert by_id(folder)["a"]["reason"] == "timeout"
    assert not alive(int(log.read_text()))


def test_cancel_of_an_adopted_task(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    manager = start_manager("--slots", "2", "--launchers", "1", AIR_EXECUTOR_GRACE_S="0.2")
    folder = write_job(
        base, "adopted", [{"id": "a", "command": "trap '' TERM; echo $$; while :; do sleep 1; done", "shell": True}]
    )
    log = folder / "logs" / "a.log"
    wait_for(lambda: log.exists() and log.read_text(), "the task")
    old = launcher_pids(manager)
    os.kill(old[0], signal.SIGKILL)
    wait_for(lambda: launcher_pids(manager) not in ([], old), "another launcher")
    AirExecutorClient(base).cancel("adopted")
    wait_end(folder)
    assert by_id(folder)["a"]["reason"] == "cancelled"
    assert not alive(int(log.read_text()))


def test_exit_code_of_a_task_whose_manager_and_launchers_were_killed(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    """A new manager is not the parent; the kernel tells (6.15 and later), else the end is `lost`."""
    manager = start_manager("--slots", "4", "--launchers", "1")
    gate = base / "gate"
    script = f"while [ ! -e {gate} ]; do sleep 0.02; done; exit 3"
    folder = write_job(base, "both", [{"id": str(n), "command": script, "shell": True} for n in range(4)])
    wait_for(lambda: read(folder / "state.json").get("progress", {}).get("running") == 4, "four running")
    launchers = launcher_pids(manager)
    manager.kill()
    for pid in launchers:
        os.kill(pid, signal.SIGKILL)
    start_manager("--slots", "4", "--launchers", "1")
    gate.touch()
    wait_end(folder)
    kernel = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    reasons = {(task["reason"], task.get("exit_code")) for task in by_id(folder).values()}
    assert reasons == ({("exit", 3)} if kernel >= (6, 15) else {("lost", None)})


def test_a_start_and_its_stop_in_one_breath(tmp_path: Path) -> None:
    """A launcher that reads both frames at once must not obey the stop before it knows the start."""
    (tmp_path / "logs").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "sock"))
    listener.listen()
    process = subprocess.Popen(
        [
            sys.executable,
            "-I",
            "-S",
            str(SRC / "runners" / "launcher.py"),
            "l",
            str(listener.fileno()),
            str(tmp_path),
        ],
        pass_fds=[listener.fileno()],
    )
    try:
        with socket.socket(socket.AF_UNIX) as conn:
            conn.connect(str(tmp_path / "sock"))
            conn.settimeout(10)
            context = ["ctx", 0, {"dir": str(tmp_path), "env": {"PATH": "/usr/bin:/bin"}, "cwd": "/"}]
            key = '["j","r","t",1]'
            start = ["run", 1, key, 0, "t", "t", 1, ["sleep", "1000"], None, None, None, 0.2, False, None]
            frames = [json.dumps(frame).encode() for frame in ([context], [start], [["kill", 1, 0.2]])]
            conn.sendall(b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames))
            received = b""
            deadline = time.monotonic() + 10
            while b'"cancelled"' not in received and time.monotonic() < deadline:
                received += conn.recv(65_536)
            assert b'["x",1,' in received
            quit_frame = json.dumps([["quit"]]).encode()
            conn.sendall(len(quit_frame).to_bytes(4, "big") + quit_frame)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        listener.close()


STRAY = "setsid sh -c 'echo $$; exec sleep 1000' & "
STUBBORN_STRAY = """setsid sh -c 'trap "" TERM; echo $$; while :; do sleep 0.2; done' & """


def strays(folder: Path, *names: str) -> dict[str, int]:
    """The pids that these tasks' strays have printed."""
    logs = {name: folder / "logs" / f"{name}.log" for name in names}
    wait_for(lambda: all(log.exists() and log.read_text().endswith("\n") for log in logs.values()), "the strays")
    return {name: int(log.read_text().split()[0]) for name, log in logs.items()}


@pytest.mark.parametrize("how", ["cancel", "timeout", "cancel the job"])
def test_what_left_the_group_is_ended_with_its_task(
    base: Path, start_manager: Callable[..., ManagerProcess], how: str
) -> None:
    start_manager("--slots", "4", AIR_EXECUTOR_GRACE_S="0.5")
    limit = {"timeout_s": 1.0} if how == "timeout" else {}
    tasks = [
        {"id": "willing", "command": STRAY + "sleep 1000", "shell": True, **limit},
        {"id": "stubborn", "command": STUBBORN_STRAY + "sleep 1000", "shell": True, **limit},
        {"id": "other", "command": STRAY + "sleep 1000", "shell": True},
    ]
    folder = write_job(base, "strays", tasks)
    pids = strays(folder, "willing", "stubborn", "other")
    client = AirExecutorClient(base)
    if how == "cancel the job":
        client.cancel("strays")
        wait_end(folder)
        assert not any(map(alive, pids.values()))
        return
    if how == "cancel":
        client.cancel("strays", "willing")
        client.cancel("strays", "stubborn")
    wait_for(
        lambda: [by_id(folder)[name].get("status") for name in pids] == ["failed", "failed", "running"], "two ends"
    )
    assert not alive(pids["willing"])
    assert not alive(pids["stubborn"])
    assert alive(pids["other"])
    client.cancel("strays")
    wait_end(folder)
    assert not alive(pids["other"])


def test_what_left_the_group_of_an_adopted_task_is_ended_with_it(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    manager = start_manager("--slots", "2", "--launchers", "1", AIR_EXECUTOR_GRACE_S="0.2")
    folder = write_job(base, "strays", [{"id": "a", "command": STUBBORN_STRAY + "sleep 1000", "shell": True}])
    pids = strays(folder, "a")
    old = launcher_pids(manager)
    os.kill(old[0], signal.SIGKILL)
    wait_for(lambda: launcher_pids(manager) not in ([], old), "another launcher")
    AirExecutorClient(base).cancel("strays")
    wait_end(folder)
    wait_for(lambda: not alive(pids["a"]), "the end of the stray")


def test_what_an_earlier_run_left_on_purpose_is_not_taken_for_a_stray(base: Path, manager: ManagerProcess) -> None:
    """Tasks of two runs of a job may have the same id."""
    client = AirExecutorClient(base)
    task = {"id": "a", "command": STRAY + "sleep 0.3", "shell": True, "keep_children": True}
    client.create_job("twice", [task])
    folder = base / "jobs" / "twice"
    (kept,) = strays(folder, "a").values()
    try:
        wait_end(folder)
        job_id = client.create_job("twice", [{**task, "command": STRAY + "sleep 1000"}])
        wait_for(lambda: list(folder.glob("runs/*/journal.jsonl")), "the second run")
        (second,) = strays(folder, "a").values()
        client.cancel("twice")
        wait_end(folder, job_id)
        assert alive(kept)
        assert not alive(second)
    finally:
        os.kill(kept, signal.SIGKILL)
