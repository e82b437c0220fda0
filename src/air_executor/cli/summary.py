"""What is printed when a job has ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import click

from air_executor.cli.following import JobFollower
from air_executor.cli.output import clean, duration, glyph, number, plural, warn
from air_executor.cli.wording import failure_text
from air_executor.errors import AirExecutorError

__all__ = ["print_summary"]

FAILURES: Final = 5
LOG_LINES: Final = 5
LOG_BYTES: Final = 8_192
WARNINGS: Final = 5


def print_summary(follower: JobFollower, state: dict[str, Any], now: float) -> None:
    """The result, the counts, what failed with the ends of its logs, and where the logs are."""
    progress = follower.progress
    took = f" after {duration(progress.elapsed_s(now))}" if follower.begun else ""
    error = state.get("error")
    why = f": {clean(error)}" if error and state["state"] != "completed" else ""
    click.secho(f"{glyph(state['state'])} job {follower.job!r} {state['state']}{took}{why}", bold=True)
    counts = progress.counts
    text = f"{plural(progress.total, 'task')}: {number(counts['completed'])} completed"
    if counts["failed"]:
        by_reason = progress.failed_by_reason
        of_those = [f"{number(by_reason[r])} {r}" for r in ("skipped", "cancelled") if by_reason[r]]
        text += f", {number(counts['failed'])} failed" + (f" ({', '.join(of_those)})" if of_those else "")
    if progress.retries:
        text += f"; repeated after failures: {number(progress.retries)}"
    click.echo(text)
    _print_failures(follower)
    for warning in progress.warnings[:WARNINGS]:
        warn(f"warning: {clean(warning)}")
    if len(progress.warnings) > WARNINGS:
        warn(f"and {plural(len(progress.warnings) - WARNINGS, 'more warning')} in state.json")
    click.echo(f"logs: {follower.client.base.job(follower.job).logs}")


def _print_failures(follower: JobFollower) -> None:
    progress = follower.progress
    shown = progress.last_failures(FAILURES)
    for failure in reversed(shown):
        click.echo(f"{glyph('failed')} {failure.task}: {failure_text(failure)}")
        if failure.task in progress.failed:
            for line in _last_lines(follower, failure.task):
                click.echo(f"    {line}")
    more = (progress.failed_count or progress.not_run_count) - len(shown)
    if more:
        click.echo(f"  and {number(more)} more: air-executor tasks {follower.job} --status failed")


def _last_lines(follower: JobFollower, task: str) -> list[str]:
    try:
        path = follower.client.log_path(follower.job, task)
        data = b"" if path is None else _tail(path)
    except (AirExecutorError, OSError):
        return []
    lines = [clean(line) for line in data.decode(errors="replace").splitlines()]
    return [line[:300] for line in lines if line][-LOG_LINES:]


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_BYTES))
        data = file.read()
    return data if size <= LOG_BYTES else data.partition(b"\n")[2] or data
