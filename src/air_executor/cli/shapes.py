"""The shapes of what reading commands print with `--json`. Documented in `docs/cli.md`, compared by tests."""

from __future__ import annotations

from typing import Final

from air_executor.cli.options import Shape

__all__ = [
    "EVENT",
    "FLAKY",
    "GROUPS",
    "JOBS",
    "LOG",
    "OVERVIEW",
    "RUNS",
    "SLOWEST",
    "STATUS",
    "TASKS",
    "TRENDS",
]

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
        "observer": "what `observer/status.json` says of the observer beside it (`pid`, `sinks`, …), or null",
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

RUNS: Final = Shape(
    "a list of objects, the newest run first",
    {
        "job_name": "the job's name",
        "id": "of the run",
        "state": "as it was last seen",
        "reason": "why it failed, or null",
        "error": "the same in words, or null",
        "created_at": "when the run began; ISO 8601, UTC",
        "ended_at": "or null",
        "duration_s": "from its beginning to its end, or null",
        "total_tasks": "tasks",
        "completed": "tasks",
        "failed": "tasks, with those skipped and cancelled",
        "skipped": "tasks",
        "cancelled": "tasks",
        "retries": "attempts that failed and were repeated",
        "run_time_s": "seconds that its attempts ran, all together",
        "queue_time_s": "seconds that they waited, all together",
    },
)

SLOWEST: Final = Shape(
    "with `--slowest` a list of objects, the slowest first",
    {
        "job_name": "the job's name",
        "task": "the task's id",
        "group": "its group, or null",
        "attempts": "how many there were, over all runs",
        "mean_s": "mean run time",
        "max_s": "longest run time",
        "mean_queue_s": "mean time from queueing to start",
        "memory_mb": "highest peak of memory, or null",
        "cpu_s": "mean CPU time, or null",
        "last_at": "when its last attempt ended",
    },
)

FLAKY: Final = Shape(
    "with `--flaky` a list of objects, those that fail most often first",
    {
        "job_name": "the job's name",
        "task": "the task's id",
        "attempts": "those that succeeded and those that failed",
        "failures": "those that failed",
        "failure_percent": "of all attempts",
        "runs": "in how many runs",
        "last_reason": "of its last failure",
        "last_error": "of its last failure, or null",
        "last_failed_at": "ISO 8601, UTC",
    },
)

TRENDS: Final = Shape(
    "with `--trends` a list of objects, one a job, of its last 50 runs that ended",
    {
        "job_name": "the job's name",
        "runs": "how many there are",
        "completed_runs": "how many of them completed",
        "durations_s": "of each, oldest first",
        "duration_s": "the mean of those",
        "duration_change_percent": "the newer half against the older, or null",
        "task_run_s": "mean run time of a task",
        "task_change_percent": "the newer half against the older, or null",
        "tasks": "mean number of tasks",
        "failed_percent": "mean share of tasks that failed",
        "last_at": "when the last run began",
    },
)

GROUPS: Final = Shape(
    "with `--groups` a list of objects, the group that took most time first",
    {
        "job_name": "the job's name",
        "group": "the group, or null for tasks without one",
        "runs": "in how many runs",
        "tasks": "over all runs",
        "completed": "tasks",
        "failed": "tasks",
        "attempts": "over all runs",
        "run_s": "seconds that they ran, all together",
        "queue_s": "seconds that they waited, all together",
        "cpu_s": "CPU seconds, all together",
    },
)
