"""Healths to print: of a repository with some of everything, and what can be changed of it."""

from __future__ import annotations

from typing import Any

from air_executor.fixing.checking.running import Skipped
from air_executor.fixing.health.health import DynamicHealth, Health, ProjectSummary, Quality, StaticHealth
from air_executor.fixing.issue import Issue
from air_executor.fixing.metrics.measures import FileMetrics, FunctionMetrics, ProjectMetrics
from air_executor.fixing.metrics.tests import measure_tests
from air_executor.fixing.outcome import CheckResult, Coverage, TestResult
from air_executor.fixing.suppressions import Ledger, Suppression

__all__ = ["HOSTILE", "health", "issue"]

HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J\u202e\x07" + "long_name" * 30


def issue(rule: str, path: str, line: int = 1, **more: Any) -> Issue:
    given: dict[str, Any] = {
        "tool": "ruff",
        "severity": "error",
        "message": f"{rule} at {path}",
        "column": 1,
        "fingerprint": f"{rule}-{path}-{line}",
    }
    return Issue(rule=rule, path=path, line=line, **(given | more))


def _tests() -> list[TestResult]:
    ends = {"test_b": "failed", "test_c": "skipped"}
    return [
        TestResult(
            framework="pytest",
            file="tests/test_a.py",
            name=name,
            end=ends.get(name, "passed"),  # type: ignore[arg-type]
            message="assert 1 == 2" if name == "test_b" else "",
            duration_s=0.25 * number,
        )
        for number, name in enumerate(("test_a", "test_b", "test_c", "test_d"), 1)
    ]


def _metrics(files: int) -> ProjectMetrics:
    return ProjectMetrics(
        files=tuple(
            FileMetrics(
                path=f"src/part_{number}.py",
                lines=20 + 37 * number % 900,
                functions=(
                    FunctionMetrics(
                        name="f", line=1, end_line=9, complexity=1 + number * number % 31, nesting=2, parameters=1
                    ),
                ),
            )
            for number in range(files)
        ),
        duplicates=(),
        code_lines=1_000,
    )


def results(issues: list[Issue]) -> list[CheckResult]:
    """ruff with these findings, mypy that is missing, measures, tests and coverage."""
    return [
        CheckResult(
            check="python/ruff", project=".", kind="lint", outcome="findings", tool="/p/ruff", version="0.17.5",
            issues=issues, exit_code=1, duration_s=0.31,
        ),
        CheckResult(
            check="python/mypy", project=".", kind="types", outcome="could_not_run",
            reason="mypy is not there: neither the project nor PATH has it", mend="`pip install mypy`",
        ),
        CheckResult(
            check="python/metrics", project=".", kind="metrics", outcome="ok", version="1.24.3",
            metrics=_metrics(120), cached=True,
        ),
        CheckResult(
            check="python/pytest", project=".", kind="tests", outcome="findings", version="9.2.0", tests=_tests(),
            issues=[issue("test-failed", "tests/test_a.py", 7, tool="pytest")], exit_code=1, duration_s=2.5,
        ),
        CheckResult(
            check="python/coverage", project=".", kind="coverage", outcome="ok", version="7.17.3",
            coverage=Coverage(covered=712, lines=1_000), duration_s=0.5,
        ),
    ]  # fmt: skip


def health(**changed: Any) -> Health:
    """Static analysis with three errors and a missing tool, so that nothing can be said of the whole."""
    found = [
        issue("F401", "src/a.py", 3, safe_fix=True),
        issue("F401", "src/b c.py", 1, safe_fix=True),
        issue("E501", "src/deep/er/b.py", 10, severity="warning"),
        issue("F821", "src/a.py", 12),
    ]
    static = StaticHealth(
        errors=None,
        errors_found=3,
        warnings_found=1,
        analysis=None,
        quality=Quality(files=120, files_within=108, functions=120, functions_within=96, incomplete=0, score=0.85),
        score=None,
        threshold=0.6,
        passed=None,
        unknown=("python/mypy could not run: mypy is not there: neither the project nor PATH has it",),
    )
    dynamic = DynamicHealth(
        tests=4, passed=2, failed=1, skipped=1, unstable=0, pass_rate=2 / 3, covered=712, lines=1_000, coverage=0.712,
        score=0.7 * 2 / 3 + 0.3 * 0.712,
    )  # fmt: skip
    given: dict[str, Any] = {
        "repository": "/srv/code/thing",
        "at": "2026-01-02T03:04:05Z",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": True,
        "mode": "sandbox",
        "duration_s": 3.2,
        "projects": (
            ProjectSummary(root=".", language="python", manifest="pyproject.toml", workspace=None, files=120),
        ),
        "results": tuple(results(found)),
        "skipped": (Skipped("python/pyright", ".", "it was not asked for"),),
        "issues": (*found, issue("test-failed", "tests/test_a.py", 7, tool="pytest")),
        "static": static,
        "dynamic": dynamic,
        "dynamic_skipped": None,
        "overall": None,
        "healthy": None,
        "healthy_from": 0.8,
        "unknown": (*static.unknown, "no analyser applies to go in tools"),
        "suppressions": Ledger(
            entries=(
                Suppression(form="noqa", path="src/a.py", line=4, rules=("F401",)),
                Suppression(form="ruff per-file-ignores", path="pyproject.toml", line=9, in_config=True),
            ),
            counts={"noqa": 1, "ruff per-file-ignores": 1},
        ),
        "formula": ("dynamic = 0.7 × pass rate 0.667 + 0.3 × coverage 0.712 = 0.680",),
    }
    given |= changed
    tests = [test for result in given["results"] for test in result.tests or ()]
    return Health(tests=measure_tests(tests) if tests else None, **given)
