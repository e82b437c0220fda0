"""Coverage in the form of istanbul, which vitest and jest leave when their tests have run."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from air_executor.fixing.check import Check, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.outcome import Coverage, FileCoverage
from air_executor.fixing.tools.jest import Jest
from air_executor.fixing.tools.output import decode, relative
from air_executor.fixing.tools.vitest import PROVIDERS, Vitest, provider

__all__ = ["JestCoverage", "VitestCoverage"]


class Start(Struct):
    line: int


class Statement(Struct):
    start: Start


class File(Struct, rename="camel"):
    path: str
    statement_map: dict[str, Statement]
    s: dict[str, int]

    def lines(self) -> dict[int, int]:
        """How often each line was run: a line counts where a statement begins, as often as the one run most."""
        found: dict[int, int] = {}
        for number, statement in self.statement_map.items():
            line = statement.start.line
            found[line] = max(found.get(line, 0), self.s[number])
        return found


class IstanbulCoverage:
    """What a run of the tests has measured; nothing is run for it."""

    kind: ClassVar[Kind] = "coverage"
    version_args: ClassVar[tuple[str, ...]] = ()
    name: ClassVar[str]
    reads: ClassVar[str | None]
    tests: ClassVar[Check]

    def applies(self, project: Project) -> bool:
        return self.tests.applies(project)

    def loads_code(self, project: Project) -> bool:
        return True  # it is of no use without the tests

    def find(self, project: Project) -> Tool:
        return self.tests.find(project)

    def configuration(self, project: Project) -> list[Path]:
        return self.tests.configuration(project)

    def command(self, project: Project, tool: Tool) -> None:
        return None

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if "coverage" not in run.outputs:
            raise CouldNotRun(
                f"{self.reads} left nothing measured",
                f"see why {self.reads} could not run; coverage comes from its run",
            )
        report = decode(self.name, run, dict[str, File], run.outputs["coverage"])
        own = frozenset(project.files)
        files = []
        for name, file in report.items():
            path = relative(project, name)
            if path in own:
                lines = file.lines()
                missing = tuple(sorted(line for line, count in lines.items() if not count))
                files.append(FileCoverage(path, len(lines), missing))
        total = sum(file.lines for file in files)
        covered = total - sum(len(file.missing) for file in files)
        return Findings(coverage=Coverage(covered, total, tuple(sorted(files, key=lambda file: file.path))))


class VitestCoverage(IstanbulCoverage):
    """By V8 or istanbul, whichever of vitest's providers is installed."""

    name: ClassVar[str] = "vitest-coverage"
    reads: ClassVar[str | None] = "vitest"
    tests: ClassVar[Check] = Vitest()

    def find(self, project: Project) -> Tool:
        tool = super().find(project)
        if provider(project) is None:
            raise CouldNotRun(
                f"vitest measures no coverage without {' or '.join(PROVIDERS)}",
                f"`npm install --save-dev {PROVIDERS[0]}`",
            )
        return tool


class JestCoverage(IstanbulCoverage):
    """As jest is configured: by instrumented code or by V8."""

    name: ClassVar[str] = "jest-coverage"
    reads: ClassVar[str | None] = "jest"
    tests: ClassVar[Check] = Jest()
