"""`dags sync`: bringing a folder of DAG files to an Airflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import click
import msgspec

from air_executor.cli.options import Shape, json_option
from air_executor.cli.output import clean, plural, print_json, print_table, warn
from air_executor.dags.plan import What

if TYPE_CHECKING:
    from air_executor.dags.source import Problem
    from air_executor.dags.sync import Result

__all__ = ["SYNC", "dags", "sync"]

SYNC: Final = Shape(
    "one object, also when the sync is refused",
    {
        "ok": "whether everything was done that was asked for",
        "dry_run": "whether this only tells what would be done",
        "airflow": "the target's program",
        "version": "the target's version",
        "source": "the folder that was synced",
        "dags_folder": "where it was synced to",
        "mode": "`copy` or `symlink`",
        "deployed": "whether the DAGs folder is now as the folder",
        "changes": "a list of {`file`, `kind`, `what`, `dags`}; `kind`: `dag`, `module` or `data`; `what`: `new`, "
        "`changed`, `unchanged`, `restored`, `overwritten`, `kept` (no longer in the folder), `removed`, `left` (by "
        "now somebody else's); `dags`: ids",
        "left_out": "Python files that no deployed file names",
        "deleted_dags": "ids of DAGs whose records Airflow has deleted",
        "unpaused_dags": "ids of DAGs that were paused before",
        "warnings": "what is worth knowing, as text",
        "problems": "why the sync was refused: a list of {`file`, `line`, `text`}; `file` and `line` may be null",
    },
)
WORDS: Final = {"dag": "DAG file", "module": "module", "data": "data"}
WHAT: Final = {"kept": "kept, no longer in the folder", "left": "left, somebody else's by now"}


@click.group(no_args_is_help=False)
def dags() -> None:
    """Bring DAG files to an Airflow."""


@dags.command()
@click.argument(
    "folder",
    required=False,
    type=click.Path(path_type=Path),
    envvar="AIR_EXECUTOR_DAGS",
    default=Path("airflow_dags"),
)
@click.option("--copy", "mode", flag_value="copy", default="copy", help="Deploy copies [default].")
@click.option("--symlink", "mode", flag_value="symlink", help="Deploy links to the files in FOLDER.")
@click.option(
    "--cleanup",
    is_flag=True,
    help="Remove what an earlier sync deployed and FOLDER no longer has, and what Airflow knows of those DAGs.",
)
@click.option("--auto-unpause", is_flag=True, help="Unpause the DAGs of FOLDER, once Airflow has read them.")
@click.option("--dry-run", is_flag=True, help="Validate and tell what would be done; change nothing.")
@click.option("--force", is_flag=True, help="Overwrite deployed files that were changed by hand.")
@click.option(
    "--airflow", metavar="PROGRAM", help="The target's `airflow` [default: in PATH, else in the virtual environment]."
)
@click.option(
    "--dags-folder",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Where DAGs go [default: what the target's configuration says].",
)
@click.option("--include", metavar="GLOB", multiple=True, help="Python files that nothing names; may be repeated.")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Files and folders to leave out; may be repeated.")
@click.option("--no-data", is_flag=True, help="Leave out files that are not Python.")
@click.option(
    "--set",
    "set_name",
    metavar="NAME",
    default="default",
    help="Name of what is synced, where several folders go to one Airflow [default: default].",
)
@click.option(
    "--import-timeout",
    metavar="S",
    type=click.FloatRange(min=0.1, max=3600),
    default=30.0,
    help="Seconds that importing one file may take [default: 30].",
)
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=0),
    default=400.0,
    help="Seconds to wait for Airflow to read the DAGs, to unpause them [default: 400].",
)
@json_option(SYNC)
def sync(folder: Path, as_json: bool, airflow: str | None, mode: str, **given: Any) -> int:
    """Bring a folder of DAG files to the DAGs folder of an Airflow.

    FOLDER is AIR_EXECUTOR_DAGS, else airflow_dags, where it is not given.

    What goes along: the files that the target takes for DAG files, the modules of FOLDER that they name, and
    files that are not Python. Before anything changes, every DAG file is imported by the target's own
    interpreter, and DAG ids are compared, also with those of other people's files. Then all changes become
    visible in one moment. A manifest in the DAGs folder tells what was deployed; nothing else is ever touched.
    Without --cleanup, files that FOLDER no longer has stay.

    --cleanup has Airflow delete the records of DAGs that are gone, with their runs (`airflow dags delete`).

    Exit codes: 2 when a file cannot be deployed (each is named with line and error), 4 when something in the
    DAGs folder would be overwritten, 6 when that cannot be written to, 7 when everything is deployed but
    Airflow has not read it in time to be unpaused.
    """
    from air_executor.dags import sync as syncing
    from air_executor.dags.target import Airflow, find_airflow
    from air_executor.dags.validation import Invalid
    from air_executor.errors import AirExecutorError

    given["unpause"], given["data"] = given.pop("auto_unpause"), not given.pop("no_data")
    given["import_timeout_s"], given["timeout_s"] = given.pop("import_timeout"), given.pop("timeout")
    options = syncing.Options(mode=mode, **given)  # type: ignore[arg-type]
    result = syncing.Result(source=str(folder), mode=options.mode, dry_run=options.dry_run)
    try:
        syncing.check_folder(folder)
        with Airflow(find_airflow(airflow)) as target:
            syncing.sync(folder, target, options, result, _tell_nobody if as_json else _tell)
    except AirExecutorError as error:
        problems = error.problems if isinstance(error, Invalid | syncing.Conflict) else []
        if as_json:
            print_json(_object(result, [*map(_problem, problems)] or [_problem(str(error))]))
        else:
            _show(result, problems)
        raise
    if as_json:
        print_json(_object(result, None))
    else:
        _show(result, [])
    return 0


def _tell(text: str) -> None:
    click.echo(clean(f"{text} …"), err=True)


def _tell_nobody(_: str) -> None:
    pass


def _problem(problem: Problem | str) -> dict[str, Any]:
    if isinstance(problem, str):
        return {"file": None, "line": None, "text": problem}
    return {"file": problem.file, "line": problem.line or None, "text": problem.text}


def _object(result: Result, problems: list[dict[str, Any]] | None) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(result)
    values["changes"] = [change._asdict() for change in result.changes]
    return {"ok": problems is None, **values, "problems": problems or []}


def _show(result: Result, problems: Iterable[Problem | str]) -> None:
    for warning in result.warnings:
        warn(clean(warning))
    for problem in problems:
        warn(clean(str(problem)))
    if not (result.deployed or (result.dry_run and result.changes)):
        return
    rows = [[clean(c.file), WORDS[c.kind], WHAT.get(c.what, c.what), clean(" ".join(c.dags))] for c in result.changes]
    print_table(["FILE", "KIND", "CHANGE", "DAGS"], rows)
    if result.left_out:
        click.echo(f"left out, since no deployed file names them: {clean(', '.join(result.left_out))}")
    for dag in result.deleted_dags:
        click.echo(f"{clean(dag)}: its records are deleted")
    for dag in result.unpaused_dags:
        click.echo(f"{clean(dag)}: unpaused")
    counts = Counter(change.what for change in result.changes)
    parts = ", ".join(f"{counts[what]} {what}" for what in get_args(What) if counts[what])
    where = f"{clean(str(result.dags_folder))} (Airflow {result.version})"
    would = "; nothing was done (--dry-run)" if result.dry_run else ""
    click.echo(f"{plural(len(result.changes), 'file')} in {where}: {parts}{would}")
