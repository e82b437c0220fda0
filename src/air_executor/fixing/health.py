"""How healthy a repository is, in numbers that were all measured."""

from __future__ import annotations

from msgspec import Struct

from air_executor.fixing.issue import Issue
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.running import Skipped
from air_executor.fixing.suppressions import Ledger

__all__ = ["DynamicHealth", "Health", "ProjectSummary", "Quality", "StaticHealth"]


class ProjectSummary(Struct, kw_only=True, frozen=True):
    """A project that was examined; its checks' results name it by root and language."""

    root: str
    language: str
    manifest: str | None
    workspace: str | None
    files: int


class Quality(Struct, kw_only=True, frozen=True):
    """How much of the code keeps within the thresholds of the configuration.

    A file does if it is neither too long nor too much of it duplicated, a function if it is neither too long nor too
    complex nor nested too deeply. The score is the mean of the two shares; where there are no functions, the share of
    the files.
    """

    files: int
    files_within: int
    functions: int
    functions_within: int
    score: float
    """0 to 1."""


class StaticHealth(Struct, kw_only=True, frozen=True):
    """What the analysers and the metrics say. Scores are from 0 to 1; None: not known, and `unknown` says why."""

    errors: int | None
    """Issues of severity `error` that builds, linters, formatters and type checkers found. None if one of these could
    not run."""
    errors_found: int
    """The same, of those that ran: there are at least so many."""
    warnings_found: int
    """Issues of the same checks that are no errors."""
    analysis: float | None
    """1 without errors, one half with few, 0 with many."""
    quality: Quality | None
    score: float | None
    threshold: float
    """From which score on it passes and tests are worth running."""
    passed: bool | None
    unknown: tuple[str, ...] = ()
    """Which parts are not known and why, a sentence each."""


class DynamicHealth(Struct, kw_only=True, frozen=True):
    """What the tests say. Scores are from 0 to 1; None: not known, and `unknown` says why."""

    tests: int
    """All that were reported, skipped ones too."""
    passed: int
    failed: int
    """Failures and errors."""
    skipped: int
    """Skipped, and failed as expected: neither good nor bad."""
    unstable: int
    """Not judged, since their names differ from one collection to the next."""
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


class Health(Struct, kw_only=True, frozen=True):
    """Everything one examination of a repository has found."""

    repository: str
    """Its folder, absolute."""
    at: str
    """When it began: ISO 8601, UTC."""
    commit: str | None
    """What git has checked out; None without git or commits."""
    dirty: bool | None
    """Whether files differ from that commit; None where there is none."""
    mode: str
    """How code of the target was let run: `static`, `sandbox`, `trusted`, `refused`."""
    duration_s: float
    projects: tuple[ProjectSummary, ...]
    results: tuple[CheckResult, ...]
    """Of every check that was to run, those of SARIF files too."""
    skipped: tuple[Skipped, ...]
    """Checks that were left out, and why."""
    issues: tuple[Issue, ...]
    """All of them with fingerprints, in order of place: of the results, of the metrics, and coverage gaps."""
    static: StaticHealth
    dynamic: DynamicHealth | None
    dynamic_skipped: str | None
    """Why there is no dynamic part."""
    overall: float | None
    """0 to 1; None where a part that was to count is not known."""
    healthy: bool | None
    """None: it cannot be told, because something could not run or was not asked for. Never true then."""
    healthy_from: float
    """The overall score from which on it is healthy."""
    unknown: tuple[str, ...]
    """All parts that are not known and why."""
    suppressions: Ledger
    flaky: tuple[str, ...] = ()
    """Ids of tests that are known to differ from run to run, or whose names do."""
    formula: tuple[str, ...] = ()
    """How the scores came about, with the numbers, a line each."""
