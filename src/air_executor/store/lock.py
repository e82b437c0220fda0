"""One manager per base folder: a lock that dies with its process and that no child inherits."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from typing import Self

from air_executor.errors import BaseUnusable, ManagerRunning
from air_executor.store.layout import Base

__all__ = ["ManagerLock", "manager_pid"]

# struct flock of 64-bit Linux: type, whence, start, len, pid
_FLOCK = struct.Struct("hhqqi4x")


class ManagerLock:
    """A POSIX record lock on `manager.lock`. Those belong to the process: forked children do not have it.

    The kernel drops it when the process closes *any* descriptor of the file, so nothing else in the
    manager may open `manager.lock`.
    """

    def __init__(self, base: Base) -> None:
        self._base = base
        self._fd = -1

    def acquire(self) -> None:
        """Take the lock, or raise `ManagerRunning` with the pid of the manager that holds it."""
        try:
            self._fd = os.open(self._base.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660)
        except OSError as error:
            raise BaseUnusable(f"cannot open {self._base.lock}: {error.strerror}") from error
        with contextlib.suppress(PermissionError):  # made by another member of the group
            os.fchmod(self._fd, self._base.file_mode)
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = _holder(self._fd)
            os.close(self._fd)
            self._fd = -1
            raise ManagerRunning(str(self._base), pid or 0) from None

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _holder(fd: int) -> int | None:
    request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, request))
    return None if kind == fcntl.F_UNLCK else pid


def manager_pid(base: Base) -> int | None:
    """The pid of the manager that holds `base`, or None. Not to be called inside a manager."""
    try:
        fd = os.open(base.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except PermissionError as error:
        raise BaseUnusable(f"{base.lock}: {error.strerror}") from None
    except OSError:
        return None
    try:
        return _holder(fd)
    finally:
        os.close(fd)
