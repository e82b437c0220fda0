"""Queueing what a discovery yields: at once, and nothing twice when the discovery runs again."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from pathlib import Path
from typing import Any

from air_executor import events as ev
from air_executor import task as this_task
from air_executor.discovery.function import InvalidTask
from air_executor.errors import AirExecutorError
from air_executor.model import TaskSpec, content_key, parse_task
from air_executor.store.inbox import append_records
from air_executor.store.journal import JournalFollower

__all__ = ["Queue"]


class Queue:
    """Gives tasks ids and queues them into this task's job.

    The n-th task is called after this one, `discover-000001` and so on. An attempt after the first looks up what the
    earlier ones queued: what is yielded again, in whatever order, is that; what is not gets a number of its own.
    """

    def __init__(self) -> None:
        self._id = this_task.id()
        self._inbox = Path(os.environ["AIR_EXECUTOR_INBOX"])
        self._yielded = 0
        self._number = 0
        self._before = _Before(self._id) if this_task.attempt() > 1 else None

    def take(self, task: dict[str, Any]) -> None:
        """Queue one task; `InvalidTask` saying what is wrong with it."""
        self._yielded += 1
        where = f"task {self._yielded}"
        record = dict(task)
        try:
            spec = parse_task(record, where)
            if not spec.id:
                if self._before is not None and self._before.has(record):
                    return
                record["id"] = self._next_id()
            append_records(self._inbox, [record])
        except AirExecutorError as error:
            raise InvalidTask(str(error)) from None

    def _next_id(self) -> str:
        while True:
            self._number += 1
            found = f"{self._id}-{self._number:06d}"
            if self._before is None or found not in self._before.ids:
                return found


class _Before:
    """What earlier attempts of this task have queued."""

    def __init__(self, parent: str) -> None:
        self._queued: dict[bytes, deque[str]] = {}
        self.ids: set[str] = set()
        self._defaults: dict[str, Any] = {}
        self._cwd: str | None = None
        follower = JournalFollower(this_task.base() / "jobs" / this_task.job() / "journal.jsonl")
        try:
            for _, event in follower.read(at_most=1 << 62):
                if isinstance(event, ev.RunCreated):
                    self._defaults = event.options.defaults
                elif isinstance(event, ev.TaskQueued | ev.TaskImported) and event.task.id == parent:
                    self._cwd = event.task.cwd
                elif isinstance(event, ev.TaskQueued) and event.parent == parent:
                    self.ids.add(event.task.id)
                    self._queued.setdefault(_content(event.task), deque()).append(event.task.id)
        finally:
            follower.close()

    def has(self, record: dict[str, Any]) -> bool:
        """Whether this one was queued; each counts once, since a discovery may yield equal tasks."""
        spec = parse_task(record, defaults=self._defaults)
        if spec.cwd is None:
            spec.cwd = self._cwd
        left = self._queued.get(_content(spec))
        if not left:
            return False
        left.popleft()
        return True


def _content(spec: TaskSpec) -> bytes:
    """Equal for tasks that differ in nothing but their ids."""
    known, spec.id = spec.id, ""
    try:
        return hashlib.sha256(content_key(spec).encode()).digest()
    finally:
        spec.id = known
