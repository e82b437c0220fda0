"""The journal: what is written is read, however the writing ended."""

from __future__ import annotations

import errno
import json
import os

import pytest

from air_executor import events as ev
from air_executor.errors import JournalUnreadable
from air_executor.store.journal import Journal, JournalFollower, read_journal
from air_executor.times import to_iso
from tests.unit.world import T0, created, spec

AT = to_iso(T0)


def queued(*ids: str) -> list[ev.Event]:
    return [ev.TaskQueued(at=AT, task=spec(task_id)) for task_id in ids]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


@pytest.fixture
def journal(path):
    journal = Journal(path)
    yield journal
    journal.close()
    journal.close()


class Disk:
    """A disk with little room: `pwrite` writes what fits, then fails as the system does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int, most: int = 1 << 30) -> None:
        self.room = room
        self.most = most
        self._pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", self)

    def __call__(self, fd: int, data: bytes, offset: int) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._pwrite(fd, data[: min(self.room, self.most)], offset)
        self.room -= written
        return written


def test_what_is_appended_is_read_in_order(path, journal):
    events = [created(), *queued("a", "b")]
    journal.append(events[:1])
    journal.append([])
    journal.append(events[1:])
    assert read_journal(path) == (events, path.stat().st_size)
    assert journal.size == path.stat().st_size
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_journal_goes_on_where_it_ended(path, journal):
    journal.append([created()])
    journal.close()
    again = Journal(path)
    again.append(queued("a"))
    again.close()
    assert read_journal(path)[0] == [created(), *queued("a")]


def test_sync_is_done_once_for_what_is_new(journal, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    journal.sync()
    assert calls == []
    journal.append([created()])
    assert journal.unsynced
    journal.sync()
    journal.sync()
    assert len(calls) == 1


def test_a_failed_sync_is_still_to_be_done(journal, monkeypatch):
    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    journal.append([created()])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="I/O error"):
            journal.sync()
    assert journal.unsynced
    journal.sync()
    assert not journal.unsynced


@pytest.mark.parametrize("most", [1, 7, 1_000])
def test_short_writes_are_completed(path, journal, monkeypatch, most):
    Disk(monkeypatch, 1 << 30, most)
    journal.append([created(), *queued("a")])
    assert read_journal(path)[0] == [created(), *queued("a")]


@pytest.mark.parametrize("room", [0, 1, 30, 200, 350])
def test_what_has_no_room_is_kept_and_written_first(path, journal, monkeypatch, room):
    journal.append([created()])
    disk = Disk(monkeypatch, room)
    with pytest.raises(OSError, match="No space left"):
        journal.append(queued("a", "b", "c", "d"))
    assert journal.blocked
    disk.room = 5
    with pytest.raises(OSError, match="No space left"):
        journal.append(queued("e"))
    with pytest.raises(OSError, match="No space left"):
        journal.append([])
    disk.room = 1 << 30
    journal.append(queued("f"))
    assert not journal.blocked
    assert read_journal(path)[0] == [created(), *queued("a", "b", "c", "d", "e", "f")]
    assert read_journal(path)[1] == path.stat().st_size


def test_a_symlink_is_not_followed(tmp_path, path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Journal(path)


# ---- reading -------------------------------------------------------------------------------------


def test_an_end_torn_at_any_byte_costs_only_the_torn_events(path):
    events = [created(), *queued("ä", "b")]
    data = ev.encode_events(events)
    ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        whole = [end for end in ends if end <= cut]
        assert read_journal(path) == (events[: len(whole)], whole[-1] if whole else 0)


def test_a_torn_last_line_that_ends_in_a_newline(path):
    data = ev.encode_events([created(), *queued("a")])
    path.write_bytes(data + b'{"type":"TaskQu\0\0\0\n')
    assert read_journal(path) == ([created(), *queued("a")], len(data))


def test_damage_in_the_middle_is_told_with_its_line(path):
    lines = ev.encode_events([created(), *queued("a", "b")]).splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\xff\xfe\n" + lines[2])
    with pytest.raises(JournalUnreadable, match=r"journal\.jsonl, line 2: "):
        read_journal(path)


def test_a_journal_begins_with_its_run(path):
    path.write_bytes(ev.encode_events(queued("a", "b")))
    with pytest.raises(JournalUnreadable, match="line 1: expected a RunCreated event"):
        read_journal(path)


@pytest.mark.parametrize("others", [0, 2])
@pytest.mark.parametrize("fields", [{}, {"type": "RunBegun"}, {"options": "another thing"}])
def test_a_newer_version_is_refused_and_not_taken_for_damage(path, others, fields):
    first = json.loads(ev.encode_events([created()])) | {"version": 2, "more": True} | fields
    path.write_bytes(json.dumps(first).encode() + b"\n" + ev.encode_events(queued("a", "b"))[: others * 40])
    with pytest.raises(JournalUnreadable) as caught:
        read_journal(path)
    assert str(caught.value) == (
        f"{path}: written by a newer Air-Executor (journal version 2, this one reads up to 1); upgrade Air-Executor"
    )


def test_an_empty_journal_has_no_events(path):
    path.write_bytes(b"")
    assert read_journal(path) == ([], 0)


# ---- following -----------------------------------------------------------------------------------


@pytest.fixture
def follower(path):
    follower = JournalFollower(path)
    yield follower
    follower.close()


def test_a_follower_waits_for_the_journal_and_reads_what_is_new(path, journal, follower, tmp_path):
    assert list(JournalFollower(tmp_path / "none").read()) == []
    journal.append([created()])
    assert list(follower.read()) == [(True, created())]
    assert list(follower.read()) == []
    journal.append(queued("a", "b"))
    assert list(follower.read()) == [(False, event) for event in queued("a", "b")]


def test_a_follower_reads_a_line_when_it_is_whole(path, follower):
    data = ev.encode_events([created(), *queued("a")])
    seen = []
    with path.open("ab", buffering=0) as file:
        for i in range(len(data)):
            file.write(data[i : i + 1])
            seen += [event for _, event in follower.read()]
    assert seen == [created(), *queued("a")]


def test_a_follower_is_not_put_off_by_a_torn_end_that_is_cut_off(path, follower):
    whole = ev.encode_events([created()])
    path.write_bytes(whole + b'{"type":"TaskQueued","at":"2025')
    assert [event for _, event in follower.read()] == [created()]
    os.truncate(path, len(whole))
    with path.open("ab") as file:
        file.write(ev.encode_events(queued("a")))
    assert [event for _, event in follower.read()] == queued("a")


def test_a_follower_sees_the_end_of_a_run_and_then_the_new_one(path, follower, tmp_path):
    first = Journal(path)
    first.append([created(run_id="one")])
    assert [event.id for _, event in follower.read()] == ["one"]
    first.append(queued("last"))
    first.close()
    path.rename(tmp_path / "old.jsonl")
    assert list(follower.read()) == []
    second = Journal(path)
    second.append([created(run_id="two"), *queued("x")])
    second.close()
    assert list(follower.read()) == [
        *[(False, event) for event in queued("last")],
        (True, created(run_id="two")),
        *[(False, event) for event in queued("x")],
    ]


def test_a_follower_passes_over_lines_it_does_not_know(path, follower):
    path.write_bytes(ev.encode_events([created()]) + b'{"type":"FromTheFuture"}\n' + ev.encode_events(queued("a")))
    assert [event for _, event in follower.read()] == [created(), *queued("a")]


def test_a_follower_reads_a_long_journal_in_parts_and_lines_longer_than_a_part(path, follower):
    events = [created(), *queued("a"), ev.WarningRaised(at=AT, text="x" * 3_000_000), *queued("b", "c")]
    path.write_bytes(ev.encode_events(events))
    seen, rounds = [], 0
    while new := [event for _, event in follower.read(at_most=10)]:
        seen += new
        rounds += 1
    assert seen == events
    assert rounds <= len(events)
