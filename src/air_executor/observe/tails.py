"""The jobs somebody looks at: each is followed once, however many look, and dropped when nobody has for a while."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from air_executor.errors import NotFound
from air_executor.observe.index import WORTH_IT, Draft, Index, Version
from air_executor.observe.tail import SLICE, JournalTail, ViewsTail
from air_executor.store.files import identity
from air_executor.store.layout import Base, JobFolder

__all__ = ["Tails", "Watched"]

log = logging.getLogger("air_executor.observe")

LOOK_S: Final = 0.1
"""How often the journal of a job is looked at while somebody listens."""
HEARTBEAT_S: Final = 2.0
"""How often listeners hear of a working job in which nothing happens: its times move on."""
AT_ONCE: Final = 2_000_000
"""A journal that is longer is read by a thread the first time."""
KEEP_EVERY: Final = 16_000_000
"""Bytes of a journal that are read again at most after a restart."""
KEEP_S: Final = 10.0
PATIENCE_S: Final = 0.2
PREPARE_S: Final = 3.0
"""What is not needed for the first answers is made so much later."""
FORGET_S: Final = 600.0
GRACE_S: Final = 10.0
"""A job that was just asked for may still be being told of."""
MEMORY: Final = 150_000_000
"""Bytes that jobs nobody listens to may take, beside the one looked at last."""
TASK_BYTES: Final = 200


class Watched:
    """One job that is followed."""

    def __init__(self, tail: JournalTail) -> None:
        self.tail = tail
        self.listeners = 0
        self.tellings = 0
        self.poll: asyncio.Task[None] | None = None
        self.told: tuple[JournalTail, int] = (tail, -1)
        """What the listeners were told last: the tail, and its version then."""
        self.used_at = time.monotonic()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the journal has been read for the first time."""
        self.moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when there is something new; then there is another."""
        self.gone = False
        """Whether the job's folder is no longer there."""
        self.indexed: Version | None = None
        self.index_again_at = 0.0

    def tell(self) -> None:
        """Wake those who listen."""
        moved, self.moved = self.moved, self.moved.get_loop().create_future()
        self.tellings += 1
        moved.set_result(None)

    @property
    def bytes(self) -> int:
        return TASK_BYTES * len(self.tail.progress.roll)


class Tails:
    """All followed jobs of a base folder. For one event loop."""

    def __init__(self, base: Base, index: Index | None = None) -> None:
        self.base = base
        self._index = index
        self.stopping = False
        self.listeners = 0
        """How many listen, to whatever job."""
        self._watched: dict[str, Watched] = {}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="journal")

    def folder(self, name: str) -> JobFolder:
        """The folder of a job; `NotFound` when there is none, or a link to somewhere else stands there."""
        folder = self.base.existing_job(name)
        if folder.path.is_symlink():
            raise NotFound(f"{folder.path}: symbolic links are not followed")
        return folder

    # ---- looking --------------------------------------------------------------------------------

    async def look(self, name: str) -> JournalTail:
        """The job called `name` as it is now; `NotFound` when there is none."""
        watched = self._watch(name)
        if not watched.ready.done():
            await asyncio.shield(watched.ready)
        await self._catch_up(watched)
        return watched.tail

    async def look_soon(self, name: str, patience_s: float = PATIENCE_S) -> JournalTail | None:
        """Like `look`; None when a long journal has to be read first and that takes longer than `patience_s`."""
        watched = self._watch(name)
        if not watched.ready.done():
            await asyncio.wait([watched.ready], timeout=patience_s)
            if not watched.ready.done():
                return None
        return await self.look(name)

    def share_read(self, name: str) -> float:
        """How much of a journal has been read that is read for the first time, from 0 to 1."""
        watched = self._watched.get(name)
        if watched is None:
            return 0.0
        left = watched.tail.behind()
        return round(1.0 - left / max(1, left + watched.tail.position), 3)

    def peek(self, name: str, *, at_most: int = SLICE) -> JournalTail | None:
        """The job as far as it is known without waiting; None when its journal has to be read first."""
        watched = self._watched.get(name)
        if watched is None or not watched.ready.done():
            return None
        self._renew(watched)
        watched.tail.advance(at_most)
        return watched.tail

    def open_small(self, name: str) -> JournalTail | None:
        """Like `peek`, but reads the journal if it is short."""
        if name not in self._watched:
            seen = identity(self.base.job(name).journal)
            if seen is None or seen.size > SLICE:
                return None
            with contextlib.suppress(NotFound, OSError):
                self._watch(name)
        return self.peek(name)

    def _watch(self, name: str) -> Watched:
        folder = self.folder(name)
        watched = self._watched.pop(name, None)
        if watched is None:
            begun = identity(folder.journal) is not None
            watched = Watched(JournalTail(folder) if begun else ViewsTail(folder))
            if watched.tail.behind() > AT_ONCE:
                self._read_in_thread(watched)
            else:
                watched.tail.advance(1 << 62)
                watched.ready.set_result(None)
        self._watched[name] = watched  # the last is the one used last
        watched.used_at = time.monotonic()
        self._forget_some()
        return watched

    def _read_in_thread(self, watched: Watched) -> None:
        def read() -> None:
            if self._index is not None:
                watched.indexed = self._index.load(watched.tail)
            while watched.tail.advance(4 * SLICE) and not self.stopping:
                time.sleep(0)  # lets the event loop have its turn

        def done(future: asyncio.Future[None]) -> None:
            if watched.ready.done():
                return
            if (error := future.exception()) is not None:
                self._watched.pop(watched.tail.name, None)
                watched.ready.set_exception(error)
            else:
                watched.ready.set_result(None)
                self._keep(watched)

        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._threads, read).add_done_callback(done)

        def prepare() -> None:
            if not self.stopping and not watched.gone:
                loop.run_in_executor(self._threads, watched.tail.prepare)

        watched.ready.add_done_callback(lambda _: loop.call_later(PREPARE_S, prepare))

    async def _catch_up(self, watched: Watched) -> None:
        self._renew(watched)
        while watched.tail.advance() and watched.tail.behind():
            await asyncio.sleep(0)
        self._keep(watched)

    def _keep(self, watched: Watched) -> None:
        """Put what is known of a long journal into the index, when enough of it is new."""
        tail = watched.tail
        now = time.monotonic()
        known = watched.indexed
        new = tail.position - (known.position if known is not None and known.run == tail.progress.run_id else 0)
        if self._index is None or new < (WORTH_IT if tail.progress.ended else KEEP_EVERY):
            return
        if now < watched.index_again_at or self.stopping:
            return
        watched.index_again_at = now + KEEP_S
        index, draft = self._index, Draft.of(tail, known)

        def keep() -> None:
            try:
                if index.save(draft):
                    watched.indexed = draft.version
                index.forget(self.base)
            finally:
                draft.frozen.close()

        asyncio.get_running_loop().run_in_executor(self._threads, keep)

    def _renew(self, watched: Watched) -> None:
        """Go over to the journal when a manager has taken the job up."""
        tail = watched.tail
        if isinstance(tail, ViewsTail) and tail.taken_up:
            watched.tail = JournalTail(tail.folder)

    def _forget_some(self) -> None:
        now = time.monotonic()
        left = MEMORY
        for name, watched in reversed(list(self._watched.items())[:-1]):
            left -= watched.bytes
            if watched.listeners or not watched.ready.done():
                continue
            idle_s = now - watched.used_at
            if (left < 0 and idle_s >= GRACE_S) or idle_s > FORGET_S:
                watched.tail.close()
                del self._watched[name]

    # ---- listening ------------------------------------------------------------------------------

    @asynccontextmanager
    async def listening(self, name: str) -> AsyncIterator[Watched]:
        """The job, looked at ten times a second as long as somebody listens."""
        watched = self._watch(name)
        watched.listeners += 1
        self.listeners += 1
        try:
            await self.look(name)
            if watched.poll is None or watched.poll.done():
                watched.told = (watched.tail, watched.tail.version)
                watched.poll = asyncio.create_task(self._poll(watched))
            yield watched
        finally:
            watched.listeners -= 1
            self.listeners -= 1
            watched.used_at = time.monotonic()

    async def _poll(self, watched: Watched) -> None:
        told_at = time.monotonic()
        while watched.listeners and not self.stopping and not watched.gone:
            await asyncio.sleep(LOOK_S)
            name = watched.tail.name
            try:
                self.folder(name)
                await self._catch_up(watched)
            except (NotFound, OSError):
                self._lose(watched)
            except Exception:
                log.exception("job %s: not followed any longer because of a bug", name)
                self._lose(watched)
            now = time.monotonic()
            beats = watched.tail.progress.state == "working" and now - told_at > HEARTBEAT_S
            news = (watched.tail, watched.tail.version)  # others may have read them meanwhile
            if news != watched.told or beats or watched.gone:
                watched.told, told_at = news, now
                watched.tell()

    def _lose(self, watched: Watched) -> None:
        watched.gone = True
        self._watched.pop(watched.tail.name, None)

    def stop(self) -> None:
        """Let all who listen go."""
        self.stopping = True
        for watched in self._watched.values():
            watched.tell()

    def close(self) -> None:
        self.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for watched in self._watched.values():
            watched.tail.close()
        self._watched.clear()
        if self._index is not None:
            self._index.close()
