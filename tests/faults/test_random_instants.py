"""Managers, launchers, or both killed at any moment from outside."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.killing import Faulty, kill_some
from tests.faults.workload import Findings, Workload, check, mixed, summary
from tests.support import ended


def verify(faulty: Faulty, work: Workload, folder: Path, **allowed: Any) -> Findings:
    findings = check(work, folder, **allowed)
    assert not findings.problems, summary(findings)
    assert not faulty.complaints(), faulty.complaints()
    return findings


def kill_managers(faulty: Faulty, root: Path, *, count: int, kills: int, seed: int, raw: int = 4) -> int:
    """One job, its managers killed again and again; gives how many were killed before its end."""
    chance = random.Random(seed)
    work = mixed(root, count, seed, raw=raw)
    job_id = work.submit(faulty.base)
    folder = faulty.base / "jobs" / work.name
    killed = 0
    while killed < kills and not ended(folder, job_id):
        manager = faulty.start(view_interval_s=0.05)
        time.sleep(chance.uniform(0.02, 0.4))
        assert faulty.runs(manager)
        faulty.kill(manager)
        killed += 1
    faulty.finish(folder, job_id)
    verify(faulty, work, folder)
    return killed


@pytest.mark.parametrize("seed", range(4))
def test_the_manager_killed_at_any_moment(faulty: Faulty, tmp_path: Path, seed: int) -> None:
    assert kill_managers(faulty, tmp_path, count=400, kills=7, seed=seed) >= 1


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", range(10))
def test_the_manager_killed_200_times(faulty: Faulty, tmp_path: Path, seed: int) -> None:
    assert kill_managers(faulty, tmp_path, count=2_000, kills=20, seed=100 + seed) >= 15


def test_raw_writers_while_the_manager_is_killed(faulty: Faulty, tmp_path: Path) -> None:
    assert kill_managers(faulty, tmp_path, count=300, kills=6, seed=50, raw=12) >= 1


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_many_raw_writers_while_the_manager_is_killed(faulty: Faulty, tmp_path: Path) -> None:
    assert kill_managers(faulty, tmp_path, count=2_000, kills=30, seed=51, raw=100) >= 15


def may_repeat_half(work: Workload) -> None:
    """Not the raw writers: what they add without ids is added twice when they run twice."""
    for task in work.tasks[::2]:
        task["idempotent"] = not task["id"].startswith("raw")


def kill_launchers(faulty: Faulty, root: Path, *, count: int, kills: int, seed: int) -> Findings:
    """One job with one manager whose launchers are killed; half of the tasks may be repeated when lost."""
    chance = random.Random(seed)
    work = mixed(root, count, seed, raw=2)
    may_repeat_half(work)
    job_id = work.submit(faulty.base)
    folder = faulty.base / "jobs" / work.name
    manager = faulty.start()
    killed = 0
    while killed < kills and not ended(folder, job_id) and faulty.runs(manager):
        time.sleep(chance.uniform(0.02, 0.2))
        killed += len(kill_some(faulty.launchers(), chance, 1))
    faulty.wait_end(manager, folder, job_id)
    faulty.stop(manager)
    assert killed >= kills // 2, f"only {killed} killed"
    findings = verify(faulty, work, folder, lost_allowed=True)
    assert len(findings.lost) <= 2 * killed, findings.lost
    return findings


@pytest.mark.parametrize("seed", range(2))
def test_launchers_killed_at_any_moment(faulty: Faulty, tmp_path: Path, seed: int) -> None:
    kill_launchers(faulty, tmp_path, count=150, kills=5, seed=seed)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", range(2))
def test_launchers_killed_50_times(faulty: Faulty, tmp_path: Path, seed: int) -> None:
    kill_launchers(faulty, tmp_path, count=2_000, kills=25, seed=100 + seed)


def kill_both(faulty: Faulty, root: Path, *, count: int, kills: int, seed: int) -> None:
    """Manager and launchers killed at the same time: what they were doing at that moment may be `lost`."""
    chance = random.Random(seed)
    work = mixed(root, count, seed, raw=2)
    may_repeat_half(work)
    job_id = work.submit(faulty.base)
    folder = faulty.base / "jobs" / work.name
    killed = 0
    while killed < kills and not ended(folder, job_id):
        manager = faulty.start()
        time.sleep(chance.uniform(0.2, 0.5))
        victims = faulty.launchers()
        manager.kill()
        kill_some(victims, chance, chance.choice([1, len(victims)]))
        manager.wait()
        killed += 1
    faulty.finish(folder, job_id)
    verify(faulty, work, folder, lost_allowed=True)
    assert killed >= 2


@pytest.mark.parametrize("seed", range(2))
def test_manager_and_launchers_killed_at_once(faulty: Faulty, tmp_path: Path, seed: int) -> None:
    kill_both(faulty, tmp_path, count=200, kills=4, seed=seed)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", range(2))
def test_manager_and_launchers_killed_20_times(faulty: Faulty, tmp_path: Path, seed: int) -> None:
    kill_both(faulty, tmp_path, count=2_000, kills=10, seed=100 + seed)
