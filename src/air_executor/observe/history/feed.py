"""Following the journals of a base into the history, and making it anew from them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from air_executor.errors import NotFound
from air_executor.names import check_job_name
from air_executor.observe.history.database import open_database, restrict, shown_url
from air_executor.observe.history.rows import RunRows
from air_executor.observe.history.schema import migrate
from air_executor.observe.history.writing import Overtaken, clear_run, find_run, write
from air_executor.observe.journals import Journals, RunJournal, journals_of
from air_executor.observe.sinks.health import Health
from air_executor.store.layout import Base

__all__ = ["HistoryFeed", "first_line", "rebuild"]

log = logging.getLogger("air_executor.observe")
T = TypeVar("T")

ROWS_AT_ONCE: Final = 5_000
LOOK_S: Final = 1.0
FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 30.0


class Stopped(Exception):
    """Told to stop while the database could not be reached."""


class Unwritable(Exception):
    """The database is well, but does not take these rows, now or ever."""


class HistoryFeed:
    """Keeps the history up to date until `stop` is set, then brings it up to the present and ends."""

    def __init__(self, base: Base, url: str, health: Health, *, look_s: float = LOOK_S) -> None:
        self._base = base
        self._engine = open_database(url, base)
        self._url = shown_url(url)
        self._health = health
        self._look_s = look_s
        self._journals = Journals(base, self._begin, at_rest=self._at_rest)
        self._runs: dict[RunJournal, RunRows] = {}
        self._changed: dict[RunRows, None] = {}
        self._stop = Event()

    def run(self, stop: Event) -> None:
        """Follow; a database that cannot be reached is tried again and again, until told to stop."""
        self._stop = stop
        self._health.up_to_date(time.time())
        try:
            self._with_database(lambda _: None)
            while True:
                last = stop.is_set()
                self._look()
                if last:
                    return
                stop.wait(self._look_s)
        except Stopped:
            log.warning("history %s is behind by what it could not be told; it will catch up", self._url)
        finally:
            self._journals.close()
            self._engine.dispose()

    def _look(self) -> None:
        began = time.time()
        for chunk in self._journals.look():
            rows = self._runs.get(chunk.run)
            if rows is None:
                continue  # somebody else wrote of this run; it is read from its beginning next time
            rows.add(chunk.events, chunk.offset, known=chunk.known)
            if not chunk.known:
                self._changed[rows] = None
                if sum(some.rows for some in self._changed) >= ROWS_AT_ONCE:
                    self._commit()
            elif chunk.offset >= rows.known_until:
                rows.sampler.resume(rows.known_last_row_at)
        now = time.time()
        for rows in self._runs.values():
            rows.late(now)
            if rows.progress:
                self._changed[rows] = None
        self._commit()
        self._health.up_to_date(began)

    def _begin(self, job: str, journal: RunJournal) -> int | None:
        """Look up what the history knows of a run."""
        rows = RunRows(job, journal.created, str(self._base))

        def look_up(connection: sa.engine.Connection) -> int:
            found = find_run(connection, rows)
            if found is None:
                return 0
            rows.run, rows.known_until, rows.known_last_row_at = found
            if not journal.on_a_line(rows.known_until):
                log.warning("job %s: its journal is shorter than it was; its history is made anew", job)
                clear_run(connection, rows)
                rows.known_until, rows.known_last_row_at = 0, None
            return rows.known_until

        known = self._with_database(look_up)
        if known and known == journal.size and journal.ended():
            return None
        self._runs[journal] = rows
        return known

    def _at_rest(self, job: str, journal: RunJournal) -> bool:
        rows = self._runs.get(journal)
        if rows is None:
            return True
        if rows.tally.ended:
            del self._runs[journal]  # what waits to be written stands in `_changed`
            return True
        return False

    def _commit(self) -> None:
        changed = [rows for rows in self._changed if rows.dirty]
        self._changed.clear()
        while changed:
            new = [rows for rows in changed if rows.run is None]
            try:
                self._with_database(lambda connection: write(connection, changed), new)
            except Overtaken as overtaken:
                log.info("job %s: somebody else wrote its history too; looking anew", overtaken.run.job)
                changed.remove(overtaken.run)
                for journal in [j for j, rows in self._runs.items() if rows is overtaken.run]:
                    del self._runs[journal]
                self._journals.again(overtaken.run.job)
                continue
            except Unwritable as error:
                self._give_up_one_of(changed, error)
                return
            for rows in changed:
                rows.clear()
            return

    def _give_up_one_of(self, changed: list[RunRows], error: Unwritable) -> None:
        """Write each by itself, so that a damaged journal harms its own history alone."""
        if len(changed) > 1:
            for rows in changed:
                self._changed = {rows: None}
                self._commit()
            return
        log.error("job %s: its history cannot be written: %s", changed[0].job, error)
        for journal in [j for j, rows in self._runs.items() if rows is changed[0]]:
            del self._runs[journal]

    def _with_database(self, action: Callable[[sa.engine.Connection], T], new: list[RunRows] | None = None) -> T:
        """Do it in a transaction, as soon as the database takes it; `new` runs lose their keys where it did not."""
        wait_s = FIRST_RETRY_S
        while True:
            try:
                if not self._health.up:
                    migrate(self._engine)
                    restrict(self._engine, self._base)
                with self._engine.begin() as connection:
                    result = action(connection)
            except (sa.exc.DataError, sa.exc.StatementError, OSError) as error:
                if isinstance(error, sa.exc.DataError) or not isinstance(error, sa.exc.DBAPIError | OSError):
                    _forget_keys(new)
                    raise Unwritable(first_line(error)) from None
                self._health.failed(first_line(error))
            except Overtaken:
                _forget_keys(new)
                raise
            else:
                self._health.took()
                return result
            _forget_keys(new)
            if self._stop.wait(wait_s):
                raise Stopped
            wait_s = min(2 * wait_s, LONGEST_RETRY_S)


def _forget_keys(new: list[RunRows] | None) -> None:
    for rows in new or ():
        rows.run = None


def first_line(error: BaseException) -> str:
    """What a database says is wrong, without the statement it was about."""
    reason = getattr(error, "orig", None) or error
    return " ".join(str(reason).split())[:300] or type(error).__name__


def rebuild(base: Base, engine: sa.engine.Engine, job: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Make the history of each run anew whose journal is there, one transaction a run; gives job and its new row.

    Runs whose journals were pruned keep what is known of them. Safe beside an observer that follows.
    """
    migrate(engine)
    names = sorted(os.listdir(base.jobs)) if job is None else [check_job_name(job)]
    found = False
    for name in names:
        if name.startswith(".") or not (base.jobs / name).is_dir():
            continue
        for path in journals_of(base.job(name)):
            try:
                journal = RunJournal(path)
            except (OSError, ValueError):
                continue
            found = True
            try:
                yield name, _rebuild_again(engine, name, journal, str(base))
            finally:
                journal.close()
    if job is not None and not found:
        raise NotFound(f"no journal of a job {job!r} in {base}")


def _rebuild_again(engine: sa.engine.Engine, name: str, journal: RunJournal, base: str) -> dict[str, Any]:
    """Once more where an observer has just begun to write of the same run."""
    while True:
        try:
            return _rebuild_run(engine, name, journal, base)
        except Overtaken:
            journal.offset = 0


def _rebuild_run(engine: sa.engine.Engine, name: str, journal: RunJournal, base: str) -> dict[str, Any]:
    rows = RunRows(name, journal.created, base)
    with engine.begin() as connection:
        known = find_run(connection, rows)
        if known is not None:
            rows.run = known[0]
            clear_run(connection, rows)
        while events := journal.read():
            rows.add(events, journal.offset, known=False)
            if rows.rows >= ROWS_AT_ONCE:
                write(connection, [rows])
                rows.clear()
        rows.late(time.time())
        write(connection, [rows])
    return {"id": rows.id, **rows.run_row()}
