"""The score: numbers that were measured, put together by the formula of the configuration.

A part that is not known makes every number None that depends on it, and a sentence says why; nothing takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from air_executor.fixing.check import Kind
from air_executor.fixing.configuration.sections import HealthCheck
from air_executor.fixing.issue import Issue
from air_executor.fixing.metrics.findings import Within
from air_executor.fixing.metrics.tests import measure_tests
from air_executor.fixing.outcome import CheckResult

__all__ = [
    "ANALYSIS",
    "DynamicHealth",
    "Quality",
    "StaticHealth",
    "dynamic_health",
    "formula",
    "overall_score",
    "percent",
    "quality_of",
    "static_health",
]

ANALYSIS: Final[frozenset[Kind]] = frozenset({"build", "lint", "format", "types"})
"""Kinds of checks that analyse; issues of these count as errors and warnings."""


class Quality(Struct, kw_only=True, frozen=True):
    """How much of the code keeps within the thresholds of the configuration.

    A file does if it is not too long and no block of it stands elsewhere too; a function if it is neither too long
    nor too complex nor nested too deeply. The score is the mean of the two shares, or where there are no functions
    that of the files.
    """

    files: int
    files_within: int
    functions: int
    functions_within: int
    incomplete: int
    """Files of which something could not be measured: what was counts."""
    score: float
    """0 to 1."""


class StaticHealth(Struct, kw_only=True, frozen=True):
    """What the analysers and the metrics say. None: not known, and `unknown` says why."""

    errors: int | None
    """Issues of severity `error` that builds, linters, formatters and type checkers found. None if one of these could
    not run."""
    errors_found: int
    """The same, of those that ran: there are at least so many."""
    warnings_found: int
    """Issues of the same checks that are no errors."""
    analysis: float | None
    """What the analysis adds to the score: its whole weight without errors, less with few, nothing with many."""
    quality: Quality | None
    score: float | None
    """0 to 1."""
    threshold: float
    """From which score on it passes and tests are worth running."""
    passed: bool | None
    unknown: tuple[str, ...] = ()
    """Which parts are not known and why, a sentence each."""


class DynamicHealth(Struct, kw_only=True, frozen=True):
    """What the tests say. None: not known, and `unknown` says why. Shares and scores are from 0 to 1."""

    tests: int
    """All that were reported, skipped ones too."""
    passed: int
    failed: int
    """Failures and errors."""
    skipped: int
    """Skipped, and failed as expected: neither good nor bad."""
    unstable: int
    """Not judged, since their names or their ends differ from run to run."""
    pass_rate: float | None
    """Passed of passed and failed."""
    covered: int
    lines: int
    coverage: float | None
    """Covered of coverable lines."""
    score: float | None
    untested: tuple[str, ...] = ()
    """Projects (`python in lib/one`) to which no check of tests applies: they are in none of these numbers."""
    unknown: tuple[str, ...] = ()


def percent(share: float | None) -> str:
    """To a tenth, and downward: 99.96% is not 100%."""
    return "unknown" if share is None else f"{math.floor(share * 1000 + 1e-6) / 10:g}%"


def _lost(results: Iterable[CheckResult]) -> list[str]:
    """A sentence for each check that could not run."""
    return [
        f"{result.check}{f' in {result.project}' if result.project != '.' else ''} could not run: {result.reason}"
        for result in results
        if result.outcome == "could_not_run"
    ]


def quality_of(measured: Iterable[Within]) -> Quality | None:
    """Of all projects together; None where there is no file."""
    files = files_within = functions = functions_within = incomplete = 0
    for one in measured:
        files, files_within = files + one.files, files_within + one.files_within
        functions, functions_within = functions + one.functions, functions_within + one.functions_within
        incomplete += one.unknown
    shares = [within / count for within, count in ((files_within, files), (functions_within, functions)) if count]
    if not files:
        return None
    return Quality(
        files=files,
        files_within=files_within,
        functions=functions,
        functions_within=functions_within,
        incomplete=incomplete,
        score=round(sum(shares) / len(shares), 6),
    )


def static_health(
    results: Sequence[CheckResult],
    issues: Iterable[Issue],
    measured: Iterable[Within],
    unknown: Iterable[str],
    config: HealthCheck,
) -> StaticHealth:
    """`results`: of the static checks; `issues`: those of the analysers; `unknown`: what else is not known of the
    analysis, such as a project that none of them looks at."""
    weights = config.weights
    severities = [issue.severity for issue in issues]
    found = severities.count("error")
    analysis_lost = [*_lost(result for result in results if result.kind in ANALYSIS), *unknown]
    if not any(result.kind in ANALYSIS for result in results) and not analysis_lost:
        analysis_lost.append("no analyser ran, so whether there are errors is not known")
    analysis: float | None = None
    if not analysis_lost:
        analysis = weights.analysis_few_errors if found < config.few_errors else 0.0
        analysis = analysis if found else weights.analysis
    metrics = [result for result in results if result.kind == "metrics"]
    metrics_lost = _lost(metrics)
    quality = quality_of(measured) if not metrics_lost else None
    if quality is None and not metrics_lost:
        metrics_lost.append("code quality is not known: " + ("no file" if metrics else "nothing") + " was measured")
    score = None
    if analysis is not None and quality is not None:
        score = round(analysis + weights.quality * quality.score, 6)
    return StaticHealth(
        errors=found if not analysis_lost else None,
        errors_found=found,
        warnings_found=len(severities) - found,
        analysis=analysis,
        quality=quality,
        score=score,
        threshold=config.static_pass_threshold,
        passed=score >= config.static_pass_threshold if score is not None else None,
        unknown=(*analysis_lost, *metrics_lost),
    )


def dynamic_health(
    results: Sequence[CheckResult], untested: Iterable[str], unknown: Iterable[str], config: HealthCheck
) -> DynamicHealth:
    """`results`: of the dynamic checks; `unknown`: what else is not known of them."""
    tests = measure_tests(test for result in results for test in result.tests or ())
    lost = [*_lost(results), *unknown]
    tests_lost = _lost(result for result in results if result.kind == "tests")
    rate = tests.pass_rate if not tests_lost else None
    if rate is None and not tests_lost:
        lost.append(f"the pass rate is not known: none of {tests.tests} tests passed or failed so that it counts")
    covers = [result.coverage for result in results if result.coverage is not None]
    covered, lines = sum(one.covered for one in covers), sum(one.lines for one in covers)
    coverage_lost = _lost(result for result in results if result.kind == "coverage")
    coverage = covered / lines if lines and not coverage_lost else None
    if coverage is None and not coverage_lost:
        why = "no line that could be covered was found" if covers else "no check of coverage ran"
        lost.append(f"the coverage is not known: {why}")
    score = None
    if rate is not None and coverage is not None:
        score = round(config.weights.pass_rate * rate + config.weights.coverage * coverage, 6)
    return DynamicHealth(
        tests=tests.tests,
        passed=tests.passed,
        failed=tests.failed,
        skipped=tests.skipped,
        unstable=tests.unstable,
        pass_rate=rate,
        covered=covered,
        lines=lines,
        coverage=coverage,
        score=score,
        untested=tuple(untested),
        unknown=tuple(lost),
    )


def overall_score(static: StaticHealth, dynamic: DynamicHealth | None, config: HealthCheck) -> float | None:
    """0 to 1. Without a dynamic part, static health alone counts, and for less."""
    weights = config.weights
    if static.score is None or (dynamic is not None and dynamic.score is None):
        return None
    if dynamic is None or dynamic.score is None:
        return round(weights.static_alone * static.score, 6)
    return round(weights.static * static.score + weights.dynamic * dynamic.score, 6)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}" if number else f"no {noun}s"


def formula(static: StaticHealth, dynamic: DynamicHealth | None, config: HealthCheck) -> tuple[str, ...]:
    """How the scores came about, a line each."""
    weights = config.weights
    quality = static.quality
    lines = []
    if quality is not None:
        files = f"{quality.files_within:,} of {quality.files:,} files"
        functions = f"{quality.functions_within:,} of {quality.functions:,} functions"
        parts = f"mean of {files} and {functions}" if quality.functions else files
        lines.append(f"quality {percent(quality.score)} = {parts} within the thresholds")
    errors = _counted(static.errors, "error") if static.errors is not None else "errors are not known"
    analysis = f"{static.analysis:g}" if static.analysis is not None else "unknown"
    lines.append(
        f"static {percent(static.score)} = {analysis} ({errors}) "
        f"+ {weights.quality:g} × {percent(quality.score if quality is not None else None)} (quality)"
    )
    if dynamic is None:
        lines.append(
            f"overall {percent(overall_score(static, None, config))} = {weights.static_alone:g} "
            f"× {percent(static.score)} (static; dynamic was skipped)"
        )
        return tuple(lines)
    rate = f"{dynamic.passed:,} of {dynamic.passed + dynamic.failed:,} tests"
    covered = f"{dynamic.covered:,} of {dynamic.lines:,} lines"
    lines += [
        f"dynamic {percent(dynamic.score)} = {weights.pass_rate:g} × {percent(dynamic.pass_rate)} ({rate} passed) "
        f"+ {weights.coverage:g} × {percent(dynamic.coverage)} ({covered} covered)",
        f"overall {percent(overall_score(static, dynamic, config))} = {weights.static:g} × {percent(static.score)} "
        f"(static) + {weights.dynamic:g} × {percent(dynamic.score)} (dynamic)",
    ]
    return tuple(lines)
