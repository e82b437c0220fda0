"""What the history is asked: runs, slow tasks, flaky tasks, trends, time per group. All give plain objects."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from air_executor.observe.history.schema import attempts, groups, runs
from air_executor.times import to_iso

__all__ = ["flaky_tasks", "past_runs", "slowest_tasks", "time_per_group", "trends"]

Rows = list[dict[str, Any]]
TREND_RUNS = 50


def past_runs(connection: sa.engine.Connection, job: str | None, limit: int) -> Rows:
    """The last runs, newest first."""
    query = _of_job(sa.select(runs), job).order_by(runs.c.began_at.desc()).limit(limit)
    return [
        {
            "job_name": row["job_name"],
            "id": row["id"],
            "state": row["state"],
            "reason": row["reason"],
            "error": row["error"],
            "created_at": to_iso(row["began_at"]),
            "ended_at": None if row["ended_at"] is None else to_iso(row["ended_at"]),
            "duration_s": _duration(row),
            "total_tasks": row["total_tasks"],
            "completed": row["completed_tasks"],
            "failed": row["failed_tasks"],
            "skipped": row["skipped_tasks"],
            "cancelled": row["cancelled_tasks"],
            "retries": row["retries"],
            "run_time_s": round(row["run_s"], 6),
            "queue_time_s": round(row["queue_s"], 6),
        }
        for row in connection.execute(query).mappings()
    ]


def slowest_tasks(connection: sa.engine.Connection, job: str | None, limit: int) -> Rows:
    """Tasks by their mean run time, over all runs in which they have this id."""
    mean = sa.func.avg(attempts.c.run_s)
    query = (
        _of_job(
            sa.select(
                runs.c.job_name,
                attempts.c.task,
                sa.func.max(attempts.c.task_group).label("group"),
                sa.func.count().label("attempts"),
                mean.label("mean_s"),
                sa.func.max(attempts.c.run_s).label("max_s"),
                sa.func.avg(attempts.c.queue_s).label("mean_queue_s"),
                sa.func.max(attempts.c.memory_mb).label("memory_mb"),
                sa.func.avg(attempts.c.cpu_s).label("cpu_s"),
                sa.func.max(attempts.c.ended_at, type_=attempts.c.ended_at.type).label("last_at"),
            ).select_from(attempts.join(runs)),
            job,
        )
        .group_by(runs.c.job_name, attempts.c.task)
        .order_by(mean.desc(), attempts.c.task)
        .limit(limit)
    )
    return [
        {
            **{name: row[name] for name in ("job_name", "task", "group", "attempts")},
            **{name: _round(row[name]) for name in ("mean_s", "max_s", "mean_queue_s", "memory_mb", "cpu_s")},
            "last_at": to_iso(row["last_at"]),
        }
        for row in connection.execute(query).mappings()
    ]


def flaky_tasks(connection: sa.engine.Connection, job: str | None, limit: int) -> Rows:
    """Tasks that failed in some attempts and succeeded in others, those that fail most often first."""
    bad = sa.case((sa.and_(attempts.c.reason.is_not(None), attempts.c.reason != "cancelled"), 1), else_=0)
    good = sa.case((attempts.c.reason.is_(None), 1), else_=0)
    failures, successes = sa.func.sum(bad), sa.func.sum(good)
    query = (
        _of_job(
            sa.select(
                runs.c.job_name,
                attempts.c.task,
                failures.label("failures"),
                successes.label("successes"),
                sa.func.count(sa.distinct(attempts.c.run)).label("runs"),
            ).select_from(attempts.join(runs)),
            job,
        )
        .group_by(runs.c.job_name, attempts.c.task)
        .having(sa.and_(failures > 0, successes > 0))
        .order_by((1.0 * failures / (failures + successes)).desc(), failures.desc(), attempts.c.task)
        .limit(limit)
    )
    found = []
    for row in connection.execute(query).mappings().all():
        failed, passed = int(row["failures"]), int(row["successes"])
        found.append(
            {
                "job_name": row["job_name"],
                "task": row["task"],
                "attempts": failed + passed,
                "failures": failed,
                "failure_percent": round(100.0 * failed / (failed + passed), 2),
                "runs": row["runs"],
                **_last_failure(connection, row["job_name"], row["task"]),
            }
        )
    return found


def _last_failure(connection: sa.engine.Connection, job: str, task: str) -> dict[str, Any]:
    query = (
        sa.select(attempts.c.reason, attempts.c.error, attempts.c.ended_at)
        .select_from(attempts.join(runs))
        .where(runs.c.job_name == job, attempts.c.task == task, attempts.c.reason.is_not(None))
        .order_by(attempts.c.ended_at.desc())
        .limit(1)
    )
    reason, error, at = connection.execute(query).one()
    return {"last_reason": reason, "last_error": error, "last_failed_at": to_iso(at)}


def trends(connection: sa.engine.Connection, job: str | None, limit: int) -> Rows:
    """How each job's runs have developed: the newer half of the last runs against the older half."""
    names = _of_job(sa.select(runs.c.job_name, sa.func.max(runs.c.began_at).label("last")), job)
    names = names.group_by(runs.c.job_name).order_by(sa.desc("last")).limit(limit)
    found = []
    for name in [row[0] for row in connection.execute(names)]:
        query = (
            sa.select(runs)
            .where(runs.c.job_name == name, runs.c.ended_at.is_not(None))
            .order_by(runs.c.began_at.desc())
            .limit(TREND_RUNS)
        )
        rows = list(reversed(connection.execute(query).mappings().all()))
        if rows:
            found.append(_trend(name, rows))
    return found


def _trend(name: str, rows: list[Any]) -> dict[str, Any]:
    durations = [_duration(row) or 0.0 for row in rows]
    task_means = [row["run_s"] / row["attempts"] if row["attempts"] else 0.0 for row in rows]
    failed = [100.0 * row["failed_tasks"] / row["total_tasks"] if row["total_tasks"] else 0.0 for row in rows]
    return {
        "job_name": name,
        "runs": len(rows),
        "completed_runs": sum(row["state"] == "completed" for row in rows),
        "durations_s": [round(value, 3) for value in durations],
        "duration_s": _mean(durations),
        "duration_change_percent": _change(durations),
        "task_run_s": _mean(task_means),
        "task_change_percent": _change(task_means),
        "tasks": _mean([row["total_tasks"] for row in rows]),
        "failed_percent": _mean(failed),
        "last_at": to_iso(rows[-1]["began_at"]),
    }


def time_per_group(connection: sa.engine.Connection, job: str | None, limit: int) -> Rows:
    """What the tasks of each group took, over all runs of a job; the most expensive first."""
    total = sa.func.sum(groups.c.run_s)
    names = ("tasks", "completed", "failed", "attempts", "queue_s", "cpu_s")
    query = (
        _of_job(
            sa.select(
                runs.c.job_name,
                groups.c.task_group,
                sa.func.count().label("runs"),
                total.label("run_s"),
                *(sa.func.sum(groups.c[column]).label(column) for column in names),
            ).select_from(groups.join(runs)),
            job,
        )
        .group_by(runs.c.job_name, groups.c.task_group)
        .order_by(total.desc())
        .limit(limit)
    )
    return [
        {
            "job_name": row["job_name"],
            "group": row["task_group"] or None,
            "runs": row["runs"],
            **{name: int(row[name]) for name in names[:4]},
            **{name: _round(float(row[name])) for name in ("run_s", "queue_s", "cpu_s")},
        }
        for row in connection.execute(query).mappings()
    ]


def _of_job(query: Any, job: str | None) -> Any:
    return query if job is None else query.where(runs.c.job_name == job)


def _duration(row: Any) -> float | None:
    return None if row["ended_at"] is None else round(max(0.0, row["ended_at"] - row["began_at"]), 6)


def _round(value: Any) -> float | None:
    return None if value is None else round(float(value), 6)


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 6)


def _change(values: list[float]) -> float | None:
    """By how many percent the mean of the newer half differs from that of the older; None for fewer than two."""
    half = len(values) // 2
    if not half or not (before := _mean(values[:half])):
        return None
    return round(100.0 * (_mean(values[-half:]) / before - 1.0), 2)
