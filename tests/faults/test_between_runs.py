"""The manager killed at every step between two runs of a job: the next run is neither forgotten nor mixed up.

What is handed in for the next run stands in one of several places when the last one ends; from each of
them it must be found again, whichever of the steps was the last that a manager took.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.killing import Faulty
from tests.faults.test_runs_in_a_row import verify_all
from tests.faults.workload import Workload
from tests.support import ended, read, wait_for

STEPS: dict[str, tuple[str, str, str]] = {
    "archived views": ("rename", "/state.json", "after"),
    "logs about to go": ("rename", "/logs", "before"),
    "logs gone": ("rename", "/logs", "after"),
    "first view about to go": ("unlink", "/state.json", "before"),
    "both views gone": ("unlink", "/tasks.json", "after"),
    "journal about to go": ("rename", "/journal.jsonl", "before"),
    "journal gone": ("rename", "/journal.jsonl", "after"),
    "new journal torn": ("pwrite", "", "torn"),
    "new journal written": ("pwrite", "", "after"),
    "new journal synced": ("fsync", "", "after"),
    "kept state gone": ("unlink", ".next-state.json", "after"),
    "kept tasks about to go": ("unlink", ".next-tasks.json", "before"),
    "drop about to go": ("unlink", ".drop.jsonl", "before"),
    "drop gone": ("unlink", ".drop.jsonl", "after"),
}
UNREACHED = {
    ("first view about to go", "standing"), ("both views gone", "standing"), ("both views gone", "tasks standing"),
    *((step, place) for step in ("kept state gone",) for place in ("standing", "submitted")),
    *(("kept tasks about to go", place) for place in ("standing", "tasks standing", "submitted")),
    *((step, place) for step in ("drop about to go", "drop gone") for place in ("standing", "kept", "tasks standing")),
}  # fmt: skip
"""Steps that are not taken: what is not there is not removed."""


class Row:
    """Three runs, each with tasks of the same names; the first waits at a gate."""

    def __init__(self, faulty: Faulty, root: Path) -> None:
        self.faulty = faulty
        self.folder = faulty.base / "jobs" / "work"
        self.folder.mkdir()
        self.gate = root / "gate"
        self.works: dict[str, Workload] = {}
        self._root = root

    def work(self, name: str, *, first: bool = False) -> Workload:
        own = self._root / name
        own.mkdir()
        work = Workload(own)
        work.add("a", *(("wait", self.gate) if first else ("sleep", 0.25)))
        work.add("b", "exit", len(self.works), outcome=("failed", "exit", len(self.works))) if self.works else None
        work.add("c", "ok", final=True)
        work.tasks.append({"command": "/bin/sh", "args": [work.tasks[0]["args"][0], "ok", f"{name}-nameless"]})
        work.expect(f"~{name}-nameless")
        self.works[name] = work
        return work

    def write(self, name: str, content: Any) -> None:
        (self.folder / "new").write_text(json.dumps(content))
        os.rename(self.folder / "new", self.folder / name)

    def write_state(self, name: str) -> None:
        self.write("state.json", {"id": name, "name": "work", "params": self.works[name].params()})

    def begin(self) -> Any:
        """Run the first run's first task, which waits."""
        first = self.work("first", first=True)
        self.write("tasks.json", first.tasks)
        self.write_state("first")
        manager = self.faulty.start()
        wait_for((first.effects / "a").exists, "the first task")
        wait_for(lambda: read(self.folder / "state.json").get("progress"), "a first view")
        return manager

    def end_first(self, manager: Any) -> None:
        self.gate.touch()
        self.faulty.wait_end(manager, self.folder, "first")

    def keep(self, name: str, *, tasks: bool = True) -> None:
        """Hand a run in by hand while another is under way, and see it taken."""
        work = self.work(name)
        self.write_state(name)
        wait_for((self.folder / ".next-state.json").exists, "its state.json")
        if tasks:
            self.write("tasks.json", work.tasks)
            wait_for((self.folder / ".next-tasks.json").exists, "its tasks.json")

    def submit(self, name: str) -> None:
        work = self.work(name)
        job_id = work.submit(self.faulty.base)
        self.works[job_id] = self.works.pop(name)


def kept(row: Row) -> None:
    manager = row.begin()
    row.keep("second")
    row.faulty.kill(manager)
    row.gate.touch()


def standing(row: Row) -> None:
    manager = row.begin()
    row.end_first(manager)
    row.faulty.kill(manager)
    work = row.work("second")
    row.write("tasks.json", work.tasks)
    row.write_state("second")


def tasks_standing(row: Row) -> None:
    manager = row.begin()
    row.keep("second", tasks=False)
    row.end_first(manager)
    row.faulty.kill(manager)
    row.write("tasks.json", row.works["second"].tasks)


def submitted(row: Row) -> None:
    manager = row.begin()
    row.submit("second")
    row.faulty.kill(manager)
    row.gate.touch()


PLACES: dict[str, Callable[[Row], None]] = {
    "kept": kept, "standing": standing, "tasks standing": tasks_standing, "submitted": submitted,
}  # fmt: skip


SHORT = {"journal about to go", "journal gone", "new journal torn", "new journal written", "kept tasks about to go"}


@pytest.mark.parametrize(
    ("place", "step"),
    [
        pytest.param(place, step, marks=[] if step in SHORT else [pytest.mark.soak])
        for place in PLACES
        for step in STEPS
        if (step, place) not in UNREACHED
    ],
)
def test_the_next_run_begins_once_although_the_manager_died_at(
    faulty: Faulty, tmp_path: Path, place: str, step: str
) -> None:
    row = Row(faulty, tmp_path)
    PLACES[place](row)
    effect, match, how = STEPS[step]
    # The journal of the first run is written to as well before it goes; its last events may be there already.
    n = 1 if effect != "pwrite" or ended(row.folder, "first") else 2
    reached = faulty.crash(row.folder, list(row.works)[-1], effect=effect, n=n, how=how, match=match)
    faulty.finish(row.folder, list(row.works)[-1])
    verify_all(faulty, row.works, row.folder)
    assert reached


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
def test_several_runs_written_by_hand_while_the_first_is_under_way(
    faulty: Faulty, tmp_path: Path, restart: bool
) -> None:
    row = Row(faulty, tmp_path)
    manager = row.begin()
    row.keep("second")
    row.submit("between")
    third = row.work("third")
    row.write_state("third")
    kept = row.folder / ".next-state.json"
    wait_for(lambda: (read_or_none(kept) or {}).get("id") == "third", "the third state.json")
    row.write("tasks.json", third.tasks)
    wait_for(lambda: third.tasks == read_or_none(row.folder / ".next-tasks.json"), "the third list")
    if restart:
        faulty.kill(manager)
        manager = faulty.start()
    row.gate.touch()
    for name in row.works:
        wait_for(lambda name=name: (row.folder / "runs" / name).exists() or ended(row.folder, name), f"{name}", 30)
    last = wait_for(lambda: (s := ended(row.folder)) and not (row.folder / ".next-state.json").exists() and s, "all")
    wait_for(lambda: len(list((row.folder / "runs").iterdir())) == 3, "three earlier runs", 30)
    last = faulty.wait_end(manager, row.folder)
    faulty.stop(manager)
    row.works[last["id"]] = row.works.pop(last["id"])
    verify_all(faulty, row.works, row.folder)


def read_or_none(path: Path) -> Any:
    try:
        return read(path)
    except (OSError, ValueError):
        return None


def test_a_run_that_the_last_swap_of_an_ended_one_took_away_begins_after_a_restart(
    faulty: Faulty, tmp_path: Path
) -> None:
    """Killed between the swap at the end and reading what came out: both views look as if nothing was to do."""
    row = Row(faulty, tmp_path)
    row.end_first(manager := row.begin())
    faulty.stop(manager)
    work = row.work("second")
    row.write(".state.json.displaced-0", {"id": "second", "name": "work", "params": work.params()})
    row.write(".tasks.json.swap", work.tasks)
    faulty.finish(row.folder, "second")
    verify_all(faulty, row.works, row.folder)


def test_old_views_written_back_late_do_not_become_part_of_the_next_run(faulty: Faulty, tmp_path: Path) -> None:
    row = Row(faulty, tmp_path)
    row.end_first(manager := row.begin())
    faulty.stop(manager)
    for name in ("state.json", "tasks.json"):
        row.write(name, read(row.folder / name))
    row.submit("second")
    last = list(row.works)[-1]
    assert faulty.crash(row.folder, last, effect="rename", n=1, how="after", match="/journal.jsonl")
    faulty.finish(row.folder, last)
    verify_all(faulty, row.works, row.folder)


def test_an_old_state_json_between_two_runs_begins_nothing(faulty: Faulty, tmp_path: Path) -> None:
    row = Row(faulty, tmp_path)
    row.end_first(manager := row.begin())
    faulty.stop(manager)
    old, times = read(row.folder / "state.json"), (row.folder / "state.json").stat()
    row.submit("second")
    last = list(row.works)[-1]
    assert faulty.crash(row.folder, last, effect="rename", n=1, how="after", match="/journal.jsonl")
    row.write("state.json", old)
    os.utime(row.folder / "state.json", ns=(times.st_atime_ns, times.st_mtime_ns))
    faulty.finish(row.folder, last)
    verify_all(faulty, row.works, row.folder)
    assert read(row.folder / "state.json.left-0") == old


@pytest.mark.parametrize("name", ["state.json", "tasks.json"])
def test_a_job_that_cannot_be_read_fails_although_the_manager_died_when_it_said_so(
    faulty: Faulty, tmp_path: Path, name: str
) -> None:
    row = Row(faulty, tmp_path)
    row.write("tasks.json", [{"command": "true"}])
    row.write("state.json", {"id": "bad", "name": "work"})
    (row.folder / name).write_text('{"half')
    assert faulty.crash(row.folder, effect="link", n=1, how="after", match=".bad-")
    state = faulty.finish(row.folder)
    assert (state["state"], state["reason"]) == ("failed", "invalid")
    assert f"kept as {name}.bad-" in state["error"]
    assert (row.folder / f"{name}.bad-0").read_text() == '{"half'
    if name == "state.json":
        assert read(row.folder / "tasks.json.left-0") == [{"command": "true"}]


def test_a_state_json_may_be_written_again_before_its_tasks_are_there(faulty: Faulty, tmp_path: Path) -> None:
    row = Row(faulty, tmp_path)
    work = row.work("second")
    row.write("state.json", {"id": "draft", "name": "work"})
    manager = faulty.start()
    faulty.look_on(manager, 0.4)
    row.write_state("second")
    faulty.look_on(manager, 0.4)
    row.write("tasks.json", work.tasks)
    faulty.wait_end(manager, row.folder, "second")
    faulty.stop(manager)
    assert not (row.folder / "runs").exists()
