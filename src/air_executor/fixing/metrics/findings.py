"""What is too much of what was measured, as issues, and how much of the code keeps within the thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from air_executor.fixing.configuration.sections import HealthCheck
from air_executor.fixing.issue import Issue, fingerprint, with_fingerprints
from air_executor.fixing.metrics.measures import FileMetrics, FunctionMetrics, ProjectMetrics
from air_executor.fixing.outcome import Coverage, FileCoverage
from air_executor.fixing.sources import SourceLines

__all__ = ["RULES", "TOOL", "Thresholds", "Within", "coverage_gaps", "find", "within"]

TOOL: Final = "metrics"
RULES: Final = {
    "file-too-long": "a file has more lines than `file_size_threshold`",
    "function-too-long": "a function has more lines than `function_length_threshold`",
    "too-complex": "the cyclomatic complexity of a function is above `complexity_threshold`",
    "too-nested": "more control structures than `nesting_threshold` stand in each other",
    "duplicated-code": "a block of at least `duplication_threshold` lines of code stands twice",
    "coverage-gap": "tests run through less of a file than `coverage_threshold` percent",
}


class Thresholds(Struct, kw_only=True, frozen=True):
    """What is just allowed. The numbers of the configuration have the same meaning."""

    file_lines: int = 300
    function_lines: int = 60
    complexity: int = 15
    nesting: int = 4
    duplicate_lines: int = 15
    """So many lines of code in two places are too many; one less is not."""
    coverage_percent: float = 80.0

    @classmethod
    def of(cls, section: HealthCheck) -> Thresholds:
        """As the configuration has them, for one language or for all."""
        return cls(
            file_lines=section.file_size_threshold,
            function_lines=section.function_length_threshold,
            complexity=section.complexity_threshold,
            nesting=section.nesting_threshold,
            duplicate_lines=section.duplication_threshold,
            coverage_percent=section.coverage_threshold,
        )


class Within(Struct, kw_only=True, frozen=True):
    """Of the files and functions that are known, how many keep within the thresholds."""

    files: int
    files_within: int
    functions: int
    functions_within: int
    unknown: int
    """Files of which something is not known; what is known of them counts."""


def find(metrics: ProjectMetrics, thresholds: Thresholds, repository: Path) -> list[Issue]:
    """Issues with fingerprints, in order of their places."""
    return _known([*_too_much(metrics, thresholds)], repository)


def coverage_gaps(coverage: Coverage, thresholds: Thresholds, repository: Path) -> list[Issue]:
    """One for each file that tests run through too little of, at the first line they do not reach."""
    low = [file for file in coverage.files if file.missing and _percent(file) < thresholds.coverage_percent]
    return _known([_gap(file) for file in low], repository)


def within(metrics: ProjectMetrics, thresholds: Thresholds) -> Within:
    """Shares for the quality of the code. A file with a block that stands elsewhere too is not within."""
    copies = {one.path for one in metrics.duplicates or () if one.code_lines >= thresholds.duplicate_lines}
    known = [file for file in metrics.files if file.lines is not None]
    functions = [function for file in metrics.files for function in file.functions or ()]
    return Within(
        files=len(known),
        files_within=sum((file.lines or 0) <= thresholds.file_lines and file.path not in copies for file in known),
        functions=len(functions),
        functions_within=sum(not any(_of_function(one, thresholds)) for one in functions),
        unknown=len(metrics.unknown),
    )


def _known(issues: list[Issue], repository: Path) -> list[Issue]:
    return with_fingerprints(issues, SourceLines(repository))


def _too_much(metrics: ProjectMetrics, thresholds: Thresholds) -> Iterator[Issue]:
    for file in metrics.files:
        if file.lines is not None and file.lines > thresholds.file_lines:
            message = f"{file.lines} lines, more than {thresholds.file_lines}"
            yield Issue(tool=TOOL, rule="file-too-long", severity="warning", message=message, path=file.path)
        for function in file.functions or ():
            for rule, message in _of_function(function, thresholds):
                yield _issue(file, function, rule, message)
    for one in metrics.duplicates or ():
        if one.code_lines >= thresholds.duplicate_lines:
            yield Issue(
                tool=TOOL,
                rule="duplicated-code",
                severity="warning",
                message=f"{one.code_lines} lines of code stand in {one.of_path}:{one.of_line}-{one.of_end_line} too",
                path=one.path,
                line=one.line,
                end_line=one.end_line,
            )


def _of_function(function: FunctionMetrics, thresholds: Thresholds) -> Iterator[tuple[str, str]]:
    """Rules that a function breaks, with what to say."""
    measured: Iterable[tuple[str, int | None, int, str]] = (
        ("function-too-long", function.lines, thresholds.function_lines, "{} lines"),
        ("too-complex", function.complexity, thresholds.complexity, "cyclomatic complexity {}"),
        ("too-nested", function.nesting, thresholds.nesting, "control structures {} deep"),
    )
    for rule, value, limit, told in measured:
        if value is not None and value > limit:
            yield rule, f"{function.name}: {told.format(value)}, more than {limit}"


def _issue(file: FileMetrics, function: FunctionMetrics, rule: str, message: str) -> Issue:
    return Issue(
        tool=TOOL,
        rule=rule,
        severity="warning",
        message=message,
        path=file.path,
        line=function.line,
        end_line=function.end_line,
    )


def _percent(file: FileCoverage) -> float:
    """100 where there is nothing that could be covered."""
    return 100.0 * (file.lines - len(file.missing)) / file.lines if file.lines else 100.0


def _gap(file: FileCoverage) -> Issue:
    return Issue(
        tool="coverage",
        rule="coverage-gap",
        severity="info",
        message=(
            f"tests run through {file.lines - len(file.missing)} of {file.lines} lines ({_percent(file):.0f}%); "
            f"not through {_ranges(file.missing)}"
        ),
        path=file.path,
        line=min(file.missing),
        # Which lines those are changes with every test that is written; the gap stays the same.
        fingerprint=fingerprint("coverage", "coverage-gap", file.path),
    )


def _ranges(lines: Iterable[int], most: int = 5) -> str:
    """`3-5, 9, …`"""
    parts: list[list[int]] = []
    for line in sorted(lines):
        if parts and parts[-1][1] == line - 1:
            parts[-1][1] = line
        else:
            parts.append([line, line])
    words = [str(first) if first == last else f"{first}-{last}" for first, last in parts[:most]]
    return ", ".join(words + (["…"] if len(parts) > most else []))
