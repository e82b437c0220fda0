"""What observers tell while it happens: metrics, StatsD, alerts, all from one reading of the journals."""

from __future__ import annotations

import time
from threading import Event
from typing import Final

from air_executor.observe.alerts import Alerts
from air_executor.observe.journals import Journals, RunJournal
from air_executor.observe.metrics import KEEP_S, Metrics
from air_executor.observe.sinks.statsd import StatsD
from air_executor.observe.sinks.webhook import Outbox
from air_executor.store.layout import Base

__all__ = ["LiveFeed"]

LOOK_S: Final = 0.25
SECOND_S: Final = 1.0
REMEMBER_S: Final = 10.0
REMEMBERED: Final = 10_000


class LiveFeed:
    """Follows all journals into `metrics`, and tells those that want to hear of it."""

    def __init__(
        self, base: Base, metrics: Metrics, outbox: Outbox, alerts: Alerts, statsd: StatsD | None, since: float
    ) -> None:
        """`since`: what happened before was nobody's business, unless an earlier observer was interrupted."""
        self._metrics = metrics
        self._outbox = outbox
        self._alerts = alerts
        self._statsd = statsd
        alerts.begin_at(since)
        self._oldest = min(since, outbox.looked_at or since, time.time() - KEEP_S)
        self._journals = Journals(base, self._begin, at_rest=self._at_rest)
        self._jobs: dict[RunJournal, str] = {}
        self._read: dict[tuple[str, str, str], int] = {}
        """How far the journals of runs were read that have ended since: those may be reopened, or moved away."""
        self._next_second = 0.0
        self._remember_at = 0.0

    @property
    def unread(self) -> int:
        """Bytes of journals that wait to be read."""
        return self._journals.unread()

    def run(self, stop: Event) -> None:
        """Follow until told to stop, then up to the present."""
        try:
            while True:
                last = stop.is_set()
                self.look(last=last)
                if last:
                    return
                stop.wait(LOOK_S)
        finally:
            self._journals.close()
            if self._statsd is not None:
                self._statsd.close()

    def look(self, *, last: bool = False) -> None:
        """Read what is new; every second tell what has become of it."""
        began = time.time()
        for chunk in self._journals.look():
            job = self._jobs.get(chunk.run)
            if job is None:
                continue
            for event in chunk.events:
                self._metrics.add(job, event, known=chunk.known)
                self._alerts.add(job, event)
            self._each_second()
        self._each_second(now=last)
        if last or began >= self._remember_at:
            self._remember_at = began + REMEMBER_S
            self._outbox.looked(began, last=last)

    def _each_second(self, *, now: bool = False) -> None:
        at = time.time()
        if not now and 0 < self._next_second - at <= SECOND_S:
            return
        self._next_second = at + SECOND_S
        self._metrics.put("air_executor_polls_total", self._journals.polls)
        self._alerts.look(at)
        if self._statsd is not None:
            self._statsd.send(self._metrics.counts(at), self._journals.polls)

    def _begin(self, job: str, journal: RunJournal) -> int | None:
        known = self._read.pop(_key(job, journal), 0)
        if (known == journal.size or journal.written_at < self._oldest) and journal.ended():
            self._remember(job, journal, known)
            return None
        self._jobs[journal] = job
        return known

    def _at_rest(self, job: str, journal: RunJournal) -> bool:
        tally = self._metrics.tally(job)
        if tally is not None and not tally.ended:
            return False
        self._remember(job, journal, journal.offset)
        self._jobs.pop(journal, None)
        return True

    def _remember(self, job: str, journal: RunJournal, offset: int) -> None:
        self._read[_key(job, journal)] = offset
        if len(self._read) > REMEMBERED:
            del self._read[next(iter(self._read))]


def _key(job: str, journal: RunJournal) -> tuple[str, str, str]:
    return job, journal.created.id, journal.created.at
