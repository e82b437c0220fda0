"""The formula, number by number; nothing that is not known is ever taken for a number."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_executor.fixing.configuration.sections import HealthCheck, Weights
from air_executor.fixing.health.score import (
    DynamicHealth,
    StaticHealth,
    dynamic_health,
    formula,
    overall_score,
    percent,
    quality_of,
    static_health,
)
from air_executor.fixing.issue import Issue
from air_executor.fixing.metrics.findings import Within
from air_executor.fixing.outcome import CheckResult, Coverage, TestResult

CONFIG = HealthCheck()


def result(kind: str = "lint", outcome: str = "ok", **more: Any) -> CheckResult:
    names = {"lint": "ruff", "types": "mypy", "tests": "pytest"}
    given = {
        "check": f"python/{names.get(kind, kind)}",
        "project": ".",
        "reason": None if outcome == "ok" else "gone",
    }
    return CheckResult(kind=kind, outcome=outcome, **{**given, **more})  # type: ignore[arg-type]


def issues(errors: int, warnings: int = 0) -> list[Issue]:
    severities = ["error"] * errors + ["warning"] * warnings
    return [Issue(tool="t", rule="r", severity=one, message="", path="a") for one in severities]  # type: ignore[arg-type]


def share(files_within: int, files: int = 100, functions_within: int = 0, functions: int = 0) -> Within:
    return Within(
        files=files, files_within=files_within, functions=functions, functions_within=functions_within, unknown=0
    )


METRICS = result("metrics")


def static(errors: int = 0, quality: int = 100, config: HealthCheck = CONFIG, *more: CheckResult) -> StaticHealth:
    return static_health([result(), METRICS, *more], issues(errors), [share(quality)], [], config)


def ended(*ends: str) -> list[TestResult]:
    return [TestResult(framework="pytest", file="t.py", name=f"t{n}", end=end) for n, end in enumerate(ends)]  # type: ignore[arg-type]


def dynamic(passed: int, failed: int, covered: int, lines: int, config: HealthCheck = CONFIG) -> DynamicHealth:
    ends = ["passed"] * passed + ["failed"] * failed
    found = [
        result("tests", tests=ended(*ends)),
        result("coverage", coverage=Coverage(covered=covered, lines=lines)),
    ]
    return dynamic_health(found, [], [], config)


@pytest.mark.parametrize(
    ("errors", "quality", "score", "passed"),
    [
        (0, 100, 1.0, True),
        (0, 0, 0.6, True),
        (1, 100, 0.7, True),
        (1, 75, 0.6, True),
        (1, 74, 0.596, False),
        (99, 50, 0.5, False),
        (100, 100, 0.4, False),
        (1_818, 47, 0.188, False),
    ],
)
def test_static(errors: int, quality: int, score: float, passed: bool):
    found = static(errors, quality)
    assert (found.errors, found.score, found.passed) == (errors, pytest.approx(score), passed)


def test_the_known_example():
    found = static(1_818, 47)
    assert formula(found, None, CONFIG) == (
        "quality 47% = 47 of 100 files within the thresholds",
        "static 18.8% = 0 (1,818 errors) + 0.4 × 47% (quality)",
        "overall 13.1% = 0.7 × 18.8% (static; dynamic was skipped)",
    )
    assert round(100 * (found.score or 0)) == 19
    assert round(100 * (overall_score(found, None, CONFIG) or 0)) == 13


def test_the_whole_formula():
    health = static_health([result(), METRICS], issues(1, 5), [share(9, 10, 30, 40), share(0, 10, 0, 0)], [], CONFIG)
    # Files 9 of 20, functions 30 of 40: the mean of 0.45 and 0.75 is 0.6.
    assert health.quality is not None
    assert health.quality.score == pytest.approx(0.6)
    assert (health.errors, health.warnings_found, health.score) == (1, 5, pytest.approx(0.54))
    ran = dynamic(19, 1, 1_234, 2_468)
    assert (ran.pass_rate, ran.coverage, ran.score) == (0.95, 0.5, pytest.approx(0.815))
    assert overall_score(health, ran, CONFIG) == pytest.approx(0.4 * 0.54 + 0.6 * 0.815)
    assert formula(health, ran, CONFIG) == (
        "quality 60% = mean of 9 of 20 files and 30 of 40 functions within the thresholds",
        "static 54% = 0.3 (1 error) + 0.4 × 60% (quality)",
        "dynamic 81.5% = 0.7 × 95% (19 of 20 tests passed) + 0.3 × 50% (1,234 of 2,468 lines covered)",
        "overall 70.5% = 0.4 × 54% (static) + 0.6 × 81.5% (dynamic)",
    )


WEIGHTS = {
    "analysis": 0.5,
    "analysis_few_errors": 0.1,
    "quality": 0.1,
    "pass_rate": 0.2,
    "coverage": 0.9,
    "static": 0.1,
    "dynamic": 0.1,
    "static_alone": 0.1,
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_weight_counts(name: str):
    other = HealthCheck(weights=Weights(**{name: WEIGHTS[name]}))
    seen = []
    for config in (CONFIG, other):
        clean, few = static(0, 50, config), static(1, 50, config)
        ran = dynamic(1, 1, 1, 4, config)
        seen.append([clean.score, few.score, overall_score(clean, ran, config), overall_score(clean, None, config)])
    assert seen[0] != seen[1]
    assert f"{WEIGHTS[name]:g}" in " ".join(
        " ".join(formula(one, two, other)) for one in (static(0, 50, other), static(1, 50, other))
        for two in (dynamic(1, 1, 1, 4, other), None)
    )  # fmt: skip


def test_few_errors_and_thresholds_count():
    assert static(10, 100, HealthCheck(few_errors=10)).score == pytest.approx(0.4)
    assert static(9, 100, HealthCheck(few_errors=10)).score == pytest.approx(0.7)
    assert static(9, 100, HealthCheck(static_pass_threshold=0.71)).passed is False
    assert static(9, 100, HealthCheck(static_pass_threshold=0.7)).passed is True


def test_a_check_that_could_not_run_is_not_clean():
    found = static(0, 100, CONFIG, result("types", "could_not_run", project="lib/one"))
    assert (found.errors, found.analysis, found.score, found.passed) == (None, None, None, None)
    assert found.errors_found == 0
    assert found.unknown == ("python/mypy in lib/one could not run: gone",)
    assert formula(found, None, CONFIG)[1:] == (
        "static unknown = unknown (errors are not known) + 0.4 × 100% (quality)",
        "overall unknown = 0.7 × unknown (static; dynamic was skipped)",
    )


def test_measures_that_could_not_be_taken():
    lost = static_health([result(), result("metrics", "could_not_run")], [], [], [], CONFIG)
    assert (lost.errors, lost.quality, lost.score) == (0, None, None)
    assert lost.unknown == ("python/metrics could not run: gone",)
    assert static_health([result()], [], [], [], CONFIG).unknown == (
        "code quality is not known: nothing was measured",
    )
    empty = static_health([result(), METRICS], [], [share(0, 0)], [], CONFIG)
    assert (empty.quality, empty.unknown) == (None, ("code quality is not known: no file was measured",))


def test_without_an_analyser_nothing_is_known_of_errors():
    found = static_health([METRICS], [], [share(1, 1)], [], CONFIG)
    assert (found.errors, found.score) == (None, None)
    assert found.unknown == ("no analyser ran, so whether there are errors is not known",)
    told = static_health([result(), METRICS], [], [share(1, 1)], ["no analyser applies to go"], CONFIG)
    assert (told.errors, told.score, told.unknown) == (None, None, ("no analyser applies to go",))


def test_tests_that_say_nothing():
    ends = ended("skipped", "xfailed")
    found = dynamic_health([result("tests", tests=ends), result("coverage", coverage=Coverage(1, 2))], [], [], CONFIG)
    assert (found.tests, found.skipped, found.pass_rate, found.score) == (2, 2, None, None)
    assert found.coverage == 0.5
    assert found.unknown == ("the pass rate is not known: none of 2 tests passed or failed so that it counts",)


def test_ends_of_tests():
    unstable = TestResult(framework="pytest", file="t.py", name="x", end="failed", unstable=True)
    found = dynamic_health(
        [
            result("tests", tests=[*ended("passed", "xpassed", "failed", "error", "skipped", "xfailed"), unstable]),
            result("tests", tests=ended("passed"), project="b"),
            result("coverage", coverage=Coverage(1, 2)),
        ],
        ["go in cmd"],
        [],
        CONFIG,
    )
    assert (found.tests, found.passed, found.failed, found.skipped, found.unstable) == (8, 3, 2, 2, 1)
    assert found.pass_rate == 0.6
    assert found.untested == ("go in cmd",)


@pytest.mark.parametrize(
    ("results", "known", "words"),
    [
        (
            [result("tests", "could_not_run"), result("coverage", "could_not_run")],
            (None, None),
            "pytest could not run",
        ),
        (
            [result("tests", tests=ended("passed")), result("coverage", "could_not_run")],
            (1.0, None),
            "coverage could",
        ),
        ([result("tests", tests=ended("passed"))], (1.0, None), "no check of coverage ran"),
        (
            [result("tests", tests=ended("passed")), result("coverage", coverage=Coverage(0, 0))],
            (1.0, None),
            "no line that could be covered",
        ),
        (
            [
                result("tests", tests=ended("passed")),
                result("tests", "could_not_run", project="b"),
                result("coverage", coverage=Coverage(2, 2)),
                result("coverage", "could_not_run", project="b"),
            ],
            (None, None),
            "in b could not run",
        ),
    ],
)
def test_what_is_not_known_of_tests(results: list[CheckResult], known: tuple[float | None, ...], words: str):
    found = dynamic_health(results, [], [], CONFIG)
    assert (found.pass_rate, found.coverage, found.score) == (*known, None)
    assert words in " ".join(found.unknown)
    assert overall_score(static(), found, CONFIG) is None
    assert formula(static(), found, CONFIG)[-1] == "overall unknown = 0.4 × 100% (static) + 0.6 × unknown (dynamic)"


def test_percent_is_never_rounded_up():
    assert [percent(share) for share in (1.0, 0.9999, 0.29, 0.57, 1 / 3, 0.0, None)] == [
        "100%", "99.9%", "29%", "57%", "33.3%", "0%", "unknown",
    ]  # fmt: skip


KINDS = st.sampled_from(["build", "lint", "format", "types", "metrics", "tests", "coverage"])


@given(
    st.lists(st.tuples(KINDS, st.booleans()), min_size=1, max_size=8),
    st.integers(0, 300),
    st.integers(0, 50),
    st.integers(0, 50),
)
def test_whatever_is_lost_no_number_is_made_up(checks: list[tuple[str, bool]], errors: int, within: int, passed: int):
    results = []
    for kind, good in checks:
        more: dict[str, Any] = {}
        if good and kind == "tests":
            more["tests"] = ended(*["passed"] * passed, "failed")
        if good and kind == "coverage":
            more["coverage"] = Coverage(within, 50)
        results.append(result(kind, "ok" if good else "could_not_run", **more))
    first = [one for one in results if one.kind not in ("tests", "coverage")]
    measured = [share(within, 50) for kind, good in checks if kind == "metrics" and good]
    found = static_health(first, issues(errors), measured, [], CONFIG)
    ran = dynamic_health([one for one in results if one not in first], [], [], CONFIG)
    overall = overall_score(found, ran, CONFIG)
    lost = [one for one in results if one.outcome == "could_not_run"]
    kinds = {one.kind for one in results if one not in lost}
    whole = not lost and kinds & {"build", "lint", "format", "types"} and {"metrics", "tests", "coverage"} <= kinds
    assert (overall is not None) == bool(whole)
    assert bool(found.unknown or ran.unknown) == (overall is None)
    if overall is not None:
        assert found.score is not None
        assert ran.score is not None
        assert 0 <= overall <= 1
        assert overall == pytest.approx(0.4 * found.score + 0.6 * ran.score, abs=1e-5)
    assert all(not re.search(r"None|nan", line) for line in formula(found, ran, CONFIG))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=5))
def test_quality_is_that_of_all_projects_together(numbers: list[tuple[int, int, int, int]]):
    parts = [share(min(a, b), b, min(c, d), d) for a, b, c, d in numbers]
    found = quality_of(parts)
    files, functions = sum(one.files for one in parts), sum(one.functions for one in parts)
    if not files:
        assert found is None
        return
    assert found is not None
    assert (found.files, found.functions) == (files, functions)
    assert 0 <= found.score <= 1
    everything = all(one.files_within == one.files and one.functions_within == one.functions for one in parts)
    assert (found.score == 1) == everything
