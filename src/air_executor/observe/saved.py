"""Progress and roll as bytes and back, so that a long journal need not be read again from its beginning.

What is made here is read by the same version only; whoever cannot read it reads the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from air_executor.model import JobOptions
from air_executor.observe.pace import Pace, _Moment
from air_executor.observe.progress import RECENTLY, Ended, Failure, Progress, Running
from air_executor.observe.roll import Roll
from air_executor.observe.run_times import RunTimes

__all__ = ["CHUNK", "attempt_chunk", "chunk_count", "head", "restored", "task_chunk"]

CHUNK: Final = 4_096
"""Tasks, or attempts, in one piece."""
WORTH_FINDING: Final = 100_000
"""If more has changed, everything is kept anew."""
TASK_COLUMNS: Final = ("groups", "queued_at", "queued", "told", "last")
ATTEMPT_COLUMNS: Final = ("tasks", "numbers", "started", "ended", "exits", "before", "lanes")
_TIMES: Final = ("run_times", "queue_times", "memory_mb", "cpu_s")
_APART: Final = frozenset(
    {"roll", "options", "series", "_pace", "running", "failed", "not_run", "recent", "by_group", *_TIMES}
)


def chunk_count(length: int) -> int:
    return -(-length // CHUNK)


def task_chunk(roll: Roll, chunk: int) -> bytes:
    """One piece of the tasks' columns."""
    first, last = chunk * CHUNK, min((chunk + 1) * CHUNK, len(roll))
    columns = [getattr(roll, name)[first:last].tobytes() for name in TASK_COLUMNS]
    return msgspec.msgpack.encode([roll.ids[first:last], bytes(roll.codes[first:last]), *columns])


def attempt_chunk(roll: Roll, chunk: int) -> bytes:
    """One piece of the attempts' columns."""
    first, last = chunk * CHUNK, min((chunk + 1) * CHUNK, len(roll.ends))
    columns = [getattr(roll, name)[first:last].tobytes() for name in ATTEMPT_COLUMNS]
    return msgspec.msgpack.encode([bytes(roll.ends[first:last]), *columns])


def head(progress: Progress) -> bytes:
    """All but the pieces: what does not grow with the tasks."""
    roll = progress.roll
    pace = progress._pace
    return msgspec.msgpack.encode(
        {
            "progress": {name: value for name, value in vars(progress).items() if name not in _APART},
            "options": progress.options,
            "times": {name: vars(getattr(progress, name)) for name in _TIMES},
            "series": vars(progress.series),
            "pace": {name: value for name, value in vars(pace).items() if name not in ("occupied", "_moments")},
            "occupied": vars(pace.occupied),
            "moments": list(pace._moments),
            "running": progress.running,
            "failed": list(progress.failed.values()),
            "not_run": list(progress.not_run.values()),
            "recent": list(progress.recent),
            "by_group": list(progress.by_group.items()),
            "group_names": roll.group_names,
            "lane_count": roll.lane_count,
            "free_lanes": roll._free_lanes,
        }
    )


def restored(data: bytes, tasks: Iterable[bytes], attempts: Iterable[bytes]) -> Progress:
    """The progress that `head` and the pieces were made of."""
    saved = msgspec.msgpack.decode(data)
    progress = Progress()
    vars(progress).update(saved["progress"])
    progress.options = msgspec.convert(saved["options"], JobOptions)
    for name in _TIMES:
        setattr(progress, name, _times(saved["times"][name]))
    vars(progress.series).update(saved["series"])
    progress.series.rows = [tuple(row) for row in progress.series.rows]  # type: ignore[misc]
    pace = progress._pace = Pace()
    vars(pace).update(saved["pace"])
    pace.occupied = _times(saved["occupied"])
    pace._moments = deque(_Moment(*moment) for moment in saved["moments"])
    progress.running = {task: Running(*running) for task, running in saved["running"].items()}
    progress.failed = {failure.task: failure for failure in _failures(saved["failed"])}
    progress.not_run = {failure.task: failure for failure in _failures(saved["not_run"])}
    progress.recent = deque((Ended(*ended) for ended in saved["recent"]), maxlen=RECENTLY)
    progress.by_group = dict(saved["by_group"])
    roll = progress.roll
    roll.group_names = saved["group_names"]
    roll._group_numbers = {name: number for number, name in enumerate(roll.group_names)}
    roll.lane_count = saved["lane_count"]
    roll._free_lanes = saved["free_lanes"]
    _restore_tasks(roll, tasks)
    _restore_attempts(roll, attempts)
    return progress


def _restore_tasks(roll: Roll, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        ids, codes, *columns = msgspec.msgpack.decode(piece, type=list[Any])
        roll.ids += ids
        roll.codes += codes
        for name, data in zip(TASK_COLUMNS, columns, strict=True):
            getattr(roll, name).frombytes(data)


def _restore_attempts(roll: Roll, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        ends, *columns = msgspec.msgpack.decode(piece, type=list[Any])
        roll.ends += ends
        for name, data in zip(ATTEMPT_COLUMNS, columns, strict=True):
            getattr(roll, name).frombytes(data)
    roll.put_together()


def _times(saved: dict[str, Any]) -> RunTimes:
    times = RunTimes()
    vars(times).update(saved)
    return times


def _failures(saved: list[list[Any]]) -> Iterator[Failure]:
    return (Failure(*failure) for failure in saved)


def changed_chunks(roll: Roll, since: int) -> tuple[set[int], set[int]] | None:
    """The pieces of tasks and of attempts that have changed since a change number; None: all of them."""
    if since < roll.forgotten or roll.changed - since > WORTH_FINDING:
        return None
    tasks: set[int] = set()
    attempts: set[int] = set()
    for place in set(roll.changes[since - roll.forgotten :]):
        tasks.add(place // CHUNK)
        attempts.update(attempt // CHUNK for attempt in roll.attempts(place))
    return tasks, attempts
