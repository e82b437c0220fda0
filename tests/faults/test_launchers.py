"""Launchers killed at named points, and what becomes of the tasks they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from air_executor.runners.pidfd import pidfd_exit_status
from tests.faults.crashing import LAUNCHER_EFFECTS
from tests.faults.killing import Faulty
from tests.faults.test_random_instants import may_repeat_half, verify
from tests.faults.workload import Workload, mixed
from tests.support import by_id, ended, wait_for

POINTS = {
    "write": [2, 9, 30, 61],
    "rename": [1, 5, 12],
    "posix_spawn": [1, 6, 23],
    "wait4": [2, 30],
    "send": [2, 9, 33],
}


def kernel_keeps_exits() -> bool:
    """Whether the kernel tells how somebody else's child ended (6.15 and later)."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    fd = os.pidfd_open(pid)
    os.waitpid(pid, 0)
    try:
        return pidfd_exit_status(fd) == 0
    finally:
        os.close(fd)


def test_every_effect_of_a_launcher_has_its_points() -> None:
    assert set(POINTS) == set(LAUNCHER_EFFECTS)


@pytest.mark.parametrize(
    ("effect", "how"),
    [(e, h) for e in POINTS for h in ("before", "after", *(["torn"] if e in ("write", "send") else []))],
)
def test_a_launcher_killed_at(faulty: Faulty, tmp_path: Path, effect: str, how: str) -> None:
    work = mixed(tmp_path, 120, seed=len(effect) + len(how), raw=1, python=1)
    may_repeat_half(work)
    job_id = work.submit(faulty.base)
    folder = faulty.base / "jobs" / work.name
    died = 0
    for number, n in enumerate(POINTS[effect]):
        fuse = tmp_path / f"fuse-{number}"
        fuse.touch()
        plan = {"effect": effect, "n": n, "how": how, "fuse": str(fuse), "note": str(faulty.note)}
        manager = faulty.start(launcher=plan)
        wait_for(partial(_burnt_or_over, faulty, manager, fuse, folder), "a crash")
        died += not fuse.exists()
        time.sleep(0.1)  # the manager finds its launcher gone
        faulty.stop(manager)
    faulty.finish(folder, job_id)
    assert died >= 1
    findings = verify(faulty, work, folder, lost_allowed=True)
    assert len(findings.lost) <= 2 * died, findings.lost


def _burnt_or_over(faulty: Faulty, manager: subprocess.Popen[bytes], fuse: Path, folder: Path) -> bool:
    return faulty.runs(manager) and (not fuse.exists() or ended(folder) is not None)


def three_sleepers(root: Path) -> Workload:
    work = Workload(root, "sleepers")
    for n in range(3):
        work.add(f"sleep{n}", "sleep", 1.2)
    return work


def all_begun(work: Workload) -> bool:
    return all((work.effects / task["id"]).exists() for task in work.tasks)


def test_tasks_of_a_killed_launcher_go_on_and_keep_their_exit_codes(faulty: Faulty, tmp_path: Path) -> None:
    work = three_sleepers(tmp_path)
    work.add("fails-late", "sleep", 0.5)
    work.tasks[-1]["args"] = ["-c", f"echo 1 > {work.effects}/fails-late; sleep 0.5; exit 7"]
    work.expected["fails-late"] = ("failed", "exit", 7)
    job_id = work.submit(faulty.base)
    manager = faulty.start()
    wait_for(lambda: all_begun(work), "four tasks")
    for pid in faulty.launchers():
        os.kill(pid, signal.SIGKILL)
    folder = faulty.base / "jobs" / work.name
    faulty.wait_end(manager, folder, job_id)
    faulty.stop(manager)
    ends = {i: (t["status"], t.get("reason"), t["exit_code"], t["attempt"]) for i, t in by_id(folder).items()}
    assert ends == {i: (*work.expected[i], 1) for i in work.expected}
    assert all((work.effects / i).read_text() == "1\n" for i in ends)


def test_a_task_of_a_killed_launcher_survives_the_managers_too(faulty: Faulty, tmp_path: Path) -> None:
    """The dead launcher's spool must not go while a task of it runs: else the next manager starts it again."""
    work = three_sleepers(tmp_path)
    job_id = work.submit(faulty.base)
    manager = faulty.start()
    wait_for(lambda: all_begun(work), "three tasks")
    for pid in faulty.launchers():
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)
    faulty.kill(manager)
    manager = faulty.start()
    time.sleep(0.3)
    faulty.kill(manager)
    folder = faulty.base / "jobs" / work.name
    faulty.finish(folder, job_id)
    verify(faulty, work, folder, lost_allowed=not kernel_keeps_exits())


def test_what_ended_while_both_were_dead_is_lost_and_run_again_only_where_that_is_allowed(
    faulty: Faulty, tmp_path: Path
) -> None:
    work = Workload(tmp_path)
    work.add("once", "sleep", 0.5)
    work.add("again", "sleep", 0.5, idempotent=True)
    work.add("retried", "sleep", 0.5, retries=1)
    job_id = work.submit(faulty.base)
    manager = faulty.start()
    wait_for(lambda: all_begun(work), "three tasks")
    launchers, tasks = faulty.launchers(), faulty.tasks()
    faulty.kill(manager)
    for pid in launchers:
        os.kill(pid, signal.SIGKILL)
    # Until somebody has waited for them, the kernel still tells how they ended.
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in tasks), "the ends nobody saw")
    folder = faulty.base / "jobs" / work.name
    faulty.finish(folder, job_id)
    findings = verify(faulty, work, folder, lost_allowed=True)
    assert sorted(findings.lost) == [("again", 1), ("once", 1), ("retried", 1)]
    tasks = by_id(folder)
    assert (tasks["once"]["reason"], tasks["once"]["attempt"]) == ("lost", 1)
    assert "lost" in tasks["once"]["error"]
    assert {i: (tasks[i]["status"], tasks[i]["attempt"]) for i in ("again", "retried")} == {
        "again": ("completed", 2),
        "retried": ("completed", 2),
    }


def test_a_manager_survives_launchers_that_die_at_once(faulty: Faulty, tmp_path: Path) -> None:
    """Their death before they said hello once ended the manager."""
    work = mixed(tmp_path, 60, seed=3, raw=0, python=0)
    may_repeat_half(work)
    job_id = work.submit(faulty.base)
    manager = faulty.start()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert faulty.runs(manager)
        for pid in faulty.launchers():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    folder = faulty.base / "jobs" / work.name
    faulty.wait_end(manager, folder, job_id)
    faulty.stop(manager)
    verify(faulty, work, folder, lost_allowed=True)


def test_a_task_ended_by_a_signal_without_a_name(faulty: Faulty, tmp_path: Path) -> None:
    """A real-time signal, seen by the manager in place of a launcher that was killed."""
    work = Workload(tmp_path)
    work.add("realtime", "ok")
    work.tasks[-1]["args"] = ["-c", f"echo 1 > {work.effects}/realtime; sleep 0.6; kill -36 $$"]
    job_id = work.submit(faulty.base)
    manager = faulty.start()
    wait_for(lambda: all_begun(work), "a task")
    for pid in faulty.launchers():
        os.kill(pid, signal.SIGKILL)
    folder = faulty.base / "jobs" / work.name
    faulty.wait_end(manager, folder, job_id)
    faulty.stop(manager)
    task = by_id(folder)["realtime"]
    assert (task["reason"], task["signal"]) == ("signal", "SIG36")
