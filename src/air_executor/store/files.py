"""Writing files so that no reader ever sees half of one, and seeing whether somebody else wrote them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

__all__ = [
    "Identity",
    "being_written",
    "exchange",
    "identity",
    "open_regular",
    "place_new",
    "read_regular",
    "rename_new",
    "sync_folder",
    "unlink_if_same",
    "write_atomically",
]

RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
AT_FDCWD: Final = -100
_NOT_SUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})

_libc = ctypes.CDLL(None, use_errno=True)


class Identity(NamedTuple):
    """What tells one content of a path from another without reading it."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    def same_content(self, other: Identity | None) -> bool:
        """Equal but for the change time, which renaming alone also moves."""
        return other is not None and self[:3] == other[:3]


def identity(path: str | Path | int) -> Identity | None:
    """The identity of a path or open file; None when there is no such file. A link is taken for itself."""
    try:
        info = os.fstat(path) if isinstance(path, int) else os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Identity(info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def open_regular(path: str | Path) -> int:
    """Open a file that anybody may have put there for reading: no link is followed, no pipe waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return fd


def read_regular(path: str | Path) -> bytes:
    """The content of a file that anybody may have put there."""
    with open(open_regular(path), "rb") as file:
        return file.read()


def write_atomically(path: Path, data: bytes, *, sync: bool = False, mode: int = 0o600) -> None:
    """Put `data` at `path` by way of a temporary file, so that readers see the old or the new, never half."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            os.fchmod(fd, mode)
            write_all(fd, data)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        part.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    if sync:
        sync_folder(path.parent)


def write_all(fd: int, data: bytes) -> None:
    """Write everything, however many calls it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def unlink_if_same(path: Path, seen: Identity) -> None:
    """Remove a file, unless another has taken its place since it was seen."""
    if seen.same_content(identity(path)):
        path.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make new names in a folder survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _renameat2(old: Path, new: Path, flags: int) -> bool:
    """False where the file system (or the C library) cannot do this."""
    call = getattr(_libc, "renameat2", None)
    if call is None:
        return False
    if call(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(old), None, str(new))


def exchange(first: Path, second: Path) -> bool:
    """Swap two existing paths in one step; False where the file system cannot."""
    return _renameat2(first, second, RENAME_EXCHANGE)


def rename_new(old: Path, new: Path) -> bool:
    """Rename a file or folder unless `new` exists (False then)."""
    try:
        if _renameat2(old, new, RENAME_NOREPLACE):
            return True
    except FileExistsError:
        return False
    if new.exists():
        return False
    old.rename(new)  # where the system cannot do it in one step
    return True


def place_new(source: Path, target: Path) -> bool:
    """Give `source` the name `target` unless that exists (False then). The old name is gone on success."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    source.unlink()
    return True


def being_written(fd: int) -> bool | None:
    """Whether any process has the file of this read-only descriptor open for writing; None: cannot be known.

    A read lease is granted only where there is no writer, whoever it is; it is given back at once.
    The caller must ignore SIGIO, which a lease break would raise.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
