"""Waiting for one run in an event loop: what to make of what the watcher tells, until there is an end of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from air_executor.airflow.visibility import Counts, Reporter
from air_executor.errors import AirExecutorError

if TYPE_CHECKING:
    from air_executor.airflow.news import News
    from air_executor.airflow.visibility import Log
    from air_executor.airflow.watch import Watched
    from air_executor.client import AirExecutorClient

__all__ = ["Outcome", "Patience", "wait_for_end"]

PATIENCE_S: Final = 600.0
NEVER_SEEN_S: Final = 60.0
"""What was there when the task ran and has not been seen from here by then is not going to be."""
GRACE_S: Final = 2.0
"""A folder that is being replaced is not there for a moment."""
SAY_AGAIN_S: Final = 60.0
REPORT_S: Final = 30.0
SOON_S: Final = 1.0
"""What may be due by then although nothing more happens."""
RENEW_AGAIN_S: Final = 10.0
LEAST_WAIT_S: Final = 0.02

Status = Literal["ended", "missing", "error"]


class Outcome(NamedTuple):
    """How the waiting has ended."""

    status: Status
    message: str
    state: dict[str, Any] | None = None
    """What `state.json` said last, if anything."""


class Patience:
    """Decides, from what is found at which time, whether to wait on. Knows no clock."""

    def __init__(
        self,
        job: str,
        run: str | None,
        place: str,
        *,
        limit_s: float = PATIENCE_S,
        remote: bool = False,
        never_seen_s: float | None = None,
    ) -> None:
        self._job = job
        self._run = run
        self._place = place
        self._limit_s = limit_s
        self._remote = remote
        self._never_seen_s = NEVER_SEEN_S if never_seen_s is None else never_seen_s
        self._reached = False
        self._seen = False
        self._trouble: str | None = None
        self._since = 0.0
        """When what is found now was found first: trouble, or that the job is not there."""
        self._waits: Literal["trouble", "missing"] | None = None
        self._said: dict[str, float] = {}
        self.state: dict[str, Any] | None = None

    def judge(self, news: News, now: float) -> Outcome | None:
        """What the news comes to; None: wait on."""
        if news.trouble is not None:
            if news.final:
                return Outcome("error", news.trouble, self.state)
            self._trouble = news.trouble
            return self._suffer("trouble", now)
        look = news.look
        assert look is not None
        self._reached = True
        if look.missing:
            if self._seen or self._run is not None:
                return self._suffer("missing", now)
            self._waits = None
            return None
        self._seen, self._waits = True, None
        self.state = look.state or self.state
        if look.ended and look.state is not None:
            return Outcome("ended", f"job {self._job!r} {look.state['state']}: {Counts.of(look.state)}", look.state)
        return None

    def _suffer(self, what: Literal["trouble", "missing"], now: float) -> Outcome | None:
        if self._waits != what:
            self._waits, self._since = what, now
        return self.at(now)

    @property
    def until(self) -> float | None:
        """When it is lost, if nothing changes."""
        if self._waits == "trouble":
            return self._since + (
                self._limit_s if self._reached or self._remote else min(self._limit_s, self._never_seen_s)
            )
        if self._waits == "missing":
            return self._since + (GRACE_S if self._seen else self._never_seen_s)
        return None

    def at(self, now: float) -> Outcome | None:
        """What it comes to that nothing has changed until now."""
        if self.until is None or now < self.until:
            return None
        if self._waits == "trouble":
            return Outcome("error", f"given up after {now - self._since:.0f} s: {self._trouble}", self.state)
        if self._seen:
            text = f"job {self._job!r} is gone: its folder, or this run of it, was removed from {self._place}"
        else:
            text = (
                f"job {self._job!r} (run {self._run}) is not in {self._place} as it is seen from here: it was "
                "removed, or that is not the folder that the task handed it over to"
            )
        return Outcome("missing", text, self.state)

    def remark(self, news: News, now: float) -> str | None:
        """What people should know while nothing gets on, not more often than once a minute."""
        if news.trouble is not None:
            return self._once("trouble", f"{news.trouble}; waiting for it to be there again", now)
        if self._said.pop("trouble", None) is not None:
            return f"job {self._job!r} can be seen again"
        look = news.look
        if look is not None and look.missing:
            return self._once("missing", f"job {self._job!r} is not there (in {self._place}); waiting for it", now)
        if news.managed is False and look is not None and not look.ended:
            text = f"no manager is running, so nothing new starts: `air-executor start --base {self._place}`"
            return self._once("manager", text, now)
        return None

    def _once(self, kind: str, text: str, now: float) -> str | None:
        if now - self._said.get(kind, -SAY_AGAIN_S) < SAY_AGAIN_S:
            return None
        self._said[kind] = now
        return text


class _Background:
    """Chores of one kind, one at a time; whoever wants another while one is at work goes without."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def begin(self, chore: Coroutine[Any, Any, None]) -> bool:
        if self._task is not None and not self._task.done():
            chore.close()
            return False
        self._task = asyncio.ensure_future(chore)
        return True

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


async def wait_for_end(
    watched: Watched,
    client: AirExecutorClient,
    patience: Patience,
    reporter: Reporter,
    log: Log,
    *,
    lease_s: float | None = None,
) -> Outcome:
    """Wait, show what happens, and keep the lease. Blocks nothing: reports and renewals are done elsewhere, and an
    end does not wait for them."""
    reports, renewals = _Background(), _Background()
    report_at = renew_at = time.monotonic()

    async def show(state: dict[str, Any]) -> None:
        await watched.chore(reporter.report, state)

    async def renew() -> None:
        nonlocal renew_at
        try:
            await watched.chore(_renew, client, watched.job, watched.run)
        except (AirExecutorError, OSError) as error:
            renew_at = time.monotonic() + RENEW_AGAIN_S
            log.warning("the lease of job %s could not be renewed: %s", watched.job, error)

    try:
        while True:
            now = time.monotonic()
            if lease_s and now >= renew_at:
                renew_at = now + lease_s / 3
                renewals.begin(renew())
            if now >= report_at and patience.state is not None and reporter.note(patience.state):
                reports.begin(show(patience.state))
            if now >= report_at:
                report_at = now + (SOON_S if reporter.behind else REPORT_S)
            times = [report_at, renew_at if lease_s else None, patience.until]
            wake_at = min(at for at in times if at is not None)
            news = await watched.next(max(LEAST_WAIT_S, wake_at - now))
            now = time.monotonic()
            outcome = patience.at(now) if news is None else patience.judge(news, now)
            if news is not None and (remark := patience.remark(news, now)):
                log.warning("%s", remark)
            if outcome is not None:
                if outcome.state is not None:
                    reporter.note(outcome.state)
                return outcome
            if news is not None and news.look is not None:
                report_at = now
    finally:
        reporter.close()
        await reports.end()
        await renewals.end()


def _renew(client: AirExecutorClient, job: str, run: str | None) -> None:
    client.renew(job, job_id=run)
