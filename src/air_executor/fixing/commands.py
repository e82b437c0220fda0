"""`air-executor fix`: what is wrong with a codebase, in numbers and in a list, and in which batches to mend it.

Nothing in here changes the target. What only some of the commands need is imported when it is used.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from air_executor.fixing.looking import (
    FILE,
    config_option,
    examine,
    looking_options,
    mode_of,
    progress,
    project_argument,
    target,
    trust_option,
    warn_of_lost,
    warn_of_skipped,
)
from air_executor.fixing.reports.shapes import DOCTOR, FLAKY, HEALTH, ISSUES, PLAN
from air_executor.observe.wording import clean, plural
from air_executor.terminal import json_option, warn

if TYPE_CHECKING:
    from msgspec import Struct

    from air_executor.fixing.configuration.config import FixingConfig
    from air_executor.fixing.health.health import Health
    from air_executor.fixing.health.history import Record
    from air_executor.fixing.issue import Issue
    from air_executor.fixing.planning.topics import Phase

__all__ = ["fix"]


@click.group(no_args_is_help=False)
def fix() -> None:
    """Find out what is wrong with a codebase, by its own tools."""


@fix.command()
@looking_options
@click.option(
    "--fail-under", metavar="N", type=click.FloatRange(0, 100),
    help="Exit code 1 when the overall health is below N percent, or not known.",
)  # fmt: skip
@click.option("--html", metavar="FILE", type=FILE, help="Write a report with plots, as one HTML file.")
@click.option(
    "--baseline", metavar="FILE", type=FILE, help="Exit code 1 when there are issues that this file does not know."
)
@click.option("--write-baseline", metavar="FILE", type=FILE, help="Write the issues there are, for --baseline.")
@json_option(HEALTH)
def health(project: Path | None, as_json: bool, **given: Any) -> int:
    """Tell how healthy a codebase is, and why.

    PROJECT is a repository or any other folder; without it the configuration's target_project.path counts,
    else the working directory. Static checks come first; tests and coverage run where these pass, or with
    --dynamic. The formula is printed with its numbers.

    Tests, plugins and programs of the project are its own code: they run in a sandbox (bubblewrap, without
    network) where there is one, or as they are once --trust was said. A check that could not run is told with
    the reason and what to do about it; what it would have found is not known, so the health is not known.

    Exit code 0 when the report is made, whatever it says; 1 only with --fail-under and --baseline.
    """
    from air_executor.fixing.reports.report import comparable, health_lines
    from air_executor.terminal import terminal_width

    found, config = examine(project, given)
    runs = _history(found)
    if as_json:
        _print_json(found)
    else:
        name = Path(found.repository).name or found.repository
        for line in health_lines(found, name, terminal_width(), comparable(found, runs)):
            click.echo(line)
    if given["html"] is not None:
        _write_html(given["html"], found, config, runs)
    code = 0 if given["baseline"] is None else _against_baseline(found, given["baseline"])
    if given["write_baseline"] is not None:
        from air_executor.fixing.health.baseline import write_baseline

        if given["baseline"] is None:
            warn_of_lost(found)
        write_baseline(given["write_baseline"], found.issues, found.results)
        warn(f"{clean(str(given['write_baseline']))}: {plural(len(found.issues), 'issue')}")
    least = given["fail_under"]
    if least is not None and (found.overall is None or not found.overall * 100 >= least):  # so for no number too
        from air_executor.fixing.reports.report import percent

        warn(f"overall health is {percent(found.overall, least / 100)}, {least:g}% is asked for")
        code = 1
    return code


def _against_baseline(found: Health, path: Path) -> int:
    from air_executor.fixing.health.baseline import changed_tools, gone_issues, new_issues, read_baseline

    new = new_issues(found.issues, path)
    for issue in new:
        click.echo(f"new: {_place(issue)}: {clean(issue.rule)}: {clean(issue.message)}", err=True)
    for change in changed_tools(found.results, path):
        warn(f"{clean(str(path))}: {clean(change)}, so what is new may not be; --write-baseline writes it anew")
    there = {(result.check, result.project) for result in found.results}
    for before in read_baseline(path).checks:
        if (before.check, before.project) not in there:
            check = f"{clean(before.check)} in {clean(before.project)}"
            warn(f"{clean(str(path))}: {check} was not run now as it was then")
    gone = len(gone_issues(found.issues, path))
    warn(f"{clean(str(path))}: {plural(len(new), 'new issue')}, {gone:,} gone")
    lost = warn_of_lost(found)
    return 1 if new or lost else 0


@fix.command()
@looking_options
@click.option(
    "--rule", metavar="RULE", multiple=True, help="Only this rule, or a pattern such as `E5*`; may be repeated."
)
@click.option("--path", metavar="PATH", multiple=True, help="Only this file, folder, or pattern; may be repeated.")
@click.option(
    "--severity", type=click.Choice(["error", "warning", "info"]), default="info",
    help="Only issues at least this severe [default: info].",
)  # fmt: skip
@click.option(
    "--new-since", metavar="BASELINE", type=FILE, help="Only those this file does not know; see `fix health`."
)
@click.option("--sarif-output", metavar="FILE", help="Write them as SARIF 2.1.0; `-` is standard output.")
@json_option(ISSUES)
def issues(project: Path | None, as_json: bool, **given: Any) -> int:
    """List what is wrong, place by place.

    What the project's tools found, code that is too long, too complex or there twice, and files that tests leave
    out, by the thresholds of the configuration. See `fix health` for PROJECT and for which checks run.

    Exit code 0 when the list is whole, 1 when a check could not run.
    """
    from air_executor.fixing.reports.listing import print_issues, selected

    if as_json and given["sarif_output"] == "-":
        raise click.UsageError("--json and --sarif-output - exclude each other: both are for standard output")
    found, _ = examine(project, given)
    shown = selected(found.issues, given["rule"], given["path"], given["severity"])
    if given["new_since"] is not None:
        from air_executor.fixing.health.baseline import new_issues

        shown = new_issues(shown, given["new_since"])
    sarif = given["sarif_output"]
    if sarif is not None:
        from air_executor.fixing.sarif import write_sarif
        from air_executor.store.files import write_atomically

        data: bytes = write_sarif(shown)
        if sarif == "-":
            sys.stdout.buffer.write(data)
        else:
            write_atomically(Path(sarif), data, mode=0o644)
    warn_of_skipped(found)
    lost = warn_of_lost(found)
    if as_json:
        _print_json(
            {
                "repository": found.repository,
                "at": found.at,
                "total": len(found.issues),
                "issues": shown,
                "could_not_run": [one for one in found.results if one.outcome == "could_not_run"],
                "skipped": found.skipped,
            }
        )
    elif sarif != "-":
        print_issues(shown, len(found.issues))
    return 1 if lost else 0


@fix.command()
@looking_options
@click.option(
    "--phase", type=click.Choice(["build", "test", "lint", "coverage"]), help="Only the batches of one phase."
)
@json_option(PLAN)
def plan(project: Path | None, as_json: bool, phase: Phase | None, **given: Any) -> int:
    """Group the issues into batches to mend them in.

    In the order in which to mend them, by issue_grouping and batch_sizes of the configuration. Every issue
    stands in one batch. Batches of one group touch files of their own, so they can be mended at the same time.
    See `fix health` for PROJECT and for which checks run.

    Exit code 0 when the plan is whole, 1 when a check could not run.
    """
    from air_executor.fixing.planning.batches import plan as batches_of
    from air_executor.fixing.reports.listing import print_batches

    found, config = examine(project, given)
    measured = [result.metrics for result in found.results if result.metrics is not None]
    lengths = {file.path: file.lines for one in measured for file in one.files if file.lines is not None}
    batches = batches_of(found.issues, config, phase, lengths=lengths)
    warn_of_skipped(found)
    lost = warn_of_lost(found)
    if as_json:
        _print_json({"repository": found.repository, "at": found.at, "batches": batches})
    else:
        print_batches(batches)
    return 1 if lost else 0


@fix.command()
@project_argument
@config_option
@trust_option
@click.option("--seed", metavar="N", type=click.IntRange(0, 2**31 - 1), help="Of the random order, to have it again.")
@json_option(FLAKY)
def flaky(project: Path | None, config: Path | None, trust: bool | None, seed: int | None, as_json: bool) -> int:
    """Run the tests three times, and list those that differ.

    Twice in their own order and once in a random one. Tests that do not always end alike, and those whose names
    are not always the same, can tell neither that something broke nor that it was mended.

    Exit code 0 when every test ended alike, 1 when one did not, or a run could not be made, or a file of tests
    could not be collected.
    """
    from air_executor.fixing.checking.flaky import baseline
    from air_executor.fixing.checking.running import Options
    from air_executor.fixing.choice import chosen_checks, chosen_projects
    from air_executor.fixing.files import find_files
    from air_executor.fixing.reports.listing import print_flaky, uncollected

    repository, settings = target(project, config)
    options = Options(
        mode=mode_of(repository, trust),
        only=chosen_checks(settings),
        test_timeout_s=settings.health_check.test_timeout,
        slots=settings.air_executor.slots,
    )
    files = find_files(repository)
    with progress() as told:
        hear = (lambda _, result: told(result)) if told is not None else None
        projects = chosen_projects(repository, settings, files)
        found = baseline(projects, options, files=files, seed=seed, told=hear)
    if as_json:
        _print_json({"repository": str(repository.resolve()), **_fields(found)})
    else:
        print_flaky(found)
    return 1 if found.flaky or found.unstable or found.incomplete or uncollected(found) else 0


@fix.command()
@project_argument
@config_option
@click.option("--static-only", is_flag=True, help="Look only for tools that run none of the project's own code.")
@json_option(DOCTOR)
def doctor(project: Path | None, config: Path | None, static_only: bool, as_json: bool) -> int:
    """Tell which tools a codebase has, and which are missing.

    Whose each is, its version, and how to install what is missing. The tools of a project's own environment come
    before those in PATH. Nothing is checked yet; programs are only asked for their version.

    Exit code 1 when something is missing.
    """
    from air_executor.fixing.checking.doctor import diagnose
    from air_executor.fixing.configuration.config import config_file
    from air_executor.fixing.reports.listing import print_diagnosis

    repository, settings = target(project, config)
    with progress():  # versions may take seconds
        found = diagnose(repository, settings, config or config_file(repository), static_only=static_only)
    if as_json:
        _print_json(found)
    else:
        print_diagnosis(found)
    return 0 if found.complete else 1


@fix.command()
@project_argument
@click.option("--stdout", "to_stdout", is_flag=True, help="Print it instead.")
def init(project: Path | None, to_stdout: bool) -> None:
    """Write a configuration in which every key is explained.

    To config/autonomous_fix.yaml in PROJECT, or in the working directory. Every value in it is the default. A
    configuration that is there already is not touched: exit code 4.
    """
    from air_executor.errors import NotFound, Refused
    from air_executor.fixing.configuration.config import PLACE, TEMPLATE

    if to_stdout:
        click.echo(TEMPLATE, nl=False)
        return
    folder = Path.cwd() if project is None else project
    if not folder.is_dir():
        raise NotFound(f"{folder}: no such folder")
    path = folder / PLACE
    path.parent.mkdir(exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        raise Refused(f"{path} is there already; `--stdout` prints what would be written") from None
    click.echo(f"{path} is ready; `air-executor fix health` uses it")


def _history(found: Health) -> list[Record]:
    """The numbers of all examinations, this one the last."""
    from air_executor.errors import BaseUnusable
    from air_executor.fixing.health.history import read_history, record_of

    try:
        runs = read_history(Path(found.repository))
    except BaseUnusable as error:  # the report is of today
        warn(str(error))
        runs = []
    return runs if any(run.at == found.at for run in runs) else [*runs, record_of(found)]


def _write_html(path: Path, found: Health, config: FixingConfig, runs: list[Record]) -> None:
    from air_executor.fixing.reports.html import page
    from air_executor.store.files import write_atomically

    data = page(found, config, runs).encode("utf-8", "backslashreplace")
    write_atomically(path, data, mode=0o644)
    warn(f"{clean(str(path))}: {len(data):,} bytes")


def _fields(struct: Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def _print_json(value: Any) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _place(issue: Issue) -> str:
    from air_executor.fixing.reports.listing import place

    return place(issue)
