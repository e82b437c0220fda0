"""Which tests end now so, now so: the tests are run three times, once in a random order, before anything is changed.

What differs is listed and never judged, neither as broken nor as mended. A test that fails for the first time later
is run again alone before its failure counts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from air_executor.fixing.check import Kind, Project, Selection
from air_executor.fixing.checking.running import Options, run_checks
from air_executor.fixing.checking.testing import mark_unstable
from air_executor.fixing.files import Files
from air_executor.fixing.outcome import CheckResult, TestEnd, TestResult

__all__ = ["Baseline", "Confirmed", "Failure", "FlakyTest", "Incomplete", "baseline", "confirm", "new_failures"]

TESTS: Final[frozenset[Kind]] = frozenset({"tests"})
RUNS: Final = ("in its own order", "in its own order again", "in a random order")


class FlakyTest(Struct, kw_only=True, frozen=True):
    """A test that did not always end alike."""

    check: str
    project: str
    id: str
    ends: tuple[TestEnd, ...]
    """In the order of the runs, of those in which the check could run; the last may be the one in random order."""

    @property
    def by_order(self) -> bool:
        """Whether only the random order made a difference."""
        return len(self.ends) == len(RUNS) and self.ends[0] == self.ends[1]


class Incomplete(Struct, kw_only=True, frozen=True):
    """A check of tests without all three runs: what it tells of flaky tests is less than it might be."""

    check: str
    project: str
    run: str
    reason: str


class Baseline(Struct, kw_only=True, frozen=True):
    """How the tests end before anything is changed."""

    seed: int
    """Of the random order, so that it can be had again."""
    results: tuple[CheckResult, ...]
    """Of the first run, with the tests marked whose names were not the same in all runs."""
    flaky: tuple[FlakyTest, ...]
    unstable: tuple[str, ...]
    """Ids of tests that are not judged because of their names."""
    incomplete: tuple[Incomplete, ...]

    def judged(self, check: str, project: str, test: TestResult) -> bool:
        """Whether the end of a test says anything."""
        return not test.unstable and (check, project, test.id) not in {
            (one.check, one.project, one.id) for one in self.flaky
        }


class Failure(Struct, frozen=True):
    """A test that failed, by which check of which project."""

    check: str
    project: str
    id: str


class Confirmed(Struct, kw_only=True, frozen=True):
    """A failing test after it was run alone."""

    failure: Failure
    end: TestEnd | None
    """None: it could not be run alone, and `reason` says why."""
    counts: bool | None
    """Whether the failure is real: it failed alone too. False: it passed, so that it is flaky or depends on other
    tests. None: not known."""
    reason: str | None = None


def baseline(
    projects: Sequence[Project],
    options: Options,
    *,
    files: Files | None = None,
    folder: Path | None = None,
    seed: int | None = None,
    told: Callable[[str, CheckResult], None] | None = None,
) -> Baseline:
    """Run all tests three times. The first run may be known already; the others are really made.

    `told` hears of each result, with the words for its run.
    """
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    tell = told or (lambda _run, _result: None)
    first = msgspec.structs.replace(options, kinds=TESTS, selection=None)
    again = msgspec.structs.replace(first, use_cache=False)
    shuffled = msgspec.structs.replace(again, selection=Selection(seed=seed))
    runs = []
    for words, how in zip(RUNS, (first, again, shuffled), strict=True):

        def hear(result: CheckResult, words: str = words) -> None:
            tell(words, result)

        found = run_checks(projects, how, files=files, folder=folder, told=hear)
        runs.append({(result.check, result.project): result for result in found})
    return _compared(runs, seed)


def _compared(runs: Sequence[Mapping[tuple[str, str], CheckResult]], seed: int) -> Baseline:
    """What three runs of the same checks say together."""
    results, flaky, unstable, incomplete = [], [], [], []
    for key, first in runs[0].items():
        complete = []
        for words, run in zip(RUNS, runs, strict=True):
            result = run.get(key)
            if result is None or result.tests is None:
                reason = (result.reason if result is not None else None) or "it told of no tests"
                incomplete.append(Incomplete(check=key[0], project=key[1], run=words, reason=reason))
            else:
                complete.append(result.tests)
        if first.tests is None:
            results.append(first)
            continue
        ids = [{test.id for test in tests} for tests in complete]
        tests = mark_unstable(first.tests, *ids)
        results.append(_with_tests(first, tests))
        unstable += [test.id for test in tests if test.unstable]
        ends = [{test.id: test.end for test in tests} for tests in complete]
        for test in tests:
            its = tuple(run[test.id] for run in ends) if not test.unstable else ()
            if len(set(its)) > 1:
                flaky.append(FlakyTest(check=key[0], project=key[1], id=test.id, ends=its))
    return Baseline(
        seed=seed,
        results=tuple(results),
        flaky=tuple(flaky),
        unstable=tuple(unstable),
        incomplete=tuple(incomplete),
    )


def _with_tests(result: CheckResult, tests: list[TestResult]) -> CheckResult:
    return msgspec.structs.replace(result, tests=tests)


def new_failures(before: Baseline, after: Iterable[CheckResult]) -> list[Failure]:
    """Tests that fail now and did not before: those that passed, were skipped, or were not there.

    Tests that are not judged are left out.
    """
    known = {
        (result.check, result.project, test.id)
        for result in before.results
        for test in result.tests or ()
        if test.end in ("failed", "error")
    }
    return [
        Failure(result.check, result.project, test.id)
        for result in after
        for test in result.tests or ()
        if test.end in ("failed", "error")
        and (result.check, result.project, test.id) not in known
        and before.judged(result.check, result.project, test)
    ]


def confirm(
    projects: Sequence[Project],
    options: Options,
    failures: Iterable[Failure],
    *,
    files: Files | None = None,
    folder: Path | None = None,
) -> list[Confirmed]:
    """Each failing test once more, by itself, all as tasks of one job; in the order given."""
    wanted = list(failures)
    by_root = {(project.language, project.root): project for project in projects}
    found: dict[Failure, Confirmed] = {}
    for check in dict.fromkeys(failure.check for failure in wanted):
        asked = []
        for failure in dict.fromkeys(one for one in wanted if one.check == check):
            project = by_root.get((check.partition("/")[0], failure.project))
            if project is None:
                found[failure] = Confirmed(failure=failure, end=None, counts=None, reason="its project is gone")
                continue
            asked.append((failure, msgspec.structs.replace(project, selection=Selection(tests=(failure.id,)))))
        only = msgspec.structs.replace(options, kinds=TESTS, only=frozenset({check}), selection=None, use_cache=False)
        alone: list[CheckResult | None] = [
            *run_checks([project for _, project in asked], only, files=files, folder=folder)
        ]
        for (failure, _), result in zip(asked, alone or [None] * len(asked), strict=True):
            found[failure] = _judged(failure, result)
    return [found[failure] for failure in wanted]


def _judged(failure: Failure, result: CheckResult | None) -> Confirmed:
    if result is None:
        return Confirmed(failure=failure, end=None, counts=None, reason="tests may not be run, only static checks")
    if result.tests is None:
        return Confirmed(failure=failure, end=None, counts=None, reason=result.reason)
    end = next((test.end for test in result.tests if test.id == failure.id), None)
    if end is None:
        return Confirmed(failure=failure, end=None, counts=None, reason="it is not there when asked for alone")
    if end == "skipped":
        return Confirmed(failure=failure, end=end, counts=None, reason="it is skipped when run alone")
    return Confirmed(failure=failure, end=end, counts=end in ("failed", "error"))
