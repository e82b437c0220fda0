"""What all routes share: the base folder, its jobs as they are followed, and who is asked about them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import msgspec

from air_executor import __version__
from air_executor.errors import BaseUnusable, InvalidInput
from air_executor.events import RunCreated, decode_event
from air_executor.observe.failures import FailureLines
from air_executor.observe.index import Index, default_folder
from air_executor.observe.objects import job_detail
from air_executor.observe.overview import Overview, from_state
from air_executor.observe.progress import Progress
from air_executor.observe.runs import EarlierRuns
from air_executor.observe.said import Said, SaidByTasks
from air_executor.observe.tail import JournalTail
from air_executor.observe.tails import Tails, Watched
from air_executor.store.files import Identity, identity, open_regular
from air_executor.store.layout import Base, JobFolder
from air_executor.store.lock import manager_pid
from air_executor.web.feed import Frames

if TYPE_CHECKING:
    from air_executor.web.metrics import Scrape

__all__ = ["Site"]

MANAGER_LOOK_S: Final = 1.0
NAP_S: Final = 0.5
DRAWINGS: Final = 2
"""Charts that are drawn at once."""


class Kept:
    """What is kept of a job beside its journal."""

    def __init__(self, folder: JobFolder) -> None:
        self.runs = EarlierRuns()
        self.said = SaidByTasks(folder)
        self.failures = FailureLines()
        self.seen: Identity | None = None
        self.count = 0


class Site:
    """One served base folder. Made outside the event loop, used inside it."""

    def __init__(self, base: Base, index: Path | None = None) -> None:
        """`index`: the folder to keep the index in; by default among the user's caches."""
        self.base = base
        self.tails = Tails(base, Index(index or default_folder(base)))
        self.overview = Overview(base, self.tails)
        self._frames: WeakKeyDictionary[Watched, Frames] = WeakKeyDictionary()
        self._kept_of: WeakKeyDictionary[JournalTail, Kept] = WeakKeyDictionary()
        self.began_at = time.time()
        self.scrape: Scrape | None = None
        self._manager: dict[str, Any] | None = None
        self._look_at_manager_at = 0.0
        self.drawing = asyncio.Semaphore(DRAWINGS)
        self._loop: asyncio.AbstractEventLoop | None = None

    def frames(self, watched: Watched) -> Frames:
        """The events of a job that are made once for all its listeners."""
        frames = self._frames.get(watched)
        if frames is None:
            frames = self._frames[watched] = Frames(self, watched)
        return frames

    def detail(self, tail: JournalTail) -> dict[str, Any]:
        return job_detail(tail.progress, tail.name, time.time(), self._run_count(tail), self.said(tail))

    def said(self, tail: JournalTail) -> Mapping[str, Said]:
        """What the running tasks of a job say of themselves."""
        return self._kept(tail).said.look() if tail.progress.running else {}

    def detail_from_state(self, name: str) -> dict[str, Any]:
        """A job of which the journal is still being read: what its `state.json` says, and how much has been read."""
        state = from_state(str(self.base.job(name).state), name)
        detail = job_detail(Progress(), name, time.time(), 0)
        total = state["total_tasks"]
        percent = round(100.0 * state["completed"] / total, 2) if total else 0.0
        options = {} if state["origin"] is None else {"origin": state["origin"]}
        read = self.tails.share_read(name)
        return {**detail, **state, "options": options, "warnings": [], "percent": percent, "reading": read}

    def earlier_runs(self, tail: JournalTail) -> list[dict[str, Any]]:
        """The runs before this one, newest first."""
        return self._kept(tail).runs.runs(tail)

    def failure_lines(self, tail: JournalTail) -> FailureLines:
        return self._kept(tail).failures

    def _kept(self, tail: JournalTail) -> Kept:
        kept = self._kept_of.get(tail)
        if kept is None:
            kept = self._kept_of[tail] = Kept(tail.folder)
        return kept

    def _run_count(self, tail: JournalTail) -> int:
        """How many runs there were before this one; changes seldom, and is asked for often."""
        kept = self._kept(tail)
        seen = identity(tail.folder.runs)
        if seen != kept.seen:
            kept.seen = seen
            kept.count = len(kept.runs.runs(tail))
        return kept.count

    def manager(self) -> dict[str, Any] | None:
        """What the manager says of itself; None while there is none."""
        now = time.monotonic()
        if now >= self._look_at_manager_at:
            self._look_at_manager_at = now + MANAGER_LOOK_S
            self._manager = _manager_facts(self.base)
        return self._manager

    def origin(self, name: str) -> dict[str, Any]:
        """Which run of a job there is now, and who handed it in: the journal's first line says so, and where no
        manager has taken the job up its `state.json`."""
        folder = self.tails.folder(name)
        try:
            with open(open_regular(folder.journal), "rb") as journal:
                created = decode_event(journal.readline().rstrip(b"\n"))
        except (OSError, InvalidInput, msgspec.DecodeError, UnicodeDecodeError):
            created = None
        if isinstance(created, RunCreated):
            return {"id": created.id, "origin": created.options.origin}
        state = from_state(str(folder.state), name)
        return {"id": state["id"], "origin": state["origin"]}

    def info(self, write: bool) -> dict[str, Any]:
        """The server, its manager, and its jobs in numbers."""
        manager = self.manager()
        return {
            "version": __version__,
            "base": str(self.base),
            "write": write,
            "slots": None if manager is None else manager["slots"],
            "manager": manager,
            **self.overview.numbers(),
        }

    async def pause(self, seconds: float) -> None:
        """Wait, but not much longer than until the server stops."""
        while seconds > 0 and not self.tails.stopping:
            await asyncio.sleep(min(seconds, NAP_S))  # far cheaper than to wait for an event with a time-out
            seconds -= NAP_S

    def begin(self) -> None:
        """The event loop runs."""
        self._loop = asyncio.get_running_loop()

    def stop_soon(self) -> None:
        """End all streams; for signal handlers and other threads."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.stop)

    def stop(self) -> None:
        """End all streams."""
        self.tails.stop()

    def close(self) -> None:
        self.stop()
        self.tails.close()
        if self.scrape is not None:
            self.scrape.close()


def _manager_facts(base: Base) -> dict[str, Any] | None:
    try:
        pid = manager_pid(base)
        facts = json.loads(base.manager_json.read_bytes())
    except (OSError, ValueError, BaseUnusable):
        return None
    if pid is None or not isinstance(facts, dict) or facts.get("pid") != pid:
        return None
    return {key: facts.get(key) for key in ("pid", "host", "version", "started_at", "slots")}
