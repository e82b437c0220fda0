"""go test over every package of a module. All of it is the target's code."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Final

import msgspec
from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Selection, Tool, ToolRun
from air_executor.fixing.issue import Issue, fingerprint
from air_executor.fixing.outcome import TestEnd, TestResult
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools.go import Folders, GoCheck, compile_issues, located, supported
from air_executor.fixing.tools.output import check_exit, last_words, not_understood

__all__ = ["Event", "GoTest", "read_events"]

MEND: Final = "run `go test ./...` by hand in the module's folder"
PLACE: Final = re.compile(r"\s+(\S[^:]*\.go):(\d+): ?(.*)")
UNBUILT: Final = re.compile(rb"FAIL\t(\S.*) \[(?:build|setup) failed\]")
FRAME: Final = re.compile(r"(?:=== |\s*--- |FAIL\b|PASS\b|ok\s|coverage:|exit status \d)")
ENDS: Final[dict[str, TestEnd]] = {"pass": "passed", "fail": "failed", "skip": "skipped"}


class Event(Struct, rename="pascal"):
    """One line of `go test -json`."""

    action: str
    package: str = ""
    import_path: str = ""
    test: str = ""
    output: str = ""
    elapsed: float = 0.0
    failed_build: str = ""


class Ran(Struct):
    """A test, or a package as a whole, as its events tell."""

    package: str
    test: str = ""
    end: str = ""
    output: list[str] = []
    elapsed: float = 0.0
    failed_build: str = ""

    def said(self) -> list[str]:
        return [line for line in "".join(self.output).split("\n") if line.strip() and not FRAME.match(line)]


def read_events(tool: str, run: ToolRun) -> list[Ran]:
    """Packages and tests in the order in which they began; what building said stands with the package."""
    told: dict[tuple[str, str], Ran] = {}
    builds: dict[str, list[str]] = {}
    for event in _events(tool, run, run.stdout if tool == GoTest.name else run.outputs.get("stdout")):
        if event.action == "build-output":
            builds.setdefault(event.import_path, []).append(event.output)
        if not event.package:
            continue
        one = told.setdefault((event.package, event.test), Ran(event.package, event.test))
        if event.action == "output":
            one.output.append(event.output)
        elif event.action in ENDS:
            one.end, one.elapsed, one.failed_build = event.action, event.elapsed, event.failed_build
    for one in told.values():
        if one.failed_build:
            one.output += builds.get(one.failed_build, [])
    return list(told.values())


def _events(tool: str, run: ToolRun, content: Path | None) -> Iterator[Event]:
    decoder = msgspec.json.Decoder(Event)
    for line in content.read_bytes().split(b"\n") if content is not None else ():
        if found := UNBUILT.fullmatch(line):  # so up to version 1.23, and what is wrong stands in standard error
            yield Event("output", found[1].decode(errors="replace"), output=line.decode(errors="replace"))
            yield Event("fail", found[1].decode(errors="replace"))
        elif line.strip():
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise not_understood(tool, run, f"the line {line[:60]!r}: {error}") from None


class GoTest(GoCheck):
    """`go test -json`, and what the tests run through. Without vet, which is a check of its own and would keep tests
    from running; never from go's cache of test results."""

    name: ClassVar[str] = "go-test"
    kind: ClassVar[Kind] = "tests"

    def applies(self, project: Project) -> bool:
        return any(path.endswith("_test.go") for path in project.files)

    def loads_code(self, project: Project) -> bool:
        return True

    def command(self, project: Project, tool: Tool) -> Command:
        supported(tool)
        words = ["-json", "-count=1", "-vet=off", "-timeout=0", "-coverprofile={out}/cover.out"]
        packages = ["./..."]
        if project.selection is not None:
            words += _chosen(project.selection)
            packages = _folders(project, project.selection) or packages
        return Command(
            argv=(*tool.argv, "test", *words, *packages), cwd=project.path, outputs={"profile": "cover.out"}
        )

    def parse(self, project: Project, run: ToolRun) -> Findings:
        check_exit(self.name, run, {0, 1, 2}, MEND)
        told = read_events(self.name, run)
        packages = [one for one in told if not one.test]
        unfinished = [one.package for one in packages if not one.end]
        if not packages or unfinished:
            said = last_words(run.stderr) or "nothing"
            where = f" in {', '.join(unfinished[:3])}" if unfinished else ""
            raise CouldNotRun(f"go test stopped{where} (exit code {run.exit_code}): {said}", MEND)
        if any(one.end == "fail" for one in packages) != (run.exit_code != 0):
            raise not_understood(self.name, run, "its exit code does not go with the packages")
        results, issues = _Reading(project, told, "\n".join(_lines(run))).read()
        wanted = project.selection.tests if project.selection is not None else None
        if wanted is not None:
            asked = frozenset(wanted)
            results = [result for result in results if result.id in asked or not result.name]
            issues = [issue for issue in issues if issue.fingerprint in {_print(result) for result in results}]
        if not any(result.name for result in results) and not issues:
            if wanted is not None:
                raise CouldNotRun("none of the tests that were asked for is there", MEND)
            raise CouldNotRun("go found no tests", "write some, or mend the constraints of the files that hold them")
        early = sorted({one.package for one in told if one.end == "fail" and "panic: " in "".join(one.output)})
        note = (
            f"packages whose tests ended early, so that some may not have run: {', '.join(early)}" if early else None
        )
        return Findings(issues=issues, tests=results, note=note)


def _lines(run: ToolRun) -> list[str]:
    return run.stderr.read_text("utf-8", "replace").split("\n")


def _chosen(selection: Selection) -> list[str]:
    """Go chooses by the names of whole tests, in every package; what else runs is left out of the result."""
    words = []
    if selection.tests is not None:
        names = sorted({test.split("::")[1] for test in selection.tests if test.count("::") and test.split("::")[1]})
        words.append(f"-run=^({'|'.join(re.escape(name) for name in names)})$")
    if selection.seed is not None:
        words.append(f"-shuffle={selection.seed}")
    return words


def _folders(project: Project, selection: Selection) -> list[str]:
    """The packages of the chosen tests."""
    if selection.tests is None:
        return []
    start = 0 if project.root == "." else len(project.root) + 1
    there = {path.rpartition("/")[0] or "." for path in project.files}
    folders = {test.split("::")[0] for test in selection.tests} & there
    return sorted("./" + folder[start:] if folder not in (project.root, ".") else "." for folder in folders)


def _print(result: TestResult) -> str:
    return fingerprint("go test", result.id)


class _Reading:
    """From events to results and issues."""

    def __init__(self, project: Project, told: list[Ran], said: str) -> None:
        self._project = project
        self._told = told
        self._said = said
        self._folders = Folders(project)
        self._failed = Counter((one.package, one.test) for one in told if one.end not in ("pass", "skip"))

    def read(self) -> tuple[list[TestResult], list[Issue]]:
        results, issues = [], []
        for one in self._told:
            if not one.test:
                continue
            result = self._result(one)
            results.append(result)
            if result.end in ("failed", "error") and not self._blames_another(one):
                issues.append(self._issue(one, result))
        for one in self._told:
            if not one.test and one.end == "fail" and not self._explained(one):
                result = self._result(one)
                results.append(result)
                issues.append(self._issue(one, result))
        return results, issues

    def _result(self, one: Ran) -> TestResult:
        *suite, name = one.test.split("/") if one.test else [""]
        end: TestEnd = ENDS.get(one.end, "error") if one.test else "error"
        return TestResult(
            framework="go test",
            file=self._folders.of(one.package) or one.package,
            suite=tuple(suite),
            name=name,
            end=end,
            message="\n".join(one.said()) if end not in ("passed", "skipped") else "".join(one.said()[:1]).strip(),
            duration_s=one.elapsed,
        )

    def _blames_another(self, one: Ran) -> bool:
        """Whether a test only failed because one below it did."""
        below = any(key[0] == one.package and key[1].startswith(one.test + "/") for key in self._failed)
        return below and not any(PLACE.match(line) for line in one.said())

    def _explained(self, package: Ran) -> bool:
        """Whether a test of the package tells why it failed."""
        return any(key[0] == package.package and key[1] for key in self._failed)

    def _issue(self, one: Ran, result: TestResult) -> Issue:
        said = one.said()
        path, line, column, message = self._place(one, said)
        rule = "test-failed" if result.end == "failed" else "test-error"
        if not one.test:
            unbuilt = one.failed_build or UNBUILT.search("".join(one.output).encode())
            rule = "build-failed" if unbuilt else "package-failed"
        return Issue(
            tool=GoTest.name,
            rule=rule,
            severity="error",
            message=message or f"the test {result.end}",
            path=path,
            line=line,
            column=column,
            fingerprint=_print(result),
        )

    def _place(self, one: Ran, said: list[str]) -> tuple[str, int, int, str]:
        folder = self._folders.of(one.package) or self._project.root
        inside = self._folders.files(folder)
        if not one.test:
            lines = said if one.failed_build else [*said, *self._said.split("\n")]
            issues = compile_issues(self._project, GoTest.name, located(lines))
            mine = [issue for issue in issues if issue.path in inside] or (issues if one.failed_build else [])
            if mine:
                return mine[0].path, mine[0].line, mine[0].column, mine[0].message
            told = next(
                (line.strip() for line in said if not line.startswith("#")), "its tests did not run to the end"
            )
            status = next((line for line in "".join(one.output).split("\n") if line.startswith("exit status")), "")
            return (inside or [folder])[0], 0, 0, status or told
        for line in said:
            found = PLACE.match(line)
            path = f"{folder}/{found[1]}" if found and folder != "." else found[1] if found else ""
            if found and path in inside:
                return path, int(found[2]), 0, found[3] or "failed"
        path, number = _declared(self._project, inside, one.test.partition("/")[0])
        worst = next((line for line in said if line.startswith(("panic: ", "fatal error: "))), "")
        message = worst or " ".join(line.strip() for line in said)[:300]
        return path or (inside or [folder])[0], number, 0, message


def _declared(project: Project, paths: Iterable[str], name: str) -> tuple[str, int]:
    """Where a test function stands."""
    declaration = re.compile(rf"^func {re.escape(name)}\(", re.MULTILINE)
    for path in paths:
        if path.endswith("_test.go"):
            try:
                text = read_source(project.repository / path)
            except OSError:
                continue
            if found := declaration.search(text):
                return path, text.count("\n", 0, found.start()) + 1
    return "", 0
