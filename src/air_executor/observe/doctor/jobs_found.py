"""What stands in the job folders of a base, read without changing anything: for `doctor`."""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from air_executor.errors import InvalidInput, JournalUnreadable
from air_executor.events import SCHEMA_VERSION
from air_executor.model import ENDED_STATES
from air_executor.names import check_job_name
from air_executor.store.files import open_regular, read_regular
from air_executor.store.inbox import drop_files
from air_executor.store.journal import read_journal
from air_executor.store.layout import Base, JobFolder
from air_executor.store.prune import LEFTOVER

__all__ = ["JobsFound", "look_at_jobs"]

ABANDONED_S: Final = 3_600.0
LARGE_BYTES: Final = 256_000_000
SET_ASIDE: Final = re.compile(
    r"(invalid-task|refused-task|refused-drop|refused-record|late-tasks|(state|tasks)\.json\.bad|journal\.torn)-\d+"
)
UNREAD: Final = re.compile(r"\.(state|tasks)\.json\.(swap|taken|displaced-\d+)")


class JobsFound(Struct):
    """Names by what is the matter with them; `unreadable` with the reason."""

    count: int = 0
    unfinished: list[str] = []
    running: int = 0
    """Tasks that run, as the views say."""
    unreadable: dict[str, str] = {}
    torn: list[str] = []
    passed_over: dict[str, str] = {}
    untrusted: list[str] = []
    unshared: list[str] = []
    """Folders and views that the group of a shared base folder cannot use."""
    set_aside: list[str] = []
    unread: list[str] = []
    unfinished_folders: list[str] = []
    """Job folders whose client was killed while it made them."""
    pruned: list[str] = []


def look_at_jobs(base: Base) -> JobsFound:
    """Go through all job folders: one listing, one view and the beginning of a journal each."""
    found = JobsFound()
    with os.scandir(base.jobs) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.name.startswith("."):
                _look_at_hidden(Path(entry.path), found)
                continue
            try:
                check_job_name(entry.name)
            except InvalidInput as error:
                found.passed_over[entry.name] = str(error)
                continue
            if entry.is_symlink():
                found.passed_over[entry.name] = "a symbolic link"
            elif entry.is_dir():
                found.count += 1
                _look_at(JobFolder(base, entry.name), found)
    return found


def _look_at_hidden(path: Path, found: JobsFound) -> None:
    if path.name.startswith(LEFTOVER):
        found.pruned.append(path.name)
    elif match := re.fullmatch(r"\.new-(\d+)-[0-9a-f]+", path.name):
        try:
            old = time.time() - path.lstat().st_mtime > ABANDONED_S
        except OSError:
            return
        if old or not os.path.exists(f"/proc/{match[1]}"):
            found.unfinished_folders.append(path.name)


def _look_at(folder: JobFolder, found: JobsFound) -> None:
    try:
        names = os.listdir(folder.path)
    except OSError as error:
        found.unreadable[folder.name] = error.strerror or str(error)
        return
    if folder.base.shared:
        found.unshared += _unshared(folder)
    found.set_aside += [f"{folder.name}/{name}" for name in names if SET_ASIDE.fullmatch(name)]
    found.unread += [f"{folder.name}/{name}" for name in names if UNREAD.fullmatch(name)]
    state = _state(folder)
    ended = state.get("state") in ENDED_STATES
    if not ended:
        found.unfinished.append(folder.name)
        found.untrusted += _untrusted(folder)
        running = progress.get("running") if isinstance(progress := state.get("progress"), dict) else 0
        found.running += running if isinstance(running, int) else 0
    if "journal.jsonl" not in names:
        return
    try:
        _check_journal(folder, found, whole=not ended)
    except JournalUnreadable as error:
        found.unreadable[folder.name] = str(error)
    except OSError as error:
        found.unreadable[folder.name] = f"{folder.journal}: {error.strerror}"
    else:
        if state.get("reason") == "unreadable":
            found.unreadable[folder.name] = str(state.get("error"))


def _state(folder: JobFolder) -> dict[str, Any]:
    try:
        raw = msgspec.json.decode(read_regular(folder.state))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _untrusted(folder: JobFolder) -> list[str]:
    names = []
    for name in drop_files(folder.inbox):
        try:
            if not folder.base.trusts((folder.inbox / name).lstat()):
                names.append(f"{folder.name}/inbox/{name}")
        except OSError:
            continue
    return names


def _unshared(folder: JobFolder) -> list[str]:
    """What somebody made by hand with a narrow umask."""
    if folder.path.stat().st_mode & stat.S_IRWXG != stat.S_IRWXG:
        return [folder.name]
    return [
        f"{folder.name}/{path.name}"
        for path in (folder.state, folder.tasks)
        if path.exists() and not path.stat().st_mode & stat.S_IRGRP
    ]


def _check_journal(folder: JobFolder, found: JobsFound, *, whole: bool) -> None:
    """All of it while the job goes on, if it is not very large; else whether its version can be read."""
    size = folder.journal.stat().st_size
    if whole and size <= LARGE_BYTES:
        _, end = read_journal(folder.journal)
        if end < size and folder.journal.stat().st_size == size:
            found.torn.append(folder.name)
        return
    with open(open_regular(folder.journal), "rb") as file:
        line = file.readline(1_000_000)
    try:
        version = msgspec.json.decode(line)["version"]
        readable = isinstance(version, int) and 0 < version <= SCHEMA_VERSION
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError):
        raise JournalUnreadable(f"{folder.journal}, line 1: expected a RunCreated event") from None
    if not readable:
        raise JournalUnreadable(f"{folder.journal}: written by a newer Air-Executor (journal version {version})")
