"""`events`: what has happened to a job."""

from __future__ import annotations

from typing import Any

import click

from air_executor.cli.options import base_option, job_argument, json_option
from air_executor.cli.output import clean, print_json
from air_executor.cli.shapes import EVENT
from air_executor.client import AirExecutorClient

__all__ = ["events"]


@click.command()
@job_argument()
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens until the job has ended.")
@json_option(EVENT)
@base_option
def events(base: str | None, job: str, follow: bool, as_json: bool) -> None:
    """Print what has happened to a job, oldest first: its journal."""
    for event in AirExecutorClient(base).events(job, follow=follow):
        if as_json:
            print_json(event, line=True)
        else:
            click.echo(_line(event))


def _line(event: dict[str, Any]) -> str:
    """`07:30:00.123456  AttemptExited   page-3  attempt 1, exit_code 1`."""
    fields = {k: v for k, v in event.items() if k not in ("at", "type", "task", "usage", "result", "launcher")}
    task = event.get("task")
    if isinstance(task, dict):  # a whole task, when it is queued
        words = [str(task.get("command") or ""), *map(str, task.get("args") or [])]
        task, fields = task["id"], {"": " ".join(words), **fields}
    if event["type"] == "RunCreated":
        fields = {"id": event["id"]}
    parts = [f"{name} {value}".strip() for name, value in fields.items() if value not in (None, "", {})]
    text = clean("  ".join(filter(None, (task, ", ".join(parts)))))
    at = event["at"].rstrip("Z").replace("T", " ")
    return f"{at}  {event['type']:<15} {text}".rstrip()
