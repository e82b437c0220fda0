"""Where what is said of a job comes from: the journal in its folder, or the server that has that folder."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from air_executor.errors import BaseUnusable, NotFound
from air_executor.observe.progress import Progress
from air_executor.observe.report import hindrance, report
from air_executor.observe.said import SaidByTasks
from air_executor.observe.tail import JournalTail

if TYPE_CHECKING:
    from air_executor.client import AirExecutorClient
    from air_executor.client_http import HttpClient

__all__ = ["Account", "account_of"]

CHART: Final = "chart.png"

Columns = dict[str, list[float]]


class Account(Protocol):
    """What can be told of one job. Every method reads files or asks a server; none is for an event loop.

    `run_id` says of which run; where it cannot be found there is nothing to tell: None, or `BaseUnusable`.
    """

    def report(self, run_id: str | None) -> str | None: ...
    def series(self, run_id: str | None) -> Columns | None: ...
    def chart(self, run_id: str | None, folder: Path | None) -> str:
        """Draw the run; gives the path or the address of the picture."""
        ...

    def keep_history(self) -> str | None:
        """See to it that the history knows the job; gives a line about it when there is something to say."""
        ...


def account_of(client: AirExecutorClient, job_name: str) -> Account:
    from air_executor.client_http import HttpClient

    return ServerAccount(client, job_name) if isinstance(client, HttpClient) else FolderAccount(client, job_name)


class FolderAccount:
    """From the journal, read on from where it was left. No file stays open: a triggerer follows many jobs."""

    def __init__(self, client: AirExecutorClient, job_name: str) -> None:
        self._client = client
        self._name = job_name
        self._folder = client.base.job(job_name)
        self._tail = JournalTail(self._folder)
        self._said = SaidByTasks(self._folder)
        self._left = (0, 0)
        """The inode of the journal and how far it was read."""

    def report(self, run_id: str | None) -> str | None:
        progress = self._progress(run_id)
        if progress is None:
            return None
        said = self._said.look() if progress.running else {}
        without = self._client.base if self._client.manager_pid is None else None
        note = hindrance(progress, self._name, without)
        return report(self._name, progress, time.time(), note=note, said=said)

    def series(self, run_id: str | None) -> Columns | None:
        progress = self._progress(run_id)
        return None if progress is None else progress.series_columns(time.time())

    def chart(self, run_id: str | None, folder: Path | None) -> str:
        from air_executor.observe.chart import picture, render
        from air_executor.store.files import write_atomically

        progress = self._progress(run_id)
        if progress is None:
            raise BaseUnusable(f"no journal of job {self._name!r} to draw a chart from")
        columns, spans = picture(progress, time.time())
        state = progress.state + (f" ({progress.reason})" if progress.reason else "")
        data = render(columns, spans, title=f"{self._name} – {state}", format="png")
        path = self._folder.path / CHART if folder is None else folder / f"{self._name}.png"
        try:
            write_atomically(path, data, mode=self._client.base.file_mode)
        except OSError as error:
            raise BaseUnusable(f"the chart cannot be written to {path}: {error.strerror}") from error
        return str(path)

    def keep_history(self) -> str | None:
        from air_executor.settings import load_settings

        base = self._client.base
        settings, _ = load_settings(base.config, {})
        if settings.history is not None:
            return None  # the observer of the base keeps it
        from air_executor.observe.history.database import open_database, restrict, sqlite_file
        from air_executor.observe.history.feed import rebuild

        engine = open_database("sqlite", base)
        try:
            for _ in rebuild(base, engine, self._name):
                pass
            restrict(engine, base)
        finally:
            engine.dispose()
        return f"history: {sqlite_file(base)}"

    def _progress(self, run_id: str | None) -> Progress | None:
        """The run as its journal tells it now; None when there is none of that run."""
        with contextlib.suppress(OSError):
            progress = self._read_on()
            if progress.run_id and run_id in (None, progress.run_id):
                return progress
            if run_id is not None:
                return self._earlier(run_id)
        return None

    def _read_on(self) -> Progress:
        tail = self._tail
        inode, position = self._left
        if position:
            tail.restore(tail.progress, position)
            if tail.inode != inode:
                tail.close()
                tail = self._tail = JournalTail(self._folder)
        try:
            while tail.advance(1 << 20):
                pass
            self._left = (tail.inode, tail.position)
        finally:
            tail.close()
        return tail.progress

    def _earlier(self, run_id: str) -> Progress | None:
        from air_executor.observe.journals import RunJournal, journals_of

        for path in reversed(journals_of(self._folder, run_id)):
            with contextlib.suppress(ValueError):
                journal = RunJournal(path)
                progress = Progress()
                try:
                    while events := journal.read():
                        for event in events:
                            progress.add(event)
                finally:
                    journal.close()
                return progress
        return None


class ServerAccount:
    """From a server, which tells of the run that is there now."""

    def __init__(self, client: HttpClient, job_name: str) -> None:
        self._client = client
        self._name = job_name

    def report(self, run_id: str | None) -> str | None:
        return self._client.report(self._name) if self._is_there(run_id) else None

    def series(self, run_id: str | None) -> Columns | None:
        return self._client.series(self._name) if self._is_there(run_id) else None

    def chart(self, run_id: str | None, folder: Path | None) -> str:
        if folder is None or not self._is_there(run_id):
            return self._client.chart_url(self._name)
        from air_executor.store.files import write_atomically

        path = folder / f"{self._name}.png"
        try:
            write_atomically(path, self._client.chart(self._name))
        except OSError as error:
            raise BaseUnusable(f"the chart cannot be written to {path}: {error.strerror}") from error
        return str(path)

    def keep_history(self) -> str | None:
        return f"history is kept where the manager runs (`manager --history …`), not by way of {self._client.url}"

    def _is_there(self, run_id: str | None) -> bool:
        try:
            return run_id is None or self._client.get_job(self._name).get("id") == run_id
        except NotFound:
            return False
