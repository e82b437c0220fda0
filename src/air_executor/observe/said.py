"""What running tasks say of themselves with `task.progress`: the one thing that only `tasks.json` tells."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from air_executor.store.files import Identity, identity, read_regular
from air_executor.store.layout import JobFolder

__all__ = ["Said", "SaidByTasks"]

MOST: Final = 4_000_000
"""Bytes; a longer view takes too long to be read for this."""
AGAIN_S: Final = 0.5
READING_SHARE: Final = 50.0


class Said(Struct, frozen=True):
    """How far a task says it is, from 0 to 1, and what it does."""

    fraction: float = 0.0
    text: str = ""


class _Task(Struct):
    id: str = ""
    status: str = "pending"
    progress: Said | None = None


_decoder: Final = msgspec.json.Decoder(list[_Task])


class SaidByTasks:
    """Of one job. The view is read when it has changed, and no more often than what that takes allows."""

    def __init__(self, folder: JobFolder) -> None:
        self._path = str(folder.tasks)
        self._seen: Identity | None = None
        self._again_at = 0.0
        self._said: dict[str, Said] = {}

    def look(self) -> Mapping[str, Said]:
        """Task id -> what it says, of tasks that run."""
        began = time.monotonic()
        if began < self._again_at:
            return self._said
        self._again_at = began + AGAIN_S
        seen = identity(self._path)
        if seen == self._seen:
            return self._said
        self._seen, self._said = seen, {}
        if seen is not None and seen.size <= MOST:
            try:
                tasks = _decoder.decode(read_regular(self._path))
            except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                tasks = []
            self._said = {t.id: t.progress for t in tasks if t.progress is not None and t.status == "running"}
            self._again_at += READING_SHARE * (time.monotonic() - began)
        return self._said
