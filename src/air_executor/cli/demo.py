"""`demo`: the example `stdlib_report`, over a thousand tasks on input that every machine has."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from air_executor.cli.options import base_option, capacity_options

__all__ = ["demo"]

FOLDER = "air-executor-demo"
FILES = ("report.json", "report.md", "report.png")


@click.command()
@click.option(
    "--source", default="", metavar="FOLDER", help="Python files to look at [default: the standard library]."
)
@click.option("--output", metavar="FOLDER", help=f"Where the report goes [default: {FOLDER}/report].")
@capacity_options
@base_option
def demo(base: str | None, source: str, output: str | None, **options: Any) -> int:
    """Make a report on the standard library: over 1,000 tasks.

    Every source file is a task of its own; a last one merges what they found.

    The job finds the files while it runs, and its tasks queue further ones. Job file and scripts read as a
    tutorial; where they are is printed first.
    """
    from air_executor.cli.output import duration, plural
    from air_executor.cli.running import run_job
    from air_executor.client import AirExecutorClient

    job_file = _example() / "job.yaml"
    target = Path(output or Path(FOLDER, "report")).absolute()
    params = {"source": source and os.path.abspath(source), "output": str(target), "python": sys.executable}
    client = AirExecutorClient(base or os.environ.get("AIR_EXECUTOR_BASE") or Path(FOLDER, ".air-executor"))
    click.echo(f"job file: {job_file}")
    began = time.monotonic()
    outcome = run_job(client, lambda: client.submit_file(job_file, params), options)
    if outcome.exit_code:
        return outcome.exit_code
    click.echo(f"\n{plural(outcome.follower.progress.total, 'task')} in {duration(time.monotonic() - began)}:")
    for name in FILES:
        if (target / name).exists():
            click.echo(f"  {target / name}")
    if not (target / "report.png").exists():
        click.echo("  (no report.png: matplotlib is not installed)")
    return 0


def _example() -> Path:
    """The example's folder: inside the package where it was installed, beside `src` in a clone."""
    package = Path(__file__).resolve().parents[1]
    for folder in (
        package / "_examples" / "stdlib_report",
        package.parents[1] / "examples" / "stdlib_report",
    ):
        if (folder / "job.yaml").exists():
            return folder
    raise FileNotFoundError(2, "the example is not part of this installation", "stdlib_report/job.yaml")
