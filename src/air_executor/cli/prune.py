"""`prune`: removing jobs that have ended."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from typing import Any, Final

import click

from air_executor.cli.options import Shape, base_option, json_option
from air_executor.cli.output import clean, duration, plural, print_json, warn
from air_executor.store import prune as store
from air_executor.store.layout import Base
from air_executor.times import to_iso

__all__ = ["PRUNED", "parse_age", "prune", "prune_from_time_to_time"]

UNITS: Final = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
FIRST_S: Final = 1.0
EVERY_S: Final = 3_600.0

PRUNED: Final = Shape(
    "one object",
    {
        "dry_run": "whether this only tells what would go",
        "removed": "a list of {`job`, `run`, `earlier`, `state`, `ended_at`, `bytes`, `files`}; `earlier`: only "
        "that run of the job, from its `runs/`",
        "refused": "a list of {`job`, `why`}: jobs that were named, or chosen, and had to stay",
        "bytes": "what was freed on the disk",
        "files": "how many files that were",
    },
)


def parse_age(text: str) -> float:
    """`30d`, `12h`, `90min`, `45s`, `2w` -> seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h|d|w)", text.strip())
    if match is None:
        raise click.BadParameter(f"expected a number and s, min, h, d or w, like 30d, got {text!r}")
    return float(match[1]) * UNITS[match[2]]


@click.command()
@click.argument("jobs", metavar="[JOB]...", nargs=-1)
@click.option(
    "--older-than",
    metavar="AGE",
    callback=lambda _, __, value: None if value is None else parse_age(value),
    help="Only what ended that long ago: 45s, 90min, 12h, 30d, 2w.",
)
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(min=0),
    help="Keep the N jobs that ended last, and the N last earlier runs of each job.",
)
@click.option("--state", type=click.Choice(["completed", "failed"]), help="Only what ended in this state.")
@click.option("--runs-only", is_flag=True, help="Remove earlier runs only, no jobs.")
@click.option("--dry-run", is_flag=True, help="Remove nothing, tell what would go.")
@json_option(PRUNED)
@base_option
def prune(
    base: str | None,
    jobs: tuple[str, ...],
    older_than: float | None,
    keep: int | None,
    state: str | None,
    runs_only: bool,
    dry_run: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Remove jobs that have ended, and earlier runs of jobs.

    At least one JOB or option has to say which. All of them have to hold. What goes is the whole folder:
    views, journal, logs and earlier runs. A job that has not ended, or in whose inbox something waits, is
    never removed; naming one is refused with exit code 4. Safe while a manager and clients work.
    """
    if not jobs and not runs_only and (older_than, keep, state) == (None, None, None):
        raise click.UsageError("say what to remove: name jobs, or give --older-than, --keep, --state or --runs-only")
    folder = Base(base).require()
    for name in jobs:
        folder.existing_job(name)
    found = list(store.ended(folder, dict.fromkeys(jobs) if jobs else None))
    refused = [one for one in found if isinstance(one, tuple)] if jobs and not runs_only else []
    which = {"older_than_s": older_than, "keep": keep or 0, "state": state, "runs_only": runs_only}
    chosen = store.choose((one for one in found if isinstance(one, store.Ended)), time.time(), **which)  # type: ignore[arg-type]
    done, left = _measured(chosen) if dry_run else remove_all(folder, chosen)
    refused += left
    _tell(done, refused, dry_run=dry_run, as_json=as_json)
    return 4 if refused else 0


def _measured(chosen: list[store.Ended]) -> tuple[list[tuple[store.Ended, store.Freed]], list[tuple[str, str]]]:
    return [(one, store.measure(one.path)) for one in chosen], []


def remove_all(
    base: Base, chosen: list[store.Ended]
) -> tuple[list[tuple[store.Ended, store.Freed]], list[tuple[str, str]]]:
    """Remove what was chosen; gives what went and what had to stay."""
    done, left = [], []
    with store.pruning(base):
        store.remove_leftovers(base)
        for one in chosen:
            try:
                done.append((one, store.remove(base, one)))
            except store.NotEnded as why:
                left.append((one.job, str(why)))
    return done, left


def _tell(
    done: list[tuple[store.Ended, store.Freed]], refused: list[tuple[str, str]], *, dry_run: bool, as_json: bool
) -> None:
    size, files = sum(freed.bytes for _, freed in done), sum(freed.files for _, freed in done)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "removed": [_object(one, freed) for one, freed in done],
                "refused": [{"job": job, "why": why} for job, why in refused],
                "bytes": size,
                "files": files,
            }
        )
        return
    now = time.time()
    for one, freed in done:
        what = f"{clean(one.job)}: run {clean(one.run)}" if one.earlier else clean(one.job)
        age = duration(max(1, round(now - one.ended_at)))
        click.echo(f"{what}  {one.state} {age} ago, {_size(freed.bytes)}")
    jobs = sum(not one.earlier for one, _ in done)
    runs = len(done) - jobs
    parts = [plural(jobs, "job")] * bool(jobs) + [plural(runs, "earlier run")] * bool(runs)
    verb = "would be removed" if dry_run else "removed"
    click.echo(
        f"{' and '.join(parts)} {verb}: {plural(files, 'file')}, {_size(size)}" if done else "nothing to remove"
    )
    for job, why in refused:
        warn(f"job {clean(job)} stays: {why}")


def _object(one: store.Ended, freed: store.Freed) -> dict[str, Any]:
    return {
        "job": one.job,
        "run": one.run,
        "earlier": one.earlier,
        "state": one.state,
        "ended_at": to_iso(one.ended_at),
        "bytes": freed.bytes,
        "files": freed.files,
    }


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def prune_from_time_to_time(base: Base, older_than_s: float, keep: int) -> None:
    """What the settings `prune_after_days` and `prune_keep` ask for, in a thread beside a manager."""
    log = logging.getLogger("air_executor.manager")

    def once() -> None:
        found = [one for one in store.ended(base) if isinstance(one, store.Ended)]
        done, _ = remove_all(base, store.choose(found, time.time(), older_than_s=older_than_s, keep=keep))
        if done:
            log.info("pruned %s: %s", plural(len(done), "ended run"), _size(sum(freed.bytes for _, freed in done)))

    def loop() -> None:
        pause_s = FIRST_S
        while True:
            time.sleep(pause_s)
            pause_s = EVERY_S
            with contextlib.suppress(OSError):  # the folder is gone: the manager says so
                try:
                    once()
                except OSError:
                    raise
                except Exception:
                    log.exception("pruning failed; please report this")

    threading.Thread(target=loop, name="prune", daemon=True).start()
