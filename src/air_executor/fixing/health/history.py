"""The numbers of each examination of a repository, a JSON line each, in the user's state folder."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from air_executor.errors import BaseUnusable
from air_executor.store.files import write_atomically

if TYPE_CHECKING:
    from air_executor.fixing.health.health import Health

__all__ = ["Record", "history_file", "read_history", "record", "record_of"]

KEPT: Final = 5_000
"""Lines; when there are twice as many, the oldest are dropped."""


class Record(Struct, kw_only=True, frozen=True):
    """One examination. None: not known, or not looked for."""

    at: str
    commit: str | None = None
    dirty: bool | None = None
    mode: str = ""
    overall: float | None = None
    healthy: bool | None = None
    static: float | None = None
    errors: int | None = None
    quality: float | None = None
    dynamic: float | None = None
    pass_rate: float | None = None
    coverage: float | None = None
    tests: int | None = None
    failed: int | None = None
    issues: int = 0
    by_severity: dict[str, int] = {}
    could_not_run: int = 0
    """Checks: while this is not 0, fewer issues are no progress."""
    suppressions: int | None = None
    duration_s: float = 0.0


def record_of(health: Health) -> Record:
    dynamic, quality = health.dynamic, health.static.quality
    return Record(
        at=health.at,
        commit=health.commit,
        dirty=health.dirty,
        mode=health.mode,
        overall=health.overall,
        healthy=health.healthy,
        static=health.static.score,
        errors=health.static.errors,
        quality=quality.score if quality is not None else None,
        dynamic=dynamic.score if dynamic is not None else None,
        pass_rate=dynamic.pass_rate if dynamic is not None else None,
        coverage=dynamic.coverage if dynamic is not None else None,
        tests=dynamic.tests if dynamic is not None else None,
        failed=dynamic.failed if dynamic is not None else None,
        issues=len(health.issues),
        by_severity=dict(Counter(issue.severity for issue in health.issues)),
        could_not_run=sum(result.outcome == "could_not_run" for result in health.results),
        suppressions=len(health.suppressions.entries),
        duration_s=health.duration_s,
    )


def history_file(repository: Path) -> Path:
    """Named after the folder, and a digest of its place."""
    folder = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    place = repository.resolve()
    digest = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    return Path(folder, "air-executor", "fixing", "history", f"{place.name[:60]}-{digest}.jsonl")


def record(health: Health) -> None:
    """Add one line. Raises `BaseUnusable` where that cannot be."""
    path = history_file(Path(health.repository))
    line = msgspec.json.encode(record_of(health)) + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(path):
            _append(path, line)
            _trim(path)
    except OSError as error:
        raise BaseUnusable(f"{path} cannot be written: {error.strerror}; XDG_STATE_HOME moves it") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _append(path: Path, line: bytes) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            line = b"\n" + line  # what a full disk left of the last one stays a line of its own
        os.write(fd, line)
    finally:
        os.close(fd)


def _trim(path: Path) -> None:
    if path.stat().st_size > 200 * KEPT:  # a line is longer
        lines = path.read_bytes().splitlines(keepends=True)
        if len(lines) > 2 * KEPT:
            write_atomically(path, b"".join(lines[-KEPT:]))


def read_history(repository: Path, limit: int = KEPT) -> list[Record]:
    """The last records, the oldest first. A line that is none (a full disk cut it) is left out."""
    path = history_file(repository)
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BaseUnusable(f"{path} cannot be read: {error.strerror}") from error
    decoder = msgspec.json.Decoder(Record)
    found = []
    for line in lines[-limit:]:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            found.append(decoder.decode(line))
    return found
