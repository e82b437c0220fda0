"""oxlint. It needs no configuration, so it also looks at projects that have chosen no linter."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

from msgspec import Struct, field

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue, Severity
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools import biome, eslint
from air_executor.fixing.tools.node import (
    any_file,
    failed,
    find_node_tool,
    nested_patterns,
    read_json,
    table,
    variants,
)
from air_executor.fixing.tools.output import decode, not_understood, relative
from air_executor.fixing.tools.programs import folders_up
from air_executor.fixing.tools.python import config_files

__all__ = ["Oxlint"]

DATA: Final = (".oxlintrc.json", ".oxlintrc.jsonc")
PROGRAMS: Final = variants("oxlint.config")
MEND: Final = "mend oxlint's configuration; `npx oxlint` tells what is wrong with it"
SEVERITIES: Final[dict[str, Severity]] = {"error": "error", "warning": "warning", "advice": "info"}
PARSE_ERROR: Final = "parse-error"
UNREADABLE: Final = "io"


class Span(Struct):
    offset: int
    length: int
    line: int | None = None
    column: int | None = None


class Label(Struct):
    span: Span


class Diagnostic(Struct):
    message: str
    severity: str
    code: str | None = None
    """None: the file cannot be parsed."""
    url: str | None = None
    filename: str | None = None
    labels: list[Label] = field(default_factory=list)


class Report(Struct):
    diagnostics: list[Diagnostic]
    number_of_files: int


def configuration(project: Project) -> Path | None:
    return next(
        (found for folder in folders_up(project) if (found := any_file(folder, (*DATA, *PROGRAMS))) is not None), None
    )


class Oxlint:
    """`oxlint`."""

    name: ClassVar[str] = "oxlint"
    kind: ClassVar[Kind] = "lint"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        """Where it is chosen, or nothing is; a script or two in a repository of another language choose nothing."""
        if configuration(project) is not None:
            return True
        return project.manifest is not None and not eslint.configured(project) and biome.configured(project) is None

    def loads_code(self, project: Project) -> bool:
        config = configuration(project)
        return config is not None and (config.name in PROGRAMS or bool(table(read_json(config)).get("jsPlugins")))

    def find(self, project: Project) -> Tool:
        try:
            return find_node_tool(project, self.name)
        except CouldNotRun as error:
            if configuration(project) is not None:
                raise
            raise CouldNotRun(
                f"eslint, biome, oxlint: none is configured, and for oxlint, which need not be: {error.reason}",
                "`npm init @eslint/config`, or `npm install --save-dev oxlint`",
            ) from None

    def configuration(self, project: Project) -> list[Path]:
        return config_files(project, *DATA, *PROGRAMS, ".eslintignore", ".gitignore", "tsconfig.json", below=True)

    def command(self, project: Project, tool: Tool) -> Command:
        left_out = ("node_modules", *nested_patterns(project))  # which it passes over only where git ignores it
        words = ("--format=json", *(f"--ignore-pattern={pattern}" for pattern in left_out), ".")
        return Command(argv=(*tool.argv, *words), cwd=project.path)

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if run.exit_code not in (0, 1):
            raise failed(self.name, run, MEND)
        if not run.stdout.read_bytes()[:1].lstrip().startswith(b"{"):
            raise failed(self.name, run, MEND) if run.exit_code else not_understood(self.name, run, "no JSON")
        report = decode(self.name, run, Report)
        if run.exit_code and not report.diagnostics:
            raise not_understood(self.name, run, "no error, but the exit code of some")
        if report.number_of_files == 0:
            raise CouldNotRun("oxlint found no file to look at", "mend `ignorePatterns` in its configuration")
        own = frozenset(project.files)
        found = [self._issue(project, run, one) for one in report.diagnostics]
        return Findings(issues=[issue for issue in found if issue.path in own])

    def _issue(self, project: Project, run: ToolRun, one: Diagnostic) -> Issue:
        severity = SEVERITIES.get(one.severity)
        if severity is None:
            raise not_understood(self.name, run, f"severity {one.severity!r}")
        path = self._unreadable(project, one) if one.filename is None else relative(project, one.filename)
        if path is None:
            raise not_understood(self.name, run, f"{one.filename or one.message[:100]!r} is of no file")
        line, column = _place(project, path, one)
        return Issue(
            tool=self.name,
            rule=one.code or (PARSE_ERROR if one.filename else UNREADABLE),
            severity=severity,
            message=one.message,
            path=path,
            line=line,
            column=column,
            url=one.url,
        )

    def _unreadable(self, project: Project, one: Diagnostic) -> str | None:
        """The file that the text names, where nothing else does; the longest of those it might be."""
        found = [path for path in project.files if str(project.repository / path) in one.message]
        return max(found, key=len, default=None)


def _place(project: Project, path: str, one: Diagnostic) -> tuple[int, int]:
    if not one.labels:
        return 0, 0
    span = one.labels[0].span
    if span.line is not None and span.column is not None:
        return span.line, span.column
    try:
        before = read_source(project.repository / path).encode()[: span.offset].decode(errors="replace")
    except OSError:
        return 0, 0
    return before.count("\n") + 1, len(before) - before.rfind("\n")
