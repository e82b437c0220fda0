"""The tests of Dart and Flutter. All of it is the target's code."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue, fingerprint
from air_executor.fixing.outcome import TestEnd, TestResult
from air_executor.fixing.tools.dart import DartCheck, fetched, find_dart, is_flutter, listed, mapping, table
from air_executor.fixing.tools.output import check_exit, not_understood, relative
from air_executor.fixing.tools.programs import folders_up

__all__ = ["COVERS_SINCE", "DartTest", "tells_coverage"]

MEND: Final = "run the package's tests by hand"
NO_TESTS: Final = 79
COVERS_SINCE: Final = (1, 29)
"""From this version on package:test writes lcov by itself (`--coverage-path`)."""
RESULTS: Final[dict[str, TestEnd]] = {"success": "passed", "failure": "failed", "error": "error"}


class Suite(Struct):
    id: int
    path: str | None = None


class Group(Struct, rename="camel"):
    """A `group`; its name begins with those of the groups around it."""

    id: int
    name: str = ""
    parent_id: int | None = msgspec.field(name="parentID", default=None)


class Test(Struct):
    id: int
    name: str
    suite_id: int = msgspec.field(name="suiteID")
    group_ids: list[int] = msgspec.field(name="groupIDs", default_factory=list)
    line: int | None = None
    column: int | None = None
    url: str | None = None
    root_line: int | None = None
    root_column: int | None = None
    root_url: str | None = None


class Event(Struct):
    """One line of the reporter; which fields it has depends on its type."""

    type: str
    time: int = 0
    suite: Suite | None = None
    group: Group | None = None
    test: Test | None = None
    test_id: int = msgspec.field(name="testID", default=-1)
    result: str = ""
    hidden: bool = False
    skipped: bool = False
    error: str = ""
    message: str = ""
    success: bool | None = None


def tells_coverage(project: Project) -> bool:
    """Whether its test runner writes lcov."""
    if is_flutter(project):
        return True
    for folder in folders_up(project):
        locked = table(table(mapping(folder / "pubspec.lock"), "packages"), "test").get("version")
        if isinstance(locked, str):
            return tuple(int(part) for part in re.findall(r"\d+", locked)[:2]) >= COVERS_SINCE
    return False


class DartTest(DartCheck):
    """`flutter test --machine` where the package depends on Flutter, else `dart test --reporter=json`."""

    name: ClassVar[str] = "dart-test"
    kind: ClassVar[Kind] = "tests"

    def applies(self, project: Project) -> bool:
        return any(name.endswith("_test.dart") and name.startswith("test/") for name in listed(project))

    def loads_code(self, project: Project) -> bool:
        return True

    def find(self, project: Project) -> Tool:
        return find_dart(project, "flutter" if is_flutter(project) else "dart")

    def configuration(self, project: Project) -> list[Path]:
        names = ("pubspec.yaml", "dart_test.yaml")
        return [folder / name for folder in folders_up(project) for name in names]

    def command(self, project: Project, tool: Tool) -> Command:
        fetched(project)
        words = (
            ["test", "--machine", "--no-pub", "--coverage"] if is_flutter(project) else ["test", "--reporter=json"]
        )
        if tells_coverage(project):
            words.append("--coverage-path={out}/lcov.info")
        files: list[str] = []
        if project.selection is not None:
            if project.selection.seed is not None:
                words.append(f"--test-randomize-ordering-seed={project.selection.seed}")
            files = _chosen(project)
        return Command(argv=(*tool.argv, *words, *files), cwd=project.path, outputs={"lcov": "lcov.info"})

    def parse(self, project: Project, run: ToolRun) -> Findings:
        check_exit(self.name, run, {0, 1, NO_TESTS}, MEND)
        events = self._events(run)
        done = next((event for event in events if event.type == "done"), None)
        if done is None or done.success is None:
            raise CouldNotRun(f"the tests did not run to their end (exit code {run.exit_code})", MEND)
        results, issues = _Reading(project, events).read()
        if project.selection is not None and project.selection.tests is not None:
            asked = frozenset(project.selection.tests)
            results = [result for result in results if result.id in asked or not result.name]
            kept = {_print(result) for result in results}
            issues = [issue for issue in issues if issue.fingerprint in kept]
        elif (run.exit_code == 1) != any(result.end in ("failed", "error") for result in results):
            raise not_understood(self.name, run, "its exit code does not go with the tests")
        if not results:
            raise CouldNotRun("there were no tests to run", "write some in `test/`, or mend `dart_test.yaml`")
        return Findings(issues=issues, tests=results)

    def _events(self, run: ToolRun) -> list[Event]:
        """Flutter prints lines of its own between those of the reporter: what it fetches, and lists for debuggers."""
        found = []
        for line in run.stdout.read_bytes().split(b"\n"):
            if not line.startswith(b"{"):
                continue
            try:
                found.append(msgspec.json.decode(line, type=Event))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise not_understood(self.name, run, f"event {len(found) + 1}: {error}") from None
        if not found or found[0].type != "start":
            raise not_understood(self.name, run, "no report")
        return found


def _chosen(project: Project) -> list[str]:
    """The files of the chosen tests, which run as a whole; what else is in them is left out of the result."""
    assert project.selection is not None
    start = 0 if project.root == "." else len(project.root) + 1
    files = {test.split("::")[0] for test in project.selection.tests or ()}
    return sorted(path[start:] for path in files.intersection(project.files))


def _print(result: TestResult) -> str:
    return fingerprint("dart test", result.id)


class _Reading:
    """From events to results and issues."""

    def __init__(self, project: Project, events: list[Event]) -> None:
        self._project = project
        self._own = frozenset(project.files)
        self._events = events
        self._suites: dict[int, str] = {}
        self._groups: dict[int, Group] = {}
        self._tests: dict[int, tuple[Test, int]] = {}
        self._errors: dict[int, list[str]] = {}
        self._skips: dict[int, str] = {}
        self._seen: Counter[tuple[object, ...]] = Counter()
        self._framework = "flutter test" if is_flutter(project) else "dart test"

    def read(self) -> tuple[list[TestResult], list[Issue]]:
        results, issues = [], []
        for event in self._events:
            self._learn(event)
            if event.type != "testDone" or event.test_id not in self._tests:
                continue
            test, began = self._tests.pop(event.test_id)
            if event.hidden and event.result == "success":
                continue  # loading a file, and what runs before and after all its tests
            result = self._result(test, event, event.time - began)
            results.append(result)
            if result.end in ("failed", "error"):
                issues.append(self._issue(test, result))
        for test, _ in self._tests.values():  # begun and never ended
            results.append(self._result(test, Event(type="testDone", test_id=test.id, result="error"), 0))
            issues.append(self._issue(test, results[-1]))
        return results, issues

    def _learn(self, event: Event) -> None:
        if event.suite is not None:
            self._suites[event.suite.id] = event.suite.path or ""
        if event.group is not None:
            self._groups[event.group.id] = event.group
        if event.test is not None:
            self._tests[event.test.id] = (event.test, event.time)
        if event.type == "error":
            self._errors.setdefault(event.test_id, []).append(event.error)
        if event.type == "print" and event.message.startswith("Skip: "):
            self._skips[event.test_id] = event.message.removeprefix("Skip: ")

    def _result(self, test: Test, event: Event, took_ms: int) -> TestResult:
        path = self._suites.get(test.suite_id, "")
        file = relative(self._project, path) or path
        loading = not test.group_ids and test.name.startswith("loading ")
        suite, name = self._names(test)
        end = RESULTS.get(event.result, "error")
        if end == "passed" and event.skipped:
            end = "skipped"
        identity = (file, suite, "" if loading else name)
        ordinal = self._seen[identity]
        self._seen[identity] += 1
        return TestResult(
            framework=self._framework,
            file=file,
            suite=() if loading else suite,
            name="" if loading else name,
            ordinal=ordinal,
            end=end,
            message="\n".join(self._errors.get(test.id, ())) or self._skips.get(test.id, ""),
            duration_s=took_ms / 1000,
        )

    def _names(self, test: Test) -> tuple[tuple[str, ...], str]:
        """The groups around it from the outside, each by its own name, and its own."""
        suite, around = [], ""
        for group in (self._groups[number] for number in test.group_ids if number in self._groups):
            own = _without(group.name, around)
            if own:
                suite.append(own)
            around = group.name
        return tuple(suite), _without(test.name, around) or test.name

    def _issue(self, test: Test, result: TestResult) -> Issue:
        path, line, column = self._place(test, result)
        said = next((line.strip() for line in result.message.split("\n") if line.strip()), f"the test {result.end}")
        return Issue(
            tool=DartTest.name,
            rule="collection-error" if not result.name else "test-error" if result.end == "error" else "test-failed",
            severity="error",
            message=said,
            path=path,
            line=line,
            column=column,
            fingerprint=_print(result),
        )

    def _place(self, test: Test, result: TestResult) -> tuple[str, int, int]:
        places: Iterable[tuple[str | None, int | None, int | None]] = (
            (test.root_url, test.root_line, test.root_column), (test.url, test.line, test.column),
        )  # fmt: skip
        for url, line, column in places:
            parts = urlsplit(url or "")
            path = relative(self._project, unquote(parts.path)) if parts.scheme == "file" else None
            if path is not None and path in self._own:
                return path, line or 0, column or 0
        return result.file, test.line or 0 if not test.url else 0, 0


def _without(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).strip() if name.startswith(prefix + " ") or name == prefix else name
