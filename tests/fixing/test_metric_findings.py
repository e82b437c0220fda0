"""What counts as too much, and how much keeps within; what a run of tests tells."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_executor.fixing.configuration.sections import HealthCheck
from air_executor.fixing.metrics.findings import RULES, Thresholds, Within, coverage_gaps, find, within
from air_executor.fixing.metrics.measure import Asked, measure
from air_executor.fixing.metrics.measures import FileMetrics, FunctionMetrics, ProjectMetrics
from air_executor.fixing.metrics.tests import kind_of, measure_tests
from air_executor.fixing.outcome import Coverage, FileCoverage, TestEnd, TestResult
from tests.fixing.conftest import ROOT, Write

BLOCK = "".join(f"    value_{number} = call(one, two, {number})\n" for number in range(20))
NESTED = """\
def nested(a, b):
    for c in a:
        if c:
            while b:
                if c and b or a:
                    return 1
"""
FILES = {"a.py": f"def long():\n{BLOCK}", "b.py": f"{NESTED}\n\ndef copied():\n{BLOCK}    return 2\n"}
LOW = Thresholds(file_lines=25, function_lines=20, complexity=6, nesting=3, duplicate_lines=20)


def metrics_of(place: Path) -> ProjectMetrics:
    return measure(Asked(str(place), ("a.py", "b.py")))


def found(place: Path, thresholds: Thresholds) -> list[tuple[str, str, int]]:
    return [(issue.rule, issue.path, issue.line) for issue in find(metrics_of(place), thresholds, place)]


def test_each_rule(repository: Write):
    place = repository(FILES)
    issues = find(metrics_of(place), LOW, place)
    assert [(issue.rule, issue.path, issue.line, issue.end_line) for issue in issues] == [
        ("function-too-long", "a.py", 1, 21),
        ("file-too-long", "b.py", 0, None),
        ("too-complex", "b.py", 1, 6),
        ("too-nested", "b.py", 1, 6),
        ("function-too-long", "b.py", 9, 30),
        ("duplicated-code", "b.py", 10, 29),
    ]
    assert {issue.severity for issue in issues} == {"warning"}
    assert {issue.rule for issue in issues} <= set(RULES)
    assert [issue.message for issue in issues] == [
        "long: 21 lines, more than 20",
        "30 lines, more than 25",
        "nested: cyclomatic complexity 7, more than 6",
        "nested: control structures 4 deep, more than 3",
        "copied: 22 lines, more than 20",
        "20 lines of code stand in a.py:2-21 too",
    ]
    assert len({issue.fingerprint for issue in issues}) == len(issues)


@pytest.mark.parametrize(
    ("key", "value", "rule", "left"),
    [
        ("file_size_threshold", 30, "file-too-long", 0),
        ("file_size_threshold", 29, "file-too-long", 1),
        ("function_length_threshold", 22, "function-too-long", 0),
        ("function_length_threshold", 21, "function-too-long", 1),
        ("function_length_threshold", 20, "function-too-long", 2),
        ("complexity_threshold", 7, "too-complex", 0),
        ("complexity_threshold", 6, "too-complex", 1),
        ("nesting_threshold", 4, "too-nested", 0),
        ("nesting_threshold", 3, "too-nested", 1),
        ("duplication_threshold", 21, "duplicated-code", 0),
        ("duplication_threshold", 20, "duplicated-code", 1),
    ],
)
def test_each_threshold_of_the_configuration(repository: Write, key: str, value: int, rule: str, left: int):
    thresholds = Thresholds.of(HealthCheck(**{key: value}))  # type: ignore[arg-type]
    rules = Counter(rule for rule, _, _ in found(repository(FILES), thresholds))
    assert rules[rule] == left


def test_the_rules_are_told_of():
    page = (ROOT / "docs" / "fixing.md").read_text()
    section = page.partition("## Code metrics")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    assert [cells[1].strip(" `") for cells in rows] == list(RULES)
    for cells in rows:
        key = cells[3].strip(" `")
        assert key in HealthCheck.__struct_fields__
        assert f"`{key}`" in RULES[cells[1].strip(" `")]


def test_the_defaults_are_those_of_the_configuration():
    assert Thresholds() == Thresholds.of(HealthCheck())


def test_fingerprints_survive_lines_that_are_inserted(repository: Write):
    place = repository(FILES)
    before = find(metrics_of(place), LOW, place)
    (place / "b.py").write_text("import os\n\n\n" + FILES["b.py"])
    after = find(metrics_of(place), LOW, place)
    assert {issue.fingerprint for issue in after} == {issue.fingerprint for issue in before}
    assert [issue.line for issue in after] != [issue.line for issue in before]


def numbers(share: Within) -> tuple[int, int, int, int, int]:
    return share.files, share.files_within, share.functions, share.functions_within, share.unknown


def test_what_is_within(repository: Write):
    place = repository(FILES)
    metrics = metrics_of(place)
    assert within(metrics, Thresholds()) == Within(
        files=2, files_within=1, functions=3, functions_within=3, unknown=0
    )
    assert within(metrics, LOW) == Within(files=2, files_within=1, functions=3, functions_within=0, unknown=0)
    lenient = msgspec.structs.replace(LOW, duplicate_lines=21, file_lines=30, function_lines=21)
    assert numbers(within(metrics, lenient)) == (2, 2, 3, 1, 0)


def test_what_is_not_known_is_neither_too_much_nor_within():
    function = FunctionMetrics(name="f", line=1, end_line=2, complexity=1, nesting=None, parameters=0)
    metrics = ProjectMetrics(
        files=(
            FileMetrics(path="a.dart", lines=10, unknown="complexity: not known"),
            FileMetrics(path="b.dart", lines=None, unknown="it cannot be read"),
            FileMetrics(path="c.js", lines=2, functions=(function,), unknown="nesting: not known"),
        ),
        duplicates=None,
        code_lines=None,
    )
    assert find(metrics, Thresholds(file_lines=1, function_lines=2, nesting=1), Path("/nowhere"))[0].path == "a.dart"
    assert within(metrics, Thresholds()) == Within(
        files=2, files_within=2, functions=1, functions_within=1, unknown=3
    )
    assert list(metrics.unknown) == ["a.dart", "b.dart", "c.js"]
    assert metrics.duplicated_lines is None


def test_coverage_gaps(repository: Write):
    place = repository({"a.py": "x\n" * 20, "b.py": "y\n", "c.py": ""})
    files = (
        FileCoverage("a.py", 10, (3, 4, 5, 9, 11, 12, 14, 16, 18)),
        FileCoverage("b.py", 10, (1, 2)),
        FileCoverage("c.py", 0, ()),
    )
    coverage = Coverage(9, 20, files)
    (gap,) = coverage_gaps(coverage, Thresholds(), place)
    assert (gap.rule, gap.tool, gap.path, gap.line, gap.severity) == ("coverage-gap", "coverage", "a.py", 3, "info")
    assert gap.message == "tests run through 1 of 10 lines (10%); not through 3-5, 9, 11-12, 14, 16, …"
    assert [issue.path for issue in coverage_gaps(coverage, Thresholds(coverage_percent=80.1), place)] == [
        "a.py",
        "b.py",
    ]
    assert coverage_gaps(coverage, Thresholds(coverage_percent=10), place) == []
    less = Coverage(9, 20, (FileCoverage("a.py", 10, (4, 5, 9, 11, 12, 14, 16, 18)),))
    assert coverage_gaps(less, Thresholds(), place)[0].fingerprint == gap.fingerprint


@pytest.mark.parametrize(
    ("path", "framework", "kind"),
    [
        ("tests/test_a.py", "pytest", "unit"),
        ("src/integrations/github.test.ts", "vitest", "unit"),
        ("src/browser/window.test.ts", "vitest", "unit"),
        ("tests/test_file_system.py", "pytest", "unit"),
        ("tests/unit/test_e2ee.py", "pytest", "unit"),
        ("tests/integration/test_a.py", "pytest", "integration"),
        ("test/test_integration.py", "pytest", "integration"),
        ("src/a.integration.test.ts", "jest", "integration"),
        ("db_integration_test.go", "go", "integration"),
        ("integration_test/app_test.dart", "flutter", "integration"),
        ("tests/functional/test_a.py", "pytest", "integration"),
        ("tests/api.rs", "cargo", "integration"),
        ("src/lib.rs", "cargo", "unit"),
        ("tests/e2e/test_a.py", "pytest", "e2e"),
        ("web/cypress/e2e/login.cy.ts", "cypress", "e2e"),
        ("tests/end_to_end/test_a.py", "pytest", "e2e"),
        ("app.e2e-spec.ts", "jest", "e2e"),
        ("tests/browser/test_page.py", "pytest", "e2e"),
    ],
)
def test_kinds_of_tests(path: str, framework: str, kind: str):
    assert kind_of(TestResult(framework=framework, file=path, name="t", end="passed")) == kind


def case(
    name: str, end: TestEnd, file: str = "tests/test_a.py", seconds: float = 0.0, unstable: bool = False
) -> TestResult:
    return TestResult(framework="pytest", file=file, name=name, end=end, duration_s=seconds, unstable=unstable)


def test_metrics_of_tests():
    e2e = "tests/e2e/test_b.py"
    metrics = measure_tests(
        [
            case("a", "passed", seconds=1.0),
            case("b", "failed", seconds=3.0),
            case("c", "skipped"),
            case("d", "xfailed"),
            case("e", "xpassed"),
            case("", "error", file="tests/test_broken.py"),
            case("f", "passed", file=e2e, seconds=2.0),
            case("g", "failed", unstable=True, seconds=0.5),
        ]
    )
    assert (metrics.tests, metrics.passed, metrics.failed, metrics.skipped) == (8, 3, 2, 2)
    assert (metrics.unstable, metrics.uncollected, metrics.duration_s) == (1, 1, 6.5)
    assert metrics.pass_rate == 3 / 5
    unit, end_to_end = metrics.kinds
    assert (unit.kind, unit.tests, unit.passed, unit.failed, unit.skipped, unit.duration_s) == (
        "unit",
        6,
        2,
        2,
        2,
        4.0,
    )
    assert unit.pass_rate == 0.5
    assert (end_to_end.kind, end_to_end.tests, end_to_end.pass_rate, end_to_end.duration_s) == ("e2e", 1, 1.0, 2.0)
    assert [slow.duration_s for slow in metrics.slowest] == [3.0, 2.0, 1.0, 0.5]
    assert metrics.slowest[0].id == "tests/test_a.py::b"


def test_no_rate_is_made_up():
    assert measure_tests([]).pass_rate is None
    assert measure_tests([]).kinds == ()
    assert measure_tests([case("a", "skipped")]).pass_rate is None
    assert measure_tests([case("a", "skipped")]).kinds[0].pass_rate is None
    assert measure_tests([case("a", "passed", unstable=True)]).pass_rate is None


ENDS = st.sampled_from(["passed", "failed", "error", "skipped", "xfailed", "xpassed"])
PLACES = st.sampled_from(["tests/test_a.py", "tests/e2e/test_a.py", "tests/integration/test_b.py"])
CASES = st.builds(case, st.sampled_from(["a", "b", ""]), ENDS, PLACES, st.floats(0, 9), st.booleans())


@given(st.lists(CASES, max_size=30))
def test_every_test_is_counted_once(results: list[TestResult]):
    metrics = measure_tests(results)
    assert metrics.passed + metrics.failed + metrics.skipped + metrics.unstable == metrics.tests == len(results)
    for name in ("passed", "failed", "skipped"):
        assert sum(getattr(kind, name) for kind in metrics.kinds) == getattr(metrics, name)
    assert sum(kind.tests for kind in metrics.kinds) == metrics.tests - metrics.unstable
