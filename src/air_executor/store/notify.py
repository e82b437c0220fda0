"""A thin layer over inotify: which watched folders had something written in them."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path
from typing import Final

__all__ = ["Notifier"]

IN_MODIFY: Final = 0x002
IN_CLOSE_WRITE: Final = 0x008
IN_MOVED_FROM: Final = 0x040
IN_MOVED_TO: Final = 0x080
IN_CREATE: Final = 0x100
IN_DELETE: Final = 0x200
IN_Q_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000
IN_ONLYDIR: Final = 0x1000000

NEW_FILES: Final = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE
GROWING_FILES: Final = NEW_FILES | IN_MODIFY
JOB_FOLDERS: Final = NEW_FILES | IN_MOVED_FROM | IN_DELETE

_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Notifier:
    """One inotify instance. `watch` may fail for want of watches; the caller then polls that folder."""

    def __init__(self) -> None:
        self.fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        self._folders: dict[int, str] = {}
        self._watches: dict[str, int] = {}

    def watch(self, folder: os.PathLike[str], mask: int = NEW_FILES) -> bool:
        """Watch a folder; False when the system has no watch left or the folder is gone."""
        wd = _libc.inotify_add_watch(self.fd, os.fsencode(folder), mask | IN_ONLYDIR)
        if wd < 0:
            if ctypes.get_errno() in (errno.ENOSPC, errno.ENOMEM, errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                return False
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
        self._folders[wd] = str(folder)
        self._watches[str(folder)] = wd
        return True

    def watches(self, folder: Path) -> bool:
        """Whether the folder is watched: one that was removed no longer is."""
        return str(folder) in self._watches

    def unwatch(self, folder: Path) -> None:
        wd = self._watches.pop(str(folder), None)
        if wd is not None:
            self._folders.pop(wd, None)
            _libc.inotify_rm_watch(self.fd, wd)

    def read(self) -> tuple[dict[str, set[str]], bool]:
        """Folders -> names that something happened to, and whether events were lost (look at everything)."""
        found: dict[str, set[str]] = {}
        lost = False
        while True:
            try:
                data = os.read(self.fd, 65_536)
            except BlockingIOError:
                return found, lost
            position = 0
            while position < len(data):
                wd, mask, _, length = _EVENT.unpack_from(data, position)
                position += _EVENT.size
                name = data[position : position + length].rstrip(b"\0")
                position += length
                if mask & IN_Q_OVERFLOW:
                    lost = True
                    continue
                folder = self._folders.get(wd)
                if folder is None:
                    continue
                if mask & IN_IGNORED:
                    self._folders.pop(wd, None)
                    self._watches.pop(folder, None)
                found.setdefault(folder, set()).add(os.fsdecode(name))

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
