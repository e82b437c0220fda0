"""The health of a repository as people read it on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import click

from air_executor.fixing.checking.running import DYNAMIC
from air_executor.fixing.health.health import DynamicHealth, Health, StaticHealth
from air_executor.fixing.health.history import Record
from air_executor.fixing.issue import Issue
from air_executor.fixing.languages import languages
from air_executor.fixing.outcome import CheckResult
from air_executor.observe.wording import clean, duration, number, plural
from air_executor.terminal import table_lines

__all__ = [
    "MODES",
    "OUTCOMES",
    "comparable",
    "found_text",
    "health_lines",
    "lost_lines",
    "overall_line",
    "percent",
    "severities",
]

OUTCOMES: Final = {"ok": "ok", "findings": "findings", "could_not_run": "could not run"}
COLOURS: Final = {"ok": "green", "findings": "yellow", "could_not_run": "red"}
MODES: Final = {
    "static": "none of the repository's code was run",
    "sandbox": "the repository's code was run in a sandbox",
    "trusted": "the repository is trusted, so its code was run as it stands",
    "refused": "the repository's code was not run: it is not trusted, and there is no sandbox",
}
SEVERITIES: Final = ("error", "warning", "info")
RULES_SHOWN: Final = 8


def percent(share: float | None, border: float | None = None, digits: int = 0) -> str:
    """`76%`; as many digits more as are needed to see on which side of the border it lies; `not known` for None.

    Nothing but all is 100%, nothing but nothing 0%.
    """
    if share is None:
        return "not known"
    for more in range(digits, 6):
        shown = float(f"{share * 100:.{more}f}")
        told = (shown == 100) == (share == 1) and (shown == 0) == (share == 0)
        if told and (border is None or (shown >= border * 100) == (share >= border)):
            return f"{shown:g}%" if shown in (0, 100) else f"{shown:.{more}f}%"
    return f"{share * 100:g}%"


def _counted(counts: Counter[str] | dict[str, int], shown: int | None = None) -> str:
    """`F401 40, E501 22, and 3 more`, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    listed = ordered if shown is None else ordered[:shown]
    more = f", and {len(ordered) - len(listed)} more" if len(listed) < len(ordered) else ""
    return ", ".join(f"{clean(name)} {number(count)}" for name, count in listed) + more


def severities(issues: Iterable[Issue]) -> str:
    """`3 errors, 9 warnings`; empty for none."""
    counts = Counter(issue.severity for issue in issues)
    return ", ".join(plural(counts[name], name) for name in SEVERITIES if counts[name])


def lost_lines(results: Iterable[CheckResult]) -> Iterator[str]:
    """What could not run, why, and how to mend it: two lines each."""
    for result in results:
        if result.outcome == "could_not_run":
            where = f" in {clean(result.project)}" if result.project != "." else ""
            yield f"{result.check}{where} could not run: {clean(result.reason or 'no reason is known')}"
            if result.mend:
                yield f"  -> {clean(result.mend)}"


def health_lines(health: Health, name: str, width: int, before: Record | None = None) -> Iterator[str]:
    """The whole report; `width`: columns of the terminal; `before`: an earlier examination to compare it with."""
    for line in _lines(health, name, width, before):
        yield from _folded(line, width)


def _folded(line: str, width: int) -> Iterator[str]:
    """A line that is too long, in several; the later ones are indented. Colours have no width."""
    if len(click.unstyle(line)) <= width:
        yield line
        return
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    words = line.rstrip().split(" ")
    current = words[0]
    for word in words[1:]:
        if len(click.unstyle(f"{current} {word}")) > width and current.strip():
            yield current
            current = indent + word
        else:
            current += f" {word}"
    yield current


def _lines(health: Health, name: str, width: int, before: Record | None) -> Iterator[str]:
    yield from _title(f"Smart Health Check: {clean(name)}", "=")
    yield from _about(health)
    yield ""
    yield _static_line(health.static)
    yield from _checks(health, dynamic=False, width=width)
    yield ""
    yield _dynamic_line(health)
    yield from _checks(health, dynamic=True, width=width)
    if (lost := list(lost_lines(health.results))) != []:
        yield ""
        yield from (click.style(line, fg="red") if not line.startswith(" ") else line for line in lost)
    if notes := list(_notes(health)):
        yield ""
        yield from notes
    yield ""
    yield from _measures(health)
    yield ""
    yield from _title(f"Smart Health Summary: {clean(name)}", "-")
    yield from _summary(health, before)


def _title(text: str, rule: str) -> Iterator[str]:
    yield click.style(text, bold=True)
    yield rule * len(text)


def _about(health: Health) -> Iterator[str]:
    state = ""
    if health.commit is not None:
        state = f" at {health.commit[:10]}" + (" with changes" if health.dirty else "")
    yield f"{clean(health.repository)}{state}"
    for project in health.projects:
        workspace = f", of the workspace {clean(project.workspace)}" if project.workspace else ""
        where = f"{project.language} in {clean(project.root)}"
        yield f"  {where}: {plural(project.files, 'file')}{workspace}"
    if not health.projects:
        yield "  no project of a known language"
    yield f"  {MODES.get(health.mode, health.mode)}"


def _static_line(static: StaticHealth) -> str:
    if static.score is None:
        return f"Static analysis: not known ({_errors(static)})"
    verdict = "passes" if static.passed else "does not pass"
    needed = percent(static.threshold)
    return (
        f"Static analysis: {percent(static.score, static.threshold)} "
        f"({_errors(static)}, {_quality(static)}): {verdict} (from {needed} on)"
    )


def _errors(static: StaticHealth) -> str:
    if static.errors is None:
        return f"{plural(static.errors_found, 'error')} found, but not everything was looked at"
    return plural(static.errors, "error")


def _quality(static: StaticHealth) -> str:
    return f"code quality {percent(static.quality.score if static.quality else None)}"


def _dynamic_line(health: Health) -> str:
    if health.dynamic is None:
        return f"Dynamic checks: skipped: {clean(health.dynamic_skipped or 'they were not asked for')}"
    return f"Dynamic checks: {percent(health.dynamic.score)} ({_dynamic_parts(health.dynamic)})"


def _dynamic_parts(dynamic: DynamicHealth) -> str:
    return f"pass rate {percent(dynamic.pass_rate, digits=1)}, coverage {percent(dynamic.coverage, digits=1)}"


def _checks(health: Health, *, dynamic: bool, width: int) -> Iterator[str]:
    rows = []
    colours = []
    for result in health.results:
        if (result.kind in DYNAMIC) == dynamic:
            rows.append(
                [OUTCOMES[result.outcome], result.check, clean(result.project), found_text(result), _tool(result)]
            )
            colours.append(COLOURS[result.outcome])
    names = _dynamic_names()
    for skipped in health.skipped:
        if (skipped.check in names) == dynamic:
            reason = "" if skipped.reason == health.dynamic_skipped else clean(skipped.reason)
            rows.append(["skipped", skipped.check, clean(skipped.project), reason, ""])
            colours.append("")
    for line, row, colour in zip(table_lines(rows, [False] * 5, width - 2), rows, colours, strict=True):
        outcome = row[0]
        yield "  " + (click.style(outcome, fg=colour) if colour else outcome) + line[len(outcome) :]


def found_text(result: CheckResult) -> str:
    if result.outcome == "could_not_run":
        return "see below"
    parts = []
    if result.tests is not None:
        parts.append(_test_ends(result))
    if result.coverage is not None:
        share = result.coverage.percent
        shown = "nothing to cover" if share is None else percent(share / 100, digits=1)
        parts.append(f"{shown} ({number(result.coverage.covered)} of {plural(result.coverage.lines, 'line')})")
    if result.metrics is not None:
        parts.append(f"{plural(len(result.metrics.files), 'file')} measured")
    if result.issues and result.tests is None:
        parts.append(severities(result.issues))
    return ", ".join(parts) or "nothing found"


def _test_ends(result: CheckResult) -> str:
    """`118 passed, 2 failed, 1 skipped`."""
    counts = Counter(test.end for test in result.tests or ())
    return ", ".join(f"{number(count)} {end}" for end, count in sorted(counts.items())) or "no tests"


def _tool(result: CheckResult) -> str:
    if result.outcome == "could_not_run" and result.version is None:
        return ""
    version = f" {clean(result.version)}" if result.version else ""
    when = "known from before" if result.cached else duration(result.duration_s)
    return f"{result.check.partition('/')[2]}{version}, {when}"


def _notes(health: Health) -> Iterator[str]:
    for result in health.results:
        if result.note:
            yield f"{result.check} in {clean(result.project)}: {clean(result.note)}"
    yield from map(clean, health.notes)


def _measures(health: Health) -> Iterator[str]:
    quality = health.static.quality
    if quality is not None:
        files = f"{number(quality.files_within)} of {plural(quality.files, 'file')}"
        functions = f"{number(quality.functions_within)} of {plural(quality.functions, 'function')}"
        yield f"Code metrics: {files} and {functions} keep within the thresholds"
    if health.issues:
        rules = Counter(issue.rule for issue in health.issues)
        yield f"Issues: {number(len(health.issues))} ({severities(health.issues)}): {_counted(rules, RULES_SHOWN)}"
    else:
        yield "Issues: none" + (" found, but not everything was looked at" if health.unknown else "")
    yield from _tests(health)
    yield from _suppressions(health)


def _tests(health: Health) -> Iterator[str]:
    found = health.tests
    if found is None:
        return
    kinds = ", ".join(f"{number(one.tests)} {one.kind} ({percent(one.pass_rate, digits=1)})" for one in found.kinds)
    slow = "".join(f", the slowest {clean(one.id)} ({duration(one.duration_s)})" for one in found.slowest[:1])
    yield f"Tests: {number(found.tests)} in {duration(found.duration_s)}: {kinds}{slow}"
    if found.uncollected:
        yield f"  {plural(found.uncollected, 'file')} could not be collected, so there may be more tests"
    if health.flaky:
        yield f"  not judged, since they differ from run to run: {', '.join(map(clean, health.flaky[:5]))}" + (
            f", and {len(health.flaky) - 5} more" if len(health.flaky) > 5 else ""
        )


def _suppressions(health: Health) -> Iterator[str]:
    ledger = health.suppressions
    in_config = sum(entry.in_config for entry in ledger.entries)
    if ledger.entries:
        where = f"{number(len(ledger.entries) - in_config)} in code, {number(in_config)} in configurations"
        yield f"Suppressions: {where}: {_counted(ledger.counts, RULES_SHOWN)}"
    else:
        yield "Suppressions: none"


def comparable(health: Health, runs: Sequence[Record]) -> Record | None:
    """The last earlier examination in which tests were run, or left out, as in this one."""
    tested = health.dynamic is not None
    earlier = [run for run in runs if run.at != health.at and (run.dynamic is not None) == tested]
    return earlier[-1] if earlier else None


def _summary(health: Health, before: Record | None) -> Iterator[str]:
    static, dynamic = health.static, health.dynamic
    yield f"Static:   {percent(static.score, static.threshold)} ({_errors(static)}, {_quality(static)})"
    if dynamic is None:
        yield f"Dynamic:  skipped: {clean(health.dynamic_skipped or 'not asked for')}"
    else:
        yield f"Dynamic:  {percent(dynamic.score)} ({_dynamic_parts(dynamic)})"
    yield click.style(overall_line(health), bold=True, fg=_verdict_colour(health))
    if before is not None:
        when = before.at[:16].replace("T", " ")
        yield f"  before: {percent(before.overall)} with {plural(before.issues, 'issue')} ({when} UTC)"
    lost = list(lost_lines(health.results))
    for reason in health.unknown:
        if clean(reason) not in lost:
            yield f"  not known: {clean(reason)}"
    if count := sum(result.outcome == "could_not_run" for result in health.results):
        yield f"  not known: what {plural(count, 'check')} would have found that could not run (see above)"
    yield from (f"  {clean(line)}" for line in health.formula)


def overall_line(health: Health) -> str:
    """`Overall health: 53%: not healthy (healthy from 80% on)`."""
    border = f"from {percent(health.healthy_from)} on"
    if health.overall is None:
        return f"Overall health: not known (healthy {border})"
    verdict = {
        True: f"healthy ({border})",
        False: f"not healthy (healthy {border})",
        None: f"whether healthy cannot be told (healthy {border})",
    }[health.healthy]
    return f"Overall health: {percent(health.overall, health.healthy_from)}: {verdict}"


def _verdict_colour(health: Health) -> str:
    return {True: "green", False: "red", None: "yellow"}[health.healthy]


def _dynamic_names() -> set[str]:
    return {
        f"{language.name}/{check.name}"
        for language in languages().values()
        for check in language.checks
        if check.kind in DYNAMIC
    }
