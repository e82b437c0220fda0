"""What vitest and jest have in common: where their tests are, how tests are chosen, and the JSON they report in."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from air_executor.fixing.check import CouldNotRun, Findings, Project, Selection, ToolRun
from air_executor.fixing.issue import Issue, fingerprint
from air_executor.fixing.outcome import TestEnd, TestResult
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools.output import decode, relative
from air_executor.fixing.tools.programs import folders_up

__all__ = [
    "Choice",
    "Report",
    "below",
    "choice",
    "ends_well",
    "findings",
    "has_tests",
    "issue_of",
    "place_of",
    "text_of",
]

TEST_FILE: Final = re.compile(r"(?:^|/)__tests__/|[.](?:test|spec)[.][cm]?[jt]sx?$")
ENDS: Final[dict[str, TestEnd]] = {
    "passed": "passed", "failed": "failed", "pending": "skipped", "skipped": "skipped", "todo": "skipped",
    "disabled": "skipped", "focused": "passed",
}  # fmt: skip
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
PATTERN_LIMIT: Final = 100_000
"""Characters; one word of a command line may have 131,072 bytes."""
MESSAGE_LIMIT: Final = 4_000


class Location(Struct):
    line: int = 0


class Assertion(Struct, rename="camel"):
    """One test."""

    ancestor_titles: list[str]
    title: str
    status: str
    duration: float | None = None
    failure_messages: list[str | None] | None = None
    location: Location | None = None
    failing: bool = False
    """Whether the test says itself that it fails (`it.failing` of jest)."""


class File(Struct, rename="camel"):
    name: str
    status: str
    assertion_results: list[Assertion]
    message: str | None = None


class Report(Struct, rename="camel"):
    num_total_tests: int
    num_failed_tests: int
    test_results: list[File]
    success: bool
    was_interrupted: bool = False


class Choice(Struct, frozen=True):
    """The tests that are wanted, in the words of a command line."""

    files: tuple[str, ...] = field(default=())
    """Absolute."""
    pattern: str | None = None
    """A regular expression of full names; None where every test of the files is wanted or there are too many."""


def text_of(paths: Iterable[Path]) -> str:
    """All the text of those files that are there."""
    found = []
    for path in paths:
        try:
            found.append(read_source(path))
        except OSError:
            continue
    return "\n".join(found)


def place_of(project: Project, configured: Callable[[Path], bool]) -> Path | None:
    """The nearest folder that is configured for a framework: that is where it is started."""
    return next((folder for folder in folders_up(project) if configured(folder)), None)


def has_tests(project: Project) -> bool:
    """Whether one of its own files is named like a test."""
    return any(TEST_FILE.search(path) for path in project.files)


def choice(project: Project, selection: Selection | None) -> Choice:
    if selection is None or selection.tests is None:
        return Choice()
    files: dict[str, None] = {}
    names: dict[str, None] = {}
    for identity in selection.tests:
        fitting = [path for path in project.files if identity.startswith(f"{path}::")]
        if fitting:
            path = max(fitting, key=len)
            files[str(project.repository / path)] = None
            names[re.sub(r"#\d+$", "", identity[len(path) + 2 :])] = None
    if not files:
        raise CouldNotRun("none of the tests that were asked for is there", "ask for tests by the ids of a run")
    escaped = (re.sub(r"([\\^$.*+?()\[\]{}|/])", r"\\\1", name).replace("::", "(?:::| > | )") for name in names)
    pattern = f"^(?:{'|'.join(escaped)})$"
    return Choice(tuple(files), None if "" in names or len(pattern) > PATTERN_LIMIT else pattern)


def ends_well(tool: str, run: ToolRun, mend: str) -> Report:
    """The report of a run that came to its end."""
    report = decode(tool, run, Report, run.outputs["tests"])
    if report.was_interrupted:
        raise CouldNotRun(f"{tool} was interrupted before it had run all tests", mend)
    listed = sum(len(file.assertion_results) for file in report.test_results)
    if listed != report.num_total_tests:
        raise CouldNotRun(f"{tool} counts {report.num_total_tests} tests, but lists {listed}", mend)
    return report


def findings(tool: str, project: Project, report: Report, cwd: Path) -> Findings:
    """The ends of the project's own tests, and an issue for each that failed."""
    own = frozenset(project.files)
    wanted = project.selection.tests if project.selection is not None else None
    results, issues = [], []
    seen: Counter[tuple[str, tuple[str, ...], str]] = Counter()
    for file in sorted(report.test_results, key=lambda one: one.name):
        path = relative(project, file.name, cwd) or file.name
        if path not in own:
            continue
        ended: list[tuple[TestResult, int]] = []
        for one in file.assertion_results:
            suite = tuple(one.ancestor_titles)
            end = ENDS.get(one.status)
            if end is None:
                raise CouldNotRun(f"{tool} tells of a test that it is {one.status!r}", f"{tool} is not supported yet")
            if end == "passed" and one.failing:
                end = "xfailed"
            result = TestResult(
                framework=tool,
                file=path,
                suite=suite,
                name=one.title,
                ordinal=seen[path, suite, one.title],
                end=end,
                message=_plain("\n".join(text for text in one.failure_messages or () if text)),
                duration_s=(one.duration or 0.0) / 1000,
            )
            seen[path, suite, one.title] += 1
            ended.append((result, one.location.line if one.location is not None else 0))
        if file.status == "failed" and not any(result.end == "failed" for result, _ in ended):
            broken = TestResult(framework=tool, file=path, name="", end="error", message=_plain(file.message or ""))
            ended.append((broken, 0))
        for result, line in ended:
            if wanted is not None and result.id not in wanted:
                continue
            results.append(result)
            if result.end in ("failed", "error"):
                issues.append(issue_of(result, line))
    if not results and wanted is not None:
        raise CouldNotRun("none of the tests that were asked for is there", "ask for tests by the ids of a run")
    if not results:
        raise CouldNotRun(f"{tool} found no tests", f"write some, or mend where {tool} looks for them")
    return Findings(issues=issues, tests=results)


def _plain(text: str) -> str:
    return COLOUR.sub("", text)[:MESSAGE_LIMIT]


def issue_of(result: TestResult, line: int) -> Issue:
    told = [text for part in result.message.split("\n") if (text := part.strip())]
    message = next((text for text in told if not text.startswith("●")), "") or f"the test {result.end}"
    return Issue(
        tool=result.framework,
        rule="test-failed" if result.name else "collection-error",
        severity="error",
        message=message,
        path=result.file,
        line=line,
        fingerprint=fingerprint(result.framework, result.id),
    )


def below(place: Path, project: Project) -> str:
    """The project's folder as seen from where the framework is started, with a slash; empty for itself."""
    return "" if place == project.path else os.path.relpath(project.path, place) + "/"
