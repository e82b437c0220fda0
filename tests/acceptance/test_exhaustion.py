"""What runs out, or changes under the manager's feet: descriptors, processes, watches, time, folders."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from air_executor import AirExecutorClient
from tests.support import ManagerProcess, by_id, ended, read, wait_end, wait_for, write_job

CLOCKED = """
import sys, time
from pathlib import Path
offset, real = Path(sys.argv.pop(1)), time.time
time.time = lambda: real() + float(offset.read_text())
from air_executor.cli import main
sys.exit(main())
"""


def test_256_descriptors_are_enough_for_2000_running_tasks(base: Path) -> None:
    command = [
        *("sh", "-c", 'ulimit -n 256; exec "$@"', "sh", sys.executable, "-m", "air_executor"),
        *("manager", "--base", str(base), "--slots", "2000"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        gate = base / "gate"
        script = f"ulimit -n; while [ ! -e {gate} ]; do sleep 1; done"
        folder = write_job(base, "wide", [{"id": str(n), "command": script, "shell": True} for n in range(2_000)])
        wait_for(lambda: read(folder / "state.json").get("progress", {}).get("running") == 2_000, "2,000 running")
        wait_for(lambda: len(os.listdir(folder / "logs")) >= 2_000, "their logs")
        gate.touch()
        state = wait_end(folder)
        assert state["progress"]["completed"] == 2_000
        assert (folder / "logs" / "7.log").read_text() == "256\n"
    finally:
        process.send_signal(signal.SIGUSR2)
        process.wait(30)


@pytest.mark.skipif(os.geteuid() != 0, reason="acting as another user needs root")
def test_no_process_to_be_had_is_waited_for(tmp_path: Path) -> None:
    """`ulimit -u` holds for users other than root: run a manager as one, on a base of his own."""
    user = 54_321
    home = Path(f"/var/tmp/air-executor-nproc-{os.getpid()}")
    base = home / "base"
    (base / "jobs").mkdir(parents=True)
    shutil.copytree(Path(__file__).parents[2] / "src", home / "src")
    for path in (home, *home.rglob("*")):
        os.chown(path, user, user)
    base.chmod(0o700)
    libraries = home / "lib"
    libraries.mkdir()
    for module in ("msgspec", "click"):
        shutil.copytree(Path(__import__(module).__file__).parent, libraries / module)
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (12, 12));"
        f"from air_executor.cli import main; main(['manager', '--base', {str(base)!r}, '--slots', '50'])"
    )
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    process = subprocess.Popen(
        [python, "-c", script],
        env={"PYTHONPATH": f"{home / 'src'}:{libraries}", "PATH": "/usr/bin:/bin"},
        user=user,
        group=user,
        extra_groups=[],
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        folder = write_job(base, "many", [{"id": str(n), "command": "sleep", "args": ["0.2"]} for n in range(60)])
        for path in (folder, *folder.iterdir()):
            os.chown(path, user, user)
        state = wait_end(folder)
        assert (state["state"], state["progress"]["completed"]) == ("completed", 60), state
    finally:
        process.send_signal(signal.SIGUSR2)
        process.wait(30)
        shutil.rmtree(home)


@pytest.mark.parametrize("jump_s", [7_200.0, -7_200.0], ids=["forward", "backward"])
def test_the_clock_may_be_set_by_hours(base: Path, tmp_path: Path, jump_s: float) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    process = subprocess.Popen(
        [sys.executable, "-c", CLOCKED, str(offset), "manager", "--base", str(base), "--slots", "4"],
        stderr=subprocess.DEVNULL,
    )
    try:
        tasks = [
            {
                "id": "retried",
                "command": 'test "$AIR_EXECUTOR_ATTEMPT" = 3',
                "shell": True,
                "retries": 2,
                "retry_delay_s": 0.7,
            },
            {"id": "long", "command": "sleep", "args": ["1.5"]},
        ]
        folder = write_job(base, "clock", tasks, deadline_s=600)
        wait_for(lambda: by_id(folder)["retried"].get("attempt") == 1, "the first attempt")
        offset.write_text(str(jump_s))
        state = wait_end(folder, deadline_s=20)
        assert (state["state"], state["progress"]["completed"]) == ("completed", 2)
        assert "clock was set" in (base / "manager.log").read_text()
    finally:
        process.send_signal(signal.SIGUSR2)
        process.wait(30)


def test_without_notification_folders_are_polled(base: Path) -> None:
    """No inotify instance is to be had: everything works, only later, and the manager says so."""
    driver = """
import sys
from air_executor.store import notify
def refuse(self): raise OSError(24, "Too many open files")
notify.Notifier.__init__ = refuse
from air_executor.cli import main
sys.exit(main())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", driver, "manager", "--base", str(base)], stderr=subprocess.DEVNULL
    )
    try:
        client = AirExecutorClient(base)
        job_id = client.create_job("polled", [{"id": "a", "command": "true"}], open=True)
        client.queue_tasks("polled", [{"id": "b", "command": "true"}])
        client.close("polled")
        assert client.wait("polled", 20, job_id=job_id)["progress"]["completed"] == 2
        client.queue_tasks("polled", [{"id": "c", "command": "true"}], reopen=True)
        wait_for(lambda: client.get_job("polled")["progress"]["completed"] == 3, "the reopened job")
        assert "looked at from time to time" in (base / "manager.log").read_text()
    finally:
        process.send_signal(signal.SIGUSR2)
        process.wait(30)


def test_folders_removed_moved_and_replaced_while_they_run(base: Path, manager: ManagerProcess) -> None:
    pids = {}
    for name in ("removed", "moved", "replaced"):
        folder = write_job(base, name, [{"id": "a", "command": "echo $$; exec sleep 1000", "shell": True}])
        log = folder / "logs" / "a.log"
        wait_for(lambda log=log: log.exists() and log.read_text().strip(), f"{name} to run")
        pids[name] = int(log.read_text())
    shutil.rmtree(base / "jobs" / "removed")
    (base / "jobs" / "moved").rename(base / "jobs" / "elsewhere")
    (base / "jobs" / "replaced").rename(base / "old")
    fresh = base / ".fresh"
    fresh.mkdir()
    (fresh / "tasks.json").write_text('[{"id": "b", "command": "true"}]')
    (fresh / "state.json").write_text('{"id": "new"}')
    fresh.rename(base / "jobs" / "replaced")
    assert wait_end(base / "jobs" / "replaced")["id"] == "new"
    moved = wait_end(base / "jobs" / "elsewhere")
    assert (moved["state"], by_id(base / "jobs" / "elsewhere")["a"]["reason"]) == ("failed", "lost")
    for name, pid in pids.items():
        wait_for(lambda pid=pid: not Path(f"/proc/{pid}").exists(), f"the process of {name} to end")
    assert wait_end(write_job(base, "good", [{"command": "true"}]))["state"] == "completed"


def test_read_only_base_is_said_in_one_line(base: Path) -> None:
    if os.geteuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(base)], check=True)
        (base / "jobs").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(base)], check=True)
    else:
        base.chmod(0o500)
    try:
        for command in (["manager"], ["submit", str(Path(__file__).with_name("conftest.py")), "--name", "x"]):
            done = subprocess.run(
                [sys.executable, "-m", "air_executor", *command, "--base", str(base)],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert done.returncode in (2, 6), done
            assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", str(base)], check=True)


def test_many_ended_jobs_start_quickly_and_cost_nothing(
    base: Path, start_manager: Callable[..., ManagerProcess]
) -> None:
    """5,000 ended folders (100,000 in the soak): none of their journals is read through, all can be woken."""
    check_many_ended_jobs(base, start_manager, 5_000)


@pytest.mark.soak
def test_100000_job_folders(base: Path, start_manager: Callable[..., ManagerProcess]) -> None:
    check_many_ended_jobs(base, start_manager, 100_000)


def check_many_ended_jobs(base: Path, start_manager: Callable[..., ManagerProcess], count: int) -> None:
    first = start_manager()
    template = write_job(base, "template", [{"id": "a", "command": "true"}])
    wait_end(template)
    first.stop(signal.SIGTERM)
    texts = {name: (template / name).read_bytes() for name in ("tasks.json", "journal.jsonl", "state.json")}
    for number in range(count):
        folder = base / "jobs" / f"job-{number}"
        folder.mkdir()
        for name, text in texts.items():  # the state last, as a manager leaves it
            (folder / name).write_bytes(text)
    manager = start_manager()
    status = Path(f"/proc/{manager.pid}/status").read_text()
    megabytes = int(status.split("VmRSS:")[1].split()[0]) / 1000
    assert megabytes < 60 + count * 0.002, megabytes
    AirExecutorClient(base).queue_tasks("job-77", [{"id": "b", "command": "true"}], reopen=True)
    wait_for(lambda: read(base / "jobs/job-77/state.json")["progress"]["completed"] == 2, "job-77 woken")


@pytest.mark.soak
def test_a_task_list_of_500_megabytes(base: Path, manager: ManagerProcess) -> None:
    folder = base / "jobs" / "large"
    folder.mkdir()
    filler = "x" * 5_000
    with open(folder / "tasks.json", "w") as file:
        file.write("[")
        for number in range(100_000):
            task = {"id": str(number), "command": "true", "note": filler}
            file.write(("," if number else "") + json.dumps(task))
        file.write("]")
    assert (folder / "tasks.json").stat().st_size > 500_000_000
    (folder / "state.json").write_text('{"id": "large"}')
    wait_for(lambda: read(folder / "state.json").get("state") == "working", "the large job", 120)
    assert wait_end(write_job(base, "good", [{"command": "true"}]))["state"] == "completed"
    AirExecutorClient(base).cancel("large")
    assert wait_end(folder, deadline_s=300)["reason"] == "cancelled"


def test_a_large_task_list_does_not_stop_other_jobs(base: Path, manager: ManagerProcess) -> None:
    client = AirExecutorClient(base)
    client.create_job("large", [{"id": str(n), "command": "sleep", "args": ["0.05"]} for n in range(50_000)])
    began = time.monotonic()
    client.create_job("small", [{"id": "a", "command": "true"}])
    client.wait("small", 30)
    assert time.monotonic() - began < 15
    assert ended(base / "jobs" / "large") is None
    client.cancel("large")
    client.wait("large", 60)
