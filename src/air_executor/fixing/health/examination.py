"""One examination of a repository: which checks are run, and what of them is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from air_executor.errors import InvalidInput
from air_executor.fixing.check import Kind, Project
from air_executor.fixing.checking import flaky
from air_executor.fixing.checking.running import (
    DYNAMIC,
    STATIC,
    Options,
    Skipped,
    applying,
    run_checks,
    skipped_checks,
)
from air_executor.fixing.choice import chosen_checks, chosen_projects
from air_executor.fixing.configuration.sections import FixingConfig
from air_executor.fixing.files import find_files
from air_executor.fixing.health.score import (
    ANALYSIS,
    DynamicHealth,
    StaticHealth,
    dynamic_health,
    percent,
    static_health,
)
from air_executor.fixing.issue import Issue, fingerprint
from air_executor.fixing.languages import languages
from air_executor.fixing.metrics.findings import Thresholds, Within, coverage_gaps, find, within
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.trust import Mode

__all__ = ["Examination"]

TESTS: frozenset[Kind] = frozenset({"tests"})


class Examination:
    """What is known so far. First `check`, then `why_not_dynamic`, and `test` if nothing speaks against it."""

    static: StaticHealth

    def __init__(
        self,
        repository: Path,
        config: FixingConfig,
        mode: Mode,
        *,
        only: Iterable[str] | None,
        use_cache: bool,
        told: Callable[[CheckResult], None],
    ) -> None:
        self.repository = repository
        self.mode = mode
        self.files = find_files(repository)
        self.projects = chosen_projects(repository, config, self.files)
        self.results: list[CheckResult] = []
        self.skipped: list[Skipped] = []
        self.dynamic: DynamicHealth | None = None
        self.without_tests = False
        self.flaky: list[tuple[str, str, str]] = []
        """Check, project and id of tests that ended now so, now so."""
        self.notes: list[str] = []
        self._config = config
        self._told = told
        self._issues: dict[str, Issue] = {}
        self._only = None if only is None else frozenset(only)
        self._configured = chosen_checks(config)
        _check_names(self._only or ())
        self._options = Options(
            mode=mode,
            only=self._configured if self._only is None else self._only,
            static_timeout_s=config.health_check.static_timeout,
            test_timeout_s=config.health_check.test_timeout,
            slots=config.air_executor.slots,
            use_cache=use_cache,
        )

    @property
    def hidden(self) -> list[str]:
        """Analysers that could not see everything because of errors: there may be more than they found."""
        return [
            f"{result.check}{f' in {result.project}' if result.project != '.' else ''}: {result.note}"
            for result in self.results
            if result.kind in ANALYSIS
            and result.note is not None
            and any(issue.severity == "error" for issue in result.issues)
        ]

    @property
    def issues(self) -> list[Issue]:
        """Each once, in order of place."""
        return sorted(self._issues.values(), key=lambda one: (*one.place, one.tool, one.rule, one.message))

    def _run(self, kinds: frozenset[Kind]) -> list[CheckResult]:
        options = replace(self._options, kinds=kinds)
        self.skipped += skipped_checks(self.projects, options)
        return run_checks(self.projects, options, files=self.files, told=self._told)

    def _applying(self, kinds: frozenset[Kind], only: frozenset[str] | None) -> list[tuple[Project, str]]:
        options = replace(self._options, kinds=kinds, only=only)
        return [(project, _name(project, check.name)) for project, check in applying(self.projects, options)]

    def _thresholds(self, result: CheckResult) -> Thresholds:
        return Thresholds.of(self._config.health_check_for(result.check.partition("/")[0]))

    def _take(self, issues: Iterable[Issue]) -> None:
        for issue in issues:
            self._issues.setdefault(issue.fingerprint, issue)

    def check(self, given: list[CheckResult]) -> None:
        """Run the static checks; `given` are results that came from elsewhere."""
        self.results += self._run(STATIC)
        for result in given:
            self.results.append(result)
            self._told(result)
        for result in self.results:
            if result.kind in ANALYSIS:
                self._take(result.issues)
        analysed = [*self._issues.values()]
        measured: list[Within] = []
        for result in self.results:
            self._take(result.issues)
            if result.metrics is not None:
                thresholds = self._thresholds(result)
                measured.append(within(result.metrics, thresholds))
                self._take(find(result.metrics, thresholds, self.repository))
        self.static = static_health(self.results, analysed, measured, self._not_analysed(), self._config.health_check)

    def _not_analysed(self) -> Iterator[str]:
        """What is not known of the analysis, beside the checks that could not run."""
        if not self.projects:
            yield "there is no file of a language that is looked at"
        there = {(result.check, result.project) for result in self.results}
        analysts = self._applying(ANALYSIS, self._configured)
        for project in self.projects:
            own = [(name, other.root) for other, name in analysts if _same(project, other)]
            ran = sum(one in there for one in own)
            if not own and project.manifest is None:
                # A few scripts beside a project of another language do not make everything unknown.
                self.notes.append(f"{_files(project)} belong to no project: they are measured, but not analysed")
            elif not own:
                yield f"no analyser applies to {_place(project)}: configure one, or leave the language out"
            elif self._only is not None and ran < len(own):
                yield f"not all analysers of {_place(project)} were asked for"
            elif not ran:
                yield f"all analysers of {_place(project)} run code of the repository, which was not asked for"

    def why_not_dynamic(self, wish: bool | None) -> str | None:
        """Why tests are not run; None: they are to be. `wish`: what the user said of it."""
        static = self.static
        asked = self._only is not None and bool(self._applying(DYNAMIC, self._only))
        reason: str | None = None
        if self.mode == "static":
            self.skipped += skipped_checks(self.projects, replace(self._options, kinds=DYNAMIC))
            return "only static checks were asked for, and tests run code of the repository"
        if not self._applying(TESTS, None):
            self.without_tests = True
            reason = "there are no tests that a check could run"
        elif not self._applying(TESTS, self._configured):
            reason = "the configuration leaves out all checks of tests"
        elif wish is False or (self._only is not None and not asked):
            reason = "not asked for"
        elif wish or asked or static.passed:
            return None
        elif static.passed is None:
            reason = "static health is not known (`--dynamic` runs tests all the same)"
        else:
            reason = (
                f"static health is {percent(static.score)}, and tests are run from {percent(static.threshold)} on "
                "(`--dynamic` runs them all the same)"
            )
        dynamic = self._applying(DYNAMIC, self._options.only)
        self.skipped += [Skipped(name, project.root, reason) for project, name in dynamic]
        return reason

    def test(self, *, repeat: bool) -> None:
        """Run tests and coverage. `repeat`: the tests twice more, and judge none that does not always end alike."""
        found = self._run(DYNAMIC)
        if repeat:
            found = self._without_flaky(found)
        self.results += found
        for result in found:
            self._take(result.issues)
            if result.coverage is not None:
                self._take(coverage_gaps(result.coverage, self._thresholds(result), self.repository))
        tests = self._applying(TESTS, self._configured)
        untested = [_place(one) for one in self.projects if not any(_same(one, other) for other, _ in tests)]
        there = {(result.check, result.project) for result in found}
        wanted = self._applying(DYNAMIC, self._configured)
        missing = dict.fromkeys(name for project, name in wanted if (name, project.root) not in there)
        unknown = [f"{name} was not asked for" for name in missing]
        self.dynamic = dynamic_health(found, untested, unknown, self._config.health_check)

    def _without_flaky(self, found: list[CheckResult]) -> list[CheckResult]:
        options = replace(self._options, use_cache=True)  # what has just been found is the first of the three runs
        runs = flaky.baseline(self.projects, options, files=self.files)
        self.flaky = [(one.check, one.project, one.id) for one in runs.flaky]
        self.notes += [
            f"whether tests of {one.check} always end alike is not known: {one.run} it could not run ({one.reason})"
            for one in runs.incomplete
        ]
        names = {
            (one.check, one.project): {test.id for test in one.tests or () if test.unstable} for one in runs.results
        }
        for check, project, id in self.flaky:
            names[check, project].add(id)
        return [_unjudged(one, names.get((one.check, one.project), set())) for one in found]


def _unjudged(result: CheckResult, ids: set[str]) -> CheckResult:
    """The result with these tests marked, and without their issues."""
    if not ids:
        return result
    tests = [replace(test, unstable=True) if test.id in ids else test for test in result.tests or ()]
    prints = {fingerprint(tool, id) for tool in {issue.tool for issue in result.issues} for id in ids}
    return replace(result, tests=tests, issues=[one for one in result.issues if one.fingerprint not in prints])


def _name(project: Project, check: str) -> str:
    return f"{project.language}/{check}"


def _place(project: Project) -> str:
    return project.language + (f" in {project.root}" if project.root != "." else "")


def _files(project: Project) -> str:
    first, others = project.files[0], len(project.files) - 1
    return f"{len(project.files)} files of {project.language} ({first} and {others} more)" if others else first


def _same(one: Project, other: Project) -> bool:
    return one.root == other.root and one.language == other.language


def _check_names(names: Iterable[str]) -> None:
    known = {(check.name, f"{name}/{check.name}") for name, one in languages().items() for check in one.checks}
    allowed = {name for pair in known for name in pair}
    for name in names:
        if name not in allowed:
            raise InvalidInput(f"asked for: no check {name!r}; known: {', '.join(sorted({one for one, _ in known}))}")
