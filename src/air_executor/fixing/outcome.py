"""What a check gives: all is well, what it found, or that it could not run, which is never taken for the first."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from air_executor.fixing.issue import Issue
from air_executor.fixing.metrics.measures import ProjectMetrics

__all__ = ["CheckResult", "Coverage", "FileCoverage", "Outcome", "TestEnd", "TestResult"]

Outcome = Literal["ok", "findings", "could_not_run"]
TestEnd = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed"]


class TestResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """How one test ended. The identity of a test is all of this but its end: it must survive from run to run."""

    __test__ = False  # for pytest, which takes the name for its own

    framework: str
    file: str
    """Relative to the repository's root; the package's folder where the framework tells no file (Go)."""
    suite: tuple[str, ...] = ()
    """Classes, `describe` blocks, or parent tests around it, from the outside."""
    name: str
    parameters: str = ""
    ordinal: int = 0
    """Which of several tests that are alike in all of the above."""
    end: TestEnd
    message: str = ""
    duration_s: float = 0.0
    unstable: bool = False
    """Whether its name differs from one collection to the next; such a test is not judged."""

    @property
    def id(self) -> str:
        """As people write it, unique within a run."""
        number = f"#{self.ordinal}" if self.ordinal else ""
        parameters = f"[{self.parameters}]" if self.parameters else ""
        return "::".join((self.file, *self.suite, self.name)) + parameters + number


class FileCoverage(Struct, frozen=True):
    """Lines of one file: how many can be covered, and which were not."""

    path: str
    lines: int
    missing: tuple[int, ...]


class Coverage(Struct, frozen=True):
    """Lines that tests run through."""

    covered: int
    lines: int
    files: tuple[FileCoverage, ...] = ()

    @property
    def percent(self) -> float | None:
        """None where there is nothing to cover, which is not 100%."""
        return 100.0 * self.covered / self.lines if self.lines else None


class CheckResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One check of one project."""

    check: str
    """Such as `python/ruff`."""
    project: str
    """The project's root, relative to the repository's; `.` for itself."""
    kind: str
    outcome: Outcome
    reason: str | None = None
    """Why it could not run, in one line."""
    mend: str | None = None
    """What the user can do about that."""
    note: str | None = None
    """What the reader must know of a result that is not the whole truth."""
    tool: str = ""
    version: str | None = None
    rules: str | None = None
    """A digest of the tool's configuration, so that results of other rules are not compared."""
    issues: list[Issue] = []
    tests: list[TestResult] | None = None
    coverage: Coverage | None = None
    metrics: ProjectMetrics | None = None
    exit_code: int | None = None
    duration_s: float = 0.0
    cached: bool = False
