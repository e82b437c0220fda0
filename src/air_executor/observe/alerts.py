"""When somebody is told without having to look: a job has ended, missed its deadline, or makes no progress."""

from __future__ import annotations

import hashlib
import socket
from typing import Final, Literal

from air_executor import events as ev
from air_executor.observe.metrics import Metrics
from air_executor.observe.sinks.webhook import Alert, Form, Outbox
from air_executor.observe.tally import Tally
from air_executor.observe.wording import duration
from air_executor.times import to_iso

__all__ = ["Alerts"]

Kind = Literal["job_ended", "deadline_missed", "no_progress"]
ALERTING: Final = (ev.RunEnded, ev.CancelRequested)


class Alerts:
    """Turns events, and their absence, into alerts, each once."""

    def __init__(
        self, base: str, outbox: Outbox, metrics: Metrics, *, url: str | None, form: Form, no_progress_s: float | None
    ) -> None:
        """`url` is told of everything; what a job itself names as `on_end` only of that job's end."""
        self._base = base
        self._outbox = outbox
        self._metrics = metrics
        self._url = url
        self._form = form
        self._no_progress_s = no_progress_s
        self._host = socket.gethostname()
        self._runs: dict[str, ev.RunCreated] = {}
        self._since = outbox.looked_at

    def begin_at(self, since: float) -> None:
        """What was before is over: nobody is told of it, unless an observer was interrupted earlier than that."""
        self._since = min(since, self._outbox.looked_at or since)

    def add(self, job: str, event: ev.Event) -> None:
        """Take the next event in, after `metrics` has."""
        if isinstance(event, ev.RunCreated):
            self._runs[job] = event
        elif isinstance(event, ALERTING):
            self._add_alerting(job, event)

    def _add_alerting(self, job: str, event: ev.RunEnded | ev.CancelRequested) -> None:
        created, tally = self._runs.get(job), self._metrics.tally(job)
        if created is None or tally is None or tally.at < self._since:
            return
        at = tally.at
        if isinstance(event, ev.RunEnded):
            if self._url is not None:
                self._raise("job_ended", job, created, tally, at, self._url, self._form)
            if (own := created.options.on_end) is not None:
                self._raise("job_ended", job, created, tally, at, own, "json")
        elif event.task is None and event.cause == "deadline" and self._url is not None:
            self._raise("deadline_missed", job, created, tally, at, self._url, self._form)

    def look(self, now: float) -> None:
        """Tell of jobs that have stood still for too long, once for each time they do."""
        if self._url is None or self._no_progress_s is None:
            return
        for job, last in self._metrics.stalled(now - self._no_progress_s):
            created, tally = self._runs.get(job), self._metrics.tally(job)
            if created is not None and tally is not None:
                self._raise("no_progress", job, created, tally, now, self._url, self._form, since=last)

    def forget(self, job: str) -> None:
        self._runs.pop(job, None)

    def _raise(
        self,
        kind: Kind,
        job: str,
        created: ev.RunCreated,
        tally: Tally,
        at: float,
        url: str,
        form: Form,
        since: float | None = None,
    ) -> None:
        # an end that was taken back by a reopening and comes again is another one, hence its time
        words = (self._base, job, created.id, created.at, kind, url, at if since is None else since)
        key = hashlib.blake2b("\0".join(map(str, words)).encode("utf-8", "replace"), digest_size=16).hexdigest()

        def make() -> Alert:
            return Alert(
                id=key,
                kind=kind,
                text=_text(kind, job, tally, at, since),
                at=to_iso(at),
                base=self._base,
                host=self._host,
                job_name=job,
                run_id=created.id,
                state=tally.state,
                reason=tally.reason,
                error=tally.error,
                total_tasks=tally.total,
                completed=tally.completed,
                running=tally.running,
                failed=tally.failed,
                pending=tally.pending,
                duration_s=round(max(0.0, at - tally.began_at), 3),
            )

        self._outbox.put(url, form, make, key)


def _text(kind: Kind, job: str, tally: Tally, at: float, since: float | None) -> str:
    done = f"{tally.completed:,} of {tally.total:,} tasks completed"
    failed = f", {tally.failed:,} failed" if tally.failed else ""
    if kind == "job_ended":
        return f"Job {job!r} {tally.state} after {duration(at - tally.began_at)}: {done}{failed}"
    if kind == "deadline_missed":
        return f"Job {job!r} missed its deadline and is being stopped: {done}{failed}"
    return (
        f"Job {job!r} makes no progress since {duration(at - (since or at))}: {done}{failed}, {tally.running} running"
    )
