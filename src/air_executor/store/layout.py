"""Where everything is in a base folder; the only place that knows file names.

.air-executor/
  manager.log  manager.lock  manager.json  config.toml
  runtime/                    sockets and spool files of launchers
  observer/  history.sqlite   what the observer remembers, and what became of earlier runs
  jobs/<name>/
    state.json  tasks.json    views
    journal.jsonl             the truth
    logs/<stem>.log           output of a task's last attempt; <stem>@<n>.log of the n-th, if not the last
    inbox/                    what clients and tasks drop in; inbox/results/ what tasks report
    runs/<id>/                earlier runs
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from pathlib import Path

from air_executor.errors import BaseUnusable, NotFound
from air_executor.names import check_job_name, file_stem

__all__ = ["Base", "JobFolder"]

DEFAULT_BASE = ".air-executor"

_GITIGNORE = """\
manager.*
runtime/
observer/
history.sqlite*
jobs/.*
jobs/*/inbox/
jobs/*/logs/
jobs/*/runs/*/logs/
jobs/*/.*
"""


class Base:
    """A base folder. Nothing is read or made before it is asked for."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """`path`: the folder, or one that holds `.air-executor/`; default `AIR_EXECUTOR_BASE`, else here."""
        given = Path(path or os.environ.get("AIR_EXECUTOR_BASE") or DEFAULT_BASE)
        with contextlib.suppress(RuntimeError):  # no such user, or one without a home: then it is a name like others
            given = given.expanduser()
        given = given.absolute()
        self.path = given / DEFAULT_BASE if os.path.isdir(given / DEFAULT_BASE) else given
        self.jobs = self.path / "jobs"
        self.runtime = self.path / "runtime"
        self.lock = self.path / "manager.lock"
        self.manager_json = self.path / "manager.json"
        self.manager_log = self.path / "manager.log"
        self.config = self.path / "config.toml"

    def __str__(self) -> str:
        return str(self.path)

    @property
    def parent(self) -> Path:
        """Where tasks of hand-written jobs run."""
        return self.path.parent

    def create(self, group: int | None = None) -> None:
        """Make the folder if it is not there: private (0700), or 2770 for the members of `group`."""
        mode = 0o700 if group is None else 0o2770
        try:
            str(self.path).encode()
        except UnicodeEncodeError:
            raise BaseUnusable(f"base folder {os.fsencode(self.path)!r}: not UTF-8, and what it holds is") from None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if group is not None:
                os.chown(self.path, -1, group)
            if group is not None or not self.jobs.exists():
                self.path.chmod(mode)
            self.make_folder(self.jobs)
            self.make_folder(self.runtime)
            ignore = self.path / ".gitignore"
            if not ignore.exists():
                ignore.write_text(_GITIGNORE)
                ignore.chmod(self.file_mode)
        except OSError as error:
            raise BaseUnusable(f"cannot make the base folder {self.path}: {error.strerror}") from error

    def require(self) -> Base:
        """Return self if the folder exists, else raise `BaseUnusable`."""
        if not self.jobs.is_dir():
            raise BaseUnusable(
                f"no base folder at {self.path}; make one with `air-executor init` or name another with --base"
            )
        return self

    def check_safe(self) -> None:
        """Refuse, with `BaseUnusable`, to run tasks from a folder that others could put them into.

        `AIR_EXECUTOR_ALLOW_UNSAFE_BASE=1` lets a folder pass that others may write to.
        """
        info = self.path.stat()
        if info.st_uid != os.geteuid():
            owner = f"user {info.st_uid}"
            with contextlib.suppress(KeyError):
                owner = pwd.getpwuid(info.st_uid).pw_name
            if os.geteuid() == 0:
                raise BaseUnusable(
                    f"{self.path} belongs to {owner}: a manager run by root would run that user's tasks as root; "
                    f"run it as {owner}"
                )
            if not self.shared:
                raise BaseUnusable(f"{self.path} belongs to {owner}; use a base folder of your own (--base)")
        if os.environ.get("AIR_EXECUTOR_ALLOW_UNSAFE_BASE") == "1":
            return
        if info.st_mode & stat.S_IWOTH:
            raise BaseUnusable(
                f"{self.path} can be written by everybody, who could then run tasks as you; chmod o-w it "
                "(or set AIR_EXECUTOR_ALLOW_UNSAFE_BASE=1)"
            )
        if info.st_mode & stat.S_IWGRP and not info.st_mode & stat.S_ISGID:
            raise BaseUnusable(
                f"{self.path} can be written by its group but was not made for that; chmod g-w it, "
                "or share it with `air-executor init --group`"
            )

    def trusts(self, info: os.stat_result) -> bool:
        """Whether a file with this owner and group may tell the manager what to run."""
        own = self.path.stat()
        if info.st_uid in (own.st_uid, os.geteuid(), 0):
            return True
        return bool(own.st_mode & stat.S_IWGRP) and info.st_gid == own.st_gid

    @property
    def shared(self) -> bool:
        """Whether members of the folder's group take part (`init --group`)."""
        return bool(self.path.stat().st_mode & stat.S_IWGRP)

    @property
    def file_mode(self) -> int:
        return 0o660 if self.shared else 0o600

    def make_folder(self, path: Path) -> None:
        """Make one folder inside the base with the base's own rights."""
        try:
            path.mkdir()
        except FileExistsError:
            if path.is_symlink() or not path.is_dir():
                raise BaseUnusable(f"{path}: expected a folder; symbolic links are not followed") from None
            return
        path.chmod(0o2770 if self.shared else 0o700)

    def job(self, name: str) -> JobFolder:
        """The folder of the job called `name`; it need not exist."""
        return JobFolder(self, check_job_name(name))

    def existing_job(self, name: str) -> JobFolder:
        """The folder of the job called `name`, or `NotFound`."""
        folder = self.job(name)
        if not folder.path.is_dir():
            raise NotFound(f"no job {name!r} in {self.path}; `air-executor list` shows those there are")
        return folder


class JobFolder:
    """The paths of one job."""

    __slots__ = ("base", "inbox", "journal", "logs", "name", "path", "results", "runs", "state", "tasks")

    def __init__(self, base: Base, name: str) -> None:
        self.base = base
        self.name = name
        self.path = base.jobs / name
        self.state = self.path / "state.json"
        self.tasks = self.path / "tasks.json"
        self.journal = self.path / "journal.jsonl"
        self.logs = self.path / "logs"
        self.inbox = self.path / "inbox"
        self.results = self.inbox / "results"
        self.runs = self.path / "runs"

    def create(self) -> None:
        """Make what a job folder needs beside its views."""
        for folder in (self.path, self.logs, self.inbox, self.results):
            self.base.make_folder(folder)

    def log(self, task_id: str, attempt: int | None = None) -> Path:
        """The log of a task's last attempt, or of an earlier one."""
        return self.logs / log_name(task_id, attempt)

    def task_inbox(self, task_id: str, attempt: int) -> Path:
        """The file an attempt appends what it queues to."""
        return self.inbox / f"{file_stem(task_id)}@{attempt}.jsonl"

    def task_result(self, task_id: str, attempt: int) -> Path:
        """The file an attempt writes its result to."""
        return self.results / f"{file_stem(task_id)}@{attempt}.json"


def log_name(task_id: str, attempt: int | None = None) -> str:
    stem = file_stem(task_id)
    return f"{stem}.log" if attempt is None else f"{stem}@{attempt}.log"
