"""Whether a project is done, by `completion_criteria`."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from air_executor.fixing.configuration.config import CompletionCriteria
from air_executor.fixing.health.completion import unmet
from air_executor.fixing.health.health import Health
from air_executor.fixing.issue import Issue
from air_executor.fixing.outcome import CheckResult
from tests.fixing.healths import health

LINT = Issue(tool="ruff", rule="F401", severity="error", message="m", path="a.py", fingerprint="1")
TYPES = Issue(tool="mypy", rule="arg-type", severity="error", message="m", path="a.py", fingerprint="2")
USUAL = CompletionCriteria()


def done(**more: Any) -> Health:
    """One in which all is well, but for what is given."""
    found = health()
    assert found.dynamic is not None
    well = replace(found, issues=(), results=(), dynamic=replace(found.dynamic, pass_rate=1.0))
    return replace(well, **more)


def test_all_is_well() -> None:
    assert unmet(done(), USUAL) == []


def test_warnings_may_be_left() -> None:
    left = (replace(LINT, severity="warning"), replace(TYPES, severity="info"))

    assert unmet(done(issues=left), USUAL) == []


def test_errors_may_not() -> None:
    found = done(issues=(LINT, TYPES))

    assert unmet(found, USUAL) == [
        "compilers and type checkers find 1 error",
        "linters find 1 error, at most 0 may be left",
    ]
    assert unmet(found, CompletionCriteria(build_passes=False, max_lint_errors=1)) == []


@pytest.mark.parametrize(("kind", "counts"), [("lint", True), ("format", True), ("types", True), ("metrics", False)])
def test_what_could_not_run_is_not_done(kind: str, counts: bool) -> None:
    lost = CheckResult(
        check="python/x", project=".", kind=kind, outcome="could_not_run", reason="it is not installed"
    )

    assert bool(unmet(done(results=(lost,)), USUAL)) is counts


def test_a_type_checker_that_could_not_run_matters_only_if_its_errors_do() -> None:
    lost = CheckResult(check="python/mypy", project=".", kind="types", outcome="could_not_run", reason="gone")

    assert unmet(done(results=(lost,)), CompletionCriteria(build_passes=False)) == []


def test_too_few_tests_pass() -> None:
    found = done()
    assert found.dynamic is not None
    found = replace(found, dynamic=replace(found.dynamic, pass_rate=0.949))

    assert unmet(found, USUAL) == ["94.9% of the tests pass, 95% have to"]
    assert unmet(found, CompletionCriteria(min_test_pass_rate=0.949)) == []


def test_tests_that_were_not_run_pass_nothing() -> None:
    found = done(dynamic=None, dynamic_skipped="there are none")

    assert unmet(found, USUAL) == ["tests were not run: there are none"]
    assert unmet(found, CompletionCriteria(min_test_pass_rate=0)) == []
    unknown = done()
    assert unknown.dynamic is not None
    unknown = replace(unknown, dynamic=replace(unknown.dynamic, pass_rate=None))
    assert unmet(unknown, USUAL) == ["how many tests pass is not known"]
