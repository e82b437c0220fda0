"""How far a run of a job is, from a look at its folder that costs next to nothing, so that many can be waited for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from air_executor.model import ENDED_STATES
from air_executor.names import check_job_name, file_stem
from air_executor.observe.journals import RunJournal
from air_executor.store.files import read_regular
from air_executor.store.inbox import drop_files, read_records, waiting_requests
from air_executor.store.layout import Base, JobFolder

__all__ = ["Look", "look"]

KEPT: Final = ("id", "name", "state", "reason", "error", "created_at", "updated_at", "progress")
NEXT: Final = ".next-state.json"


class Look(Struct, frozen=True):
    """What was found of a run."""

    job: str
    run: str | None
    """The run that was meant; None: whichever is there."""
    found: bool
    """Whether there is a folder of that job."""
    missing: bool
    """Whether it is neither there, nor archived, nor announced: it was removed, or never was."""
    ended: bool
    """Whether it has ended; of no run in particular: and no next one is in line."""
    state: dict[str, Any] | None
    """Of `state.json` what tells how far the run is; None while only the announcement of it is there."""


def look(base: Base, job: str, run: str | None = None) -> Look:
    """Look at one run. Raises `BaseUnusable` where there is no base folder, `InvalidName` for what names no job."""
    path = f"{base.jobs}/{check_job_name(job)}"  # paths as objects would take longer than all the rest
    if not _is_folder(path):
        base.require()
        return Look(job, run, found=False, missing=True, ended=False, state=None)
    state = _read(f"{path}/state.json")
    if run is not None and (state is None or state.get("id") != run):
        folder = base.job(job)
        archived = _read(folder.runs / file_stem(run) / "state.json")
        if archived is not None:
            return Look(job, run, found=True, missing=False, ended=True, state=_kept(archived, job))
        missing = run not in _announced(folder) and run != _journalled(folder)
        return Look(job, run, found=True, missing=missing, ended=False, state=None)
    ended = _has_ended(state) and not _goes_on(base.job(job), state, run)
    if ended:
        # A request that is gone was carried out, and the view that shows it was written before: look once more.
        again = _read(f"{path}/state.json")
        ended = _has_ended(again) and _id(again) == _id(state)
        state = again
    return Look(job, run, found=True, missing=False, ended=ended, state=_kept(state, job))


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _id(state: dict[str, Any] | None) -> Any:
    return None if state is None else state.get("id")


def _has_ended(state: dict[str, Any] | None) -> bool:
    return state is not None and state.get("state") in ENDED_STATES


def _goes_on(folder: JobFolder, state: dict[str, Any] | None, run: str | None) -> bool:
    """Whether an ended run was told to go on, or (where no run in particular is meant) another one is to come."""
    if run is None and any(announced != _id(state) for announced in _announced(folder)):
        return True
    return "reopen" in waiting_requests(folder.inbox)


def _journalled(folder: JobFolder) -> str | None:
    """The run that is under way, whatever somebody may have put in place of its views."""
    try:
        journal = RunJournal(folder.journal)
    except (OSError, ValueError):
        return None
    journal.close()
    return journal.created.id


def _kept(state: dict[str, Any] | None, job: str) -> dict[str, Any] | None:
    if state is None:
        return None
    found: dict[str, Any] = {key: state[key] for key in KEPT if key in state}
    if not isinstance(found.get("state"), str):
        found["state"] = "waiting"
    return {**found, "name": job}


def _announced(folder: JobFolder) -> Iterator[str | None]:
    """The ids of runs that are to come."""
    kept = _read(folder.path / NEXT)
    if kept is not None:
        yield kept.get("id")
    for line in _requests(folder):
        if b'"request":"submit"' in line[:40]:
            state = _decoded(line).get("state")
            yield state.get("id") if isinstance(state, dict) else None


def _requests(folder: JobFolder) -> Iterator[bytes]:
    """What was dropped for the manager and not yet taken."""
    for name in drop_files(folder.inbox):
        records, _ = read_records(folder.inbox / name, 0, whole=True)
        yield from (line for _, line in records)


def _read(path: str | Path) -> dict[str, Any] | None:
    try:
        return _decoded(read_regular(path)) or None
    except OSError:
        return None


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
