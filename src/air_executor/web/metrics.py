"""`/metrics` of the server: what Prometheus reads, counted from the moment the server began."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from air_executor.observe.journals import Journals, RunJournal
from air_executor.observe.metrics import CONTENT_TYPE, KEEP_S, Metrics
from air_executor.store.layout import Base
from air_executor.web.jobs import TheSite

__all__ = ["Scrape", "routes"]

routes = APIRouter()


class Scrape:
    """Reads the journals on when it is asked, so that a server nobody scrapes pays nothing."""

    def __init__(self, base: Base, since: float) -> None:
        """`since`: events before it are not counted."""
        self._since = since
        self._metrics = Metrics(counting_since=self._since)
        self._journals = Journals(base, self._begin, at_rest=self._at_rest)
        self._jobs: dict[RunJournal, str] = {}
        self._one_at_a_time = threading.Lock()

    def exposition(self, manager: dict[str, Any] | None) -> bytes:
        """All metrics as they are now; waits for the disk."""
        with self._one_at_a_time:
            for chunk in self._journals.look():
                job = self._jobs.get(chunk.run)
                for event in chunk.events if job is not None else ():
                    self._metrics.add(job or "", event)
            self._metrics.put("air_executor_polls_total", self._journals.polls)
            self._metrics.put("air_executor_manager_up", int(manager is not None))
            if manager is not None and isinstance(manager["slots"], int):
                self._metrics.put("air_executor_slots", manager["slots"])
            return self._metrics.exposition()

    def _begin(self, job: str, journal: RunJournal) -> int | None:
        if journal.written_at < self._since - KEEP_S and journal.ended():
            return None  # long over: nothing of it would be shown
        self._jobs[journal] = job
        return 0

    def _at_rest(self, job: str, journal: RunJournal) -> bool:
        tally = self._metrics.tally(job)
        if tally is not None and not tally.ended:
            return False
        self._jobs.pop(journal, None)
        return True

    def close(self) -> None:
        with self._one_at_a_time:
            self._journals.close()


@routes.get("/metrics")
async def metrics(site: TheSite) -> Response:
    """All jobs in the text format of Prometheus."""
    if site.scrape is None:
        site.scrape = Scrape(site.base, site.began_at)
    data = await asyncio.to_thread(site.scrape.exposition, site.manager())
    return Response(data, headers={"Content-Type": CONTENT_TYPE})
