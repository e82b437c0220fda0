"""What a run of tests tells beside each test's end: how many of each kind, how long, how many pass."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from air_executor.fixing.outcome import TestResult

__all__ = ["KINDS", "KindMetrics", "SlowTest", "TestKind", "TestMetrics", "kind_of", "measure_tests"]

TestKind = Literal["unit", "integration", "e2e"]
KINDS: Final[tuple[TestKind, ...]] = ("unit", "integration", "e2e")
ANYWHERE: Final[tuple[tuple[TestKind, re.Pattern[str]], ...]] = (
    ("e2e", re.compile(r"(?:^|[/._-])(?:e2e|end[._-]?to[._-]?end)(?:[/._-]|tests?\b|$)")),
    ("integration", re.compile(r"(?:^|[/._-])integration(?:[/._-]|tests?\b|$)")),
)
"""In the path of a test, in lower case."""
FOLDERS: Final[tuple[tuple[TestKind, frozenset[str]], ...]] = (
    ("e2e", frozenset({"acceptance", "browser", "cypress", "playwright", "system"})),
    ("integration", frozenset({"contract", "functional"})),
)
"""Folders below one of tests; elsewhere they hold what is tested."""
TESTS: Final = frozenset({"test", "tests", "spec", "specs", "__tests__"})
SLOWEST: Final = 10


class KindMetrics(Struct, kw_only=True, frozen=True):
    """Tests of one kind. Those that are not judged, because their names change, are in none of these numbers."""

    kind: TestKind
    tests: int
    passed: int
    failed: int
    skipped: int
    """Skipped, and failed as expected: neither good nor bad."""
    duration_s: float
    pass_rate: float | None
    """Passed of passed and failed; None where there are neither."""


class SlowTest(Struct, frozen=True):
    """One of the tests that take longest."""

    id: str
    duration_s: float


class TestMetrics(Struct, kw_only=True, frozen=True):
    """All tests of a run."""

    __test__ = False  # for pytest, which takes the name for its own

    tests: int
    passed: int
    failed: int
    skipped: int
    unstable: int
    """Not judged, because their names change."""
    uncollected: int
    """Files whose tests could not be collected: how many tests that are is not known. They count as failed."""
    duration_s: float
    """Of the tests one after the other, unstable ones too."""
    pass_rate: float | None
    kinds: tuple[KindMetrics, ...]
    """Those of which there are tests."""
    slowest: tuple[SlowTest, ...]


def kind_of(test: TestResult) -> TestKind:
    """By the names of its folders and its file: `tests/e2e/test_a.py`, `a.integration.test.ts`. A test whose place
    says nothing is a unit test, but for those of Rust in a crate's `tests`, which stand outside of it."""
    path = test.file.lower()
    for kind, pattern in ANYWHERE:
        if pattern.search(path):
            return kind
    folders = path.split("/")[:-1]
    below = next((folders[number + 1 :] for number, name in enumerate(folders) if name in TESTS), [])
    for kind, names in FOLDERS:
        if names.intersection(below):
            return kind
    if test.framework == "cargo" and "tests" in folders:
        return "integration"
    return "unit"


def measure_tests(results: Iterable[TestResult]) -> TestMetrics:
    """Of the results of one run, or of several of different tests."""
    everything = [*results]
    judged = [test for test in everything if not test.unstable]
    passed, failed, skipped = _ends(judged)
    by_kind: dict[TestKind, list[TestResult]] = {kind: [] for kind in KINDS}
    for test in judged:
        by_kind[kind_of(test)].append(test)
    slowest = sorted((test for test in everything if test.duration_s), key=lambda test: (-test.duration_s, test.id))
    return TestMetrics(
        tests=len(everything),
        passed=passed,
        failed=failed,
        skipped=skipped,
        unstable=len(everything) - len(judged),
        uncollected=sum(not test.name for test in everything),
        duration_s=round(sum(test.duration_s for test in everything), 3),
        pass_rate=_rate(passed, failed),
        kinds=tuple(_of_kind(kind, tests) for kind, tests in by_kind.items() if tests),
        slowest=tuple(SlowTest(test.id, round(test.duration_s, 3)) for test in slowest[:SLOWEST]),
    )


def _of_kind(kind: TestKind, tests: Sequence[TestResult]) -> KindMetrics:
    passed, failed, skipped = _ends(tests)
    return KindMetrics(
        kind=kind,
        tests=len(tests),
        passed=passed,
        failed=failed,
        skipped=skipped,
        duration_s=round(sum(test.duration_s for test in tests), 3),
        pass_rate=_rate(passed, failed),
    )


def _ends(tests: Sequence[TestResult]) -> tuple[int, int, int]:
    ends = [test.end for test in tests]
    passed = sum(end in ("passed", "xpassed") for end in ends)
    failed = sum(end in ("failed", "error") for end in ends)
    return passed, failed, len(ends) - passed - failed


def _rate(passed: int, failed: int) -> float | None:
    return passed / (passed + failed) if passed + failed else None
