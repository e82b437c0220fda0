"""biome: its linter and its formatter. Their configuration is data; none of the target's code runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from msgspec import Struct, field

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue, Severity
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools.node import any_file, failed, find_node_tool, read_json, table
from air_executor.fixing.tools.output import decode, not_understood, relative
from air_executor.fixing.tools.programs import folders_up
from air_executor.fixing.tools.python import config_files

__all__ = ["Biome", "BiomeFormat", "configured"]

CONFIG: Final = ("biome.json", "biome.jsonc", ".biome.json", ".biome.jsonc")
PACKAGE: Final = "@biomejs/biome"
MEND: Final = "mend biome's configuration; `npx biome lint .` tells what is wrong with it"
SEVERITIES: Final[dict[str, Severity]] = {
    "fatal": "error", "error": "error", "warning": "warning", "information": "info", "info": "info", "hint": "info",
}  # fmt: skip
SAFE_FIX: Final = "Safe fix: "
PARSE: Final = "parse"
FORMAT: Final = "format"


class Position(Struct):
    line: int
    column: int


class OldPath(Struct):
    file: str | None = None


class Location(Struct, rename="camel"):
    """With `start` and `end`, or a `span` of bytes as long as biome had no lines in its JSON."""

    path: str | OldPath | None = None
    start: Position | None = None
    end: Position | None = None
    span: tuple[int, int] | None = None

    @property
    def file(self) -> str | None:
        return self.path.file if isinstance(self.path, OldPath) else self.path


class Advice(Struct):
    text: str = ""


class Diagnostic(Struct):
    severity: str
    category: str | None
    location: Location
    message: str | list[object] = ""
    description: str = ""
    advices: list[Advice] | dict[str, object] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


class Summary(Struct, rename="camel"):
    changed: int
    unchanged: int
    errors: int
    warnings: int
    infos: int = 0
    diagnostics_not_printed: int = 0


class Report(Struct):
    summary: Summary
    diagnostics: list[Diagnostic]


def configured(project: Project) -> Path | None:
    """The nearest configuration."""
    return next((found for folder in folders_up(project) if (found := any_file(folder, CONFIG)) is not None), None)


def _position(project: Project, path: str, offset: int) -> Position | None:
    """Where a byte of a file is."""
    try:
        before = read_source(project.repository / path).encode()[:offset].decode(errors="replace")
    except OSError:
        return None
    return Position(before.count("\n") + 1, len(before) - before.rfind("\n"))


class Biome:
    """`biome lint`."""

    name: ClassVar[str] = "biome"
    kind: ClassVar[Kind] = "lint"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None
    command_word: ClassVar[str] = "lint"

    def applies(self, project: Project) -> bool:
        config = configured(project)
        return config is not None and table(read_json(config), "linter").get("enabled") is not False

    def loads_code(self, project: Project) -> bool:
        return False

    def find(self, project: Project) -> Tool:
        return find_node_tool(project, "biome", PACKAGE)

    def configuration(self, project: Project) -> list[Path]:
        return config_files(project, *CONFIG, ".editorconfig", below=True)

    def command(self, project: Project, tool: Tool) -> Command:
        words = (self.command_word, "--reporter=json", "--max-diagnostics=none", "--colors=off", ".")
        return Command(argv=(*tool.argv, *words), cwd=project.path)

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if run.exit_code not in (0, 1) or (run.exit_code and not run.stdout.stat().st_size):
            raise failed(self.name, run, MEND)
        report = decode(self.name, run, Report)
        self._check(report, run)
        own = frozenset(project.files)
        broken = {one.location.file for one in report.diagnostics if one.category == PARSE}
        found = [self._issue(project, one, broken) for one in report.diagnostics]
        return Findings(issues=[issue for issue in found if issue is not None and issue.path in own])

    def _check(self, report: Report, run: ToolRun) -> None:
        """Raise unless the list is whole."""
        counts, found = report.summary, report.diagnostics
        if counts.diagnostics_not_printed:
            raise not_understood(self.name, run, f"{counts.diagnostics_not_printed} findings are not printed")
        # What cannot be read is told, but not counted.
        severities = [SEVERITIES.get(one.severity) for one in found if not (one.category or "").startswith("fs")]
        if None in severities:
            raise not_understood(self.name, run, "a severity that is not known")
        for severity, count in (("error", counts.errors), ("warning", counts.warnings)):
            if sum(one == severity for one in severities) < count:
                raise not_understood(self.name, run, f"it counts {count} of severity {severity}, but lists fewer")
        if counts.errors and run.exit_code == 0:
            raise not_understood(self.name, run, "errors do not go with the exit code")
        if counts.changed + counts.unchanged == 0 and not found:
            raise CouldNotRun(f"{self.name} found no file to look at", "mend `files.includes` in its configuration")

    def _issue(self, project: Project, one: Diagnostic, broken: set[str | None]) -> Issue | None:
        path = relative(project, one.location.file) if one.location.file else None
        if path is None:
            return None
        start, end = one.location.start, one.location.end
        if start is None and one.location.span is not None:
            start, end = (_position(project, path, offset) for offset in one.location.span)
        advices: Sequence[Advice] = one.advices if isinstance(one.advices, list) else ()
        return Issue(
            tool=self.name,
            rule=one.category or "unclassified",
            severity=SEVERITIES[one.severity],
            message=one.message if isinstance(one.message, str) and one.message else one.description,
            path=path,
            line=start.line if start else 0,
            column=start.column if start else 0,
            end_line=end.line if end and end.line else None,
            end_column=end.column if end and end.line else None,
            safe_fix=(one.category == FORMAT and one.severity == "error" and one.location.file not in broken)
            or any(advice.text.startswith(SAFE_FIX) for advice in advices),
        )


class BiomeFormat(Biome):
    """`biome format`, which changes nothing unless it is told to. One issue a file."""

    name: ClassVar[str] = "biome-format"
    kind: ClassVar[Kind] = "format"
    command_word: ClassVar[str] = "format"

    def applies(self, project: Project) -> bool:
        config = configured(project)
        return config is not None and table(read_json(config), "formatter").get("enabled") is not False
