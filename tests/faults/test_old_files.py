"""Files that former versions wrote load for ever (`tests/data/`)."""

from __future__ import annotations

import json
import select
import shutil
from pathlib import Path
from typing import Any

import pytest

from air_executor import events as ev
from air_executor.lifecycle import Run
from air_executor.manager.job import ManagedJob
from air_executor.runners.local import LocalRunner
from air_executor.store.journal import read_journal
from air_executor.store.layout import Base, JobFolder
from tests.faults.histories import keys
from tests.unit.world import T0

DATA = Path(__file__).parents[1] / "data"
VERSIONS = sorted(path.name for path in DATA.iterdir() if path.is_dir())
NOW = T0 + 100_000


@pytest.fixture(params=VERSIONS)
def data(request: pytest.FixtureRequest) -> Path:
    return DATA / str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    base = Base(tmp_path / "base")
    base.create()
    folder = base.job("job")
    folder.create()
    return folder


def taken_up(folder: JobFolder) -> ManagedJob:
    """The job as a starting manager sees it, after its first looks."""
    job = ManagedJob(folder, lambda action: None)
    job.load(NOW)
    for turn in range(2):
        job.inbox.touch()
        job.look(NOW + turn)
    if job.journal is not None:
        job.journal.close()
    return job


def shown(run: Run) -> dict[str, list[Any]]:
    return {t.spec.id: [t.status, t.reason, t.exit_code, t.attempt, t.result] for t in run.in_order}


def test_there_is_a_folder_for_every_schema_version() -> None:
    assert [f"v{n}" for n in range(1, ev.SCHEMA_VERSION + 1)] == VERSIONS


def test_the_journal_of_an_ended_run(data: Path) -> None:
    expected = json.loads((data / "expected.json").read_text())
    events, end = read_journal(data / "journal-ended.jsonl")
    assert end == (data / "journal-ended.jsonl").stat().st_size
    run = Run(events)
    run.check_invariants()
    assert (run.state, run.reason, run.error) == (expected["state"], expected["reason"], expected["error"])
    assert run.warnings == expected["warnings"]
    assert shown(run) == expected["tasks"]


def test_the_newest_journal_holds_every_event() -> None:
    """A new event must be added to the sample of its version."""
    lines = (DATA / VERSIONS[-1] / "journal-ended.jsonl").read_bytes().splitlines()
    assert {json.loads(line)["type"] for line in lines} == {kind.__name__ for kind in ev.Event.__subclasses__()}


def test_what_the_ended_run_was_given_is_kept(data: Path) -> None:
    run = Run(read_journal(data / "journal-ended.jsonl")[0])
    spec = run.tasks["page/1 ü"].spec
    assert (spec.command, spec.args) == ("curl", ["-s", "https://example.org/?a=b&c"])
    assert (spec.timeout_s, spec.retries, spec.priority, spec.group) == (30.0, 2, 5, "pages")
    assert (spec.env, spec.extra, spec.trigger_rule) == ({"LANG": "C.UTF-8"}, {"colour": "green"}, "all_done")
    assert spec.env_from is not None
    assert (spec.env_from["TOKEN"].environment, spec.env_from["KEY"].file) == ("API_TOKEN", "/run/secrets/key")
    assert (run.options.max_parallel, run.options.groups["pages"].limit) == (2, 2)
    assert (run.environment["VIRTUAL_ENV"], run.cwd, run.extra) == ("/srv/venv", "/srv/data", {"owner": "data team"})


def test_the_journal_of_a_run_under_way_goes_on(data: Path, folder: JobFolder) -> None:
    shutil.copy(data / "journal-under-way.jsonl", folder.journal)
    before = Run(read_journal(folder.journal)[0])
    job = taken_up(folder)
    assert job.run is not None
    assert not job.run.ended
    job.run.check_invariants()
    assert shown(job.run) == shown(before)


def test_views_without_a_journal_are_imported(data: Path, folder: JobFolder) -> None:
    shutil.copy(data / "state.json", folder.state)
    shutil.copy(data / "tasks.json", folder.tasks)
    job = taken_up(folder)
    assert job.run is not None
    expected = json.loads((data / "expected.json").read_text())
    assert {task_id: fields[:4] for task_id, fields in shown(job.run).items()} == {
        task_id: fields[:4] for task_id, fields in expected["tasks"].items()
    }
    assert job.run.ended


def test_a_spool_of_a_launcher_that_is_gone(data: Path, folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for spool in data.glob("*.spool"):
        shutil.copy(spool, folder.base.runtime)
    poller = select.epoll()
    runner = LocalRunner(folder.base, poller, 1)
    unknown = runner.recover(keys(attempts=24))
    ends = {key.task: (end.exit_code, end.reason) for key, end in runner.collect([])}
    runner.close()
    poller.close()
    told = {f"t{n}": (0, None) if n % 3 else (n % 100, "exit") for n in range(1, 19)}
    assert ends == told | {f"t{n}": (None, "lost") for n in range(19, 23)}
    # Accepted and never begun: the first of these three may have been, so it is lost as well.
    assert {key.task for key in unknown} == {"t23", "t24"}


def test_drops_and_the_inbox_of_a_task(data: Path, folder: JobFolder) -> None:
    shutil.copy(data / "submit.drop.jsonl", folder.inbox / "00000000000000000001-aa.drop.jsonl")
    job = taken_up(folder)
    assert job.run is not None
    assert (job.run.id, list(job.run.tasks)) == ("20251003T073000-00000000", ["a"])


def test_tasks_dropped_into_a_job_under_way(data: Path, folder: JobFolder) -> None:
    shutil.copy(data / "journal-under-way.jsonl", folder.journal)
    for drop in data.glob("0*.drop.jsonl"):
        shutil.copy(drop, folder.inbox)
    running = next(Run(read_journal(folder.journal)[0]).running_tasks())
    shutil.copy(data / "task@1.jsonl", folder.task_inbox(running.spec.id, running.attempt))
    job = taken_up(folder)
    assert job.run is not None
    assert {"dropped-1", "queued"} <= job.run.tasks.keys()
    assert len([t for t in job.run.in_order if t.spec.args == ["b.csv"]]) == 1
    assert job.run.progress[running.spec.id] == (0.5, "half")
