"""`air-executor fix`: what is wrong with a codebase, in numbers and in a list, and in which batches to mend it.

Nothing in here changes the target. What only some of the commands need is imported when it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from air_executor.fixing.shapes import DOCTOR, HEALTH, ISSUES, PLAN
from air_executor.terminal import json_option, print_json, warn

if TYPE_CHECKING:
    from air_executor.fixing.config import FixingConfig
    from air_executor.fixing.health import Health
    from air_executor.fixing.issue import Issue
    from air_executor.fixing.outcome import CheckResult
    from air_executor.fixing.topics import Phase

__all__ = ["fix"]

F = TypeVar("F", bound=Callable[..., Any])
FILE: Final = click.Path(dir_okay=False, path_type=Path)
FOLDER: Final = click.Path(path_type=Path)


@click.group(no_args_is_help=False)
def fix() -> None:
    """Find out what is wrong with a codebase, by its own tools."""


def project_argument(function: F) -> F:
    return click.argument("project", required=False, type=FOLDER)(function)


def config_option(function: F) -> F:
    option = click.option(
        "--config",
        metavar="FILE",
        type=FILE,
        help="The configuration [default: config/autonomous_fix.yaml in PROJECT].",
    )
    return option(function)


def looking_options(function: F) -> F:
    """What `health`, `issues` and `plan` have in common: what is looked at, and how."""
    for option in (
        project_argument,
        config_option,
        click.option("--no-cache", is_flag=True, help="Run every check anew, also where nothing has changed."),
        click.option(
            "--sarif", metavar="FILE", type=FILE, multiple=True,
            help="Add what another tool has found, from a SARIF 2.1.0 file; may be repeated.",
        ),
        click.option("--dynamic", is_flag=True, help="Run tests even if static analysis does not pass."),
        click.option(
            "--trust/--no-trust", default=None,
            help="Let the project's own code run without a sandbox, now and later; or no longer.",
        ),
        click.option("--static-only", is_flag=True, help="Run none of the project's own code: no tests, no plugins."),
    ):  # fmt: skip
        function = option(function)
    return function


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
    from air_executor.fixing.report import health_lines
    from air_executor.terminal import terminal_width

    found, config = _examine(project, given)
    if as_json:
        _print_json(found)
    else:
        for line in health_lines(found, Path(found.repository).name, terminal_width()):
            click.echo(line)
    if given["html"] is not None:
        _write_html(given["html"], found, config)
    code = 0
    if given["write_baseline"] is not None:
        from air_executor.fixing.baseline import write_baseline

        _warn_of_lost(found)
        write_baseline(given["write_baseline"], found.issues, found.results)
        warn(f"{given['write_baseline']}: {len(found.issues):,} issues")
    if given["baseline"] is not None:
        code = _against_baseline(found, given["baseline"])
    least = given["fail_under"]
    if least is not None and (found.overall is None or found.overall * 100 < least):
        from air_executor.fixing.report import percent

        warn(f"overall health is {percent(found.overall, least / 100)}, {least:g}% is asked for")
        code = 1
    return code


def _against_baseline(found: Health, path: Path) -> int:
    from air_executor.fixing.baseline import changed_tools, gone_issues, new_issues, read_baseline

    new = new_issues(found.issues, path)
    for issue in new:
        click.echo(f"new: {_place(issue)}: {_one_line(issue.rule)}: {_one_line(issue.message)}", err=True)
    for change in changed_tools(found.results, path):
        warn(f"{path}: {_one_line(change)}, so what is new may not be; --write-baseline writes it anew")
    there = {(result.check, result.project) for result in found.results}
    for before in read_baseline(path).checks:
        if (before.check, before.project) not in there:
            warn(f"{path}: {_one_line(before.check)} in {_one_line(before.project)} was not run now as it was then")
    warn(f"{path}: {len(new):,} new issues, {len(gone_issues(found.issues, path)):,} are gone")
    lost = _warn_of_lost(found)
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
    from air_executor.fixing.listing import print_issues, selected

    found, _ = _examine(project, given)
    shown = selected(found.issues, given["rule"], given["path"], given["severity"])
    if given["new_since"] is not None:
        from air_executor.fixing.baseline import new_issues

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
    lost = _warn_of_lost(found)
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
    from air_executor.fixing.batches import plan as batches_of
    from air_executor.fixing.listing import print_batches

    found, config = _examine(project, given)
    measured = [result.metrics for result in found.results if result.metrics is not None]
    lengths = {file.path: file.lines for one in measured for file in one.files if file.lines is not None}
    batches = batches_of(found.issues, config, phase, lengths=lengths)
    lost = _warn_of_lost(found)
    if as_json:
        _print_json({"repository": found.repository, "at": found.at, "batches": batches})
    else:
        print_batches(batches)
    return 1 if lost else 0


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
    from air_executor.fixing.config import config_file
    from air_executor.fixing.doctor import diagnose
    from air_executor.fixing.listing import print_diagnosis

    repository, settings = _target(project, config)
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
    from air_executor.fixing.config import PLACE, TEMPLATE

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


def _target(project: Path | None, config: Path | None) -> tuple[Path, FixingConfig]:
    from air_executor.errors import NotFound
    from air_executor.fixing.config import load_target

    if project is not None and not project.is_dir():
        raise NotFound(f"{project}: no such folder")
    return load_target(project, config)


def _examine(project: Path | None, given: dict[str, Any]) -> tuple[Health, FixingConfig]:
    """What is wrong with the codebase that the options name."""
    from air_executor.errors import AirExecutorError
    from air_executor.fixing.health import examine
    from air_executor.fixing.trust import mode_for, trust, withdraw

    if given["static_only"] and (given["trust"] or given["dynamic"]):
        other = "--trust" if given["trust"] else "--dynamic"
        raise click.UsageError(f"--static-only and {other} exclude each other")
    if find_spec("lizard") is None:
        raise AirExecutorError("measuring code needs one more package: pip install 'air-executor[fixing]'")
    repository, config = _target(project, given["config"])
    if given["trust"]:
        trust(repository)
        warn(f"{repository.resolve()} is trusted from now on: its code runs as it stands; --no-trust ends that")
    elif given["trust"] is False and withdraw(repository):
        warn(f"{repository.resolve()} is no longer trusted")
    with _progress() as told:
        found = examine(
            repository,
            config,
            mode=mode_for(repository, static_only=given["static_only"]),
            dynamic=True if given["dynamic"] else None,
            use_cache=not given["no_cache"],
            told=told,
            sarif=given["sarif"],
        )
    return found, config


@contextmanager
def _progress() -> Iterator[Callable[[CheckResult], None] | None]:
    """One line on a terminal that tells of the last check, gone at the end; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    done = 0

    def told(result: CheckResult) -> None:
        nonlocal done
        done += 1
        where = f" in {_one_line(result.project)}" if result.project != "." else ""
        click.echo(f"\r\x1b[K{done} checked, last {result.check}{where} …"[:120], nl=False, err=True)

    click.echo("\r\x1b[Klooking for projects …", nl=False, err=True)
    try:
        yield told
    finally:
        click.echo("\r\x1b[K", nl=False, err=True)


def _warn_of_lost(found: Health) -> bool:
    """Say on stderr which checks could not run; whether there were any."""
    from air_executor.fixing.report import lost_lines

    lines = list(lost_lines(found.results))
    for line in lines:
        warn(line) if not line.startswith(" ") else click.echo(line, err=True)
    return bool(lines)


def _write_html(path: Path, found: Health, config: FixingConfig) -> None:
    from air_executor.fixing.history import read_history
    from air_executor.fixing.html import page
    from air_executor.store.files import write_atomically

    data = page(found, config, read_history(Path(found.repository))).encode("utf-8", "backslashreplace")
    write_atomically(path, data, mode=0o644)
    warn(f"{path}: {len(data):,} bytes")


def _print_json(value: Any) -> None:
    import msgspec

    print_json(msgspec.to_builtins(value))


def _place(issue: Issue) -> str:
    from air_executor.fixing.listing import place

    return place(issue)


def _one_line(text: str) -> str:
    from air_executor.observe.wording import clean

    return clean(text)
