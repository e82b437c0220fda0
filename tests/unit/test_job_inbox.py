"""What the manager removes of a job's inbox, and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from air_executor.manager.job import ManagedJob
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
