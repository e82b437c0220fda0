"""`chart`: a picture of a job."""

from __future__ import annotations

from pathlib import Path

import click

from air_executor.cli.options import base_option, job_argument

__all__ = ["chart"]


@click.command()
@job_argument()
@click.option(
    "--output", "-o", metavar="FILE", required=True, type=click.Path(dir_okay=False, path_type=Path),
    help="Where to, as .png or .svg.",
)  # fmt: skip
@click.option("--run", metavar="ID", help="An earlier run, by its id (see `history`) [default: the last].")
@base_option
def chart(base: str | None, job: str, output: Path, run: str | None) -> None:
    """Draw a job: its tasks over time, and which slot worked when.

    Needs the extra `plot` (matplotlib). The same run always gives the same file.
    """
    import time

    from air_executor.errors import InvalidInput, NotFound
    from air_executor.observe.chart import picture, render
    from air_executor.observe.journals import RunJournal, journals_of
    from air_executor.observe.progress import Progress
    from air_executor.store.files import write_atomically
    from air_executor.store.layout import Base

    kind = output.suffix.lower()
    if kind not in (".png", ".svg"):
        raise InvalidInput(f"{output}: expected a name that ends in .png or .svg")
    folder = Base(base).existing_job(job)
    journals = journals_of(folder, run)
    if not journals:
        what = f"run {run!r} of job {job!r}" if run else f"job {job!r}"
        raise NotFound(f"no journal of {what}: no manager has taken it up yet, or it was pruned")
    try:
        journal = RunJournal(journals[-1])
    except ValueError as error:
        raise InvalidInput(f"{journals[-1]}: {error}") from None
    progress = Progress()
    while events := journal.read():
        for event in events:
            progress.add(event)
    journal.close()
    series, spans = picture(progress, time.time())
    state = progress.state + (f" ({progress.reason})" if progress.reason else "")
    data = render(series, spans, title=f"{job} – {state}", format="png" if kind == ".png" else "svg")
    write_atomically(output, data, mode=0o644)
    click.echo(f"{output}: {len(data):,} bytes")
