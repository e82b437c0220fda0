"""Jobs and tasks for pages made by the server: from a folder's journals, or asked of another server. For threads."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from air_executor.client import AirExecutorClient
from air_executor.client_http import HttpClient
from air_executor.errors import BaseUnusable, NotFound
from air_executor.observe.objects import attempt_objects, job_detail, task_object, task_row
from air_executor.observe.overview import from_state, newest_first
from air_executor.observe.select import Selection
from air_executor.observe.tail import JournalTail, ViewsTail
from air_executor.store.files import identity, open_regular
from air_executor.store.layout import Base

__all__ = ["Folder", "Jobs", "Server"]

KEPT: Final = 20
"""Journals that are kept open, the last used of them."""
WHOLE: Final = 1 << 62


class Jobs(Protocol):
    """Where jobs are."""

    def all(self) -> list[dict[str, Any]]:
        """All jobs in short, the one updated last first."""
        ...

    def origin(self, job: str) -> Any:
        """Who handed a job in; `NotFound` when there is none of this name."""
        ...

    def job(self, job: str) -> dict[str, Any]: ...

    def tasks(self, job: str, status: str | None, text: str | None, first: int, limit: int) -> dict[str, Any]:
        """`tasks` from the place `first` on, `next` or None, and their `total`."""
        ...

    def task(self, job: str, task: str) -> dict[str, Any]: ...

    def log(self, job: str, task: str, attempt: int | None, most: int) -> tuple[str, int]:
        """The last `most` bytes of what an attempt wrote, and how many it wrote."""
        ...


class Folder:
    """A base folder; each journal is read on from where it was left."""

    def __init__(self, path: Path) -> None:
        self._base = Base(path).require()
        self._client = AirExecutorClient(self._base.path)
        self._tails: dict[str, JournalTail] = {}
        self._lock = threading.Lock()

    def all(self) -> list[dict[str, Any]]:
        with os.scandir(self._base.jobs) as entries:
            names = [e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False)]
        return sorted((from_state(str(self._base.job(name).state), name) for name in names), key=newest_first)

    def origin(self, job: str) -> Any:
        with self._lock:
            tail = self._tail(job)
            return tail.progress.options.origin

    def job(self, job: str) -> dict[str, Any]:
        with self._lock:
            tail = self._tail(job)
            return job_detail(tail.progress, job, time.time(), 0)

    def tasks(self, job: str, status: str | None, text: str | None, first: int, limit: int) -> dict[str, Any]:
        with self._lock:
            tail = self._tail(job)
            selection = Selection(tail.progress.roll, status, text=text)
            places, more = asyncio.run(selection.page(first, limit))
            rows = [task_row(tail, place) for place in places]
            return {
                "tasks": rows,
                "next": places[-1] + 1 if more else None,
                "total": asyncio.run(selection.count()),
            }

    def task(self, job: str, task: str) -> dict[str, Any]:
        with self._lock:
            tail = self._tail(job)
            place = tail.progress.roll.places.get(task)
            if place is None:
                raise NotFound(f"no task {task!r} in job {job!r}")
            return {**task_object(tail, place), "attempts": attempt_objects(tail, place)}

    def log(self, job: str, task: str, attempt: int | None, most: int) -> tuple[str, int]:
        path = self._client.log_path(job, task, attempt)
        if path is None:
            return "", 0
        with open(open_regular(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - most))
            return file.read(most).decode(errors="replace"), size

    def _tail(self, job: str) -> JournalTail:
        """The job as it is now, under the lock."""
        folder = self._base.existing_job(job)
        if folder.path.is_symlink():
            raise NotFound(f"{folder.path}: symbolic links are not followed")
        tail = self._tails.pop(job, None)
        if tail is None or (isinstance(tail, ViewsTail) and tail.taken_up):
            tail = ViewsTail(folder) if identity(folder.journal) is None else JournalTail(folder)
        self._tails[job] = tail
        while len(self._tails) > KEPT:
            self._tails.pop(next(iter(self._tails))).close()
        try:
            tail.advance(WHOLE)
        except OSError as error:
            raise BaseUnusable(f"{error.filename or folder.path}: {error.strerror}") from None
        return tail


class Server:
    """`air-executor serve` somewhere."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def all(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        after = None
        while True:
            page = self._client.read("/jobs", limit=1_000, after=after)
            rows += page["jobs"]
            after = page["next"]
            if after is None:
                return rows

    def origin(self, job: str) -> Any:
        return self._client.read(f"{_path(job)}/origin")["origin"]

    def job(self, job: str) -> dict[str, Any]:
        told: dict[str, Any] = self._client.read(_path(job))
        return told

    def tasks(self, job: str, status: str | None, text: str | None, first: int, limit: int) -> dict[str, Any]:
        page = self._client.read(f"{_path(job)}/tasks", status=status, q=text, limit=limit, **{"from": first})
        return {**page, "next": None if page["next"] is None else int(page["next"]) + 1}

    def task(self, job: str, task: str) -> dict[str, Any]:
        return self._client.find_task(job, task)

    def log(self, job: str, task: str, attempt: int | None, most: int) -> tuple[str, int]:
        text = self._client.logs(job, task, attempt)
        return text[-most:], len(text.encode())


def _path(job: str) -> str:
    return f"/jobs/{quote(job, safe='')}"
