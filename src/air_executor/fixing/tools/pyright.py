"""pyright. It finds files by its configuration; what it tells of files that are not the project's own is dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import msgspec
from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue, Severity
from air_executor.fixing.tools.output import check_exit, decode, not_understood, relative
from air_executor.fixing.tools.programs import folders_up
from air_executor.fixing.tools.python import config_files, find_python_tool, python_of, tool_table

__all__ = ["Pyright", "configured"]

CONFIG: Final = "pyrightconfig.json"
MEND: Final = "mend pyright's configuration; `pyright` run by hand tells what is wrong with it"
UNNAMED: Final = "unclassified"
"""For what has no rule in pyright: syntax errors and the like."""
SEVERITIES: Final[dict[str, Severity]] = {"error": "error", "warning": "warning", "information": "info"}


class Position(Struct):
    line: int
    character: int


class Range(Struct):
    start: Position
    end: Position


class Diagnostic(Struct):
    file: str
    severity: Literal["error", "warning", "information"]
    message: str
    range: Range | None = None
    rule: str | None = None


class Summary(Struct, rename="camel"):
    files_analyzed: int
    error_count: int
    warning_count: int
    information_count: int


class Report(Struct, rename="camel"):
    version: str
    general_diagnostics: list[Diagnostic]
    summary: Summary


def _place(project: Project) -> Path | None:
    """The folder whose configuration holds."""
    for folder in folders_up(project):
        if (folder / CONFIG).exists() or tool_table(folder, "pyright") is not None:
            return folder
    return None


def configured(project: Project) -> bool:
    return _place(project) is not None


class Pyright:
    """`pyright --outputjson`."""

    name: ClassVar[str] = "pyright"
    kind: ClassVar[Kind] = "types"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        return _place(project) is not None

    def loads_code(self, project: Project) -> bool:
        return False

    def find(self, project: Project) -> Tool:
        return find_python_tool(project, self.name)

    def configuration(self, project: Project) -> list[Path]:
        return config_files(project, CONFIG, "pyproject.toml")

    def command(self, project: Project, tool: Tool) -> Command:
        words = [*tool.argv, "--outputjson"]
        place = _place(project)
        python = python_of(project)
        if python is not None and not (place is not None and self._names_environment(place)):
            words.append(f"--pythonpath={python}")
        if place is not None and place != project.path:
            words.append(str(project.path))  # else it would check the whole folder of its configuration
        return Command(argv=tuple(words), cwd=project.path, env={"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"})

    def _names_environment(self, place: Path) -> bool:
        settings: Any = tool_table(place, "pyright")
        if (place / CONFIG).exists():
            try:
                settings = msgspec.json.decode((place / CONFIG).read_bytes())
            except (OSError, msgspec.DecodeError):
                settings = None  # with comments, or broken: pyright tells
        return isinstance(settings, dict) and "venv" in settings

    def parse(self, project: Project, run: ToolRun) -> Findings:
        check_exit(self.name, run, {0, 1}, MEND)
        report = decode(self.name, run, Report)
        found = report.general_diagnostics
        counts = report.summary
        for severity, count in (
            ("error", counts.error_count),
            ("warning", counts.warning_count),
            ("information", counts.information_count),
        ):
            if sum(one.severity == severity for one in found) != count:
                raise not_understood(self.name, run, f"it counts {count} of severity {severity}, but lists others")
        if counts.files_analyzed == 0:
            raise CouldNotRun(
                f"{self.name} found no file to check", "mend `include` and `exclude` in its configuration"
            )
        note = self._of_configuration(run)
        own = frozenset(project.files)
        issues = [self._issue(project, run, one) for one in found]
        return Findings(issues=[issue for issue in issues if issue is not None and issue.path in own], note=note)

    def _of_configuration(self, run: ToolRun) -> str | None:
        """pyright goes on with what it cannot read of its configuration, by other rules than were asked for."""
        told = []
        for line in run.stderr.read_text("utf-8", "replace").split("\n"):
            if line.startswith("Config contains unrecognized setting"):
                told.append(line)
            elif line.startswith(('Config "', "Config file ")):
                raise CouldNotRun(f"{self.name} cannot read its configuration: {line}", MEND)
        return "; ".join(told) or None

    def _issue(self, project: Project, run: ToolRun, one: Diagnostic) -> Issue | None:
        path = relative(project, one.file)
        if path is None:
            return None
        start, end = (one.range.start, one.range.end) if one.range else (None, None)
        return Issue(
            tool=self.name,
            rule=one.rule or UNNAMED,
            severity=SEVERITIES[one.severity],
            message=one.message,
            path=path,
            line=start.line + 1 if start else 0,
            column=start.character + 1 if start else 0,
            end_line=end.line + 1 if end else None,
            end_column=end.character + 1 if end else None,
        )
