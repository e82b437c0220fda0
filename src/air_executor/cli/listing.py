"""`list` and `tasks`: tables of jobs and of a job's tasks."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable
from typing import Any, get_args

import click

from air_executor.cli.options import base_option, job_argument, json_option
from air_executor.cli.output import (
    clean,
    cut,
    duration,
    glyph,
    number,
    print_json,
    print_table,
    terminal_width,
)
from air_executor.cli.shapes import JOBS, TASKS
from air_executor.client import AirExecutorClient
from air_executor.model import STATES, Status
from air_executor.times import from_iso

__all__ = ["job_object", "job_rows", "list_jobs", "print_jobs", "tasks"]

COUNTS = ("completed", "running", "pending", "failed")
HEADINGS = ["JOB", "STATE", "TASKS", "DONE", "RUNNING", "PENDING", "FAILED", "CHANGED"]
TO_RIGHT = "TASKS DONE RUNNING PENDING FAILED"


@click.command("list")
@json_option(JOBS)
@base_option
def list_jobs(base: str | None, as_json: bool) -> None:
    """List all jobs of a base folder."""
    states = AirExecutorClient(base).jobs()
    if as_json:
        print_json([job_object(state) for state in states])
    else:
        print_jobs(states)


def job_object(state: dict[str, Any]) -> dict[str, Any]:
    """A job as `list --json` shows it, from its `state.json`, which may have been written by hand."""
    progress = state.get("progress")
    progress = progress if isinstance(progress, dict) else {}
    counts = {name: n if isinstance(n := progress.get(name), int) else 0 for name in ("total", *COUNTS)}
    texts = {n: t if isinstance(t := state.get(n), str) else None for n in ("id", "reason", "error")}
    times = {n: t if isinstance(t := state.get(n), str) else None for n in ("created_at", "updated_at")}
    known = state["state"] if state["state"] in STATES else "waiting"
    return {
        "name": state["name"],
        **texts,
        "state": known,
        **times,
        "total_tasks": counts.pop("total"),
        **counts,
    }


def job_rows(states: Iterable[dict[str, Any]], now: float) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table of jobs."""
    rows = []
    for job in map(job_object, states):
        counts = [number(job[name]) for name in ("total_tasks", *COUNTS)]
        rows.append([clean(job["name"]), job["state"], *counts, _age(job["updated_at"], now)])
    return HEADINGS, rows


def print_jobs(states: list[dict[str, Any]]) -> None:
    if not states:
        click.echo("no jobs")
        return
    headings, rows = job_rows(states, time.time())
    print_table(headings, rows, right=TO_RIGHT)


def _age(at: str | None, now: float) -> str:
    try:
        age = duration(max(1, round(now - from_iso(at or ""))))
        return f"{' '.join(age.split()[:2])} ago"
    except (ValueError, TypeError):
        return ""


@click.command()
@job_argument()
@click.option("--status", type=click.Choice(get_args(Status)), help="Only tasks of this status.")
@click.option("--group", help="Only tasks of this group.")
@json_option(TASKS)
@base_option
def tasks(base: str | None, job: str, status: str | None, group: str | None, as_json: bool) -> None:
    """List the tasks of a job.

    What `tasks.json` shows: about a second old while the job runs, more where there are very many tasks.
    """
    found = AirExecutorClient(base).tasks(job, status)
    if group is not None:
        found = [task for task in found if task.get("group") == group]
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no such tasks" if status or group else "no tasks")
    else:
        now = time.time()
        print_table(
            ["ID", "STATUS", "TIME", "TRIES", "COMMAND OR ERROR"], [_row(t, now) for t in found], "TIME TRIES"
        )


def _row(task: dict[str, Any], now: float) -> list[str]:
    status = task.get("status") if task.get("status") in get_args(Status) else "pending"
    assert status is not None
    reason = task.get("reason")
    args = task.get("args")  # where nobody has read it yet, anything may stand there
    words = [str(task.get("command") or ""), *map(str, args if isinstance(args, list) else [])]
    said = " ".join(words) if task.get("shell") else shlex.join(words)
    text = task.get("error") if status == "failed" else None
    return [
        clean(str(task.get("id") or "")),
        f"{glyph(status)} {status}" + (f" ({reason})" if reason and status == "failed" else ""),
        _time(task, status, now),
        str(task.get("attempt") or ""),
        cut(clean(str(text or said)), max(20, terminal_width() // 2)),
    ]


def _time(task: dict[str, Any], status: str, now: float) -> str:
    try:
        if task.get("run_s") is not None:
            return duration(task["run_s"])
        if status == "running":
            return duration(now - from_iso(task["started_at"]))
        return duration(from_iso(task["completed_at"]) - from_iso(task["started_at"]))
    except (KeyError, TypeError, ValueError):
        return ""
