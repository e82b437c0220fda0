"""The inbox: what clients and tasks leave for the manager, a JSON object a line.

A line with `command` is a task; a line with `request` asks for something else; a line with `progress`
tells how far a task is. Clients drop whole files (write, sync, rename); a task appends to a file of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from air_executor.errors import InvalidInput
from air_executor.store.files import write_all

__all__ = [
    "UntrustedFile",
    "append_records",
    "drop_files",
    "drop_records",
    "read_records",
    "time_of_drop",
    "waiting_requests",
]

DROP_SUFFIX = ".drop.jsonl"
RENEW_SUFFIX = f"-renew{DROP_SUFFIX}"
"""Of files that only say that somebody is there: they are read out of turn."""


def encode_records(records: list[dict[str, Any]]) -> bytes:
    """The lines of `records`, with a newline first too, so that a torn line before cannot spoil them."""
    try:
        lines = [
            json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
            for record in records
        ]
    except (TypeError, ValueError) as error:  # ValueError: NaN, infinity, lone surrogates
        raise InvalidInput(f"expected what JSON can hold: {error}") from None
    return b"\n" + b"\n".join(lines) + b"\n"


def append_records(path: Path, records: list[dict[str, Any]]) -> None:
    """Append in one write, which the kernel does not mix with others' on a local file system."""
    data = encode_records(records)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        written = os.write(fd, data)
        if written != len(data):
            raise OSError(f"only {written} of {len(data)} bytes could be written to {path}")
    finally:
        os.close(fd)


def drop_name() -> str:
    """A new file name for a drop; names sort by time."""
    return f"{time.time_ns():020d}-{os.urandom(6).hex()}{DROP_SUFFIX}"


def time_of_drop(name: str) -> int:
    """When a file of this name was dropped, in nanoseconds; a name that somebody thought of himself tells nothing."""
    digits = name.partition("-")[0]
    return int(digits) if digits.isdecimal() and len(digits) == 20 else 1 << 62


def drop_records(
    inbox: Path,
    records: list[dict[str, Any]],
    name: str | None = None,
    mode: int = 0o600,
    *,
    durable: bool = True,
) -> str:
    """Leave `records` as one file; they are on disk (if `durable`) and wholly visible when this returns its name."""
    name = name or drop_name()
    part = inbox / f".{name}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(fd, mode)
        write_all(fd, encode_records(records))
        if durable:
            os.fsync(fd)
    except OSError:
        part.unlink()
        raise
    finally:
        os.close(fd)
    folder = os.open(inbox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        part.rename(inbox / name)  # by its path: where the job has just been pruned this fails
        if durable:
            os.fsync(folder)
    finally:
        os.close(folder)
    knock(inbox.parent, mode)
    return name


def knock(folder: Path, mode: int) -> None:
    """Wake a manager that only listens to the job's folder because the job has ended; nothing depends on it."""
    with contextlib.suppress(OSError):
        fd = os.open(folder / ".wake", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            os.fchmod(fd, mode)
        finally:
            os.close(fd)


def drop_files(inbox: Path) -> list[str]:
    """Names of the dropped files, oldest first."""
    try:
        return sorted(name for name in os.listdir(inbox) if name.endswith(DROP_SUFFIX) and name[0] != ".")
    except FileNotFoundError:
        return []


def waiting_requests(inbox: Path) -> set[str]:
    """What an ended job was asked that no manager has carried out: `submit` a next run, `reopen` this one."""
    found = set()
    for name in drop_files(inbox):
        records, _ = read_records(inbox / name, 0, whole=True)
        for _, line in records:
            if b'"request":"submit"' in line[:40]:
                found.add("submit")
            elif b'"request":"retry"' in line[:40] or b'"reopen":true' in line[:40]:
                found.add("reopen")
    return found


class UntrustedFile(OSError):
    """An inbox file of somebody who may not tell this manager what to run."""


def read_records(
    path: str | Path, offset: int, *, whole: bool, trusts: Callable[[os.stat_result], bool] | None = None
) -> tuple[list[tuple[int, bytes]], int]:
    """Lines of `path` from `offset` on, each with its own offset, and where to read on.

    A last line without newline is left for later, unless `whole` says that no more will come.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return [], offset
    try:
        info = os.fstat(fd)
        if trusts is not None and not trusts(info):
            raise UntrustedFile(1, f"it belongs to user {info.st_uid}, who has no part in this base folder")
        size = info.st_size
        data = os.pread(fd, size - offset, offset) if size > offset else b""
        while 0 < len(data) < size - offset:
            more = os.pread(fd, size - offset - len(data), offset + len(data))
            if not more:
                break
            data += more
    finally:
        os.close(fd)
    end = len(data) if whole else data.rfind(b"\n") + 1
    records = []
    position = 0
    for line in data[:end].split(b"\n"):
        if line.strip():
            records.append((offset + position, line))
        position += len(line) + 1
    return records, offset + end
