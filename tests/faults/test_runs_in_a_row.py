"""The same job submitted again and again while its manager dies: no run is lost, mixed up, or run twice."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest

from air_executor.names import file_stem
from tests.faults.killing import Faulty
from tests.faults.test_named_points import hows
from tests.faults.workload import Workload, check, summary
from tests.support import ended, read, wait_for

POINTS = {
    "rename": range(1, 14),
    "unlink": range(1, 14),
    "pwrite": range(1, 9),
    "write": range(1, 9),
    "exchange": [1, 2, 3],
}
RUNS = 4


def small(root: Path, number: int) -> Workload:
    own = root / f"run-{number}"
    own.mkdir()
    work = Workload(own)
    for n in range(6):
        work.add(f"t{n}", "ok")
    work.add("fails", "exit", number + 1, outcome=("failed", "exit", number + 1))
    work.growing("grows", "printf", 1)
    work.add("last", "print", 400, final=True)
    return work


def verify_all(faulty: Faulty, works: dict[str, Workload], folder: Path) -> None:
    """Each run is in its own folder, or in the job's, and came to what it should."""
    last = read(folder / "state.json")["id"]
    assert last == list(works)[-1]
    kept = {path.name for path in (folder / "runs").iterdir()}
    assert kept == {file_stem(job_id) for job_id in works if job_id != last}
    for job_id, work in works.items():
        place = folder if job_id == last else folder / "runs" / file_stem(job_id)
        findings = check(work, place)
        assert not findings.problems, f"run {job_id}, {faulty.reached}: {summary(findings)}"
    assert not faulty.complaints(), faulty.complaints()


@pytest.mark.parametrize(("effect", "how"), [(e, h) for e in POINTS for h in hows(e)])
def test_submitted_runs_with_the_manager_killed_at(faulty: Faulty, tmp_path: Path, effect: str, how: str) -> None:
    works: dict[str, Workload] = {}
    for number in range(RUNS):
        work = small(tmp_path, number)
        works[work.submit(faulty.base)] = work
        time.sleep(0.002)  # ids are drawn by time
    folder = faulty.base / "jobs" / "work"
    last = list(works)[-1]
    for n in POINTS[effect]:
        if not faulty.crash(folder, last, effect=effect, n=n, how=how):
            break
    faulty.finish(folder, last)
    assert faulty.reached
    verify_all(faulty, works, folder)


@pytest.mark.parametrize("order", ["tasks first", "state first"])
@pytest.mark.parametrize("effect", ["rename", "unlink", "pwrite"])
def test_hand_written_runs_with_the_manager_killed_at(
    faulty: Faulty, tmp_path: Path, effect: str, order: str
) -> None:
    """The two files of the next run are put in place while the last run's manager dies around its end."""
    works: dict[str, Workload] = {}
    folder = faulty.base / "jobs" / "work"
    for number in range(3):
        work = small(tmp_path, number)
        job_id = f"by-hand-{number}"
        works[job_id] = work
        folder.mkdir(exist_ok=True)
        state = {"id": job_id, "name": "work", "params": work.params()}
        files = [("tasks.json", work.tasks), ("state.json", state)]
        for name, content in files if order == "tasks first" else files[::-1]:
            (folder / f"new-{name}").write_text(json.dumps(content))
            os.rename(folder / f"new-{name}", folder / name)
            if number:
                faulty.crash_after(0.15)
        for n in (2, 4, 6, 9) if effect != "pwrite" else (1, 2, 3):
            if not faulty.crash(folder, job_id, effect=effect, n=n):
                break
        faulty.finish(folder, job_id)
    verify_all(faulty, works, folder)


@pytest.mark.parametrize("seed", range(2))
def test_submitting_while_managers_are_killed_at_any_moment(faulty: Faulty, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    works: dict[str, Workload] = {}
    folder = faulty.base / "jobs" / "work"
    for number in range(6):
        work = small(tmp_path, number)
        works[work.submit(faulty.base)] = work
        manager = faulty.start()
        time.sleep(chance.uniform(0.05, 0.5))
        assert faulty.runs(manager)
        faulty.kill(manager)
    last = list(works)[-1]
    faulty.finish(folder, last)
    verify_all(faulty, works, folder)


def test_an_old_view_is_not_taken_for_the_tasks_of_the_next_run(faulty: Faulty, tmp_path: Path) -> None:
    """A state.json with a new id, then a restart, and only then its tasks.json."""
    work = small(tmp_path, 0)
    job_id = work.submit(faulty.base)
    folder = faulty.base / "jobs" / "work"
    faulty.finish(folder, job_id)
    following = small(tmp_path, 1)
    (folder / "new").write_text(json.dumps({"id": "next", "name": "work", "params": following.params()}))
    os.rename(folder / "new", folder / "state.json")
    faulty.crash_after(0.5)
    faulty.crash_after(0.5)
    (folder / "new").write_text(json.dumps(following.tasks))
    os.rename(folder / "new", folder / "tasks.json")
    faulty.finish(folder, "next")
    verify_all(faulty, {job_id: work, "next": following}, folder)


def test_a_state_json_written_while_no_manager_runs_ends_no_job(faulty: Faulty, tmp_path: Path) -> None:
    """The journal is the truth, whatever somebody wrote into a view."""
    work = Workload(tmp_path)
    for n in range(3):
        work.add(f"sleep{n}", "sleep", 0.8)
    work.add("after", "ok", dependencies=["sleep0"])
    job_id = work.submit(faulty.base)
    folder = faulty.base / "jobs" / "work"
    manager = faulty.start()
    wait_for(lambda: len(list(work.effects.iterdir())) == 3, "three tasks")
    faulty.kill(manager)
    state = read(folder / "state.json")
    (folder / "new").write_text(json.dumps({**state, "state": "completed"}))
    os.rename(folder / "new", folder / "state.json")
    os.utime(folder / "state.json", (time.time() + 10, time.time() + 10))
    manager = faulty.start()
    wait_for((work.effects / "after").exists, "the task that comes after", 15)
    wait_for(lambda: (s := ended(folder, job_id)) and s["progress"]["completed"] == 4, "the end", 15)
    faulty.stop(manager)
    findings = check(work, folder)
    assert not findings.problems, summary(findings)


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
def test_a_new_list_with_the_same_ids_waits_for_its_state_json(faulty: Faulty, tmp_path: Path, restart: bool) -> None:
    """Most jobs that are run again have the same task ids again."""
    works = {f"by-hand-{n}": small(tmp_path, n) for n in range(2)}
    (first, old), (second, new) = works.items()
    folder = faulty.base / "jobs" / "work"
    folder.mkdir()
    (folder / "tasks.json").write_text(json.dumps(old.tasks))
    (folder / "state.json").write_text(json.dumps({"id": first, "name": "work", "params": old.params()}))
    manager = faulty.start()
    faulty.wait_end(manager, folder, first)
    (folder / "new").write_text(json.dumps(new.tasks))
    os.rename(folder / "new", folder / "tasks.json")
    time.sleep(1.5)
    if restart:
        faulty.kill(manager)
        manager = faulty.start()
        time.sleep(0.5)
    (folder / "new").write_text(json.dumps({"id": second, "name": "work", "params": new.params()}))
    os.rename(folder / "new", folder / "state.json")
    faulty.wait_end(manager, folder, second)
    faulty.stop(manager)
    verify_all(faulty, works, folder)
