"""Jobs and tasks as objects for programs: what the HTTP interface answers, masked and ready to be encoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from air_executor import events as ev
from air_executor.masking import mask_options
from air_executor.model import Task, TaskSpec
from air_executor.observe.progress import Failure, Progress
from air_executor.observe.roll import GRID, REASONS, STATUSES
from air_executor.observe.run_times import RunTimes
from air_executor.observe.said import Said
from air_executor.observe.tail import JournalTail
from air_executor.store.views import show_task
from air_executor.times import to_iso

__all__ = ["attempt_objects", "job_detail", "job_object", "task_object", "task_row"]

SHOWN: Final = 5
SHOWN_WARNINGS: Final = 100
NOTHING: Final[Mapping[str, Said]] = {}


def job_object(progress: Progress, name: str, now: float) -> dict[str, Any]:
    """A job in short, as lists of jobs have it."""
    by_reason = progress.failed_by_reason
    estimate = progress.estimate(now)
    return {
        "name": name,
        "id": progress.run_id or None,
        "state": progress.state,
        "reason": progress.reason,
        "error": progress.error,
        "created_at": progress.created_at or None,
        "updated_at": progress.updated_at or None,
        "total_tasks": progress.total,
        **progress.counts,
        "skipped": by_reason["skipped"],
        "cancelled": by_reason["cancelled"],
        "open": progress.open,
        "paused": progress.paused,
        "stopping": progress.stopping,
        "warnings": len(progress.warnings),
        "rate_per_s": round(progress.rate(now), 3),
        "elapsed_s": round(progress.elapsed_s(now), 3),
        "estimate_s": None
        if estimate is None
        else {name.removesuffix("_s"): round(value, 1) for name, value in estimate._asdict().items()},
        "origin": progress.options.origin,
    }


def job_detail(
    progress: Progress, name: str, now: float, runs: int, said: Mapping[str, Said] = NOTHING
) -> dict[str, Any]:
    """A job in full; `runs`: how many earlier ones there were, `said`: what running tasks say of themselves."""
    options = msgspec.to_builtins(progress.options)
    mask_options(options)
    return {
        **job_object(progress, name, now),
        "warnings": progress.warnings[-SHOWN_WARNINGS:],
        "retries": progress.retries,
        "percent": round(progress.percent, 2),
        "parallelism": round(progress.parallelism(now), 2),
        "run_time_s": _times(progress.run_times),
        "queue_time_s": _times(progress.queue_times),
        "memory_mb": _sizes(progress.memory_mb),
        "cpu_s": _sizes(progress.cpu_s),
        "groups": progress.groups,
        "reasons": dict(progress.failed_by_reason),
        "recently_completed": [
            {"id": e.task, "completed_at": to_iso(e.ended_at), "run_s": e.run_s} for e in progress.recent
        ],
        "running_tasks": [
            {
                "id": task,
                "started_at": to_iso(running.started_at),
                "attempt": running.attempt,
                "progress": said[task].fraction if task in said else None,
                "text": said[task].text if task in said else None,
            }
            for task, running in progress.longest_running(SHOWN)
        ],
        "failed_tasks": [_failure(failure) for failure in progress.last_failures(SHOWN)],
        "options": options,
        "runs": runs,
        "reading": None,
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "id": failure.task,
        "reason": failure.reason,
        "error": failure.error,
        "exit_code": failure.exit_code,
        "signal": failure.signal,
    }


def _times(times: RunTimes) -> dict[str, Any] | None:
    if not times.count:
        return None
    return {
        "mean": round(times.mean_s, 6),
        **{f"p{percent}": round(times.percentile(percent), 6) for percent in (50, 90, 99)},
        "max": round(times.max_s, 6),
        "count": times.count,
    }


def _sizes(sizes: RunTimes) -> dict[str, Any] | None:
    if not sizes.count:
        return None
    return {
        "p50": round(sizes.percentile(50), 3),
        "p90": round(sizes.percentile(90), 3),
        "max": round(sizes.max_s, 3),
    }


# ---- tasks ---------------------------------------------------------------------------------------


def task_row(tail: JournalTail, place: int) -> dict[str, Any]:
    """A task in short, as lists of tasks have it."""
    roll = tail.progress.roll
    code = roll.codes[place]
    attempt = roll.last[place]
    told = tail.event_at(roll.told[place]) if roll.told[place] else None
    row: dict[str, Any] = {
        "n": place,
        "id": roll.ids[place],
        "status": STATUSES[code],
        "reason": REASONS[code],
        "group": roll.group_names[roll.groups[place]] or None,
        "attempt": 0 if attempt < 0 else roll.numbers[attempt],
        "exit_code": getattr(told, "exit_code", None),
        "error": getattr(told, "error", None),
        "created_at": to_iso(roll.queued_at[place]),
        "started_at": None if attempt < 0 else to_iso(roll.started[attempt]),
        "completed_at": None,
        "run_s": getattr(told, "run_s", None),
    }
    if isinstance(told, ev.TaskImported):
        row |= {
            "attempt": told.attempt,
            "created_at": told.created_at,
            "started_at": told.started_at,
            "completed_at": told.completed_at,
        }
    elif told is not None and row["status"] in ("completed", "failed"):
        row["completed_at"] = told.at
    return row


def task_object(tail: JournalTail, place: int, said: Mapping[str, Said] = NOTHING) -> dict[str, Any]:
    """A task as `tasks.json` shows it, from the journal."""
    roll = tail.progress.roll
    queued = tail.event_at(roll.queued[place])
    spec = queued.task if isinstance(queued, ev.TaskQueued | ev.TaskImported) else TaskSpec(id=roll.ids[place])
    told = tail.event_at(roll.told[place]) if roll.told[place] else None
    runs = STATUSES[roll.codes[place]] == "running"
    earlier = _earlier(tail, place, told)
    return show(tail.progress, place, spec, queued, told, earlier, said.get(spec.id) if runs else None)


def _earlier(tail: JournalTail, place: int, told: ev.Event | None) -> ev.AttemptExited | None:
    """The end of the last attempt that has ended, where `told` is not that."""
    if isinstance(told, ev.AttemptExited):
        return None
    exits = tail.progress.roll.exits
    position = next((exits[a] for a in tail.progress.roll.attempts(place) if exits[a]), 0)
    event = tail.event_at(position) if position else None
    return event if isinstance(event, ev.AttemptExited) else None


def show(
    progress: Progress,
    place: int,
    spec: TaskSpec,
    queued: ev.Event | None,
    told: ev.Event | None,
    earlier: ev.AttemptExited | None,
    said: Said | None,
) -> dict[str, Any]:
    """The object of a task whose first and last events are known, and the end of the attempt before a new go."""
    roll = progress.roll
    code = roll.codes[place]
    attempt = roll.last[place]
    created_at = queued.created_at if isinstance(queued, ev.TaskImported) else to_iso(roll.queued_at[place])
    task = Task(
        spec=spec,
        order=place,
        created_at=created_at,
        status=STATUSES[code],
        reason=REASONS[code],
        attempt=0 if attempt < 0 else roll.numbers[attempt],
        started_at=None if attempt < 0 else to_iso(roll.started[attempt]),
    )
    if isinstance(told, ev.AttemptExited):
        task.reason, task.error, task.exit_code, task.signal = told.reason, told.error, told.exit_code, told.signal
        task.run_s, task.usage, task.result = told.run_s, told.usage, told.result
        task.retry_at = told.retry_at
        task.completed_at = told.at if told.retry_at is None else None
    elif isinstance(told, ev.TaskImported):
        task.reason, task.error, task.exit_code = told.reason, told.error, told.exit_code
        task.attempt, task.usage, task.result = told.attempt, told.usage, told.result
        task.started_at, task.completed_at = told.started_at, told.completed_at
    elif isinstance(told, ev.TaskSkipped | ev.TaskCancelled):
        task.error, task.completed_at = told.error, told.at
    if earlier is not None and task.run_s is None:
        task.run_s, task.usage = earlier.run_s, earlier.usage
    words = None if said is None else (said.fraction, said.text)
    view: dict[str, Any] = msgspec.to_builtins(show_task(task, progress.name, words))
    return view


def attempt_objects(tail: JournalTail, place: int) -> list[dict[str, Any]]:
    """A task's attempts, the first first."""
    roll = tail.progress.roll
    found: list[dict[str, Any]] = []
    for attempt in roll.attempts(place):
        exited = tail.event_at(roll.exits[attempt]) if roll.exits[attempt] else None
        record: dict[str, Any] = {
            "attempt": roll.numbers[attempt],
            "started_at": to_iso(roll.started[attempt]),
            "ended_at": None,
            **dict.fromkeys(("exit_code", "signal", "reason", "error", "run_s", "cpu_s", "memory_mb")),
        }
        if isinstance(exited, ev.AttemptExited):
            record |= {
                "ended_at": exited.at,
                "exit_code": exited.exit_code,
                "signal": exited.signal,
                "reason": exited.reason,
                "error": exited.error,
                "run_s": exited.run_s,
            }
            if exited.usage is not None:
                record |= {"cpu_s": exited.usage.cpu_s, "memory_mb": exited.usage.memory_mb}
        found.append(record)
    return found[::-1]


def grid(tail: JournalTail) -> bytes:
    """One byte a task, in the order of the list."""
    return bytes(tail.progress.roll.codes.translate(GRID))
