"""`doctor`: what is well, what is not, and what to do."""

from __future__ import annotations

from typing import Final

import click

from air_executor.cli.options import Shape, base_option, json_option
from air_executor.cli.output import clean, plural, print_json

__all__ = ["DOCTOR", "doctor"]

DOCTOR: Final = Shape(
    "one object",
    {
        "base": "the base folder",
        "version": "of this Air-Executor",
        "worst": "`ok`, `warning` or `problem`",
        "findings": "a list of {`check`, `level`, `found`, `advice`}; `level` as `worst`, `advice` may be null; a "
        "check may have several findings, or none",
    },
)
MARKS: Final = {"ok": "ok", "warning": "WARNING", "problem": "PROBLEM"}


@click.command()
@json_option(DOCTOR)
@base_option
def doctor(base: str | None, as_json: bool) -> int:
    """Look for what keeps things from working, and say what to do.

    It looks at rights, limits, notification, the file system, room, clock, cgroups, the manager and who
    supervises it, at processes, jobs and journals. It changes nothing, and needs neither a base folder nor
    a manager. Exit code 1 when there is a problem; warnings alone are 0. docs/operations.md tells more.
    """
    from air_executor import __version__
    from air_executor.observe.doctor import examine, worst
    from air_executor.store.layout import Base

    folder = Base(base)
    findings = examine(folder)
    level = worst(findings)
    if as_json:
        listed = [finding._asdict() for finding in findings]
        print_json({"base": str(folder), "version": __version__, "worst": level, "findings": listed})
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            click.echo(f"{MARKS[finding.level]:<8} {finding.check:<{width}}  {clean(finding.found)}")
            if finding.advice is not None:
                click.echo(f"{'':<{width + 11}}-> {clean(finding.advice)}")
        problems = sum(finding.level == "problem" for finding in findings)
        warnings = sum(finding.level == "warning" for finding in findings)
        click.echo(f"{plural(problems, 'problem')}, {plural(warnings, 'warning')}")
    return 1 if level == "problem" else 0
