"""The inbox: whole files from clients, appended lines from tasks."""

from __future__ import annotations

import errno
import json
import os

import pytest

from air_executor.errors import InvalidInput
from air_executor.store import inbox
from air_executor.store.inbox import append_records, drop_files, drop_records, read_records


def decoded(path, offset=0, *, whole=False):
    records, end = read_records(path, offset, whole=whole)
    return [json.loads(line) for _, line in records], end


def test_a_drop_is_whole_and_private(tmp_path):
    name = drop_records(tmp_path, [{"command": "ä\n\u2028"}, {"request": "close"}])
    assert drop_files(tmp_path) == [name]
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert decoded(tmp_path / name, whole=True)[0] == [{"command": "ä\n\u2028"}, {"request": "close"}]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_drops_sort_by_time_and_unfinished_ones_are_not_seen(tmp_path):
    written = [drop_records(tmp_path, [{"n": n}]) for n in range(20)]
    (tmp_path / f".{written[0]}.part").write_text("half")
    (tmp_path / "task@1.jsonl").write_text("")
    assert drop_files(tmp_path) == written
    assert drop_files(tmp_path / "none") == []


def test_a_drop_without_room_leaves_nothing(tmp_path, monkeypatch):
    def no_room(_fd, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(inbox, "write_all", no_room)
    with pytest.raises(OSError, match="No space left"):
        drop_records(tmp_path, [{}])
    assert list(tmp_path.iterdir()) == []


def test_the_same_drop_is_not_begun_twice(tmp_path):
    name = drop_records(tmp_path, [{"n": 1}], name="x.drop.jsonl")
    (tmp_path / f".{name}.part").write_text("")
    with pytest.raises(FileExistsError):
        drop_records(tmp_path, [{"n": 2}], name=name)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {1, 2}, b"x", "\ud800"])
def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path, bad):
    with pytest.raises(InvalidInput, match="expected what JSON can hold"):
        append_records(tmp_path / "a.jsonl", [{"command": "true", "x": bad}])
    with pytest.raises(InvalidInput):
        drop_records(tmp_path, [{"command": "true", "x": bad}])
    assert drop_files(tmp_path) == []
    assert list(tmp_path.glob("*.jsonl")) == []


def test_appending_is_one_write_with_newlines_around(tmp_path, monkeypatch):
    writes = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(bytes(data)) or write(fd, data))
    append_records(tmp_path / "a", [{"n": 1}, {"n": 2}])
    assert writes == [b'\n{"n":1}\n{"n":2}\n']


def test_a_short_append_is_told_and_does_not_spoil_the_next(tmp_path, monkeypatch):
    path = tmp_path / "a"
    with monkeypatch.context() as patch:
        write = os.write
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
        with pytest.raises(OSError, match="only 5 of 12 bytes"):
            append_records(path, [{"n": 1234}])
    append_records(path, [{"n": 2}])
    records, _ = read_records(path, 0, whole=False)
    assert [line for _, line in records] == [b'{"n"', b'{"n":2}']


def test_lines_come_with_their_offsets_and_only_when_whole(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b'\n{"n":1}\n\n  \n{"n":2}\n{"n"')
    records, end = read_records(path, 0, whole=False)
    assert records == [(1, b'{"n":1}'), (13, b'{"n":2}')]
    assert read_records(path, end, whole=False) == ([], end)
    with path.open("ab") as file:
        file.write(b":3}")
    assert read_records(path, end, whole=False) == ([], end)
    records, last = read_records(path, end, whole=True)
    assert (records, last) == ([(21, b'{"n":3}')], path.stat().st_size)


def test_a_file_cut_at_any_byte_gives_each_line_once(tmp_path):
    data = inbox.encode_records([{"n": 1}, {"text": "ü"}, {"n": 3}])
    for cut in range(len(data) + 1):
        path = tmp_path / "a"
        path.write_bytes(data[:cut])
        first, end = read_records(path, 0, whole=False)
        path.write_bytes(data)
        second, _ = read_records(path, end, whole=True)
        assert [line for _, line in first + second] == data.split(b"\n")[1:-1]


def test_what_is_missing_or_shorter_than_before_has_no_lines(tmp_path):
    assert read_records(tmp_path / "none", 7, whole=True) == ([], 7)
    (tmp_path / "a").write_bytes(b"x\n")
    assert read_records(tmp_path / "a", 100, whole=False) == ([], 100)


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("s\n")
    (tmp_path / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        read_records(tmp_path / "a", 0, whole=True)
