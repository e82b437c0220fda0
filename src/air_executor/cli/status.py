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
from air_executor.observe.report import report
from air_executor.observe.wording import GLYPHS

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
        follower.listen()
        print_json(status_object(follower, now, pid))
    else:
        _report(follower, now, pid)


def status_object(follower: JobFollower, now: float, manager_pid: int | None) -> dict[str, Any]:
    """What `status JOB --json` prints; its keys are `shapes.STATUS`."""
    from air_executor.observe.objects import job_detail

    detail = job_detail(follower.progress, follower.job, now, 0, follower.said) | {"manager_pid": manager_pid}
    return {key: detail[key] for key in STATUS.keys}


def _report(follower: JobFollower, now: float, manager_pid: int | None) -> None:
    progress = follower.progress
    follower.listen()
    note = note_on(follower, manager_pid)
    if progress.ended:
        note = "a next run of it waits to begin" if ended_state(follower.client, follower.job) is None else ""
    plain = glyph("completed") == GLYPHS["completed"][True]
    click.echo(report(follower.job, progress, now, note=note, said=follower.said, ascii_only=plain), nl=False)


def _overview(client: AirExecutorClient, as_json: bool) -> None:
    from air_executor.cli.listing import job_object, print_jobs
    from air_executor.observe.observer_status import observer_report
    from air_executor.private_manager import manager_facts

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
