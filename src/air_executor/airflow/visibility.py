"""What is to be seen of a job while Airflow waits for it: in the task's log, in XCom, in metrics, in the history."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self

from air_executor.airflow import _compat
from air_executor.airflow.accounts import Account, account_of
from air_executor.errors import AirExecutorError, InvalidInput
from air_executor.observe.series import Series
from air_executor.observe.wording import number

if TYPE_CHECKING:
    from air_executor.client import AirExecutorClient

__all__ = ["WORDS", "Counts", "Reporter", "Visibility", "snapshots"]

WORDS: Final = ("log", "xcom", "metrics", "metrics-by-name", "history")
MOST_SNAPSHOTS: Final = 200
STEP_PERCENT: Final = 5.0
STEP_S: Final = 30.0
LEAST_S: Final = 1.0
"""Between two reports, however fast a job is."""
GAUGES_AGAIN_S: Final = 10.0
_UNSAFE_IN_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_UNSAFE_IN_TAG: Final = re.compile(r"[^A-Za-z0-9_./-]")

Snapshot = dict[str, Any]
Push = Callable[[str, Any], None]


class Log(Protocol):
    """The part of a logger that is used, be it of the standard library or structlog's."""

    def info(self, event: str, *args: Any) -> Any: ...
    def warning(self, event: str, *args: Any) -> Any: ...


class Visibility(NamedTuple):
    """Where a job is to be seen."""

    log: bool = False
    xcom: bool = False
    metrics: bool = False
    by_name: bool = False
    """Metrics in the older form too: the job in the name instead of a tag."""
    history: bool = False

    @classmethod
    def parse(cls, text: str | Visibility | None) -> Self:
        """`"log,xcom,metrics,history"`, any of them; `InvalidInput` for another word. Empty: nothing is shown."""
        if isinstance(text, Visibility):
            return cls(*text)
        if text is not None and not isinstance(text, str):
            raise InvalidInput(f"visibility: expected words with commas between ({', '.join(WORDS)}), got {text!r}")
        words = [word.strip() for word in (text or "").split(",") if word.strip()]
        for word in words:
            if word not in WORDS:
                raise InvalidInput(f"visibility: {word!r} is none of {', '.join(WORDS)}")
        by_name = "metrics-by-name" in words
        return cls("log" in words, "xcom" in words, "metrics" in words or by_name, by_name, "history" in words)

    def __str__(self) -> str:
        metrics = "metrics-by-name" if self.by_name else "metrics"
        shown = {"log": self.log, "xcom": self.xcom, metrics: self.metrics, "history": self.history}
        return ",".join(word for word, wanted in shown.items() if wanted)


class Counts(NamedTuple):
    """How many tasks of a job are where, as `state.json` has it."""

    total: int = 0
    completed: int = 0
    running: int = 0
    failed: int = 0

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """From a job's state; what somebody wrote by hand may lack anything."""
        progress = state.get("progress")
        found = progress if isinstance(progress, Mapping) else {}
        values = [found.get(name, 0) for name in cls._fields]
        return cls(*(value if isinstance(value, int) and value >= 0 else 0 for value in values))

    @property
    def pending(self) -> int:
        return max(0, self.total - self.completed - self.running - self.failed)

    @property
    def percent(self) -> float:
        return round(100.0 * self.completed / self.total, 2) if self.total else 0.0

    @property
    def ended_percent(self) -> float:
        return 100.0 * (self.completed + self.failed) / self.total if self.total else 0.0

    def __str__(self) -> str:
        return (
            f"{number(self.completed + self.failed)} of {number(self.total)} tasks done, "
            f"{number(self.running)} running, {number(self.failed)} failed"
        )


def snapshots(columns: Mapping[str, list[float]], most: int = MOST_SNAPSHOTS) -> list[Snapshot]:
    """The moments of a series as `progress_history` has them: at most so many, thinned evenly from first to last."""
    count = len(columns["t"])
    places = range(count)
    if count > most:
        places = [round(index * (count - 1) / (most - 1)) for index in range(most)]  # type: ignore[assignment]
    found = []
    for place in places:
        counts = Counts(*(int(columns[name][place]) for name in Counts._fields))
        at = datetime.fromtimestamp(columns["t"][place], UTC).isoformat(timespec="milliseconds")
        found.append({"timestamp": at, **counts._asdict(), "pending": counts.pending})
    return found


class Reporter:
    """Shows one run of a job: `look` at each poll, `end` once.

    In an event loop call `note` at each poll, which never waits, and `report` in a thread when it says so.
    What cannot be shown is said in the log once, and is no reason for a task to fail.
    """

    def __init__(
        self,
        job_name: str,
        visibility: str | Visibility,
        log: Log,
        push: Push | None = None,
        chart_folder: Path | None = None,
        *,
        client: AirExecutorClient | None = None,
        job_id: str | None = None,
    ) -> None:
        """`push(key, value)` sets an XCom of the task. With `client`, what is shown comes from the job's journal
        (or its server): names of tasks, rate, time left. Without one there are only the counts of `state.json`.
        `chart_folder`: where to put the picture; by default the job's own folder.
        """
        self.visibility = Visibility.parse(visibility)
        self._name = job_name
        self._log = log
        self._push = push if self.visibility.xcom else None
        self._chart_folder = chart_folder
        self._client = client
        self._its_account: Account | None = None
        self._run_id = job_id
        self._series = Series()
        self._counts = Counts()
        self._changed_at = 0.0
        self._began_at = time.monotonic()
        self._reported: tuple[float, Counts] | None = None
        self._gauges: tuple[float, Counts] | None = None
        self._complained: set[str] = set()
        self._closed = False

    @property
    def _account(self) -> Account | None:
        """Made when it is asked for the first time: a triggerer starts many triggers in one thread."""
        if self._its_account is None and self._client is not None:
            self._its_account = account_of(self._client, self._name)
        return self._its_account

    # ---- while it runs --------------------------------------------------------------------------

    def look(self, state: Mapping[str, Any]) -> None:
        """Take the job's state in, and show what is due. May read files or ask a server."""
        if self.note(state):
            self.report(state)

    def note(self, state: Mapping[str, Any]) -> bool:
        """Take the job's state in and send metrics; whether a report is due. Waits for nothing."""
        counts = Counts.of(state)
        self._remember(counts, time.time())
        if self.visibility.metrics:
            self._send(counts, time.monotonic())
        if not (self.visibility.log or self._push):
            return False
        return self._due(counts, time.monotonic())

    @property
    def behind(self) -> bool:
        """Whether the counts are no longer those of the last report."""
        return self._reported is None or self._reported[1] != self._counts

    def report(self, state: Mapping[str, Any]) -> None:
        """Print the progress report and set the XComs, due or not."""
        counts = Counts.of(state)
        self._reported = (time.monotonic(), counts)
        if self.visibility.log:
            self._print(state, counts)
        self._set(counts)

    def _due(self, counts: Counts, now: float) -> bool:
        if self._reported is None:
            return counts.total > 0 or now - self._began_at >= STEP_S
        at, before = self._reported
        if now - at < LEAST_S:
            return False
        return (
            now - at >= STEP_S
            or abs(counts.ended_percent - before.ended_percent) >= STEP_PERCENT
            or counts.failed > 0 == before.failed
        )

    def _remember(self, counts: Counts, now: float) -> None:
        if counts != self._counts:
            self._counts, self._changed_at = counts, now
        if now >= self._series.next_at:
            self._series.add(now, _as_dict(counts), self._changed_at)

    # ---- at the end -----------------------------------------------------------------------------

    def end(self, state: Mapping[str, Any]) -> None:
        """Show the job's end: the last report, XComs and metrics, the picture, the rows of the history."""
        counts = Counts.of(state)
        self._run_id = self._run_id or _text(state.get("id"))
        self._remember(counts, time.time())
        if self.visibility.metrics:
            self._gauges = None
            self._send(counts, time.monotonic())
        if self.visibility.log:
            self._print(state, counts)
        if self.visibility.history and self._account is not None:
            self._finish(self._account)
        self._set(counts)

    def _finish(self, account: Account) -> None:
        try:
            told = account.keep_history()
        except Exception as error:  # a database has errors of its own
            self._complain(f"the history was not written: {_line(error)}")
        else:
            if told:
                self._log.info("%s", told)
        try:
            chart = account.chart(self._run_id, self._chart_folder)
        except (AirExecutorError, OSError) as error:
            self._complain(f"no chart: {_line(error)}")
        else:
            self._log.info("chart: %s", chart)
            self._put({"chart": chart})

    def history(self) -> list[Snapshot]:
        """`progress_history`: how the counts went, bounded. From the journal where that can be read."""
        if self._account is not None:
            try:
                columns = self._account.series(self._run_id)
            except (AirExecutorError, OSError) as error:
                self._complain(f"the course of the job is known from polls alone: {_line(error)}")
            else:
                if columns is not None:
                    return snapshots(columns)
        return self.polled()

    def polled(self) -> list[Snapshot]:
        """`progress_history` as far as it was seen here. Reads nothing."""
        if not self._changed_at:
            return []
        return snapshots(self._series.columns(time.time(), _as_dict(self._counts), self._changed_at))

    def close(self) -> None:
        """Show nothing any more; for a report that is still at work elsewhere when there is an end of it."""
        self._closed = True

    # ---- the ways out ---------------------------------------------------------------------------

    def _print(self, state: Mapping[str, Any], counts: Counts) -> None:
        text = None
        if self._account is not None:
            try:
                text = self._account.report(self._run_id or _text(state.get("id")))
            except (AirExecutorError, OSError) as error:
                self._complain(f"only the counts can be shown: {_line(error)}")
        if text is None:
            text = f"job {self._name}: {state.get('state', 'waiting')}, {counts} ({counts.percent:g}% completed)"
        if not self._closed:
            for line in text.splitlines():
                self._log.info("%s", line)

    def _set(self, counts: Counts) -> None:
        if self._push is None:
            return
        self._put(
            {
                "total_tasks": counts.total,
                "completed_tasks": counts.completed,
                "failed_tasks": counts.failed,
                "progress_percent": counts.percent,
                "progress_history": self.history(),
            }
        )

    def _put(self, values: Mapping[str, Any]) -> None:
        if self._push is None:
            return
        try:
            for key, value in values.items():
                if not self._closed:
                    self._push(key, value)
        except Exception as error:  # whatever an XCom backend raises
            self._complain(f"XCom cannot be set: {_line(error)}")

    def _send(self, counts: Counts, now: float) -> None:
        tags = {"job": _UNSAFE_IN_TAG.sub("_", self._name)}
        try:
            _compat.incr("air_executor.polls", tags)
            if self._gauges is not None and self._gauges[1] == counts and now - self._gauges[0] < GAUGES_AGAIN_S:
                return
            self._gauges = (now, counts)
            values = {
                "total_tasks": counts.total,
                "completed_tasks": counts.completed,
                "running_tasks": counts.running,
                "failed_tasks": counts.failed,
            }
            for name, value in {**values, "progress_percent": counts.percent}.items():
                _compat.gauge(f"air_executor.{name}", value, tags)
            if self.visibility.by_name:
                job = _UNSAFE_IN_NAME.sub("_", self._name)
                for name, value in {**values, "progress": counts.percent}.items():
                    _compat.gauge(f"air_executor.{job}.{name}", value, {})
        except Exception as error:  # whoever takes the metrics
            self._complain(f"metrics cannot be sent: {_line(error)}")

    def _complain(self, text: str) -> None:
        kind = text.partition(":")[0]
        if kind not in self._complained and not self._closed:
            self._complained.add(kind)
            self._log.warning("job %s: %s", self._name, text)


def _as_dict(counts: Counts) -> dict[str, int]:
    return {**counts._asdict(), "pending": counts.pending}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
