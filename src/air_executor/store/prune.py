"""Removing jobs that have ended, and earlier runs; safe beside a working manager and clients.

What is to go is renamed first, within `jobs/`, and looked at once more: whoever was just about to use it
either came before, then it is put back, or finds nothing there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from air_executor.errors import InvalidInput
from air_executor.model import ENDED_STATES
from air_executor.names import file_stem
from air_executor.store.files import Identity, identity, read_regular, rename_new
from air_executor.store.inbox import drop_files
from air_executor.store.layout import Base, JobFolder
from air_executor.times import from_iso

__all__ = [
    "LEFTOVER",
    "Ended",
    "Freed",
    "NotEnded",
    "choose",
    "ended",
    "measure",
    "pruning",
    "remove",
    "remove_leftovers",
]

LEFTOVER: Final = ".pruned-"
TAIL_BYTES: Final = 65_536
_MARKS: Final = (b'{"type":"RunEnded"', b'{"type":"RunReopened"')


class NotEnded(Exception):
    """This job or run must stay; the text says why."""


class Ended(Struct, frozen=True):
    """A job whose run has ended, or (with `earlier`) an earlier run of a job."""

    job: str
    run: str
    earlier: bool
    state: str
    ended_at: float
    path: Path
    seen: tuple[Identity | None, ...]
    """What was looked at; if it differs later, somebody has used it since."""


class Freed(Struct):
    """What a removal gave back."""

    bytes: int = 0
    files: int = 0


# ---- what there is -------------------------------------------------------------------------------


def ended(base: Base, names: Iterable[str] | None = None) -> Iterator[Ended | tuple[str, str]]:
    """Jobs and earlier runs that may be removed, of all jobs or those named; else (job, why not)."""
    for name in sorted(os.listdir(base.jobs)) if names is None else names:
        try:
            folder = base.job(name)
        except InvalidInput:
            continue
        if folder.path.is_symlink() or not folder.path.is_dir():
            continue
        try:
            yield _ended_job(folder)
        except NotEnded as why:
            yield name, str(why)
        yield from _earlier_runs(folder)


def _ended_job(folder: JobFolder) -> Ended:
    """The job, if its state and its journal both say that it has ended and nothing waits in it."""
    try:
        seen = _look(folder)
        raw = msgspec.json.decode(read_regular(folder.state))
        state, run = raw["state"], raw["id"]
        if state not in ENDED_STATES:
            raise NotEnded(f"it is {state}" if isinstance(state, str) else "its state is not known")
        first, last = _first_and_end(folder.journal)
    except FileNotFoundError as error:
        raise NotEnded(f"it has no {Path(error.filename).name}: no manager has taken it up") from None
    except OSError as error:
        raise NotEnded(f"{error.filename or folder.path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError):
        raise NotEnded("its state.json cannot be read") from None
    if first != run:
        raise NotEnded("state.json and journal.jsonl are of different runs")
    if last is None:
        raise NotEnded("its journal does not say that it has ended")
    if (folder.path / ".next-state.json").exists() or drop_files(folder.inbox):
        raise NotEnded("requests wait in its inbox")
    tasks, journal, shown = seen[1], seen[2], seen[0]
    if shown is None or journal is None or (tasks is not None and tasks.mtime_ns > shown.mtime_ns):
        raise NotEnded("tasks.json was written after its end, and nobody has read that yet")
    return Ended(folder.name, run, False, state, last, folder.path, seen)


def _look(folder: JobFolder) -> tuple[Identity | None, ...]:
    return tuple(map(identity, (folder.state, folder.tasks, folder.journal)))


def _earlier_runs(folder: JobFolder) -> Iterator[Ended]:
    """Whole ones: a run's journal is moved to its archive last."""
    if folder.runs.is_symlink():
        return
    try:
        stems = sorted(os.listdir(folder.runs))
    except OSError:
        return
    for stem in stems:
        path = folder.runs / stem
        with contextlib.suppress(OSError, NotEnded, msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError):
            if path.is_symlink():
                continue
            run, at = _first_and_end(path / "journal.jsonl")
            state = msgspec.json.decode(read_regular(path / "state.json"))["state"]
            if at is not None and state in ENDED_STATES and file_stem(run) == stem:
                yield Ended(folder.name, run, True, state, at, path, ())


def _first_and_end(journal: Path) -> tuple[str, float | None]:
    """The id of a journal's run, and when it ended; None when it has not, or was reopened since.

    Reads the first line, and from the end back to the last event of the two.
    """
    fd = os.open(journal, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        try:
            first = str(msgspec.json.decode(file.readline())["id"])
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError):
            raise NotEnded("its journal cannot be read") from None
        position = file.seek(0, os.SEEK_END)
        rest = b""
        while position > 0:
            size = min(TAIL_BYTES, position)
            position -= size
            file.seek(position)
            lines = (file.read(size) + rest).split(b"\n")
            rest = lines[0] if position else b""
            for line in reversed(lines[1:] if position else lines):
                if line.startswith(_MARKS):
                    return first, _end_of(line)
    return first, None


def _end_of(line: bytes) -> float | None:
    try:
        event = msgspec.json.decode(line)
        return from_iso(event["at"]) if event["type"] == "RunEnded" else None
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError, ValueError):
        raise NotEnded("its journal cannot be read") from None


# ---- what to remove ------------------------------------------------------------------------------


def choose(
    found: Iterable[Ended],
    now: float,
    *,
    older_than_s: float | None = None,
    keep: int = 0,
    state: str | None = None,
    runs_only: bool = False,
) -> list[Ended]:
    """Which of `found` go: of that state, old enough, and not among the `keep` that ended last.

    Jobs are counted together, earlier runs each job by itself. A job that goes takes its runs along.
    """
    piles: dict[str | None, list[Ended]] = defaultdict(list)
    for one in found:
        if (one.earlier or not runs_only) and state in (None, one.state):
            piles[one.job if one.earlier else None].append(one)
    chosen = []
    for pile in piles.values():
        pile.sort(key=lambda one: one.ended_at, reverse=True)
        chosen += [one for one in pile[keep:] if older_than_s is None or now - one.ended_at >= older_than_s]
    whole = {one.job for one in chosen if not one.earlier}
    return sorted(
        (one for one in chosen if not one.earlier or one.job not in whole), key=lambda one: (one.job, one.ended_at)
    )


# ---- removing ------------------------------------------------------------------------------------


@contextlib.contextmanager
def pruning(base: Base) -> Iterator[None]:
    """One at a time: what another one has renamed but not looked at again is not ours to delete."""
    fd = os.open(base.jobs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a network file system without locks on folders
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def remove(base: Base, one: Ended) -> Freed:
    """Remove it. `NotEnded` when somebody has used it since it was looked at; then it is as it was."""
    away = base.jobs / f"{LEFTOVER}{os.getpid()}-{os.urandom(6).hex()}"
    try:
        one.path.rename(away)
    except FileNotFoundError:
        raise NotEnded("it is gone") from None
    except OSError as error:
        raise NotEnded(f"{error.filename}: {error.strerror}") from None
    if not one.earlier and _used_since(JobFolder(base, away.name), one):
        _put_back(base, one, away)
        raise NotEnded("it was used again at this moment")
    return _delete(away)


def _used_since(folder: JobFolder, one: Ended) -> bool:
    return bool(drop_files(folder.inbox)) or _changed(folder, one)


def _changed(folder: JobFolder, one: Ended) -> bool:
    return any(
        (now is None) != (then is None) or (now is not None and not now.same_content(then))
        for now, then in zip(_look(folder), one.seen, strict=True)
    )


def _put_back(base: Base, one: Ended, away: Path) -> None:
    """Give a job its name again; if that was taken meanwhile, what waits in its inbox goes to the new one."""
    if rename_new(away, one.path):
        return
    taker = base.job(one.job)
    taker.create()
    for name in drop_files(away / "inbox"):
        (away / "inbox" / name).rename(taker.inbox / name)
    if _changed(JobFolder(base, away.name), one):  # another run had begun in it: kept, as a job of another name
        away.rename(base.jobs / f"put-aside-{os.urandom(6).hex()}")


def remove_leftovers(base: Base) -> Freed:
    """Finish what interrupted prunes have left; a folder in which something waits is passed over."""
    freed = Freed()
    for path in base.jobs.glob(f"{LEFTOVER}*"):
        if path.is_symlink() or drop_files(path / "inbox"):
            continue
        with contextlib.suppress(NotEnded):
            more = _delete(path)
            freed.bytes += more.bytes
            freed.files += more.files
    return freed


def measure(path: Path) -> Freed:
    """What a folder takes on the disk; links are not followed."""
    found = Freed()
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                found.bytes += os.lstat(os.path.join(folder, name)).st_blocks * 512
        found.files += len(files)
    with contextlib.suppress(OSError):
        found.bytes += path.lstat().st_blocks * 512
    return found


def _delete(path: Path) -> Freed:
    freed = measure(path)
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        left = measure(path)
        freed.bytes -= left.bytes
        freed.files -= left.files
        raise NotEnded(f"not all of it could be removed; the rest is {path}")
    return freed
