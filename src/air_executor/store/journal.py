"""The journal: one event a line, append-only, the truth about a run."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from air_executor import events as ev
from air_executor.errors import JournalUnreadable
from air_executor.store.files import open_regular, read_regular, sync_folder

__all__ = ["Journal", "JournalFollower", "read_journal"]


_NO_EVENT: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Journal:
    """The write end. Keeps what could not be written (no room) and writes it first the next time."""

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with contextlib.suppress(PermissionError):  # made by another member of the group
            os.fchmod(self._fd, mode)
        self._end = os.fstat(self._fd).st_size
        self._pending = bytearray()
        self._named = self._end > 0
        """Whether its name is on the disk as well."""
        self.unsynced = False
        self._syncing = threading.Lock()
        """The loop and the syncer's thread may both sync, and the loop may close."""

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._end

    @property
    def blocked(self) -> bool:
        """Whether events wait for room; nothing that follows from them may be done yet."""
        return bool(self._pending)

    def append(self, events: list[ev.Event]) -> None:
        """Write the lines of `events`; `OSError` when they could not all be written, they are kept then."""
        data = ev.encode_events(events) if events else b""
        if self._pending:
            self._pending += data
            data = bytes(self._pending)
        done = 0
        try:
            while done < len(data):
                written = os.pwrite(self._fd, data[done:] if done else data, self._end)
                done += written
                self._end += written
                self.unsynced = True
        except OSError:
            self._pending = bytearray(data[done:])
            raise
        self._pending.clear()

    def sync(self) -> None:
        """Return when what was written is on the disk, whoever else is just bringing it there."""
        with self._syncing:
            if self.unsynced and self._fd >= 0:
                self.unsynced = False
                try:
                    os.fdatasync(self._fd)
                    if not self._named:
                        sync_folder(self.path.parent)
                        self._named = True
                except OSError:
                    self.unsynced = True
                    raise

    def close(self) -> None:
        with self._syncing:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


def read_journal(path: Path) -> tuple[list[ev.Event], int]:
    """The events of a journal and the offset where its whole lines end (later bytes are a torn record).

    Raises `JournalUnreadable` for a newer version, or a damaged line that is not the last.
    """
    try:
        data = read_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise JournalUnreadable(f"{path}: {error.strerror}") from None
    end = data.rfind(b"\n") + 1
    lines = data[:end].split(b"\n")[:-1]
    events: list[ev.Event] = []
    offset = 0
    for number, line in enumerate(lines, 1):
        try:
            event = ev.decode_event(line)
        except _NO_EVENT as error:
            if number == len(lines) and not (number == 1 and _version(line) > ev.SCHEMA_VERSION):
                return events, offset  # a torn write may hold a newline of the next record's place
            raise _unreadable(path, number, line, error) from None
        if number == 1 and (not isinstance(event, ev.RunCreated) or event.version > ev.SCHEMA_VERSION):
            raise _unreadable(path, 1, line, None)
        events.append(event)
        offset += len(line) + 1
    return events, offset


def _version(line: bytes) -> int:
    with contextlib.suppress(*_NO_EVENT, AttributeError):
        version = msgspec.json.decode(line).get("version")
        if isinstance(version, int):
            return version
    return 0


def _unreadable(path: Path, number: int, line: bytes, error: Exception | None) -> JournalUnreadable:
    version = _version(line)
    if version > ev.SCHEMA_VERSION:
        return JournalUnreadable(
            f"{path}: written by a newer Air-Executor (journal version {version}, "
            f"this one reads up to {ev.SCHEMA_VERSION}); upgrade Air-Executor"
        )
    return JournalUnreadable(f"{path}, line {number}: {error or 'expected a RunCreated event'}")


class JournalFollower:
    """Reads a journal as it grows; sees when a new run has begun in the same folder."""

    def __init__(self, path: Path, position: int = 0) -> None:
        """`position`: where to begin, if the file there is the one that was read before."""
        self.path = path
        self.at = 0
        """Where the line of the event given last begins."""
        self._fd = -1
        self._inode = 0
        self._first = position
        self._offset = 0
        """Where the next whole line begins. A torn end is read again, since a restarted manager cuts it off."""

    @property
    def position(self) -> int:
        """Where the next line will begin: everything before has been given."""
        return self._offset

    @property
    def inode(self) -> int:
        """Of the file that is being read; 0 while there is none."""
        return self._inode

    def read(self, at_most: int = 8_000_000) -> Iterator[tuple[bool, ev.Event]]:
        """The new events, each with whether it is the first of another run than before.

        Lines this version does not know are passed over: whoever only looks need not understand all.
        """
        try:
            info = os.stat(self.path)
            if info.st_ino == self._inode:
                if info.st_size < self._offset:  # a restored copy: what was given no longer holds
                    self._offset = 0
                    yield from self._events(True, at_most)
                elif info.st_size > self._offset:
                    yield from self._events(False, at_most)
                return
            yield from self._events(False, 1 << 62)  # the end of the run that was moved away
            fd = open_regular(self.path)
        except FileNotFoundError:
            return
        self._take(fd)
        yield from self._events(True, at_most)

    def open(self) -> None:
        """Open the file that is there, without reading; `FileNotFoundError` when there is none."""
        self._take(open_regular(self.path))

    def _take(self, fd: int) -> None:
        self.close()
        self._fd, self._inode = fd, os.fstat(fd).st_ino
        self._offset, self._first = self._first, 0

    def behind(self) -> int:
        """How many bytes have not been read, as far as a look at the file tells."""
        try:
            info = os.stat(self.path)
        except FileNotFoundError:
            return 0
        return info.st_size if info.st_ino != self._inode else max(0, info.st_size - self._offset)

    def line_at(self, offset: int) -> bytes:
        """The line of the present file that begins at `offset`; empty when there is none."""
        size = 4_096
        while self._fd >= 0:
            data = os.pread(self._fd, size, offset)
            end = data.find(b"\n")
            if end >= 0 or len(data) < size:
                return data[: max(0, end)]
            size *= 8
        return b""

    def reader(self) -> JournalFollower:
        """Another one that stays with the present file, for `line_at` and `bytes_at`."""
        other = JournalFollower(self.path)
        other._fd = os.dup(self._fd) if self._fd >= 0 else -1
        other._inode = self._inode
        return other

    def bytes_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes of the present file from `offset` on."""
        return os.pread(self._fd, size, offset) if self._fd >= 0 else b""

    def _events(self, fresh: bool, at_most: int) -> Iterator[tuple[bool, ev.Event]]:
        if self._fd < 0:
            return
        rest = b""
        size = max(65_536, min(1_048_576, at_most))
        while (at_most > 0 or rest) and (data := os.pread(self._fd, size, self._offset + len(rest))):
            at_most -= len(data)
            lines = (rest + data).split(b"\n")
            rest = lines.pop()
            if at_most <= 0 and lines:
                rest = b""  # is read again the next time
            for line in lines:
                try:
                    event = ev.decode_event(line)
                except _NO_EVENT:
                    if line is lines[-1] and self._is_last(len(line) + 1):
                        return  # torn: the newline is another record's place, and a manager may cut it off
                    self._offset += len(line) + 1
                    continue
                self.at = self._offset
                self._offset += len(line) + 1
                yield fresh, event
                fresh = False

    def _is_last(self, size: int) -> bool:
        """Whether the file ends `size` bytes after the present offset."""
        return os.fstat(self._fd).st_size <= self._offset + size

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
