"""The index: what was read of long journals, kept in a SQLite file outside the base folder.

It may be removed at any time; then the journals are read again. Several servers of a machine may share it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from air_executor import __version__
from air_executor.observe import saved
from air_executor.observe.tail import JournalTail
from air_executor.store.layout import Base, JobFolder

__all__ = ["Draft", "Index", "Version", "default_folder"]

log = logging.getLogger("air_executor.observe")

WORTH_IT: Final = 1_000_000
"""Bytes; a shorter journal is read again as quickly."""
KEPT_S: Final = 60 * 86_400.0
PATIENCE_S: Final = 5.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    job TEXT PRIMARY KEY, run TEXT, inode INTEGER, position INTEGER, tasks INTEGER, attempts INTEGER,
    used_at REAL, head BLOB
);
CREATE TABLE IF NOT EXISTS chunks (job TEXT, kind INTEGER, chunk INTEGER, data BLOB, PRIMARY KEY (job, kind, chunk))
"""
TASKS: Final = 0
ATTEMPTS: Final = 1


def default_folder(base: Base) -> Path:
    """Where the index of a base folder is: among the user's caches."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = hashlib.blake2b(os.fsencode(base.path), digest_size=8).hexdigest()
    return Path(caches) / "air-executor" / name


class Version(NamedTuple):
    """What of a job is in the index, as far as this process knows."""

    run: str
    position: int
    changed: int


class Draft(NamedTuple):
    """A job as it is to be kept, made where nobody changes it meanwhile; the rest takes its time."""

    frozen: JournalTail
    position: int
    head: bytes
    before: Version | None
    changed: tuple[set[int], set[int]] | None

    @classmethod
    def of(cls, tail: JournalTail, before: Version | None) -> Draft:
        """`before`: what this process knows to be in the index."""
        progress = tail.progress
        if before is not None and before.run != progress.run_id:
            before = None
        changed = None if before is None else saved.changed_chunks(progress.roll, before.changed)
        return cls(tail.frozen(), tail.position, saved.head(progress), before, changed)

    @property
    def version(self) -> Version:
        """What is in the index once this is."""
        progress = self.frozen.progress
        return Version(progress.run_id, self.position, progress.roll.changed)


class Index:
    """For threads: all methods wait for the disk. What cannot be read or written is done without."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "index.sqlite"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self.trouble: str | None = None
        """Why it is done without."""
        self._tidied = False

    # ---- reading -------------------------------------------------------------------------------

    def load(self, tail: JournalTail) -> Version | None:
        """Bring a fresh `tail` to where the index knows its journal; None when it does not know it."""
        known: Version | None = None
        with self._open() as connection:
            if connection is None:
                return None
            row = connection.execute(
                "SELECT run, inode, position, tasks, attempts, head FROM jobs WHERE job = ?", (tail.name,)
            ).fetchone()
            if row is None:
                return None
            run, inode, position, tasks, attempts, head = row
            if not _is_of(tail.folder, run, inode, position):
                return None
            tasks_, attempts_ = (_pieces(connection, tail.name, kind) for kind in (TASKS, ATTEMPTS))
            progress = saved.restored(head, tasks_, attempts_)
            if len(progress.roll) != tasks or len(progress.roll.ends) != attempts:
                return None
            tail.restore(progress, position)
            known = Version(run, position, progress.roll.changed)
        return known  # noqa: RET504  (None where trouble with the file has ended the block)

    # ---- writing -------------------------------------------------------------------------------

    def save(self, draft: Draft) -> bool:
        """Keep what a draft holds, unless somebody else has kept more meanwhile; whether it is there now."""
        frozen, position, head, before, changed = draft
        roll = frozen.progress.roll
        run = frozen.progress.run_id
        kept = False
        with self._open() as connection:
            if connection is None:
                return False
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                found = connection.execute(
                    "SELECT run, inode, position FROM jobs WHERE job = ?", (frozen.name,)
                ).fetchone()
                same = found is not None and found[:2] == (run, frozen.inode)
                if same and found[2] >= position:
                    return True
                # What others have kept since our last look changed within what we have seen change.
                if changed is None or not same or before is None or before.position > found[2]:
                    connection.execute("DELETE FROM chunks WHERE job = ?", (frozen.name,))
                    changed = (
                        set(range(saved.chunk_count(len(roll)))),
                        set(range(saved.chunk_count(len(roll.ends)))),
                    )
                for kind, chunks, made in (
                    (TASKS, changed[0], saved.task_chunk),
                    (ATTEMPTS, changed[1], saved.attempt_chunk),
                ):
                    connection.executemany(
                        "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?)",
                        ((frozen.name, kind, chunk, made(roll, chunk)) for chunk in sorted(chunks)),
                    )
                sizes = (len(roll), len(roll.ends))
                connection.execute(
                    "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (frozen.name, run, frozen.inode, position, *sizes, time.time(), head),
                )
                kept = True
        return kept

    def forget(self, base: Base) -> None:
        """Once: drop jobs that are no longer there, or that nobody has looked at for long."""
        if self._tidied:
            return
        self._tidied = True
        with self._open() as connection:
            if connection is None:
                return
            rows = connection.execute("SELECT job, used_at FROM jobs").fetchall()
            gone = [
                (job,) for job, used_at in rows if used_at < time.time() - KEPT_S or not (base.jobs / job).is_dir()
            ]
            with connection:
                connection.executemany("DELETE FROM jobs WHERE job = ?", gone)
                connection.executemany("DELETE FROM chunks WHERE job = ?", gone)

    # ---- the file ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection | None]:
        """The connection; None when there can be none. Trouble with the file is the end of it, not of the caller."""
        with self._lock:
            if self._connection is None and self.trouble is None:
                try:
                    self._connection = self._connect()
                except (sqlite3.Error, OSError) as error:
                    self._give_up(error)
            try:
                yield self._connection
            except (sqlite3.Error, OSError, msgspec.DecodeError, ValueError, KeyError, TypeError) as error:
                busy = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
                if not busy:
                    self._give_up(error)

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(
            self.path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
        )  # fmt: skip
        self.path.chmod(0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # it can be made anew
        mark = int.from_bytes(hashlib.blake2b(__version__.encode(), digest_size=3).digest(), "big") + FORMAT
        if connection.execute("PRAGMA user_version").fetchone()[0] != mark:
            connection.executescript("DROP TABLE IF EXISTS jobs; DROP TABLE IF EXISTS chunks")
            connection.execute(f"PRAGMA user_version = {mark}")
        connection.executescript(_SCHEMA)
        return connection

    def _give_up(self, error: Exception) -> None:
        """Do without, and remove what cannot be read, so that the next server begins anew."""
        self.trouble = f"{self.path}: {error}"
        log.warning("the index cannot be used, so long journals are read anew at each start: %s", self.trouble)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    os.unlink(f"{self.path}{suffix}")

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


FORMAT: Final = 1
"""Moves on when the same version of the program changes what is saved."""


def _pieces(connection: sqlite3.Connection, job: str, kind: int) -> Iterator[bytes]:
    for (data,) in connection.execute(
        "SELECT data FROM chunks WHERE job = ? AND kind = ? ORDER BY chunk", (job, kind)
    ):
        yield data


def _is_of(folder: JobFolder, run: str, inode: int, position: int) -> bool:
    """Whether the journal that is there now is the one that was read, and still holds what was read of it."""
    try:
        with folder.journal.open("rb") as file:
            info = os.fstat(file.fileno())
            if info.st_ino != inode or info.st_size < position:
                return False
            if msgspec.json.decode(file.readline())["id"] != run:
                return False
            file.seek(position - 1)
            return file.read(1) == b"\n"
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return False
