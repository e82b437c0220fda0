"""Reading files that somebody else writes: whole, not yet, or never to be understood."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import msgspec

from air_executor.lifecycle import Run
from air_executor.model import Task
from air_executor.store.files import Identity, being_written, identity, open_regular

__all__ = ["UNREADABLE", "ForeignFile", "NotReadable", "continues", "is_ours", "new_to", "open_for_writing"]

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What `msgspec.json.decode` raises for what is not JSON."""
SETTLE_S: Final = 2.0
"""How long an unreadable file must stay unchanged before it counts as bad rather than half-written."""


class NotReadable(Exception):
    """A file that does not hold what it should; the text says where and what was expected."""


class ForeignFile:
    """Reads one JSON file, remembering since when it has made no sense."""

    def __init__(self) -> None:
        self._unreadable: tuple[Identity, float] | None = None
        self._seen: tuple[Identity, float] | None = None
        self.taken: Identity | None = None
        """What was read of it and dealt with."""

    def shift_clock(self, by_s: float) -> None:
        """The system's clock was set: what was unreadable has been so for as long as before."""
        if self._unreadable is not None:
            self._unreadable = (self._unreadable[0], self._unreadable[1] + by_s)
        if self._seen is not None:
            self._seen = (self._seen[0], self._seen[1] + by_s)

    def quiet(self, here: Identity, now: float) -> bool:
        """Whether nothing has changed for two seconds; to be asked again and again."""
        if self._seen is None or self._seen[0] != here:
            self._seen = (here, now)
        return now - self._seen[1] >= SETTLE_S

    def read(self, path: Path, expected: type, now: float) -> tuple[Any, Identity] | None:
        """Content and identity; None while it is missing or may still be being written.

        Raises `NotReadable` when it has not changed for two seconds and still makes no sense.
        """
        try:
            fd = open_regular(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NotReadable(f"{path.name}: {error.strerror}") from None
        with open(fd, "rb") as file:
            before = identity(fd)
            data = file.read()
            if before is None or identity(fd) != before:
                return None
        value, problem = _decode(path.name, data, expected)
        if problem is None:
            self._unreadable = None
            return value, before
        if self._unreadable is None or self._unreadable[0] != before:
            self._unreadable = (before, now)
        if now - self._unreadable[1] < SETTLE_S:
            return None
        self._unreadable = None
        raise NotReadable(problem)


def _decode(name: str, data: bytes, expected: type) -> tuple[Any, str | None]:
    """The value, or what is wrong with it."""
    try:
        value = msgspec.json.decode(data)
    except UNREADABLE as error:
        return None, _explain(name, data, error)
    if type(value) is not expected:
        what = "a list of task objects" if expected is list else "an object"
        return None, f"{name}, line 1: expected {what}"
    return value, None


def _explain(name: str, data: bytes, error: Exception) -> str:
    """Line and column, which the slower reader knows."""
    try:
        json.loads(data)
    except json.JSONDecodeError as problem:
        return f"{name}, line {problem.lineno} column {problem.colno}: {problem.msg}"
    except (UnicodeDecodeError, RecursionError) as problem:
        return f"{name}: {problem}"
    return f"{name}: {error}"


def open_for_writing(path: Path) -> bool | None:
    """Whether somebody still has the file open for writing; None: another user's, of whom that cannot be known."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        writing = being_written(fd)
        return None if writing is None and os.fstat(fd).st_uid != os.geteuid() else bool(writing)
    finally:
        os.close(fd)


def _task_of(run: Run, item: Any) -> Task | None:
    """The task that an object of a raw list names."""
    task_id = item.get("id") if type(item) is dict else None
    return run.tasks.get(task_id) if isinstance(task_id, str) else None


def is_ours(run: Run, item: Any) -> bool:
    """Whether an object of a raw list is our own record of a task."""
    known = _task_of(run, item)
    # A submitted list that we never replaced has the time of its submission.
    return known is not None and item.get("created_at") in (known.created_at, run.created_at)


def continues(run: Run, items: list[Any]) -> bool:
    """Whether a list was made by adding to this run's view."""
    return any(is_ours(run, item) for item in items)


def new_to(run: Run, items: list[Any]) -> list[Any]:
    """The objects of a raw list that name no task of this run."""
    return [item for item in items if _task_of(run, item) is None]
