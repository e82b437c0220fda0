"""The health of a repository as one HTML file: no script, nothing that is fetched, every name escaped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from air_executor import __version__
from air_executor.fixing.configuration.sections import FixingConfig
from air_executor.fixing.health.health import Health
from air_executor.fixing.health.history import Record
from air_executor.fixing.issue import Issue
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.reports.html_style import STYLE
from air_executor.fixing.reports.plots import Bar, Line, Point, bars, lines, points
from air_executor.fixing.reports.report import (
    MODES,
    OUTCOMES,
    found_text,
    lost_lines,
    overall_line,
    percent,
    severities,
)
from air_executor.observe.wording import clean, duration, number, plural

__all__ = ["page"]

ROWS: Final = 12
PLACES: Final = 100
RULES: Final = 200
RUNS: Final = 60
POINTS: Final = 3_000
COLOURS: Final = {"ok": "good", "findings": "warn", "could_not_run": "bad"}
SEVERITIES: Final = ("error", "warning", "info")


def page(health: Health, config: FixingConfig, history: Sequence[Record]) -> str:
    """The whole file. `history` ends with this examination."""
    name = _text(Path(health.repository).name)
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>Health of {name}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
            f"<h1>Health of {name}</h1>",
            f'<div class="about">{_about(health)}</div>',
            *_tiles(health),
            *_lost(health),
            '<div class="plots">',
            *_plots(health, config, history),
            "</div>",
            *_checks(health),
            *_formula(health),
            *_notes(health),
            *_rules(health),
            *_tests(health),
            *_suppressions(health),
            f"<footer>Made by Air-Executor {_text(__version__)}.</footer>",
            "</main>\n</body>\n</html>\n",
        )
    )


def _text(text: str) -> str:
    return escape(clean(text))


def _quiet(text: str) -> str:
    return f'<p class="quiet">{_text(text)}</p>'


def _about(health: Health) -> str:
    words = [_text(health.repository)]
    if health.commit is not None:
        words.append(f"<code>{_text(health.commit[:10])}</code>" + (" with changes" if health.dirty else ""))
    languages = Counter(project.language for project in health.projects)
    words += [_text(f"{plural(count, f'{name} project')}") for name, count in sorted(languages.items())]
    words += [_text(f"{_when(health.at)} UTC"), _text(MODES.get(health.mode, health.mode))]
    return " · ".join(words)


# ---- numbers at the top ----------------------------------------------------------------------------


def _tiles(health: Health) -> Iterator[str]:
    yield '<div class="tiles">'
    verdict = {True: "good", False: "bad", None: "warn"}[health.healthy]
    words = {True: "healthy", False: "not healthy", None: "cannot be told"}[health.healthy]
    yield _tile("Overall", percent(health.overall, health.healthy_from), words, verdict)
    static = health.static
    colour = {True: "good", False: "bad", None: "warn"}[static.passed]
    errors = static.errors_found if static.errors is None else static.errors
    at_least = "at least " if static.errors is None else ""
    yield _tile("Static", percent(static.score, static.threshold), f"{at_least}{plural(errors, 'error')}", colour)
    quality = static.quality
    yield _tile("Code quality", percent(quality.score if quality else None), "of files and functions")
    if health.dynamic is None:
        yield _tile("Tests", "skipped", health.dynamic_skipped or "not asked for")
    else:
        dynamic = health.dynamic
        told = f"{number(dynamic.passed)} passed, {number(dynamic.failed)} failed"
        colour = "bad" if dynamic.failed else "" if dynamic.pass_rate is None else "good"
        yield _tile("Tests", percent(dynamic.pass_rate, digits=1), told, colour)
        lines_text = f"{number(dynamic.covered)} of {plural(dynamic.lines, 'line')}"
        yield _tile("Coverage", percent(dynamic.coverage, digits=1), lines_text)
    yield _tile("Issues", number(len(health.issues)), severities(health.issues) or "none")
    suppressed = len(health.suppressions.entries)
    yield _tile("Suppressions", number(suppressed), "of tools and tests")
    yield "</div>"


def _tile(name: str, value: str, words: str, colour: str = "") -> str:
    kind = " ".join(filter(None, (colour, "" if value[:1].isdigit() else "words")))
    value = f'<b class="{kind}">{_text(value)}</b>'
    return f'<div class="tile"><div class="name">{name}</div>{value}<span>{_text(words)}</span></div>'


def _lost(health: Health) -> Iterator[str]:
    """What is not known stands before everything that is."""
    lost = [result for result in health.results if result.outcome == "could_not_run"]
    if not lost and not health.unknown:
        return
    yield '<section class="alert"><h2>Not known</h2>'
    for result in lost:
        where = f" in {_text(result.project)}" if result.project != "." else ""
        yield f"<p><b>{_text(result.check)}</b>{where} could not run: {_text(result.reason or '')}"
        yield (f'<span class="mend">→ {_text(result.mend)}</span>' if result.mend else "") + "</p>"
    told = set(lost_lines(lost))
    yield "".join(_quiet(reason) for reason in health.unknown if clean(reason) not in told)
    yield "</section>"


# ---- plots -----------------------------------------------------------------------------------------


def _plots(health: Health, config: FixingConfig, history: Sequence[Record]) -> Iterator[str]:
    yield _plot(
        "Score over time",
        _over_time(history, health.dynamic is not None),
        _key(("overall", "overall"), ("static", "static"), ("dynamic", "tests")),
    )
    there = {issue.severity for issue in health.issues}
    key = _key(*((kind, f"{kind}s") for kind in SEVERITIES if kind in there))
    if health.issues:
        yield _plot("Issues by rule", _stacked("Issues by rule", health.issues, _rule_of, from_end=False), key)
        yield _plot("Issues by folder", _stacked("Issues by folder", health.issues, _folder_of, from_end=True), key)
    yield from _files(health, config)


def _plot(title: str, svg: str, key: str = "", words: str = "") -> str:
    told = f'<p class="quiet">{words}</p>' if words else ""
    return f"<section><h2>{title}</h2>{told}{svg}{key}</section>"


def _key(*entries: tuple[str, str]) -> str:
    return (
        '<div class="key">'
        + "".join(f'<span><i class="{kind}"></i>{name}</span>' for kind, name in entries)
        + "</div>"
    )


def _over_time(history: Sequence[Record], tested: bool) -> str:
    """`tested`: whether this time tests were run. Only then is the whole comparable with runs that had them."""
    runs = history[-RUNS:]
    series = [
        Line("static", "static", [run.static for run in runs]),
        Line("dynamic", "tests", [run.dynamic for run in runs]),
        Line("overall", "overall", [run.overall if (run.dynamic is not None) == tested else None for run in runs]),
    ]
    return lines("Score over time", [_when(run.at) for run in runs], series)


def _when(at: str) -> str:
    return clean(at)[:16].replace("T", " ")


def _rule_of(issue: Issue) -> str:
    return f"{issue.tool} {issue.rule}" if not issue.rule.startswith(issue.tool) else issue.rule


def _folder_of(issue: Issue) -> str:
    return issue.path.rpartition("/")[0] or "."


def _stacked(name: str, issues: Iterable[Issue], group: Callable[[Issue], str], *, from_end: bool) -> str:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for issue in issues:
        counts[group(issue)][issue.severity] += 1
    ordered = sorted(counts.items(), key=lambda one: (-one[1].total(), one[0]))
    rows = [_bar(clean(label), found, from_end) for label, found in ordered[:ROWS]]
    rest = sum((found for _, found in ordered[ROWS:]), Counter[str]())
    if rest:
        rows.append(_bar(f"{number(len(ordered) - ROWS)} others", rest, from_end))
    return bars(name, rows)


def _bar(label: str, counts: Counter[str], from_end: bool) -> Bar:
    told = ", ".join(f"{number(counts[kind])} {kind}" for kind in SEVERITIES if counts[kind])
    return Bar(label, [(kind, counts[kind]) for kind in SEVERITIES], f"{label}: {told}", not from_end)


def _files(health: Health, config: FixingConfig) -> Iterator[str]:
    """Every file that was measured by its length and by its most complex function, the largest of very many."""
    found = []
    for result in health.results:
        if result.metrics is not None:
            limits = config.health_check_for(result.check.partition("/")[0])
            for file in result.metrics.files:
                if file.lines:
                    highest = max((function.complexity for function in file.functions or ()), default=1)
                    title = f"{clean(file.path)}: {plural(file.lines, 'line')}, complexity {number(highest)}"
                    bad = file.lines > limits.file_size_threshold or highest > limits.complexity_threshold
                    found.append(Point(file.lines, highest, title, bad))
    if not found:
        return
    found.sort(key=lambda point: (point.bad, point.x * point.y), reverse=True)
    shown = found[:POINTS]
    limits = config.health_check
    name = "Files by length and complexity"
    borders = (limits.file_size_threshold, limits.complexity_threshold)
    svg = points(name, shown, "lines", "complexity of the worst function", *borders)
    worst = sum(point.bad for point in found)
    key = _key(("point", "file"), ("bad", f"beyond a threshold: {number(worst)} of {number(len(found))}"))
    yield _plot(name, svg, key)


# ---- tables ----------------------------------------------------------------------------------------


def _checks(health: Health) -> Iterator[str]:
    yield '<section><h2>Checks</h2><div class="scroll"><table>'
    yield "<tr><th>Check</th><th>Project</th><th>Outcome</th><th>Found</th><th>Version</th>"
    yield '<th class="number">Time</th></tr>'
    for result in health.results:
        yield _check(result)
    for skipped in health.skipped:
        yield (
            f"<tr><td>{_text(skipped.check)}</td><td>{_text(skipped.project)}</td><td>skipped</td>"
            f'<td class="words">{_text(skipped.reason)}</td><td></td><td></td></tr>'
        )
    yield "</table></div></section>"


def _check(result: CheckResult) -> str:
    words = result.reason or "" if result.outcome == "could_not_run" else found_text(result)
    if result.note:
        words += f" ({result.note})"
    mend = f'<span class="mend">→ {_text(result.mend)}</span>' if result.mend else ""
    took = "known from before" if result.cached else duration(result.duration_s) if result.version else ""
    return (
        f"<tr><td>{_text(result.check)}</td><td>{_text(result.project)}</td>"
        f'<td class="{COLOURS[result.outcome]}">{OUTCOMES[result.outcome]}</td>'
        f'<td class="words">{_text(words)}{mend}</td><td>{_text(result.version or "")}</td>'
        f'<td class="number">{took}</td></tr>'
    )


def _formula(health: Health) -> Iterator[str]:
    yield "<section><h2>How the scores came about</h2>"
    yield f"<pre>{chr(10).join(_text(line) for line in health.formula)}</pre>"
    yield f"<p>{_text(overall_line(health))}</p></section>"


def _notes(health: Health) -> Iterator[str]:
    if health.notes:
        yield f"<section><h2>Notes</h2>{''.join(f'<p>{_text(note)}</p>' for note in health.notes)}</section>"


def _rules(health: Health) -> Iterator[str]:
    if not health.issues:
        return
    found: defaultdict[tuple[str, str], list[Issue]] = defaultdict(list)
    for issue in health.issues:
        found[issue.tool, issue.rule].append(issue)
    ordered = sorted(found.items(), key=lambda one: (-len(one[1]), one[0]))
    told = f"{plural(len(health.issues), 'issue')} of {plural(len(found), 'rule')}"
    yield f"<section><h2>Issues</h2>{_quiet(told)}"
    for (tool, rule), issues in ordered[:RULES]:
        fixes = sum(issue.safe_fix for issue in issues)
        told = f", {number(fixes)} with a safe fix of the tool" if fixes else ""
        yield (
            f"<details><summary><b>{_text(rule)}</b> <span class='quiet'>{_text(tool)}, {severities(issues)}{told}: "
            f"{_text(issues[0].message)}</span></summary><ol>"
        )
        for issue in issues[:PLACES]:
            yield f"<li><code>{_place(issue)}</code> {_text(issue.message)}</li>"
        if len(issues) > PLACES:
            more = number(len(issues) - PLACES)
            yield f"<li class='quiet'>and {more} more: <code>air-executor fix issues</code> lists all</li>"
        yield "</ol></details>"
    if len(ordered) > RULES:
        yield f"<p class='quiet'>and {number(len(ordered) - RULES)} more rules</p>"
    yield "</section>"


def _place(issue: Issue) -> str:
    line = f":{issue.line}" if issue.line else ""
    column = f":{issue.column}" if line and issue.column else ""
    return f"{_text(issue.path)}{line}{column}"


def _tests(health: Health) -> Iterator[str]:
    found = health.tests
    if found is None:
        return
    tests = [test for result in health.results for test in result.tests or ()]
    yield "<section><h2>Tests</h2><div class='scroll'><table><tr><th>Kind</th>"
    yield "".join(f"<th class='number'>{name}</th>" for name in ("Passed", "Failed", "Skipped", "Pass rate", "Time"))
    for kind in found.kinds:
        cells = [*map(number, (kind.passed, kind.failed, kind.skipped)), percent(kind.pass_rate, digits=1)]
        numbers = "".join(f"<td class='number'>{cell}</td>" for cell in (*cells, duration(kind.duration_s)))
        yield f"</tr><tr><td>{kind.kind}</td>{numbers}"
    yield "</tr></table></div>"
    if health.flaky:
        yield _quiet(f"{number(len(health.flaky))} are not judged, since they differ from run to run")
    yield "<h2 class='more'>The slowest</h2><div class='scroll'><table>"
    for test in sorted(tests, key=lambda one: (-one.duration_s, one.id))[:ROWS]:
        colour = "bad" if test.end in ("failed", "error") else ""
        yield (
            f'<tr><td class="words">{_text(test.id)}</td><td class="{colour}">{test.end}</td>'
            f'<td class="number">{duration(test.duration_s)}</td></tr>'
        )
    yield "</table></div></section>"


def _suppressions(health: Health) -> Iterator[str]:
    ledger = health.suppressions
    if not ledger.entries and not ledger.unread:
        return
    yield "<section><h2>Suppressions</h2>"
    for reason in ledger.unread:
        yield f'<p class="warn">not counted: {_text(reason)}</p>'
    for form, count in sorted(ledger.counts.items(), key=lambda one: (-one[1], one[0])):
        entries = [entry for entry in ledger.entries if entry.form == form]
        yield f"<details><summary><b>{_text(form)}</b> <span class='quiet'>{number(count)}</span></summary><ol>"
        for entry in entries[:PLACES]:
            line = f":{entry.line}" if entry.line else ""
            rules = f" {_text(', '.join(entry.rules))}" if entry.rules else ""
            yield f"<li><code>{_text(entry.path)}{line}</code>{rules}</li>"
        if len(entries) > PLACES:
            yield f"<li class='quiet'>and {number(len(entries) - PLACES)} more</li>"
        yield "</ol></details>"
    yield "</section>"
