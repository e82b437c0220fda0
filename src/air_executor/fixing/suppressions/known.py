"""What was found in a file's text before, so that an unchanged file is not taken apart again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from air_executor.fixing.checking.cache import own_code
from air_executor.fixing.suppressions.suppression import Suppression
from air_executor.store.files import write_atomically

__all__ = ["Known"]


class _Entry(Struct, array_like=True):
    digest: bytes
    found: list[Suppression]


class _Kept(Struct, array_like=True):
    code: str
    files: dict[str, _Entry]


class Known:
    """By path and content, kept in one file; made by other code than this it is not believed."""

    def __init__(self, path: Path | None) -> None:
        """None: nothing is kept."""
        self._path = path
        self._old: dict[str, _Entry] = {}
        self._new: dict[str, _Entry] = {}
        self._changed = False
        if path is not None:
            try:
                kept = msgspec.msgpack.decode(path.read_bytes(), type=_Kept)
            except (OSError, msgspec.DecodeError):
                return
            if kept.code == own_code():
                self._old = kept.files

    def get(self, path: str, text: str) -> list[Suppression] | None:
        entry = self._old.get(path)
        if entry is None or entry.digest != _digest(text):
            return None
        self._new[path] = entry
        return entry.found

    def put(self, path: str, text: str, found: list[Suppression]) -> None:
        self._new[path] = _Entry(_digest(text), found)
        self._changed = True

    def save(self) -> None:
        """Keep what was asked for. A folder that cannot be written only costs time."""
        if self._path is None or (not self._changed and len(self._new) == len(self._old)):
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, msgspec.msgpack.encode(_Kept(own_code(), self._new)))
        except OSError:
            return


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
