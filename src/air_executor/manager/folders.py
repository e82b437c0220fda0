"""The job folders of a base: which there are, and which of them something happened in."""

from __future__ import annotations

import itertools
import logging
import os
import select
from collections.abc import Callable, Iterable
from typing import Final

from air_executor.errors import AirExecutorError
from air_executor.lifecycle import IllegalTransition
from air_executor.manager.ended import EndedJob, holds_unread
from air_executor.manager.job import ManagedJob
from air_executor.store.files import identity
from air_executor.store.layout import Base
from air_executor.store.notify import GROWING_FILES, JOB_FOLDERS, Notifier

__all__ = ["JobFolders"]

log = logging.getLogger("air_executor.manager")

LOOK_ROUND_S: Final = 30.0
"""How often the folders are listed although notification works."""
SLEEPERS_A_ROUND: Final = 500
SLEEPERS_CHECKED: Final = 100
"""Ended jobs looked at each round although they are watched: whoever drops a file there may die before knocking."""
WAKE_FILE: Final = ".wake"


class JobFolders:
    """Keeps a `ManagedJob` for every folder that is at work, and two identities for every one that has ended.

    `touched` are the jobs to attend to; `gone` those whose folder was removed, moved away or replaced.
    """

    def __init__(self, base: Base, after_sync: Callable[[Callable[[], None]], None], poll_interval_s: float) -> None:
        self._base = base
        self._after_sync = after_sync
        self._poll_interval_s = poll_interval_s
        self._notifier: Notifier | None = None
        self._asleep: dict[str, EndedJob] = {}
        self._unwatched: dict[str, None] = {}
        """Ended jobs for which the system had no watch left, in the order in which they are looked at."""
        self._polled: dict[str, None] = {}
        self._warned = False
        self.next_poll = 0.0
        self._next_look_round = 0.0
        self.jobs: dict[str, ManagedJob] = {}
        self.touched: dict[str, ManagedJob] = {}
        self.gone: list[ManagedJob] = []

    def open(self, poller: select.epoll, now: float) -> None:
        """Begin to listen, and take up what is there."""
        try:
            self._notifier = Notifier()
            if not self._notifier.watch(self._base.jobs, JOB_FOLDERS):
                self._notifier.close()
                self._notifier = None
            else:
                poller.register(self._notifier.fd, select.EPOLLIN)
        except OSError as error:
            self._say_polling(error.strerror or str(error))
        self._look_round(now)

    def close(self) -> None:
        if self._notifier is not None:
            self._notifier.close()

    def _say_polling(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("not every folder can be watched (%s): those are looked at from time to time", why)

    # ---- hearing -------------------------------------------------------------------------------

    def hear(self, ready: list[int], now: float) -> None:
        """Note which jobs notification, or the time for a look round, says to attend to."""
        if self._notifier is not None and self._notifier.fd in ready:
            folders, lost = self._notifier.read()
            for folder, names in folders.items():
                self._heard_of(folder, names, now)
            if lost:
                self.next_poll = self._next_look_round = 0.0
                for name in list(self._asleep):
                    self._wake_if_changed(name, now)
                for job in self.jobs.values():
                    self.touch(job, everything=True)
        if now < self.next_poll:
            return
        self.next_poll = now + self._poll_interval_s
        if self._notifier is None or now >= self._next_look_round:
            self._look_round(now)
        for name in list(self._polled):
            if name in self.jobs:
                self.touch(self.jobs[name], everything=True)
        for name in list(itertools.islice(self._unwatched, SLEEPERS_A_ROUND)):
            del self._unwatched[name]
            self._unwatched[name] = None
            self._wake_if_changed(name, now)
        for name in list(itertools.islice(self._asleep, SLEEPERS_CHECKED)):
            self._asleep[name] = self._asleep.pop(name)
            self._wake_if_changed(name, now)

    def _heard_of(self, folder: str, names: set[str], now: float) -> None:
        parent, name = os.path.split(folder)
        if folder == str(self._base.jobs):
            for child in names:
                self._look_at(child, now)
        elif parent == str(self._base.jobs):
            if name in self._asleep:
                self._wake_if_changed(name, now, asked=WAKE_FILE in names)
            elif (job := self.jobs.get(name)) is not None:
                if "inbox" in names:
                    self.watch_inbox(job)
                    job.inbox.touch()
                if "state.json" in names:
                    job.state_touched = True
                if not names.isdisjoint(("state.json", "tasks.json", "inbox", WAKE_FILE)):
                    self.touch(job)
        elif name == "inbox" and (job := self.jobs.get(os.path.basename(parent))) is not None:
            job.inbox.touch(names)
            self.touch(job)

    def touch(self, job: ManagedJob, *, everything: bool = False) -> None:
        """Have a job attended to; `everything`: whatever notification may have missed."""
        if everything:
            job.state_touched = True
            job.inbox.touch()
        self.touched[job.name] = job

    def _look_round(self, now: float) -> None:
        """List the folders: new ones, and those that are gone."""
        self._next_look_round = now + LOOK_ROUND_S
        try:
            names = set(os.listdir(self._base.jobs))
        except OSError as error:
            log.error("cannot read %s: %s", self._base.jobs, error.strerror)
            return
        for name in names - self.jobs.keys() - self._asleep.keys():
            self._look_at(name, now)
        for name in self.jobs.keys() - names:
            self._lose(self.jobs[name])
        for name in self._asleep.keys() - names:
            self._forget_sleeper(name)

    # ---- taking up and putting away ------------------------------------------------------------

    def _look_at(self, name: str, now: float) -> None:
        """A folder appeared, vanished or was replaced."""
        path = self._base.jobs / name
        here = identity(path)
        job = self.jobs.get(name)
        if job is not None and (here is None or here.inode != job.inode):
            self._lose(job)
        if name in self._asleep and (here is None or here.inode != self._asleep[name].inode):
            self._forget_sleeper(name)
        if here is not None and name not in self.jobs and name not in self._asleep:
            self._take_up(name, now)

    def _take_up(self, name: str, now: float) -> None:
        if name.startswith("."):
            return
        try:
            folder = self._base.job(name)
        except AirExecutorError as error:
            log.warning("%s: passed over: %s", self._base.jobs, error)
            return
        if folder.path.is_symlink() or not folder.path.is_dir():
            if folder.path.is_symlink():
                log.warning("%s: passed over: a symbolic link", folder.path)
            return
        watched = self._watch(folder.path)
        ended = None if holds_unread(folder) else EndedJob.of(folder)
        if ended is not None:
            self._asleep[name] = ended
            if not watched:
                self._unwatched[name] = None
            return
        job = self.jobs[name] = ManagedJob(folder, self._after_sync)
        if not watched:
            self._polled[name] = None
        self.watch_inbox(job)
        try:
            job.load(now)
        except (AirExecutorError, IllegalTransition) as error:
            job.break_off(str(error))
            return
        except Exception:
            log.exception("job %s: please report this", name)
            job.break_off("an error inside Air-Executor, see manager.log")
            return
        self.touch(job, everything=True)

    def _watch(self, path: os.PathLike[str]) -> bool:
        if self._notifier is None:
            return False
        watched = self._notifier.watch(path)
        if not watched:
            self._say_polling("the system's limit of watches is reached")
        return watched

    def watch_inbox(self, job: ManagedJob) -> None:
        """Listen for what tasks append; to be called once the inbox is there."""
        if self._notifier is not None and not self._notifier.watch(job.folder.inbox, GROWING_FILES):
            self._polled[job.name] = None

    def settle(self, job: ManagedJob) -> None:
        """After a job was attended to: poll it while it is at work or unfinished, else only listen."""
        if job.active or job.unsettled_folder:
            self._polled[job.name] = None
        elif self._notifier is not None:
            self._polled.pop(job.name, None)

    def put_to_sleep(self, job: ManagedJob) -> None:
        """Keep of an ended job only what tells whether somebody has touched it since."""
        if self.jobs.get(job.name) is not job:
            return  # its folder is gone, or another's by now
        ended = EndedJob.of(job.folder)
        if ended is None or job.next_waits:
            self.touch(job, everything=True)
            return
        self._asleep[job.name] = ended
        self._polled.pop(job.name, None)
        if self._notifier is None:
            self._unwatched[job.name] = None
        else:
            self._notifier.unwatch(job.folder.inbox)
        del self.jobs[job.name]

    def _wake_if_changed(self, name: str, now: float, *, asked: bool = False) -> None:
        ended = self._asleep.get(name)
        if ended is None or (not asked and ended.unchanged(self._base.job(name))):
            return
        self._forget_sleeper(name)
        folder = self._base.job(name)
        if not folder.path.is_dir():
            return
        job = self.jobs[name] = ManagedJob(folder, self._after_sync)
        job.views.state.known, job.views.tasks.known = ended.state, ended.tasks
        self.watch_inbox(job)
        self.touch(job, everything=True)

    def _forget_sleeper(self, name: str) -> None:
        self._asleep.pop(name, None)
        self._unwatched.pop(name, None)

    def _lose(self, job: ManagedJob) -> None:
        log.warning("job %s: its folder was removed or replaced; what ran of it is stopped", job.name)
        self.touched.pop(job.name, None)
        self._polled.pop(job.name, None)
        if self._notifier is not None:
            self._notifier.unwatch(job.folder.path)
            self._notifier.unwatch(job.folder.inbox)
        del self.jobs[job.name]
        self.gone.append(job)

    def all(self) -> Iterable[ManagedJob]:
        """The jobs at work."""
        return self.jobs.values()
