"""What the tests of Dart and Flutter run through, from the lcov file that they have left."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from air_executor.fixing.check import CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.outcome import Coverage, FileCoverage
from air_executor.fixing.tools.dart import DartCheck
from air_executor.fixing.tools.dart_test import COVERS_SINCE, DartTest, tells_coverage
from air_executor.fixing.tools.lcov import read_lcov
from air_executor.fixing.tools.output import not_understood, relative

__all__ = ["DartCoverage"]


class DartCoverage(DartCheck):
    """Reads `lcov.info`. Files that no test imports are not in it."""

    name: ClassVar[str] = "dart-lcov"
    kind: ClassVar[Kind] = "coverage"
    reads: ClassVar[str | None] = "dart-test"

    def applies(self, project: Project) -> bool:
        return DartTest().applies(project)

    def loads_code(self, project: Project) -> bool:
        return True  # it is of no use without the tests

    def find(self, project: Project) -> Tool:
        return DartTest().find(project)

    def configuration(self, project: Project) -> list[Path]:
        return DartTest().configuration(project)

    def command(self, project: Project, tool: Tool) -> None:
        return None

    def parse(self, project: Project, run: ToolRun) -> Findings:
        path = run.outputs.get("lcov")
        if path is None and not tells_coverage(project):
            wanted = ".".join(map(str, COVERS_SINCE))
            raise CouldNotRun(
                f"this version of package:test does not write lcov; {wanted} and later do", "`dart pub upgrade test`"
            )
        if path is None:
            raise CouldNotRun("the tests left nothing measured", "see why dart-test could not run")
        try:
            lines = read_lcov(path)
        except ValueError as error:
            raise not_understood(self.name, run, f"{path.name}: {error}") from None
        if not lines:
            raise CouldNotRun("the tests left an empty report of what they run through", "see what dart-test tells")
        files = []
        own = frozenset(project.files)
        for name, hits in sorted(lines.items()):
            place = relative(project, name)
            if place in own and place is not None:
                files.append(FileCoverage(place, len(hits), tuple(line for line in sorted(hits) if not hits[line])))
        named = {file.path for file in files}
        start = 0 if project.root == "." else len(project.root) + 1
        unseen = [path for path in project.files if path[start:].startswith("lib/") and path not in named]
        total = sum(file.lines for file in files)
        return Findings(
            coverage=Coverage(total - sum(len(file.missing) for file in files), total, tuple(files)),
            note=f"{len(unseen)} files of lib/ are not counted: no test imports them" if unseen else None,
        )
