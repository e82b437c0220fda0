"""What the commands of `air-executor fix` have in common: options, progress, and what could not run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from air_executor.observe.wording import clean, number
from air_executor.terminal import cut, warn

if TYPE_CHECKING:
    from air_executor.fixing.configuration.sections import FixingConfig
    from air_executor.fixing.health.health import Health
    from air_executor.fixing.outcome import CheckResult
    from air_executor.fixing.trust import Mode

__all__ = [
    "FILE",
    "config_option",
    "examine",
    "looking_options",
    "mode_of",
    "progress",
    "project_argument",
    "target",
    "trust_option",
    "warn_of_lost",
    "warn_of_skipped",
]

F = TypeVar("F", bound=Callable[..., Any])
FILE: Final = click.Path(dir_okay=False, path_type=Path)
FOLDER: Final = click.Path(path_type=Path)


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


def trust_option(function: F) -> F:
    option = click.option(
        "--trust/--no-trust",
        default=None,
        help="Let the project's own code run without a sandbox, now and later; or no longer.",
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
            "--repeat-tests", is_flag=True, help="Run tests three times; judge none that does not always end alike."
        ),
        trust_option,
        click.option("--static-only", is_flag=True, help="Run none of the project's own code: no tests, no plugins."),
    ):  # fmt: skip
        function = option(function)
    return function


def target(project: Path | None, config: Path | None) -> tuple[Path, FixingConfig]:
    """The repository to look at, and its configuration."""
    from air_executor.errors import NotFound
    from air_executor.fixing.configuration.config import load_target

    if project is not None and not project.is_dir():
        raise NotFound(f"{project}: no such folder")
    return load_target(project, config)


def examine(project: Path | None, given: dict[str, Any]) -> tuple[Health, FixingConfig]:
    """What is wrong with the codebase that the options name."""
    from air_executor.errors import AirExecutorError
    from air_executor.fixing.health import health

    if given["static_only"] and (given["trust"] or given["dynamic"]):
        other = "--trust" if given["trust"] else "--dynamic"
        raise click.UsageError(f"--static-only and {other} exclude each other")
    if find_spec("lizard") is None:
        raise AirExecutorError("measuring code needs one more package: pip install 'air-executor[fixing]'")
    _look_at_files(given)
    repository, config = target(project, given["config"])
    mode = mode_of(repository, given["trust"], static_only=given["static_only"])
    with progress() as told:
        found = health.examine(
            repository,
            config,
            mode=mode,
            dynamic=True if given["dynamic"] else None,
            use_cache=not given["no_cache"],
            told=told,
            sarif=given["sarif"],
            repeat_tests=given["repeat_tests"],
        )
    return found, config


def _look_at_files(given: dict[str, Any]) -> None:
    """Refuse what cannot be read or written before anything is run, since that may take long."""
    from air_executor.errors import NotFound
    from air_executor.fixing.health.baseline import read_baseline

    for path in given["sarif"]:
        if not path.is_file():
            raise NotFound(f"{path}: no such file")
    for name in ("baseline", "new_since"):
        if given.get(name) is not None:
            read_baseline(given[name])
    for name in ("html", "write_baseline", "sarif_output"):
        place = Path(given.get(name) or "-")
        if not place.absolute().parent.is_dir():
            raise NotFound(f"{place}: the folder {place.parent} is not there")


def mode_of(repository: Path, trusted: bool | None, *, static_only: bool = False) -> Mode:
    """How the repository's code is let run, once what was said of trust is remembered."""
    from air_executor.fixing.trust import mode_for, trust, withdraw

    if trusted:
        trust(repository)
        warn(f"{repository.resolve()} is trusted from now on: its code runs as it stands; --no-trust ends that")
    elif trusted is False and withdraw(repository):
        warn(f"{repository.resolve()} is no longer trusted")
    return mode_for(repository, static_only=static_only)


@contextmanager
def progress() -> Iterator[Callable[[CheckResult], None] | None]:
    """One line on a terminal that tells of the last check, gone at the end; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    done = 0

    def told(result: CheckResult) -> None:
        nonlocal done
        done += 1
        where = f" in {clean(result.project)}" if result.project != "." else ""
        show(f"{number(done)} checked, last {result.check}{where} …")

    def show(text: str) -> None:
        click.echo(f"\r\x1b[K{cut(text, shutil.get_terminal_size().columns - 1)}", nl=False, err=True)

    show("looking for projects …")
    try:
        yield told
    finally:
        show("")


def warn_of_skipped(found: Health) -> None:
    """Say on stderr which checks were left out: what they would have found is in no list."""
    by_reason: dict[str, list[str]] = {}
    for skipped in found.skipped:
        where = f" in {clean(skipped.project)}" if skipped.project != "." else ""
        by_reason.setdefault(skipped.reason, []).append(f"{skipped.check}{where}")
    for reason, names in by_reason.items():
        warn(f"left out: {', '.join(names)}: {clean(reason)}")


def warn_of_lost(found: Health) -> bool:
    """Say on stderr which checks could not run; whether there were any."""
    from air_executor.fixing.reports.report import lost_lines

    lines = list(lost_lines(found.results))
    for line in lines:
        warn(line) if not line.startswith(" ") else click.echo(line, err=True)
    return bool(lines)
