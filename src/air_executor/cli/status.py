"""`status`: one job in full, or the manager and all jobs in short."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import click

from air_executor.cli.following import JobFollower, ended_state
from air_executor.cli.options import base_option, job_argument, json_option
from air_executor.cli.output import clean, duration, glyph, print_json
from air_executor.cli.shapes import OVERVIEW, STATUS
from air_executor.cli.wording import note_on
from air_executor.client import AirExecutorClient
from air_executor.observe.report import SHOWN, Said, report
from air_executor.observe.wording import GLYPHS
from air_executor.times import to_iso

__all__ = ["status", "status_object"]


@click.command()
@job_argument(required=False)
@json_option(STATUS, without_job=OVERVIEW)
@base_option
def status(base: str | None, job: str | None, as_json: bool) -> None:
    """Print how far a job is; without JOB, the manager and all jobs."""
    client = AirExecutorClient(base)
    if job is None:
        _overview(client, as_json)
        return
    follower = JobFollower(client, job)
    follower.look(whole=True)
    follower.close()
    if not follower.begun:
        follower.take_from_views()
    now = time.time()
    pid = client.manager_pid
    if as_json:
        follower.listen([task for task, _ in follower.progress.longest_running(SHOWN)])
        print_json(status_object(follower, now, pid))
    else:
        _report(follower, now, pid)


def status_object(follower: JobFollower, now: float, manager_pid: int | None) -> dict[str, Any]:
    """What `status JOB --json` prints; its keys are `shapes.STATUS`."""
    progress = follower.progress
    by_reason = progress.failed_by_reason
    estimate = progress.estimate(now)
    times = progress.run_times
    return {
        "name": follower.job,
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
        "retries": progress.retries,
        "percent": round(progress.percent, 2),
        "open": progress.open,
        "paused": progress.paused,
        "stopping": progress.stopping,
        "warnings": progress.warnings,
        "elapsed_s": round(progress.elapsed_s(now), 3),
        "rate_per_s": round(progress.rate(now), 3),
        "estimate_s": None
        if estimate is None
        else {name.removesuffix("_s"): round(value, 1) for name, value in estimate._asdict().items()},
        "run_time_s": None
        if not times.count
        else {
            "mean": round(times.mean_s, 6),
            **{f"p{percent}": times.percentile(percent) for percent in (50, 90, 99)},
            "max": times.max_s,
            "count": times.count,
        },
        "recently_completed": [
            {"id": e.task, "completed_at": to_iso(e.ended_at), "run_s": e.run_s} for e in progress.recent
        ],
        "running_tasks": [_running_object(follower, *task) for task in progress.longest_running(SHOWN)],
        "failed_tasks": [
            {"id": f.task, "reason": f.reason, "error": f.error, "exit_code": f.exit_code, "signal": f.signal}
            for f in progress.last_failures(SHOWN)
        ],
        "manager_pid": manager_pid,
    }


def _running_object(follower: JobFollower, task: str, attempt: Any) -> dict[str, Any]:
    said = follower.said.get(task)
    return {
        "id": task,
        "started_at": to_iso(attempt.started_at),
        "attempt": attempt.attempt,
        "progress": said and said.fraction,
        "text": said and said.text,
    }


def _report(follower: JobFollower, now: float, manager_pid: int | None) -> None:
    progress = follower.progress
    follower.listen([task for task, _ in progress.longest_running(SHOWN)])
    note = note_on(follower, manager_pid)
    if progress.ended:
        note = "a next run of it waits to begin" if ended_state(follower.client, follower.job) is None else ""
    said = {task: Said(word.fraction, word.text) for task, word in follower.said.items()}
    plain = glyph("completed") == GLYPHS["completed"][True]
    click.echo(report(follower.job, progress, now, note=note, said=said, ascii_only=plain), nl=False)


def _overview(client: AirExecutorClient, as_json: bool) -> None:
    from air_executor.cli.listing import job_object, print_jobs
    from air_executor.cli.spawning import manager_facts
    from air_executor.observe.observer_status import observer_report

    client.base.require()
    pid = client.manager_pid
    facts = None if pid is None else {"pid": pid, **manager_facts(client.base, pid)}
    observer = observer_report(client.base)
    states = client.jobs()
    if as_json:
        jobs = [job_object(s) for s in states]
        print_json({"base": str(client.base), "manager": facts, "observer": observer, "jobs": jobs})
        return
    click.echo(f"base folder: {client.base}")
    if facts is None:
        click.echo("manager:     none is running; `air-executor start` starts one")
    else:
        slots = f", {facts['slots']} slots" if "slots" in facts else ""
        since = f", since {_local(facts['started_at'])}" if "started_at" in facts else ""
        who = f"pid {pid}" if pid and pid > 0 else "in another container or on another machine"
        click.echo(f"manager:     {who}{slots}{since}")
    if observer is not None:
        click.echo(f"observer:    {_observer_line(observer)}")
    click.echo()
    print_jobs(states)


def _observer_line(observer: dict[str, Any]) -> str:
    """`pid 7: history, webhook (down: …), metrics on port 9464`."""
    parts = []
    for name, sink in observer["sinks"].items():
        late = f" ({duration(sink['lag_s'])} behind)" if sink["lag_s"] >= 5 else ""
        parts.append(name + (late if sink["up"] else f" (down: {clean(str(sink['error']))})"))
    if observer["metrics_port"] is not None:
        parts.append(f"metrics on port {observer['metrics_port']}")
    return f"pid {observer['pid']}: {', '.join(parts)}"


def _local(at: str) -> str:
    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
