"""How healthy a repository is, in numbers that were all measured.

Static checks come first. Tests and coverage follow only where static health passes its threshold, or when they are
asked for: on code that does not even build they tell nothing new.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from air_executor.errors import BaseUnusable
from air_executor.fixing.checking.cache import cache_folder
from air_executor.fixing.checking.running import Skipped
from air_executor.fixing.checkout import checkout
from air_executor.fixing.configuration.sections import FixingConfig
from air_executor.fixing.health import history
from air_executor.fixing.health.examination import Examination
from air_executor.fixing.health.score import DynamicHealth, Quality, StaticHealth, formula, overall_score
from air_executor.fixing.issue import Issue
from air_executor.fixing.metrics.tests import TestMetrics, measure_tests
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.suppressions import Ledger, ledger
from air_executor.fixing.trust import Mode
from air_executor.times import to_iso

__all__ = ["DynamicHealth", "Health", "ProjectSummary", "Quality", "StaticHealth", "examine"]


class ProjectSummary(Struct, kw_only=True, frozen=True):
    """A project that was examined; its checks' results name it by root and language."""

    root: str
    language: str
    manifest: str | None
    workspace: str | None
    files: int


class Health(Struct, kw_only=True, frozen=True):
    """Everything one examination of a repository has found."""

    repository: str
    """Its folder, absolute."""
    at: str
    """When it began: ISO 8601, UTC."""
    commit: str | None
    """What git has checked out; None without git or commits."""
    dirty: bool | None
    """Whether files differ from that commit; None where that cannot be told."""
    mode: Mode
    """How code of the target was let run."""
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
    """None: it cannot be told, because something could not run, was not asked for, or hides behind errors."""
    healthy_from: float
    """The overall score from which on it is healthy."""
    unknown: tuple[str, ...]
    """All parts that are not known and why."""
    suppressions: Ledger
    tests: TestMetrics | None = None
    """Counts by kind, durations, and what passes, of all tests that were run."""
    flaky: tuple[str, ...] = ()
    """Ids of tests that are not judged: their names differ from one collection to the next or, where the tests were
    repeated, they did not always end alike."""
    formula: tuple[str, ...] = ()
    """How the scores came about, with the numbers, a line each."""
    notes: tuple[str, ...] = ()
    """What else the reader must know of this examination, a sentence each."""


def examine(  # noqa: PLR0913  (each is a choice of its own)
    repository: Path,
    config: FixingConfig,
    *,
    mode: Mode,
    dynamic: bool | None = None,
    only: Iterable[str] | None = None,
    use_cache: bool = True,
    told: Callable[[CheckResult], None] | None = None,
    sarif: Sequence[Path] = (),
    repeat_tests: bool = False,
) -> Health:
    """Run the checks of a repository and put together what they say.

    `dynamic`: whether tests are run; None: where static health passes. `only`: names of checks (`ruff`,
    `python/ruff`); what the others would have said is then not known, and the history does not hear of it. `told`
    hears of each result as it comes. `sarif`: files with what other tools have found. `repeat_tests`: run the tests
    three times, once in a random order; those that do not always end alike are listed and not judged.
    """
    began = time.time()
    repository = repository.resolve()
    given = _read_sarif(sarif, repository)  # first: what is wrong with such a file is known at once
    tell = told or (lambda _: None)
    run = Examination(repository, config, mode, only=only, use_cache=use_cache, told=tell)
    run.check(given)
    skipped = run.why_not_dynamic(dynamic)
    if skipped is None:
        run.test(repeat=repeat_tests)
    found = _health(run, config, began, skipped)
    if only is None:
        try:
            history.record(found)
        except BaseUnusable as error:
            found = replace(found, notes=(*found.notes, f"the history does not hold this examination: {error}"))
    return found


def _read_sarif(paths: Iterable[Path], repository: Path) -> list[CheckResult]:
    found = []
    for path in paths:
        from air_executor.fixing.sarif import read_sarif

        found.append(read_sarif(path, repository))
    return found


def _health(run: Examination, config: FixingConfig, began: float, skipped: str | None) -> Health:
    limits = config.health_check
    static, dynamic = run.static, run.dynamic
    overall = overall_score(static, dynamic, limits)
    state = checkout(run.repository)
    place = hashlib.sha256(os.fsencode(run.repository)).hexdigest()[:16]
    kept = cache_folder() / "suppressions" / f"{place}.msgpack"
    silenced = ledger(run.repository, run.projects, run.files.paths, kept)
    tests = [test for result in run.results for test in result.tests or ()]
    return Health(
        repository=str(run.repository),
        at=to_iso(began),
        commit=state.commit,
        dirty=state.dirty,
        mode=run.mode,
        duration_s=round(time.time() - began, 3),
        projects=tuple(
            ProjectSummary(
                root=one.root,
                language=one.language,
                manifest=one.manifest,
                workspace=one.workspace,
                files=len(one.files),
            )
            for one in run.projects
        ),
        results=tuple(run.results),
        skipped=tuple(run.skipped),
        issues=tuple(run.issues),
        static=static,
        dynamic=dynamic,
        dynamic_skipped=skipped,
        overall=overall,
        healthy=_is_healthy(run, overall, limits.healthy_threshold),
        healthy_from=limits.healthy_threshold,
        unknown=(*static.unknown, *(dynamic.unknown if dynamic is not None else ())),
        suppressions=silenced,
        tests=measure_tests(tests) if tests else None,
        flaky=tuple(dict.fromkeys(test.id for test in tests if test.unstable)),
        formula=formula(static, dynamic, limits),
        notes=(
            *(f"there may be more errors: {one}" for one in run.hidden),
            *(f"what it suppresses is not known of {path}" for path in silenced.unread),
            *run.notes,
        ),
    )


def _is_healthy(run: Examination, overall: float | None, threshold: float) -> bool | None:
    if overall is None:
        return None
    if run.dynamic is not None or run.without_tests:
        enough = overall >= threshold
        return None if enough and run.hidden else enough
    # What the tests would have said is not known, but code that fails its static checks is not healthy by any tests.
    return None if run.static.passed else False
