"""The system says no for a while: no room, no process, a disk with errors. Nothing is lost, and work goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.killing import Faulty
from tests.faults.workload import check, mixed, summary

REFUSALS: dict[str, dict[str, Any]] = {
    "journal: no room": {"effect": "pwrite", "n": 6, "times": 4, "error": "ENOSPC"},
    "journal: over quota at once": {"effect": "pwrite", "n": 1, "times": 2, "error": "EDQUOT"},
    "journal: the disk has errors": {"effect": "fdatasync", "n": 2, "times": 3, "error": "EIO"},
    "views: no room": {"effect": "write", "n": 2, "times": 5, "error": "ENOSPC"},
    "views: cannot be renamed": {"effect": "rename", "n": 2, "times": 3, "error": "EIO"},
    "views: cannot be exchanged": {"effect": "exchange", "n": 2, "times": 3, "error": "EIO"},
    "inbox: cannot be cleared": {"effect": "unlink", "n": 1, "times": 20, "error": "EIO"},
}
LAUNCHER_REFUSALS: dict[str, dict[str, Any]] = {
    "spool: no room": {"effect": "write", "n": 3, "times": 6, "error": "ENOSPC"},
    "logs: cannot be renamed": {"effect": "rename", "n": 2, "times": 3, "error": "ENOSPC"},
    "no process to be had": {"effect": "posix_spawn", "n": 4, "times": 5, "error": "EAGAIN"},
    "no memory for a process": {"effect": "posix_spawn", "n": 1, "times": 3, "error": "ENOMEM"},
}


def refuse(faulty: Faulty, root: Path, plan: dict[str, Any], *, logs: bool = True) -> None:
    work = mixed(root, 100, seed=4)
    job_id = work.submit(faulty.base)
    folder = faulty.base / "jobs" / work.name
    state = faulty.finish(folder, job_id, **plan)
    assert (state["state"], state["reason"]) == ("failed", "failures")
    findings = check(work, folder)
    problems = [p for p in findings.problems if logs or ".log: " not in p]
    assert not problems, summary(findings)
    assert not faulty.complaints(), faulty.complaints()


@pytest.mark.parametrize("refusal", REFUSALS)
def test_the_manager_is_refused(faulty: Faulty, tmp_path: Path, refusal: str) -> None:
    refuse(faulty, tmp_path, {"how": "fails", "view_interval_s": 0.05, **REFUSALS[refusal]})


@pytest.mark.parametrize("refusal", LAUNCHER_REFUSALS)
def test_a_launcher_is_refused(faulty: Faulty, tmp_path: Path, refusal: str) -> None:
    plan = {"launcher": {"how": "fails", **LAUNCHER_REFUSALS[refusal]}}
    refuse(faulty, tmp_path, plan, logs="logs" not in refusal)


@pytest.mark.parametrize("refusal", ["journal: no room", "journal: the disk has errors"])
def test_killed_while_it_is_refused(faulty: Faulty, tmp_path: Path, refusal: str) -> None:
    """What was refused was not acted on either."""
    work = mixed(tmp_path, 120, seed=5)
    job_id = work.submit(faulty.base)
    folder = faulty.base / "jobs" / work.name
    for n in (4, 9, 14):
        manager = faulty.start(**{"how": "fails", **REFUSALS[refusal], "n": n, "times": 1_000})
        faulty.look_on(manager, 0.4)
        faulty.kill(manager)
    faulty.finish(folder, job_id)
    findings = check(work, folder)
    assert not findings.problems, summary(findings)
    assert not faulty.complaints(), faulty.complaints()
