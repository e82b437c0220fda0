"""One watcher for all triggers of a process that wait for jobs of the same base: a thread that looks, and tells.

A triggerer may hold a thousand triggers, but only 128 inotify instances, and one thread that must never be held up.
So each base folder has one thread with one inotify instance, each server one thread with one request every so often,
and both go when nobody waits any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import select
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

from air_executor.airflow.news import News, news_of_folder, news_of_server
from air_executor.errors import AirExecutorError
from air_executor.store.files import Identity, identity
from air_executor.store.notify import JOB_FOLDERS, Notifier

if TYPE_CHECKING:
    from air_executor.client import AirExecutorClient
    from air_executor.client_http import HttpClient
    from air_executor.store.layout import Base

__all__ = ["FolderWatcher", "ServerWatcher", "Watched", "Watcher", "watching"]

log = logging.getLogger(__name__)
T = TypeVar("T")

TURN_S: Final = 0.02
"""What happens in so short a time is looked at together: a busy job changes its folder all the time."""
LOOK_S: Final = 0.8
"""Where nothing notifies us: with the look itself an end is known within a second."""
WHOLE_LOOK_S: Final = 10.0
LONGEST_RETRY_S: Final = 5.0
MANAGER_LOOK_S: Final = 2.5
WITHOUT_MANAGER_S: Final = 5.0
START_AGAIN_S: Final = 30.0
NOTIFY_AGAIN_S: Final = 60.0
AT_ONCE: Final = 5
"""So many triggers are told in one turn of their loop: each has something to do then, and others wait."""
CHORES: Final = 2
"""Threads a base for what else its triggers have to do: read journals, renew leases."""


class Watched:
    """One run that somebody in an event loop waits for. Only the latest news is kept."""

    def __init__(self, watcher: Watcher, job: str, run: str | None, rest_s: float, keep_managed: bool) -> None:
        self.watcher = watcher
        self.job = job
        self.run = run
        self.keep_managed = keep_managed
        self.loop = asyncio.get_running_loop()
        self.told: News | None = None
        """What it was told last; of the watcher's thread."""
        self._news: News | None = None
        self._rest_s = rest_s
        self._rested_at = 0.0
        self._waiter: asyncio.Future[None] | None = None

    async def next(self, timeout_s: float) -> News | None:
        """The latest news when there is some that was not given yet, of mere progress only every so often; None
        after `timeout_s`."""
        until = self.loop.time() + timeout_s
        while (now := self.loop.time()) < until:
            news = self._news
            if news is not None and (news.urgent or now >= self._rested_at):
                self._news = None
                self._rested_at = now + self._rest_s
                return news
            at = until if news is None else min(until, self._rested_at)
            self._waiter = self.loop.create_future()
            timer = self.loop.call_at(at, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        return None

    def take(self, news: News) -> None:
        waits = self._news is None
        self._news = news
        if waits or news.urgent:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def chore(self, function: Callable[..., T], *args: Any) -> T:
        """Do what may block in one of the watcher's threads; what it logs belongs to who asked for it."""
        context = contextvars.copy_context()
        return await self.loop.run_in_executor(self.watcher.chores, partial(context.run, function, *args))


@asynccontextmanager
async def watching(
    client: AirExecutorClient, job: str, run: str | None = None, *, rest_s: float = 0.5, keep_managed: bool = False
) -> AsyncIterator[Watched]:
    """A run that is watched inside the block. `rest_s`: so often progress is told; an end, or that nothing can be
    seen, at once. `keep_managed`: start a manager where there is none for a while."""
    watched = Watcher.enter(client, job, run, rest_s, keep_managed)
    try:
        yield watched
    finally:
        watched.watcher.leave(watched)


class Watcher:
    """Those who wait for runs of one base, and the thread that looks for them."""

    _all: Final[dict[Hashable, Watcher]] = {}
    _lock: Final = Lock()

    def __init__(self, key: Hashable, name: str) -> None:
        self._key = key
        self._waiting: dict[Watched, None] = {}
        self._fresh: list[Watched] = []
        self._stopping = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.chores = ThreadPoolExecutor(CHORES, thread_name_prefix=f"air-executor chores {name}")
        self._thread = Thread(target=self._run, name=f"air-executor watch {name}", daemon=True)

    # ---- coming and going: any thread -----------------------------------------------------------

    @classmethod
    def enter(
        cls, client: AirExecutorClient, job: str, run: str | None, rest_s: float, keep_managed: bool
    ) -> Watched:
        """For the event loop that is running."""
        from air_executor.client_http import HttpClient

        key: Hashable = client if isinstance(client, HttpClient) else str(client.base)
        with cls._lock:
            watcher = cls._all.get(key)
            if watcher is None:
                if isinstance(client, HttpClient):
                    watcher = ServerWatcher(key, client)
                else:
                    watcher = FolderWatcher(key, client.base)
                cls._all[key] = watcher
                watcher._thread.start()
            watched = Watched(watcher, job, run, rest_s, keep_managed)
            watcher._waiting[watched] = None
            watcher._fresh.append(watched)
            if len(watcher._fresh) == 1:
                watcher._ring()
        return watched

    def leave(self, watched: Watched) -> None:
        """The last one to leave ends the thread, which closes all that it has open."""
        with self._lock:
            self._waiting.pop(watched, None)
            if not self._waiting and not self._stopping:
                self._stopping = True
                if self._all.get(self._key) is self:
                    del self._all[self._key]
                self._ring()

    def _ring(self) -> None:
        """With the lock held: what the number stands for is not closed meanwhile."""
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    # ---- looking: the thread --------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                again_at = time.monotonic() + TURN_S
                with self._lock:
                    fresh, self._fresh = self._fresh, []
                    waiting = list(self._waiting)
                try:
                    self._turn(waiting, fresh)
                except Exception as error:
                    log.exception("a bug in the watcher of %s", self._key)
                    self._tell((w, News(None, f"a bug in the watcher: {error!r}")) for w in waiting)
                    time.sleep(LOOK_S)
                time.sleep(max(0.0, again_at - time.monotonic()))
        finally:
            with self._lock:
                if self._all.get(self._key) is self:
                    del self._all[self._key]
                wake, self._wake = self._wake, -1
                os.close(wake)
            self._close()
            self.chores.shutdown(wait=False)

    def _turn(self, waiting: list[Watched], fresh: list[Watched]) -> None:
        """Look for whom it is time, tell them, and sleep until something may have happened."""
        raise NotImplementedError

    def _close(self) -> None:
        pass

    def _sleep(self, seconds: float, fd: int = -1) -> None:
        poll = select.poll()
        for number in (self._wake, fd):
            if number >= 0:
                poll.register(number, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _tell(self, found: Iterable[tuple[Watched, News]]) -> None:
        """Hand on what is new to each; a loop is woken once for all that is its."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Watched, News]]] = {}
        for watched, news in found:
            if news != watched.told:
                watched.told = news
                by_loop.setdefault(watched.loop, []).append((watched, news))
        for loop, some in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop was closed, and who waited in it is gone
                loop.call_soon_threadsafe(_deliver, loop, some)


def _deliver(loop: asyncio.AbstractEventLoop, found: list[tuple[Watched, News]]) -> None:
    """Hand news on, a few at a time."""
    for watched, news in found[:AT_ONCE]:
        watched.take(news)
    if len(found) > AT_ONCE:
        loop.call_soon(_deliver, loop, found[AT_ONCE:])


class FolderWatcher(Watcher):
    """Of a base folder: woken by inotify, and looking round without it, since a network folder notifies nobody."""

    def __init__(self, key: Hashable, base: Base) -> None:
        super().__init__(key, base.path.parent.name)
        self._base = base
        self._notifier: Notifier | None = None
        self._notify_at = 0.0
        self._seen: dict[str, Identity | None] = {}
        """Of the jobs that are waited for, what stood in place of `state.json` at the last look."""
        self._followed: set[str] = set()
        """Jobs whose folders notify us."""
        self._round_at = self._whole_at = 0.0
        self._manager_at = 0.0
        self._managed: bool | None = None
        self._without_since: float | None = None
        self._start_at = 0.0

    def _turn(self, waiting: list[Watched], fresh: list[Watched]) -> None:
        now = time.monotonic()
        due = set(fresh)
        changed = self._notified({watched.job for watched in waiting})
        if now >= self._round_at:
            self._round_at = now + LOOK_S
            before = self._managed
            self._attend_manager(waiting, now)
            if self._managed is not before:
                self._tell((w, w.told._replace(managed=self._managed)) for w in waiting if w.told is not None)
            if now >= self._whole_at:
                self._whole_at = now + WHOLE_LOOK_S
                due.update(waiting)
            else:
                changed |= {job for job, seen in self._seen.items() if self._identity(job) != seen}
                due.update(watched for watched in waiting if not _settled(watched.told) or watched.job in changed)
        due.update(watched for watched in waiting if watched.job in changed)
        wanted = [watched for watched in waiting if watched in due]
        for start in range(0, len(wanted), AT_ONCE):
            self._tell((watched, self._look(watched)) for watched in wanted[start : start + AT_ONCE])
        self._sleep(self._round_at - time.monotonic(), -1 if self._notifier is None else self._notifier.fd)

    def _look(self, watched: Watched) -> News:
        self._seen[watched.job] = self._identity(watched.job)  # before the look: what comes after it is seen later
        news = news_of_folder(self._base, watched.job, watched.run)
        if (news.look is None or not news.look.found) and self._notifier is not None:
            self._notifier.unwatch(self._base.jobs / watched.job)  # its folder may have been moved elsewhere
            self._followed.discard(watched.job)
        return news._replace(managed=self._managed)

    def _identity(self, job: str) -> Identity | None:
        try:
            return identity(str(self._base.jobs / job / "state.json"))
        except OSError:
            return None

    # ---- notification ---------------------------------------------------------------------------

    def _notified(self, jobs: set[str]) -> set[str]:
        """Those of `jobs` whose folders had something happen in them. Beyond the system's limits none does."""
        for job in self._seen.keys() - jobs:
            del self._seen[job]
        if self._notifier is None:
            self._listen()
        notifier = self._notifier
        if notifier is None:
            return set()
        for job in self._followed - jobs:
            notifier.unwatch(self._base.jobs / job)
            self._followed.discard(job)
        for job in jobs - self._followed:
            # what happens from now on is told; what happened before is found by the look that follows
            if notifier.watch(self._base.jobs / job, JOB_FOLDERS):
                self._followed.add(job)
        found, lost = notifier.read()
        names = {os.path.basename(folder) for folder in found}
        # a folder that was removed is no longer watched, and another may have come in its place
        self._followed -= {name for name in names if not notifier.watches(self._base.jobs / name)}
        return set(jobs) if lost else names & jobs

    def _listen(self) -> None:
        now = time.monotonic()
        if now < self._notify_at:
            return
        self._notify_at = now + NOTIFY_AGAIN_S
        self._followed.clear()
        with contextlib.suppress(OSError):  # no instance left: the look round finds what has changed
            self._notifier = Notifier()

    def _close(self) -> None:
        if self._notifier is not None:
            self._notifier.close()
            self._notifier = None

    # ---- the manager ----------------------------------------------------------------------------

    def _attend_manager(self, waiting: list[Watched], now: float) -> None:
        """Know whether there is a manager; where one is wanted and none is there for a while, start one."""
        if now < self._manager_at:
            return
        self._manager_at = now + MANAGER_LOOK_S
        from air_executor.store.lock import manager_pid

        try:
            self._managed = manager_pid(self._base) is not None
        except AirExecutorError:
            self._managed = None
        if self._managed is not False:
            self._without_since = None
            return
        if self._without_since is None:
            self._without_since = now
        wanted = any(w.keep_managed and not (w.told and w.told.look and w.told.look.ended) for w in waiting)
        if wanted and now - self._without_since >= WITHOUT_MANAGER_S and now >= self._start_at:
            self._start_at = now + START_AGAIN_S
            self.chores.submit(_start_manager, self._base)


def _start_manager(base: Base) -> None:
    try:
        from air_executor.private_manager import ensure_manager

        ensure_manager(base)
    except AirExecutorError as error:
        log.warning("no manager works on %s, and none can be started: %s", base, error)


def _settled(news: News | None) -> bool:
    """Whether only a change of `state.json` can make a difference."""
    if news is None or news.look is None or news.look.missing:
        return False
    state = news.look.state
    return state is not None and (news.look.ended or state.get("state") not in ("completed", "failed"))


class ServerWatcher(Watcher):
    """Of a server: all runs in one question, at most every `LOOK_S`."""

    def __init__(self, key: Hashable, client: HttpClient) -> None:
        super().__init__(key, client.url)
        self._client = client
        self._ask_at = 0.0
        self._retry_s = LOOK_S

    def _turn(self, waiting: list[Watched], fresh: list[Watched]) -> None:
        now = time.monotonic()
        if now >= self._ask_at:
            self._ask(waiting, now)
        self._sleep(self._ask_at - time.monotonic())

    def _ask(self, waiting: list[Watched], now: float) -> None:
        wanted = list(dict.fromkeys((watched.job, watched.run) for watched in waiting))
        found = news_of_server(self._client, wanted)
        if found and next(iter(found.values())).look is None:
            self._ask_at = time.monotonic() + self._retry_s
            self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
        else:
            self._ask_at = now + LOOK_S
            self._retry_s = LOOK_S
        self._tell((w, found[w.job, w.run]) for w in waiting if (w.job, w.run) in found)
