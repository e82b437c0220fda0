"""The shapes of what reading commands print with `--json`. Documented in `docs/cli.md`, compared by tests."""

from __future__ import annotations

from typing import Final

from air_executor.cli.options import Shape

__all__ = ["EVENT", "JOBS", "LOG", "OVERVIEW", "STATUS", "TASKS"]

_JOB: Final = {
    "name": "the job's name",
    "id": "the id of its run, or null while it is not known",
    "state": "`waiting`, `working`, `completed` or `failed`",
    "reason": "why it failed, or null",
    "error": "the same in words, or null",
    "created_at": "ISO 8601, UTC, or null",
    "updated_at": "ISO 8601, UTC, or null",
    "total_tasks": "tasks known so far",
    "completed": "tasks",
    "running": "tasks",
    "pending": "tasks",
    "failed": "tasks, with those skipped and cancelled",
}

JOBS: Final = Shape("a list of objects, sorted by name", _JOB)

OVERVIEW: Final = Shape(
    "one object",
    {
        "base": "the base folder",
        "manager": "what `manager.json` says of the running manager (`pid`, `slots`, …), or null",
        "jobs": "as `list --json` prints them",
    },
)

STATUS: Final = Shape(
    "one object",
    {
        **_JOB,
        "skipped": "failed tasks that did not run because of a dependency",
        "cancelled": "failed tasks that were cancelled",
        "retries": "attempts that failed and are, or were, repeated",
        "percent": "completed tasks of all, 0 to 100",
        "open": "whether it takes tasks until it is closed",
        "paused": "whether it is paused",
        "stopping": "`cancelled`, `deadline`, `max_failures`, or null",
        "warnings": "a list of texts",
        "elapsed_s": "seconds since it began, or what it took",
        "rate_per_s": "tasks that ended a second, over the last seconds; over all of it when it has ended",
        "estimate_s": "{`low`, `mid`, `high`}: seconds that what is known will still take, or null",
        "run_time_s": "{`mean`, `p50`, `p90`, `p99`, `max`, `count`} of the attempts that ended, or null",
        "recently_completed": "the last five: {`id`, `completed_at`, `run_s`}",
        "running_tasks": "up to five that run longest: {`id`, `started_at`, `attempt`, `progress`, `text`}",
        "failed_tasks": "the last five: {`id`, `reason`, `error`, `exit_code`, `signal`}",
        "manager_pid": "of the manager that is running, or null",
    },
)

TASKS: Final = Shape(
    "a list of the objects of `tasks.json`",
    {
        "id": "the task's id",
        "job_name": "the job's name",
        "command": "what is run",
        "args": "a list of strings",
        "dependencies": "a list of task ids",
        "status": "`pending`, `running`, `completed` or `failed`",
        "created_at": "ISO 8601, UTC",
        "started_at": "ISO 8601, UTC, or null",
        "completed_at": "ISO 8601, UTC, or null",
        "error": "a text, or null",
    },
)

LOG: Final = Shape(
    "one object",
    {
        "job_name": "the job's name",
        "task": "the task's id",
        "attempt": "the attempt's number, or null for the last one",
        "path": "the file, or null when nothing was written",
        "text": "what was written; bytes that are no UTF-8 are replaced",
    },
)

EVENT: Final = Shape(
    "the journal's objects, one a line",
    {"type": "such as `TaskQueued`; see `docs/protocol.md`", "at": "ISO 8601, UTC"},
)
