"""Files that are whole or absent, and the questions asked of them."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from air_executor.store import files
from air_executor.store.files import (
    being_written,
    exchange,
    identity,
    place_new,
    sync_folder,
    write_atomically,
)


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path, sync):
    path = tmp_path / "a.json"
    write_atomically(path, b"one", sync=sync)
    with path.open("rb") as reader:
        write_atomically(path, b"two", sync=sync, mode=0o640)
        assert reader.read() == b"one"
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(tmp_path) == {"a.json"}


def test_a_write_that_fails_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def no_room(_fd, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "write_all", no_room)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"a.json"}


def test_a_temporary_file_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / f".a.json.{os.getpid()}.part").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        write_atomically(tmp_path / "a.json", b"x")
    assert not (tmp_path / "victim").exists()


def test_write_all_goes_on_after_short_writes(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:3])))
    with (tmp_path / "a").open("wb", buffering=0) as file:
        files.write_all(file.fileno(), b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_identity_tells_contents_apart(tmp_path):
    path = tmp_path / "a"
    assert identity(path) is None
    path.write_bytes(b"1")
    first = identity(path)
    assert first == identity(path)
    assert first.same_content(identity(path))
    path.rename(tmp_path / "b")
    assert first.same_content(identity(tmp_path / "b"))
    (tmp_path / "b").write_bytes(b"22")
    assert not first.same_content(identity(tmp_path / "b"))
    path.write_bytes(b"1")
    assert not first.same_content(identity(path))
    assert not first.same_content(None)
    with path.open() as file:
        assert identity(file.fileno()) == identity(path)


def test_exchange_swaps_in_one_step(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("b", "a")


def test_exchange_needs_both(tmp_path):
    (tmp_path / "a").write_text("a")
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").read_text() == "a"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_exchange_tells_where_the_file_system_cannot(tmp_path, monkeypatch, code):
    class Old:
        @staticmethod
        def renameat2(*_args):
            files.ctypes.set_errno(code)
            return -1

    monkeypatch.setattr(files, "_libc", Old)
    assert not exchange(tmp_path / "a", tmp_path / "b")


def test_exchange_tells_where_the_c_library_cannot(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_libc", object())
    assert not exchange(tmp_path / "a", tmp_path / "b")


def test_place_new_never_replaces(tmp_path):
    (tmp_path / "new").write_text("new")
    (tmp_path / "there").write_text("there")
    assert not place_new(tmp_path / "new", tmp_path / "there")
    assert (tmp_path / "there").read_text() == "there"
    assert place_new(tmp_path / "new", tmp_path / "free")
    assert names(tmp_path) == {"there", "free"}


def test_being_written_sees_any_writer(tmp_path):
    path = tmp_path / "a"
    path.write_text("x")
    fd = os.open(path, os.O_RDONLY)
    try:
        if being_written(fd) is None:
            pytest.skip("this file system has no leases")
        assert being_written(fd) is False
        writer = os.open(path, os.O_WRONLY | os.O_APPEND)
        assert being_written(fd) is True
        os.close(writer)
        assert being_written(fd) is False
        reader = os.open(path, os.O_RDONLY)
        assert being_written(fd) is False
        os.close(reader)
    finally:
        os.close(fd)


def test_being_written_may_not_be_known():
    read, write = os.pipe()
    assert being_written(read) is None
    os.close(read)
    os.close(write)


def test_sync_folder_wants_a_folder(tmp_path):
    sync_folder(tmp_path)
    (tmp_path / "a").write_text("")
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "a")
