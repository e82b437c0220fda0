"""Metrics of all jobs, derived from their events: gauges, counters, histograms; the text Prometheus reads.

How many series there are is bounded whatever the jobs are called: at most `max_jobs` jobs have series of their
own, the rest stand together under the job `(other)`; what has ended goes after a while; a task is never a label.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple

from air_executor import events as ev
from air_executor.observe.tally import Tally

__all__ = ["BUCKETS_S", "CONTENT_TYPE", "FAMILIES", "OTHER", "Counts", "Family", "Metrics", "Sample"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0)
OTHER: Final = "(other)"
"""What jobs beyond the limit are counted under. A job that is called so is counted with them."""
MAX_JOBS: Final = 100
KEEP_S: Final = 900.0
"""How long an ended job keeps its series, so that the last values are scraped."""

Kind = Literal["gauge", "counter", "histogram"]

FAMILIES: Final[dict[str, tuple[Kind, str]]] = {
    "air_executor_total_tasks": ("gauge", "Tasks of the job known so far."),
    "air_executor_pending_tasks": ("gauge", "Tasks that have not started."),
    "air_executor_running_tasks": ("gauge", "Tasks that run."),
    "air_executor_completed_tasks": ("gauge", "Tasks that have completed."),
    "air_executor_failed_tasks": ("gauge", "Tasks that have failed, with those skipped and cancelled."),
    "air_executor_progress_percent": ("gauge", "Completed tasks of all known, in percent."),
    "air_executor_last_progress_timestamp_seconds": (
        "gauge",
        "When a task of the job last started or ended, or the job began.",
    ),
    "air_executor_job_paused": ("gauge", "1 while the job is paused, or open and without work."),
    "air_executor_tasks_queued_total": ("counter", "Tasks queued."),
    "air_executor_attempts_started_total": ("counter", "Attempts started."),
    "air_executor_attempts_ended_total": (
        "counter",
        "Attempts ended, by outcome: completed, or the reason of the failure.",
    ),
    "air_executor_queue_time_seconds": ("histogram", "From queueing a task to the start of its attempt."),
    "air_executor_run_time_seconds": ("histogram", "From the start of an attempt to its end."),
    "air_executor_jobs": ("gauge", "Jobs that have not ended, by state: waiting, working."),
    "air_executor_jobs_ended_total": ("counter", "Jobs that ended, by state: completed, failed."),
    "air_executor_deadlines_missed_total": ("counter", "Jobs that were stopped because of their deadline."),
    "air_executor_polls_total": ("counter", "Looks at the journals."),
    "air_executor_manager_up": ("gauge", "Whether a manager holds the base folder."),
    "air_executor_slots": ("gauge", "Tasks the manager runs at once."),
    "air_executor_sink_up": ("gauge", "Whether the sink took what it was given last."),
    "air_executor_sink_lag_seconds": ("gauge", "For how long the sink may not have heard of anything."),
    "air_executor_sink_errors_total": ("counter", "Times a sink could not take what it was given."),
}
"""Every metric there is: kind and help. `docs/observing.md` shows them, dashboards and rules use no others."""


class Sample(NamedTuple):
    """One value; of a histogram `(buckets, sum)`, buckets not accumulated, the last one without a bound."""

    labels: tuple[tuple[str, str], ...]
    value: float | tuple[list[int], float]


class Family(NamedTuple):
    """All samples of one metric."""

    name: str
    kind: Kind
    help: str
    samples: list[Sample]


class Counts(NamedTuple):
    """The gauges of one job."""

    job: str
    total: int
    pending: int
    running: int
    completed: int
    failed: int

    @property
    def percent(self) -> float:
        return 100.0 * self.completed / self.total if self.total else 0.0


class _Histogram:
    __slots__ = ("buckets", "sum")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.buckets[bisect_left(BUCKETS_S, value)] += 1
        self.sum += value


class _Series:
    """What is counted under one job label."""

    __slots__ = ("ended", "queue_time", "queued", "run_time", "started")

    def __init__(self) -> None:
        self.queued = self.started = 0
        self.ended: dict[str, int] = {}
        self.queue_time, self.run_time = _Histogram(), _Histogram()


class _Job:
    __slots__ = ("label", "last_progress", "tally")

    def __init__(self, label: str) -> None:
        self.label = label
        self.tally = Tally()
        self.last_progress = 0.0

    @property
    def idle(self) -> bool:
        """Whether that nothing happens is as it should be."""
        tally = self.tally
        return tally.paused or (tally.open and not tally.running and not tally.pending)


class Metrics:
    """Fed with the events of all jobs; may be read from another thread than it is fed from."""

    def __init__(self, *, max_jobs: int = MAX_JOBS, counting_since: float = 0.0, keep_s: float = KEEP_S) -> None:
        """`counting_since`: events before it (epoch seconds) bring gauges up to date but are not counted again."""
        self.max_jobs = max_jobs
        self._since = counting_since
        self._keep_s = keep_s
        self._jobs: dict[str, _Job] = {}
        self._series: dict[str, _Series] = {}
        self._jobs_ended = {"completed": 0, "failed": 0}
        self._deadlines_missed = 0
        self._extra: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        self._lock = threading.Lock()

    # ---- feeding -------------------------------------------------------------------------------

    def add(self, job: str, event: ev.Event, *, known: bool = False) -> None:
        """Take in the next event of a job; a `RunCreated` begins its next run. `known`: it was counted before."""
        with self._lock:
            self._add(job, event, known)

    def _add(self, name: str, event: ev.Event, known: bool) -> None:
        job = self._jobs.get(name)
        if job is None or isinstance(event, ev.RunCreated):
            label = self._label(name) if job is None else job.label
            job = self._jobs[name] = _Job(label)
        tally = job.tally
        attempt = tally.add(event)
        at = tally.at
        kind = type(event)
        if kind is ev.AttemptStarted or attempt is not None or kind is ev.RunCreated or kind is ev.RunResumed:
            job.last_progress = max(job.last_progress, at)
        if known or at < self._since:
            return
        series = self._series[job.label]
        if attempt is not None:
            outcome = attempt.reason or "completed"
            series.ended[outcome] = series.ended.get(outcome, 0) + 1
            series.queue_time.add(attempt.queue_s)
            series.run_time.add(attempt.took_s)
        elif kind is ev.AttemptStarted:
            series.started += 1
        elif kind is ev.TaskQueued:
            series.queued += 1
        elif isinstance(event, ev.RunEnded):
            self._jobs_ended[event.state] = self._jobs_ended.get(event.state, 0) + 1
        elif isinstance(event, ev.CancelRequested):
            self._deadlines_missed += event.task is None and event.cause == "deadline"

    def _label(self, name: str) -> str:
        """The label for a new job; one that ended longest ago makes room where the limit is reached."""
        own = [job for job in self._jobs.values() if job.label != OTHER]
        if len(own) >= self.max_jobs:
            ended = [(job.tally.ended_at, job.label) for job in own if job.tally.ended_at is not None]
            if not ended:
                self._series.setdefault(OTHER, _Series())
                return OTHER
            self._drop(min(ended)[1])
        self._series.setdefault(name, _Series())
        return name

    def forget(self, job: str) -> None:
        """The job's folder is gone, and so are its series."""
        with self._lock:
            self._drop(job)

    def _drop(self, name: str) -> None:
        job = self._jobs.pop(name, None)
        if job is not None and job.label != OTHER:
            self._series.pop(job.label, None)

    def put(self, name: str, value: float, **labels: str) -> None:
        """Set a metric that does not come from events; its name stands in `FAMILIES`."""
        assert name in FAMILIES, name
        with self._lock:
            self._extra.setdefault(name, {})[tuple(sorted(labels.items()))] = value

    def increase(self, name: str, **labels: str) -> None:
        """Count one up that does not come from events."""
        assert name in FAMILIES, name
        with self._lock:
            found = self._extra.setdefault(name, {})
            key = tuple(sorted(labels.items()))
            found[key] = found.get(key, 0) + 1

    # ---- reading -------------------------------------------------------------------------------

    def tally(self, job: str) -> Tally | None:
        """What the job's present run has come to; for the thread that feeds only."""
        found = self._jobs.get(job)
        return None if found is None else found.tally

    def stalled(self, before: float) -> list[tuple[str, float]]:
        """Jobs that have not ended and could go on, but did not since `before`, and when they last did."""
        with self._lock:
            return [
                (name, job.last_progress)
                for name, job in self._jobs.items()
                if not job.tally.ended and not job.idle and job.last_progress < before
            ]

    def counts(self, now: float | None = None) -> list[Counts]:
        """The gauges of each job that has series of its own, and of the others together."""
        with self._lock:
            self._tidy(time.time() if now is None else now)
            return self._counts()

    def families(self, now: float | None = None) -> list[Family]:
        """All metrics that have a value, in the order of `FAMILIES`."""
        with self._lock:
            self._tidy(time.time() if now is None else now)
            samples = self._samples()
        return [Family(name, *FAMILIES[name], samples[name]) for name in FAMILIES if samples.get(name)]

    def exposition(self, now: float | None = None) -> bytes:
        """The text format of Prometheus, version 0.0.4."""
        return "".join(line for family in self.families(now) for line in _lines(family)).encode()

    def _tidy(self, now: float) -> None:
        gone = [
            name
            for name, job in self._jobs.items()
            if job.tally.ended_at is not None and now - job.tally.ended_at > self._keep_s
        ]
        for name in gone:
            self._drop(name)

    def _counts(self) -> list[Counts]:
        found: dict[str, list[int]] = {}
        for job in self._jobs.values():
            tally = job.tally
            numbers = (tally.total, tally.pending, tally.running, tally.completed, tally.failed)
            before = found.get(job.label)
            found[job.label] = [*numbers] if before is None else [a + b for a, b in zip(before, numbers, strict=True)]
        return [Counts(label, *numbers) for label, numbers in found.items()]

    def _samples(self) -> dict[str, list[Sample]]:
        found: dict[str, list[Sample]] = {}

        def add(name: str, value: float | tuple[list[int], float], **labels: str) -> None:
            found.setdefault(f"air_executor_{name}", []).append(Sample(tuple(labels.items()), value))

        self._gauges(add)
        for label, series in self._series.items():
            add("tasks_queued_total", series.queued, job_name=label)
            add("attempts_started_total", series.started, job_name=label)
            for outcome, count in series.ended.items():
                add("attempts_ended_total", count, job_name=label, outcome=outcome)
            for name, histogram in (("queue_time", series.queue_time), ("run_time", series.run_time)):
                add(f"{name}_seconds", (list(histogram.buckets), histogram.sum), job_name=label)
        for state, count in self._jobs_ended.items():
            add("jobs_ended_total", count, state=state)
        add("deadlines_missed_total", self._deadlines_missed)
        for name, values in self._extra.items():
            found[name] = [Sample(labels, value) for labels, value in values.items()]
        return found

    def _gauges(self, add: Callable[..., None]) -> None:
        for counts in self._counts():
            for name in ("total", "pending", "running", "completed", "failed"):
                add(f"{name}_tasks", getattr(counts, name), job_name=counts.job)
            add("progress_percent", round(counts.percent, 4), job_name=counts.job)
        states = {"waiting": 0, "working": 0}
        for job in self._jobs.values():
            if not job.tally.ended:
                states[job.tally.state] += 1
                if job.label != OTHER:
                    add("last_progress_timestamp_seconds", job.last_progress, job_name=job.label)
                    add("job_paused", int(job.idle), job_name=job.label)
        for state, count in states.items():
            add("jobs", count, state=state)


def _lines(family: Family) -> Iterator[str]:
    name, kind, text, samples = family
    yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        if isinstance(value, tuple):
            buckets, total = value
            count = 0
            for bound, here in zip((*BUCKETS_S, None), buckets, strict=True):
                count += here
                le = "+Inf" if bound is None else _number(bound)
                yield f"{name}_bucket{_labels((*labels, ('le', le)))} {count}\n"
            yield f"{name}_sum{_labels(labels)} {_number(total)}\n{name}_count{_labels(labels)} {count}\n"
        else:
            yield f"{name}{_labels(labels)} {_number(value)}\n"


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
