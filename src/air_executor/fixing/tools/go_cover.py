"""What the tests of a Go module run through, from the profile that `go test` has left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from msgspec import Struct

from air_executor.fixing.check import CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.outcome import Coverage, FileCoverage
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools.go import Folders, GoCheck, passed_over
from air_executor.fixing.tools.go_test import GoTest, read_events
from air_executor.fixing.tools.output import not_understood
from air_executor.fixing.tools.python import version_numbers

__all__ = ["GoCover"]

COUNTS_ALL: Final = (1, 22)
BLOCK: Final = re.compile(r"(.+):(\d+)\.(\d+),(\d+)\.(\d+) (\d+) (\d+)")


class Block(Struct, frozen=True):
    """Statements that run one after the other, and how often they did."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    count: int


class GoCover(GoCheck):
    """Reads the profile. A line counts if a block has code on it, and is missing if no such block ran."""

    name: ClassVar[str] = "go-cover"
    kind: ClassVar[Kind] = "coverage"
    reads: ClassVar[str | None] = "go-test"

    def applies(self, project: Project) -> bool:
        return GoTest().applies(project)

    def loads_code(self, project: Project) -> bool:
        return True  # it is of no use without the tests

    def command(self, project: Project, tool: Tool) -> None:
        return None

    def parse(self, project: Project, run: ToolRun) -> Findings:
        profile = run.outputs.get("profile")
        if profile is None:
            raise CouldNotRun("go test left no profile", "see why go test could not run; coverage comes from its run")
        blocks = [*self._blocks(project, run, profile.read_text("utf-8", "surrogateescape"))]
        measured = {block.path.rpartition("/")[0] or "." for block in blocks}
        self._whole(project, run, measured)
        by_file: dict[str, list[Block]] = {}
        for block in blocks:
            by_file.setdefault(block.path, []).append(block)
        own = frozenset(project.files)
        files = [_of_file(project, path, by_file[path]) for path in sorted(by_file) if path in own]
        lines = sum(file.lines for file in files)
        covered = lines - sum(len(file.missing) for file in files)
        return Findings(coverage=Coverage(covered, lines, tuple(files)), note=_uncounted(project, run, measured))

    def _blocks(self, project: Project, run: ToolRun, text: str) -> Iterator[Block]:
        folders = Folders(project)
        mode, *lines = text.split("\n")
        if not mode.startswith("mode: "):
            raise not_understood(self.name, run, f"the profile begins with {mode[:80]!r}")
        for line in lines:
            found = BLOCK.fullmatch(line)
            if found is None:
                if line:
                    raise not_understood(self.name, run, f"the line {line[:80]!r} of the profile")
                continue
            package, _, name = found[1].rpartition("/")
            folder = folders.of(package)
            if folder is None:
                continue  # of a package that is not in the module
            path = name if folder == "." else f"{folder}/{name}"
            yield Block(path, int(found[2]), int(found[3]), int(found[4]), int(found[5]), int(found[7]))

    def _whole(self, project: Project, run: ToolRun, measured: set[str]) -> None:
        """A package whose tests did not come to their end leaves nothing; without it there is no number."""
        folders = Folders(project)
        for one in read_events(self.name, run):
            folder = folders.of(one.package)
            if one.test or one.end != "fail" or folder is None or folder in measured:
                continue
            if any(not path.endswith("_test.go") for path in folders.files(folder)):
                raise CouldNotRun(
                    f"the tests of {folder} ended before they told what they ran through, so it is unknown",
                    "mend what go-test reports of that package first",
                )


def _uncounted(project: Project, run: ToolRun, measured: set[str]) -> str | None:
    """Which packages are not in the profile of an older version, which passes over those without tests."""
    if version_numbers(run.version) >= COUNTS_ALL:
        return None
    code = {
        path.rpartition("/")[0] or "."
        for path in project.files
        if not path.endswith("_test.go") and not passed_over(project, path)
    }
    left = sorted(code - measured)
    some = ", ".join(left[:3]) + (", …" if len(left) > 3 else "")
    return (
        f"{len(left)} packages are not counted, as go does before 1.22 where there are no tests: {some}"
        if left
        else None
    )


def _of_file(project: Project, path: str, blocks: list[Block]) -> FileCoverage:
    try:
        text = read_source(project.repository / path).split("\n")
    except OSError:
        text = []
    ran: dict[int, bool] = {}
    for block in blocks:
        for number in range(block.line, block.end_line + 1):
            if _code(text, number, block):
                ran[number] = ran.get(number, False) or block.count > 0
    return FileCoverage(path, len(ran), tuple(number for number in sorted(ran) if not ran[number]))


def _code(text: list[str], number: int, block: Block) -> bool:
    """Whether a block has more on a line than braces and comments. Columns count bytes."""
    line = text[number - 1].encode() if number <= len(text) else b""
    end = block.end_column - 1 if number == block.end_line else len(line)
    start = block.column - 1 if number == block.line else 0
    part = line[start:end].strip(b" \t\r{}()")
    return bool(part) and not part.startswith(b"//")
