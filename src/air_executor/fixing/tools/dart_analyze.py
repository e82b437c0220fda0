"""dart analyze, which Flutter uses too."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue, Severity
from air_executor.fixing.tools.dart import DartCheck, fetched, mapping, table
from air_executor.fixing.tools.output import check_exit, not_understood, relative
from air_executor.fixing.tools.programs import folders_up

__all__ = ["DartAnalyze"]

CONFIG: Final = "analysis_options.yaml"
MEND: Final = "run `dart analyze` by hand in the package's folder"
SEVERITIES: Final[dict[str, Severity]] = {"ERROR": "error", "WARNING": "warning", "INFO": "info"}
CLEAN, INFOS, WARNINGS, ERRORS = range(4)


class Position(Struct):
    line: int | None = None
    column: int | None = None


class Range(Struct):
    start: Position
    end: Position | None = None


class Location(Struct):
    file: str
    range: Range


class Diagnostic(Struct, rename="camel"):
    code: str
    severity: str
    location: Location
    problem_message: str
    documentation: str | None = None


class Report(Struct):
    version: int
    diagnostics: list[Diagnostic]


class DartAnalyze(DartCheck):
    """`dart analyze --format=json`."""

    name: ClassVar[str] = "dart-analyze"
    kind: ClassVar[Kind] = "types"

    def loads_code(self, project: Project) -> bool:
        """Its plugins are packages that it runs."""
        options = [mapping(folder / CONFIG) for folder in folders_up(project)]
        return any(one.get("plugins") or table(one, "analyzer").get("plugins") for one in options)

    def command(self, project: Project, tool: Tool) -> Command:
        fetched(project)
        return Command(argv=(*tool.argv, "analyze", "--format=json", "."), cwd=project.path)

    def parse(self, project: Project, run: ToolRun) -> Findings:
        check_exit(self.name, run, {CLEAN, INFOS, WARNINGS, ERRORS}, MEND)
        report = self._report(run)
        worst = {one.severity for one in report.diagnostics}
        if not worst <= SEVERITIES.keys():
            raise not_understood(self.name, run, f"severities {sorted(worst)}")
        if ("ERROR" in worst) != (run.exit_code == ERRORS) or (not worst and run.exit_code != CLEAN):
            raise not_understood(self.name, run, f"{len(report.diagnostics)} findings do not go with the exit code")
        issues = [self._issue(project, run, one) for one in report.diagnostics]
        broken = next((one for one in issues if one.path.endswith(CONFIG) and one.severity == "error"), None)
        if broken is not None:
            raise CouldNotRun(f"dart analyze cannot read {broken.path}: {broken.message}", f"mend {CONFIG}")
        own = frozenset(project.files)
        return Findings(issues=[issue for issue in issues if issue.path in own or _beside(project, issue.path)])

    def _report(self, run: ToolRun) -> Report:
        """Its report stands on a line of its own, in some versions below one that tells what is analyzed."""
        lines = [line for line in run.stdout.read_bytes().split(b"\n") if line.strip()]
        if lines and lines[0].startswith(b"Analyzing "):
            lines = lines[1:]
        if lines == [b"No issues found!"]:  # so of versions before 3
            return Report(version=1, diagnostics=[])
        try:
            return msgspec.json.decode(b"\n".join(lines), type=Report)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_understood(self.name, run, str(error)) from None

    def _issue(self, project: Project, run: ToolRun, one: Diagnostic) -> Issue:
        path = relative(project, one.location.file)
        if path is None:
            raise not_understood(self.name, run, f"{one.location.file} is not in the repository")
        start, end = one.location.range.start, one.location.range.end
        places: dict[str, Any] = {"end_line": end.line, "end_column": end.column} if end is not None else {}
        return Issue(
            tool=self.name,
            rule=one.code,
            severity=SEVERITIES[one.severity],
            message=one.problem_message,
            path=path,
            line=start.line or 0,
            column=start.column or 0,
            url=one.documentation,
            **places,
        )


def _beside(project: Project, path: str) -> bool:
    """Whether a file that is not Dart belongs to it. Packages in folders below are analyzed along with it, and are
    projects of their own."""
    return not path.endswith(".dart") and not any(path.startswith(root + "/") for root in project.nested)
