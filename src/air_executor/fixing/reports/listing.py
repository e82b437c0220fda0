"""Issues, batches and tools as tables on a terminal."""

from __future__ import annotations

import fnmatch
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import click

from air_executor.fixing.checking.doctor import Diagnosis, FoundTool
from air_executor.fixing.checking.flaky import Baseline
from air_executor.fixing.issue import Issue
from air_executor.fixing.outcome import TestResult
from air_executor.fixing.planning.batches import Batch
from air_executor.fixing.reports.report import MODES, severities
from air_executor.observe.wording import clean, number, plural
from air_executor.terminal import cut, print_table, table_lines, terminal_width, warn

__all__ = [
    "by_file",
    "place",
    "print_batches",
    "print_diagnosis",
    "print_flaky",
    "print_issues",
    "selected",
    "uncollected",
]

WORSE: Final = {"error": 2, "warning": 1, "info": 0}
WHOSE: Final = {"project": "the project's own", "user": "yours", "built-in": "built in"}


def place(issue: Issue) -> str:
    """`src/a.py:3:7`, as editors and terminals find it."""
    words = [clean(issue.path)]
    if issue.line:
        words.append(str(issue.line))
        if issue.column:
            words.append(str(issue.column))
    return ":".join(words)


def selected(issues: Iterable[Issue], rules: Sequence[str], paths: Sequence[str], severity: str) -> list[Issue]:
    """Those with one of these rules, at one of these paths, and at least so severe; no rules or paths: any.

    Rules and paths may be patterns (`E5*`, `src/*.py`); a path that is a folder stands for all in it.
    """
    places = [path.removeprefix("./").rstrip("/") or "." for path in paths]
    return [
        issue
        for issue in issues
        if WORSE[issue.severity] >= WORSE[severity]
        and (not rules or any(fnmatch.fnmatchcase(issue.rule, rule) for rule in rules))
        and (not places or any(_within(issue.path, wanted) for wanted in places))
    ]


def _within(path: str, wanted: str) -> bool:
    return wanted in (".", path) or path.startswith(f"{wanted}/") or fnmatch.fnmatchcase(path, wanted)


def print_issues(issues: Sequence[Issue], total: int) -> None:
    """A table, on a terminal file by file so that it is narrow; and how many there are."""
    if sys.stdout.isatty():
        for line in by_file(issues, terminal_width()):
            click.echo(line)
    elif issues:
        rows = [
            [place(one), one.severity, one.tool, clean(one.rule), "yes" if one.safe_fix else "", clean(one.message)]
            for one in issues
        ]
        print_table(["PLACE", "SEVERITY", "TOOL", "RULE", "FIX", "MESSAGE"], rows)
    of = f" of {number(total)}" if total != len(issues) else ""
    counts = f": {severities(issues)}" if issues else ""
    files = len({issue.path for issue in issues})
    click.echo(f"{number(len(issues))}{of} issues in {plural(files, 'file')}{counts}" if issues else f"0{of} issues")


def by_file(issues: Sequence[Issue], width: int) -> Iterator[str]:
    """The issues below the names of their files. Only messages are cut."""
    rows = [
        [
            place(one).removeprefix(clean(one.path))[1:],
            one.severity,
            f"{clean(one.tool)} {clean(one.rule)}",
            "fix" if one.safe_fix else "",
        ]
        for one in issues
    ]
    lines = list(table_lines(rows, [True, False, False, False], 10_000))
    edge = max(map(len, lines), default=0)
    path = None
    for line, one in zip(lines, issues, strict=True):
        if one.path != path:
            path = one.path
            yield click.style(clean(path), bold=True)
        yield f"  {line.ljust(edge)}  {cut(clean(one.message), max(20, width - edge - 4))}"


def print_batches(batches: Sequence[Batch]) -> None:
    """A table, group by group, since these are mended one after the other; and what it comes to."""
    rows = [
        [
            str(one.group), one.phase, one.kind, number(len(one.issues)), number(len(one.files)),
            f"~{number(one.estimate)}", clean(one.subject),
        ]
        for one in sorted(batches, key=lambda one: one.group)
    ]  # fmt: skip
    if rows:
        headings = ["GROUP", "PHASE", "KIND", "ISSUES", "FILES", "LINES", "SUBJECT"]
        print_table(headings, rows, right="GROUP ISSUES FILES LINES")
    issues = sum(len(one.issues) for one in batches)
    files = {file for one in batches for file in one.files}
    kinds = Counter(one.kind for one in batches)
    told = f": {', '.join(f'{number(count)} {kind}' for kind, count in kinds.items())}" if batches else ""
    several = "batch" if len(batches) == 1 else "batches"
    of = f"{plural(issues, 'issue')} in {plural(len(files), 'file')}"
    click.echo(f"{number(len(batches))} {several} of {of}{told}")


def uncollected(found: Baseline) -> list[TestResult]:
    """What stands for files whose tests are not known."""
    return [test for result in found.results for test in result.tests or () if not test.name]


def print_flaky(found: Baseline) -> None:
    """What differs from run to run, and which runs are missing."""
    rows = [[clean(one.id), ", ".join(one.ends), "the order" if one.by_order else "by itself"] for one in found.flaky]
    if rows:
        print_table(["TEST", "ENDS", "CHANGES WITH"], rows)
    for test in found.unstable:
        click.echo(f"{clean(test)}: its name is not always the same")
    for run in found.incomplete:
        where = f" in {clean(run.project)}" if run.project != "." else ""
        warn(f"{run.check}{where} could not run {run.run}: {clean(run.reason)}")
    for lost in uncollected(found):
        warn(f"{clean(lost.file)} could not be collected: {clean(lost.message) or 'it does not say why'}")
    tests = sum(bool(test.name) for result in found.results for test in result.tests or ())
    told = f"{number(len(found.flaky))} of {plural(tests, 'test')} did not always end alike"
    click.echo(f"{told}, {number(len(found.unstable))} have no steady name (seed {found.seed})")


def print_diagnosis(found: Diagnosis) -> None:
    """What is there and what is not, project by project."""
    click.echo(clean(found.repository))
    click.echo(f"configuration: {clean(found.config) if found.config else 'none, the defaults count'}")
    click.echo(f"sandbox: {'bubblewrap works' if found.sandbox is None else f'none: {found.sandbox}'}")
    click.echo(f"trust: {'this folder is trusted' if found.trusted else 'this folder is not trusted'}")
    click.echo(f"so {MODES[found.mode].replace('was run', 'runs').replace('was not run', 'does not run')}")
    for project in found.projects:
        click.echo()
        manifest = clean(project.manifest) if project.manifest else "no manifest"
        title = f"{project.language} in {clean(project.project)} ({manifest}, {plural(project.files, 'file')})"
        click.echo(click.style(title, bold=True))
        for line in _tools(project.tools):
            click.echo(line)
    click.echo()
    for line in _rest(found):
        click.echo(line)


def _tools(tools: Sequence[FoundTool]) -> Iterator[str]:
    rows = []
    for tool in tools:
        name = tool.check.partition("/")[2]
        whose = WHOSE[tool.whose] if tool.whose else ""
        words = "MISSING" if tool.program is None else "BROKEN" if tool.reason else "ok"
        program = "" if tool.whose == "built-in" else tool.program or ""
        rows.append([words, name, tool.kind, tool.version or "", whose, clean(program)])
    for line, tool in zip(table_lines(rows, [False] * 6, terminal_width() - 2), tools, strict=True):
        yield "  " + (line if tool.reason is None else click.style(line, fg="red"))
        if tool.reason is not None:
            yield f"           {clean(tool.reason)}"
        if tool.mend:
            yield f"           -> {clean(tool.mend)}"


def _rest(found: Diagnosis) -> Iterator[str]:
    there = {project.language for project in found.projects}
    if others := [name for name in found.languages if name not in there]:
        yield f"no files of {', '.join(others)}"
    if found.left_out:
        reasons = Counter(one.reason for one in found.left_out)
        told = ", ".join(f"{number(count)} {reason}" for reason, count in reasons.most_common())
        yield f"{plural(len(found.left_out), 'file')} left out: {told}"
    if not found.extra:
        yield "code cannot be measured: pip install 'air-executor[fixing]'"
    if found.mode == "refused":
        yield f"checks that run the project's code could not run: there is no trust, and {found.sandbox}"
        yield "  -> say `--trust` with `air-executor fix health` if you trust it, or install bubblewrap"
    lost = [tool for project in found.projects for tool in project.tools if tool.reason is not None]
    missing = sum(tool.program is None for tool in lost)
    yield f"{number(missing)} missing, {number(len(lost) - missing)} broken" if lost else "no tool is missing"
