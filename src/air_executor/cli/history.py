"""`history`: what has become of earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from air_executor.cli.options import base_option, json_option
from air_executor.cli.shapes import FLAKY, GROUPS, RUNS, SLOWEST, TRENDS

if TYPE_CHECKING:
    from air_executor.store.layout import Base

__all__ = ["history"]

REBUILD: Final = "rebuild"
BARS: Final = "▁▂▃▄▅▆▇█"
BARS_SHOWN: Final = 20


@click.command()
@click.argument("words", metavar="[rebuild] [JOB]", nargs=-1)
@click.option("--slowest", "asked", flag_value="slowest", help="The slowest tasks.")
@click.option("--flaky", "asked", flag_value="flaky", help="Tasks that sometimes fail and sometimes do not.")
@click.option("--trends", "asked", flag_value="trends", help="How durations and failures have developed, job by job.")
@click.option("--groups", "asked", flag_value="groups", help="What the tasks of each group took.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=20, help="At most N lines [default: 20].")
@click.option("--history", "url", metavar="URL", help="The database [default: the setting, else `sqlite`].")
@json_option(RUNS, None, SLOWEST, FLAKY, TRENDS, GROUPS)
@base_option
def history(
    base: str | None, words: tuple[str, ...], asked: str | None, limit: int, url: str | None, as_json: bool
) -> None:
    """Print what has become of earlier runs, of all jobs or of JOB.

    The history is kept while a manager (or `observe`) works with --history. `history rebuild` makes it anew from
    the journals that are still there; what was pruned stays as it is known. A job that is called rebuild is asked
    for with `history "" rebuild`.
    """
    from air_executor.settings import load_settings
    from air_executor.store.layout import Base

    folder = Base(base).require()
    settings, _ = load_settings(folder.config, {"history": url})
    place = settings.history or "sqlite"
    rebuilding = words[:1] == (REBUILD,)
    names = [word for word in (words[1:] if rebuilding else words) if word]
    if len(names) > 1:
        raise click.UsageError(f"one JOB at most, got {len(names)}")
    job = names[0] if names else None
    if rebuilding:
        if asked is not None:
            raise click.UsageError(f"--{asked} does not go with rebuild")
        _rebuild(folder, place, job, as_json)
        return
    rows = _ask(folder, place, asked, job, limit)
    if as_json:
        from air_executor.cli.output import print_json

        print_json(rows)
    else:
        _print(rows, asked, folder)


def _rebuild(base: Base, place: str, job: str | None, as_json: bool) -> None:
    from air_executor.cli.output import plural, print_json
    from air_executor.observe.history.database import open_database, restrict
    from air_executor.observe.history.feed import rebuild

    done = []
    engine = open_database(place, base)
    try:
        with _errors_of_the_database(place):
            for name, row in rebuild(base, engine, job):
                done.append((name, row))
                if not as_json:
                    click.echo(f"{name}  {row['id']}  {plural(row['total_tasks'], 'task')}")
            restrict(engine, base)
    finally:
        engine.dispose()
    if as_json:
        print_json([{"job_name": name, "id": row["id"]} for name, row in done])
    else:
        click.echo(f"{plural(len(done), 'run')} taken from journals")


def _ask(base: Base, place: str, asked: str | None, job: str | None, limit: int) -> list[dict[str, Any]]:
    from air_executor.errors import NotFound
    from air_executor.observe.history import queries
    from air_executor.observe.history.database import open_database, sqlite_file
    from air_executor.observe.history.schema import require

    if place == "sqlite" and not sqlite_file(base).exists():
        raise NotFound(
            f"no history in {base}: it is kept by `air-executor start --history sqlite`; "
            "`air-executor history rebuild` makes it from the journals that are there"
        )
    asking: dict[str | None, Callable[..., list[dict[str, Any]]]] = {
        None: queries.past_runs,
        "slowest": queries.slowest_tasks,
        "flaky": queries.flaky_tasks,
        "trends": queries.trends,
        "groups": queries.time_per_group,
    }
    engine = open_database(place, base, reading=True)
    try:
        with _errors_of_the_database(place), engine.connect() as connection:
            require(connection)
            return asking[asked](connection, job, limit)
    finally:
        engine.dispose()


class _errors_of_the_database:  # noqa: N801  (reads as what it is at the place of use)
    """What a database does not do is an error of its own, not a bug of ours."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        import sqlalchemy as sa

        from air_executor.errors import BaseUnusable
        from air_executor.observe.history.database import shown_url
        from air_executor.observe.history.feed import first_line

        if isinstance(error, sa.exc.DBAPIError):
            raise BaseUnusable(f"history {shown_url(self._place)}: {first_line(error)}") from None


class _Table(NamedTuple):
    headings: Sequence[str]
    right: str
    row: Callable[[dict[str, Any]], Sequence[str]]
    none: str


def _print(rows: list[dict[str, Any]], asked: str | None, base: Base) -> None:
    from air_executor.cli.output import duration, print_table, warn
    from air_executor.observe.observer_status import observer_report

    table = _TABLES[asked]
    if rows:
        print_table(table.headings, [table.row(row) for row in rows], table.right)
    else:
        click.echo(table.none)
    told = ((observer_report(base) or {}).get("sinks") or {}).get("history")
    if told and not told["up"]:
        warn(f"the history is behind by {duration(told['lag_s'])}: {told['error']}")
    elif told and told["lag_s"] >= 2.0:
        warn(f"the history is behind by {duration(told['lag_s'])}")


def _run_row(row: dict[str, Any]) -> Sequence[str]:
    from air_executor.cli.output import clean, duration, number

    took = "" if row["duration_s"] is None else duration(row["duration_s"])
    why = f" ({row['reason']})" if row["reason"] else ""
    return [
        clean(row["job_name"]),
        _when(row["created_at"]),
        row["state"] + why,
        took,
        *(number(row[name]) for name in ("total_tasks", "completed", "failed", "retries")),
    ]


def _slow_row(row: dict[str, Any]) -> Sequence[str]:
    from air_executor.cli.output import clean, duration, number

    memory = "" if row["memory_mb"] is None else f"{row['memory_mb']:,.0f} MB"
    return [
        clean(row["task"]), clean(row["job_name"]), duration(row["mean_s"]), duration(row["max_s"]),
        number(row["attempts"]), memory, duration(row["mean_queue_s"]),
    ]  # fmt: skip


def _flaky_row(row: dict[str, Any]) -> Sequence[str]:
    from air_executor.cli.output import clean, number

    return [
        clean(row["task"]), clean(row["job_name"]), f"{row['failure_percent']:.0f}%", number(row["failures"]),
        number(row["attempts"]), _when(row["last_failed_at"]), clean(row["last_error"] or row["last_reason"]),
    ]  # fmt: skip


def _trend_row(row: dict[str, Any]) -> Sequence[str]:
    from air_executor.cli.output import clean, duration, number

    return [
        clean(row["job_name"]), number(row["runs"]), f"{100 * row['completed_runs'] / row['runs']:.0f}%",
        duration(row["duration_s"]), _change(row["duration_change_percent"]),
        duration(row["task_run_s"]), _change(row["task_change_percent"]), f"{row['failed_percent']:.1f}%",
        bars(row["durations_s"][-BARS_SHOWN:]),
    ]  # fmt: skip


def _group_row(row: dict[str, Any]) -> Sequence[str]:
    from air_executor.cli.output import clean, duration, number

    return [
        clean(row["group"] or "–"), clean(row["job_name"]), number(row["runs"]), number(row["tasks"]),
        number(row["failed"]), *(duration(row[name]) for name in ("run_s", "queue_s", "cpu_s")),
    ]  # fmt: skip


_TABLES: Final[dict[str | None, _Table]] = {
    None: _Table(
        ["JOB", "BEGAN", "STATE", "TOOK", "TASKS", "DONE", "FAILED", "RETRIES"],
        "TOOK TASKS DONE FAILED RETRIES", _run_row, "no runs",
    ),
    "slowest": _Table(
        ["TASK", "JOB", "MEAN", "LONGEST", "TRIES", "MEMORY", "WAITED"], "MEAN LONGEST TRIES MEMORY WAITED",
        _slow_row, "no tasks",
    ),
    "flaky": _Table(
        ["TASK", "JOB", "FAILS", "FAILED", "TRIES", "LAST", "ERROR"], "FAILS FAILED TRIES", _flaky_row,
        "no task fails only sometimes",
    ),
    "trends": _Table(
        ["JOB", "RUNS", "GOOD", "TAKES", "CHANGE", "A TASK", "ITS CHANGE", "FAILS", "DURATIONS, OLDEST FIRST"],
        "RUNS GOOD TAKES CHANGE FAILS", _trend_row, "no runs that ended",
    ),
    "groups": _Table(
        ["GROUP", "JOB", "RUNS", "TASKS", "FAILED", "RAN", "WAITED", "CPU"], "RUNS TASKS FAILED RAN WAITED CPU",
        _group_row, "no tasks",
    ),
}  # fmt: skip


def _when(at: str) -> str:
    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _change(percent: float | None) -> str:
    return "" if percent is None else f"{round(percent):+d}%"


def bars(values: list[float]) -> str:
    """A bar for each value, the highest one for the largest."""
    most = max(values, default=0.0)
    return "".join(BARS[min(len(BARS) - 1, int(len(BARS) * value / most))] if most else BARS[0] for value in values)
