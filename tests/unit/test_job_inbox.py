"""What the manager removes of a job's inbox, and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from air_executor.manager.job import ManagedJob
from air_executor.store.inbox import drop_records
from air_executor.store.layout import Base


@pytest.fixture
def deferred() -> list[Callable[[], None]]:
    """What waits for the journal to be on the disk."""
    return []


@pytest.fixture
def job(tmp_path: Path, deferred: list[Callable[[], None]]) -> ManagedJob:
    base = Base(tmp_path / "base")
    base.create()
    folder = base.job("job")
    folder.create()
    return ManagedJob(folder, deferred.append)


def test_what_was_read_is_removed_after_the_sync(job: ManagedJob, deferred: list[Callable[[], None]]) -> None:
    read = job.folder.inbox / "a@1.jsonl"
    read.write_text('{"command":"true"}\n')
    job.inbox.remove_read(str(read))
    assert read.exists()
    for action in deferred:
        action()
    assert not read.exists()


def test_what_an_attempt_of_the_next_run_wrote_meanwhile_stays(
    job: ManagedJob, deferred: list[Callable[[], None]]
) -> None:
    read = job.folder.inbox / "a@1.jsonl"
    read.write_text('{"command":"true"}\n')
    job.inbox.remove_read(str(read))
    job.inbox.begin_run()
    assert not read.exists()
    read.write_text('{"command":"true"}\n')
    for action in deferred:
        action()
    assert read.read_text() == '{"command":"true"}\n'


NOW = 1_759_390_200.0


def submit(run_id: str) -> dict[str, object]:
    return {"request": "submit", "state": {"id": run_id, "lease_s": 60}, "tasks": [{"id": "a", "command": "true"}]}


def test_a_renewal_is_read_out_of_turn_and_removed_at_once(job: ManagedJob) -> None:
    drop_records(job.folder.inbox, [submit("first")], "1.drop.jsonl")
    job.look(NOW)
    assert job.run is not None
    drop_records(job.folder.inbox, [submit("second")], "2.drop.jsonl")  # waits for the end of the first
    drop_records(job.folder.inbox, [{"request": "renew"}], "3-renew.drop.jsonl", durable=False)
    job.inbox.touch()
    job.look(NOW + 59)
    assert not job.run.lease_is_over(NOW + 118)
    assert job.run.lease_is_over(NOW + 119)
    assert sorted(path.name for path in job.folder.inbox.glob("*.drop.jsonl")) == ["1.drop.jsonl", "2.drop.jsonl"]
    assert [type(event).__name__ for event in job.run.new_events] == ["RunCreated", "TaskQueued"]


def test_a_renewal_may_be_for_one_run_only(job: ManagedJob) -> None:
    drop_records(job.folder.inbox, [submit("first")], "1.drop.jsonl")
    job.look(NOW)
    assert job.run is not None
    for number, (run, over) in enumerate((("second", True), ("first", False))):
        name = f"{number}-renew.drop.jsonl"
        drop_records(job.folder.inbox, [{"request": "renew", "run": run}], name)
        job.inbox.touch()
        job.look(NOW + 30)
        assert job.run.lease_is_over(NOW + 61) == over
        assert not (job.folder.inbox / name).exists()


def test_a_renewal_of_nothing_is_removed(job: ManagedJob) -> None:
    drop_records(job.folder.inbox, [{"request": "renew"}], "1-renew.drop.jsonl")
    job.look(NOW)
    assert job.run is None
    assert not list(job.folder.inbox.glob("*.drop.jsonl"))


def test_a_file_that_is_called_a_renewal_and_says_something_else_is_obeyed(
    job: ManagedJob, deferred: list[Callable[[], None]]
) -> None:
    drop_records(job.folder.inbox, [submit("first")], "1.drop.jsonl")
    job.look(NOW)
    assert job.run is not None
    records = [{"request": "renew"}, {"id": "b", "command": "true"}]
    drop_records(job.folder.inbox, records, "2-renew.drop.jsonl")
    job.inbox.touch()
    job.look(NOW + 30)
    assert list(job.run.tasks) == ["a", "b"]
    assert not job.run.lease_is_over(NOW + 61)


def test_a_task_may_renew_its_job(job: ManagedJob) -> None:
    drop_records(job.folder.inbox, [submit("first")], "1.drop.jsonl")
    job.look(NOW)
    assert job.run is not None
    job.run.new_events.clear()
    (job.folder.inbox / "a@1.jsonl").write_text('{"request":"renew"}\n')
    job.inbox.read_task_file(job.run, "a@1.jsonl", "a", NOW + 30, whole=False)
    assert not job.run.lease_is_over(NOW + 61)
    assert job.run.new_events == []
