"""For code that runs inside a task.

from air_executor import task

task.queue([{"command": "gzip", "args": [name]} for name in names])
task.progress(0.4, "page 3")
task.result({"pages": 12})
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from air_executor.errors import InvalidInput, NotFound

__all__ = ["attempt", "base", "id", "job", "progress", "queue", "result", "results"]

MAX_RESULT_BYTES = 1_048_576


def _variable(name: str) -> str:
    value = os.environ.get(f"AIR_EXECUTOR_{name}")
    if not value:
        raise NotFound(f"AIR_EXECUTOR_{name} is not set: this is not running inside an Air-Executor task")
    return value


def base() -> Path:
    """The base folder of the job this task belongs to."""
    return Path(_variable("BASE"))


def job() -> str:
    """The name of the job this task belongs to."""
    return _variable("JOB")


def id() -> str:
    """The id of this task."""
    return _variable("TASK")


def attempt() -> int:
    """The number of this attempt, from 1 on."""
    return int(_variable("ATTEMPT"))


def queue(tasks: Iterable[Mapping[str, Any]]) -> None:
    """Queue tasks into this task's job; they are accepted, all or none, when this returns.

    Tasks without `id` get one from this task's id, their place and their content, so that an attempt
    that is repeated and queues the same again queues nothing twice. Raises `InvalidInput` naming the bad task.
    """
    from air_executor.model import parse_task
    from air_executor.store.inbox import append_records

    path = Path(_variable("INBOX"))
    records = [dict(item) for item in tasks]
    for index, record in enumerate(records):
        parse_task(record, f"tasks[{index}]")
    if records:
        append_records(path, records)


def progress(fraction: float, text: str = "") -> None:
    """Say how far this task is: a number from 0 to 1, and what it is doing."""
    from air_executor.store.inbox import append_records

    append_records(Path(_variable("INBOX")), [{"progress": min(1.0, max(0.0, float(fraction))), "text": text}])


def result(value: Any) -> None:
    """Leave `value` (JSON, at most 1 MiB) as this task's result; a later call replaces it."""
    from air_executor.store.files import write_atomically

    try:
        data = json.dumps(value, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"result: {error}") from None
    if len(data) > MAX_RESULT_BYTES:
        raise InvalidInput(
            f"result: {len(data)} bytes are over the limit of {MAX_RESULT_BYTES}; "
            "write large results to a file and report its path"
        )
    write_atomically(Path(_variable("RESULT")), data, mode=0o660)


def results(group: str | None = None) -> dict[str, Any]:
    """The results of the job's completed tasks (of one group, if named), by task id, in order of queueing.

    Read from the journal, so everything that ended before this task started is there.
    """
    from air_executor.store.results import completed_results

    return completed_results(base() / "jobs" / job() / "journal.jsonl", group)
