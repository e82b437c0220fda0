"""go vet: what compiles and is probably wrong all the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue
from air_executor.fixing.tools.go import (
    GoCheck,
    compile_issues,
    decode_stream,
    located,
    own_issues,
    stopped,
    supported,
)
from air_executor.fixing.tools.output import check_exit, not_understood, relative

__all__ = ["GoVet"]

POSITION = re.compile(r"(.+):(\d+):(\d+)")


class Diagnostic(Struct):
    posn: str
    message: str
    end: str = ""


class Failure(Struct):
    """An analyzer that could not do its work."""

    error: str


Report = dict[str, dict[str, list[Diagnostic] | Failure]]
"""Package -> analyzer -> what it found."""


class GoVet(GoCheck):
    """`go vet -json`. The rule is the analyzer's name."""

    name: ClassVar[str] = "go-vet"
    kind: ClassVar[Kind] = "lint"

    def command(self, project: Project, tool: Tool) -> Command:
        supported(tool)
        return Command(argv=(*tool.argv, "vet", "-json", "./..."), cwd=project.path)

    def parse(self, project: Project, run: ToolRun) -> Findings:
        """With findings it ends with 0; 1 tells of packages that do not compile or cannot be loaded."""
        check_exit(self.name, run, {0, 1}, "run `go vet ./...` by hand in the module's folder")
        said = run.stderr.read_text("utf-8", "surrogateescape").split("\n")
        text = run.stdout.read_text("utf-8", "surrogateescape")
        if not text.strip():  # up to version 1.25 or so the report stands among the headings in standard error
            text = "".join(f"{line}\n" for line in _objects(said))
        reports = decode_stream(self.name, run, Report, text)
        broken = []
        if run.exit_code == 1:
            broken = compile_issues(project, self.name, located(line for line in said if not line.startswith("#")))
            if not broken or not any(line.startswith("# ") for line in said):
                raise stopped(self.name, run)  # what cannot be loaded has no heading: no package was looked at
        elif not reports:
            raise not_understood(self.name, run, "no report")
        issues = [issue for report in reports for issue in self._issues(project, run, report)]
        note = "packages that do not compile are not looked at any further" if broken else None
        return Findings(issues=own_issues(project, self.name, issues + broken), note=note)

    def _issues(self, project: Project, run: ToolRun, report: Report) -> Iterator[Issue]:
        for package, analyzers in report.items():
            for analyzer, found in analyzers.items():
                if isinstance(found, Failure):
                    raise CouldNotRun(f"go vet's {analyzer} failed on {package}: {found.error}", "mend that first")
                for one in found:
                    yield self._issue(project, run, analyzer, one)

    def _issue(self, project: Project, run: ToolRun, analyzer: str, one: Diagnostic) -> Issue:
        start, end = POSITION.fullmatch(one.posn), POSITION.fullmatch(one.end)
        path = relative(project, start[1]) if start else None
        if start is None or path is None:
            raise not_understood(self.name, run, f"the position {one.posn!r}")
        same = end is not None and end[1] == start[1]
        return Issue(
            tool=self.name,
            rule=analyzer,
            severity="warning",
            message=one.message,
            path=path,
            line=int(start[2]),
            column=int(start[3]),
            end_line=int(end[2]) if end and same else None,
            end_column=int(end[3]) if end and same else None,
        )


def _objects(lines: list[str]) -> Iterator[str]:
    """The lines of JSON objects among others."""
    inside = False
    for line in lines:
        inside = inside or line.startswith("{")
        if inside:
            yield line
        if line.startswith("}") or line == "{}":
            inside = False
