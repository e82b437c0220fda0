"""Tasks in control groups of their own, where the system lets us divide one: nothing gets out of those."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from air_executor import AirExecutorClient
from air_executor.runners import cgroups
from tests.acceptance.test_bad_input import launcher_pids
from tests.acceptance.test_control import alive
from tests.support import ManagerProcess, by_id, wait_end, wait_for, write_job

StartManager = Callable[..., ManagerProcess]
GROUP = cgroups.delegated()
HIDDEN = "env -i setsid sh -c '{trap}echo $$; while :; do sleep 0.2; done' & "
"""A process that has neither its task's process group nor its environment."""

needs_group = pytest.mark.skipif(GROUP is None, reason="no control group is left to us to divide")


def task(task_id: str, line: str, **fields: object) -> dict[str, object]:
    return {"id": task_id, "command": line, "shell": True, "memory_mb": 500, "enforce_memory": True, **fields}


def pid_in(log: Path) -> int:
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"), log.name)
    return int(log.read_text().split()[0])


def group_of(pid: int) -> str:
    """The group a process is in, below ours."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::"))


def left_groups() -> list[Path]:
    assert GROUP is not None
    return list(Path(GROUP).glob("launcher-*"))


@needs_group
@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_not_even_a_process_without_group_and_mark_outlives_its_task(
    base: Path, start_manager: StartManager, how: str
) -> None:
    start_manager("--slots", "4", AIR_EXECUTOR_GRACE_S="0.5")
    limit = {"timeout_s": 1.0} if how == "timeout" else {}
    stubborn = HIDDEN.format(trap='trap "" TERM; ')
    tasks = [
        task("willing", HIDDEN.format(trap="") + "sleep 1000", **limit),
        task("stubborn", stubborn + "sleep 1000", **limit),
    ]
    folder = write_job(base, "groups", tasks)
    pids = {name: pid_in(folder / "logs" / f"{name}.log") for name in ("willing", "stubborn")}
    groups = {group_of(pid) for pid in pids.values()}
    assert len(groups) == 2
    assert all("/launcher-" in group for group in groups)
    if how == "cancel":
        AirExecutorClient(base).cancel("groups")
    wait_end(folder)
    assert not any(map(alive, pids.values()))
    assert {t["reason"] for t in by_id(folder).values()} == {"cancelled" if how == "cancel" else "timeout"}


@needs_group
def test_what_is_left_in_a_group_after_a_normal_end_is_ended_or_kept(base: Path, start_manager: StartManager) -> None:
    manager = start_manager("--slots", "4", "--launchers", "1", AIR_EXECUTOR_GRACE_S="0.3")
    line = HIDDEN.format(trap="") + "sleep 0.2; exit 3"
    folder = write_job(base, "left", [task("ended", line), task("kept", line, keep_children=True)])
    wait_end(folder)
    kept = pid_in(folder / "logs" / "kept.log")
    try:
        wait_for(lambda: not alive(pid_in(folder / "logs" / "ended.log")), "the end of what was left")
        assert {t["exit_code"] for t in by_id(folder).values()} == {3}
        assert alive(kept)
        ours = [group for group in left_groups() if f"-{manager.pid}-" in group.name]
        wait_for(lambda: len([p for p in ours[0].iterdir() if p.is_dir()]) == 1, "the other's group to be removed")
    finally:
        os.kill(kept, 9)
    (group,) = (path for path in ours[0].iterdir() if path.is_dir())
    wait_for(lambda: "populated 0" in (group / "cgroup.events").read_text(), "its end, and that of its child")
    manager.stop()
    wait_for(lambda: not any(f"-{manager.pid}-" in group.name for group in left_groups()), "the groups to go")


@needs_group
def test_a_task_in_a_group_is_a_task_like_others(base: Path, start_manager: StartManager) -> None:
    """Output, directory, exit codes, signals, commands that are not there, and the log of each."""
    start_manager("--slots", "4")
    tasks = [
        task("says", "echo $PWD; echo to stderr >&2; cat; ps -o pgid= -p $$ | tr -d ' '; echo $$"),
        task("fails", "exit 7"),
        task("dies", "kill -USR1 $$"),
        {"id": "not there", "command": "/no/such/program", "memory_mb": 5, "enforce_memory": True},
        {"id": "no program", "command": "/etc", "memory_mb": 5, "enforce_memory": True},
    ]
    folder = write_job(base, "like", tasks)
    wait_end(folder)
    found = by_id(folder)
    place, stderr, pgid, pid = AirExecutorClient(base).logs("like", "says").splitlines()
    assert (place, stderr, pgid) == (str(base.parent), "to stderr", pid)
    assert {name: (t.get("reason"), t.get("exit_code"), t.get("signal")) for name, t in found.items()} == {
        "says": (None, 0, None),
        "fails": ("exit", 7, None),
        "dies": ("signal", None, "SIGUSR1"),
        "not there": ("not_started", 127, None),
        "no program": ("not_started", 126, None),
    }


@needs_group
def test_a_task_whose_launcher_was_killed_is_ended_with_all_of_its_group(
    base: Path, start_manager: StartManager
) -> None:
    manager = start_manager("--slots", "2", "--launchers", "1", AIR_EXECUTOR_GRACE_S="0.2")
    folder = write_job(base, "adopted", [task("a", HIDDEN.format(trap='trap "" TERM; ') + "sleep 1000")])
    hidden = pid_in(folder / "logs" / "a.log")
    old = launcher_pids(manager)
    os.kill(old[0], 9)
    wait_for(lambda: launcher_pids(manager) not in ([], old), "another launcher")
    AirExecutorClient(base).cancel("adopted")
    wait_end(folder)
    wait_for(lambda: not alive(hidden), "the end of the hidden process")
    wait_for(lambda: not any(f"-{manager.pid}-" in group.name for group in left_groups()), "the groups to go")


@needs_group
@pytest.mark.skipif(os.geteuid() != 0, reason="making users needs root, useradd and groupadd")
@pytest.mark.parametrize(("owner", "found"), [(65534, True), (0, False)], ids=["left to us", "somebody else's"])
def test_only_a_group_of_our_own_is_divided(tmp_path: Path, owner: int, found: bool) -> None:
    """A program of another user, moved into a group that is or is not that user's."""
    assert GROUP is not None
    group = Path(GROUP) / f"test-{os.getpid()}-{owner}"
    group.mkdir()
    try:
        for path in (group, group / "cgroup.procs", group / "cgroup.subtree_control"):
            os.chown(path, owner, owner)
        code = Path(cgroups.__file__).read_text() + "\nprint(own_group(), delegated())"
        enter = f"echo $$ > {group}/cgroup.procs; exec setpriv --reuid 65534 --regid 65534 --clear-groups "
        python = next(p for p in ("/usr/bin/python3", sys.executable) if os.path.exists(p))
        done = subprocess.run(
            ["/bin/sh", "-c", enter + python + ' -I -S -c "$0"', code], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [str(group), str(group) if found else "None"]
    finally:
        wait_for(lambda: not (group / "cgroup.procs").read_text(), "the end of the program")
        group.rmdir()


@needs_group
def test_memory_of_processes_outside_of_the_process_group_counts_too(base: Path, start_manager: StartManager) -> None:
    start_manager("--slots", "2", AIR_EXECUTOR_GRACE_S="0.5")
    hold = "data = bytearray(300_000_000); import time; time.sleep(1000)"
    line = f"env -i setsid {sys.executable} -c '{hold}' & sleep 1000"
    folder = write_job(base, "hidden", [task("hidden", line, memory_mb=100), task("small", "true", memory_mb=100)])
    wait_end(folder)
    found = by_id(folder)
    assert (found["hidden"]["reason"], found["small"]["status"]) == ("memory", "completed")
    assert "its limit of 100 MB" in found["hidden"]["error"]


@pytest.mark.skipif(GROUP is None or not cgroups.enable_memory(GROUP), reason="no control group here limits memory")
def test_the_kernel_ends_a_task_that_needs_more_memory_than_it_may(base: Path, start_manager: StartManager) -> None:
    """At once, however short the peak."""
    start_manager("--slots", "2")
    peak = "data = bytearray(300_000_000)"
    folder = write_job(base, "memory", [task("peak", f"exec {sys.executable} -c '{peak}'", memory_mb=100)])
    wait_end(folder)
    found = by_id(folder)["peak"]
    assert (found["reason"], found["error"]) == ("memory", "used more memory than its limit of 100 MB")
