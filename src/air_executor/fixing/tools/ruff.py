"""ruff: its linter and its formatter. Their configuration is data; none of the target's code runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Final

from msgspec import Struct

from air_executor.fixing.check import Command, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue
from air_executor.fixing.tools.output import check_exit, decode, not_understood, relative
from air_executor.fixing.tools.programs import folders_up
from air_executor.fixing.tools.python import (
    CONFIGS,
    config_files,
    find_python_tool,
    ini,
    listed,
    tool_table,
    version_numbers,
)

__all__ = ["Ruff", "RuffFormat"]

CONFIG: Final = ("ruff.toml", ".ruff.toml", "pyproject.toml")
MEND: Final = "mend ruff's configuration; `ruff check .` tells what is wrong with it"
UNFORMATTED: Final = "unformatted"
JSON_OF_FORMATTER: Final = (0, 16)
"""From this version on the formatter writes JSON too."""


class Position(Struct):
    row: int
    column: int


class Fix(Struct):
    applicability: str


class Diagnostic(Struct):
    code: str | None
    """None: a syntax error, before version 0.13; or one of the newest rules, which have names only."""
    message: str
    filename: str
    location: Position | None = None
    end_location: Position | None = None
    fix: Fix | None = None
    severity: str = "error"
    url: str | None = None
    name: str | None = None
    """Of the rule; old versions do not tell it."""

    def issue(self, project: Project, tool: str, run: ToolRun) -> Issue:
        path = relative(project, self.filename)
        if path is None:
            raise not_understood(tool, run, f"{self.filename} is not in the repository")
        start, end = self.location, self.end_location
        return Issue(
            tool=tool,
            rule=self.code or self.name or "invalid-syntax",
            severity="warning" if self.severity == "warning" else "info" if self.severity == "info" else "error",
            message=self.message.removeprefix("SyntaxError: "),
            path=path,
            line=start.row if start else 0,
            column=start.column if start else 0,
            end_line=end.row if end else None,
            end_column=end.column if end else None,
            safe_fix=self.fix is not None and self.fix.applicability == "safe",
            url=self.url,
        )


def configured(project: Project) -> bool:
    return any(
        (folder / "ruff.toml").exists() or (folder / ".ruff.toml").exists() or tool_table(folder, "ruff") is not None
        for folder in folders_up(project)
    )


def words(project: Project) -> str:
    """The files to look at, one a line, for `@file`; ruff's own `exclude` holds for them by --force-exclude."""
    names = [*listed(project)]
    if project.manifest is not None and project.manifest.endswith("pyproject.toml"):
        names.append("./pyproject.toml")
    return "".join(f"{name}\n" for name in names)


def problems(tool: str, project: Project, run: ToolRun) -> list[Issue]:
    return [one.issue(project, tool, run) for one in decode(tool, run, list[Diagnostic])]


class Ruff:
    """`ruff check`."""

    name: ClassVar[str] = "ruff"
    kind: ClassVar[Kind] = "lint"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        return True  # the only linter of Python there is a check for

    def loads_code(self, project: Project) -> bool:
        return False

    def find(self, project: Project) -> Tool:
        return find_python_tool(project, "ruff")

    def configuration(self, project: Project) -> list[Path]:
        return config_files(project, *CONFIG, below=True)

    def command(self, project: Project, tool: Tool) -> Command:
        return Command(
            argv=(
                *tool.argv, "check", "--output-format=json", "--force-exclude", "--no-fix", "--cache-dir={cache}",
                "@{out}/files",
            ),
            cwd=project.path,
            inputs={"files": words(project)},
        )  # fmt: skip

    def parse(self, project: Project, run: ToolRun) -> Findings:
        check_exit(self.name, run, {0, 1}, MEND)
        issues = problems(self.name, project, run)
        if bool(issues) != (run.exit_code == 1):
            raise not_understood(self.name, run, f"{len(issues)} findings do not go with the exit code")
        return Findings(issues=issues)


class RuffFormat:
    """`ruff format --check`. One issue a file."""

    name: ClassVar[str] = "ruff-format"
    kind: ClassVar[Kind] = "format"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        """Where the project has chosen it: nobody is told to format code by a tool he does not use."""
        if any(tool_table(folder, "ruff", "format") is not None for folder in folders_up(project)):
            return True
        others = any(
            tool_table(folder, name) is not None for folder in folders_up(project) for name in ("black", "yapf")
        )
        return configured(project) and not others and "yapf" not in ini(project.path / "setup.cfg")

    def loads_code(self, project: Project) -> bool:
        return False

    def find(self, project: Project) -> Tool:
        return find_python_tool(project, "ruff")

    def configuration(self, project: Project) -> list[Path]:
        return Ruff().configuration(project) + config_files(project, *CONFIGS)

    def command(self, project: Project, tool: Tool) -> Command:
        form = () if version_numbers(tool.version) < JSON_OF_FORMATTER else ("--output-format=json",)
        return Command(
            argv=(*tool.argv, "format", "--check", *form, "--force-exclude", "--cache-dir={cache}", "@{out}/files"),
            cwd=project.path,
            inputs={"files": "".join(f"{name}\n" for name in listed(project))},
        )

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if version_numbers(run.version) < JSON_OF_FORMATTER:
            return self._from_text(project, run)
        # 2 is a file that cannot be formatted (which is told in JSON), or an error (which is not).
        check_exit(self.name, run, {0, 1} if run.stdout.stat().st_size == 0 else {0, 1, 2}, MEND)
        issues = problems(self.name, project, run)
        if bool(issues) != (run.exit_code != 0):
            raise not_understood(self.name, run, f"{len(issues)} findings do not go with the exit code")
        return Findings(issues=issues)

    def _from_text(self, project: Project, run: ToolRun) -> Findings:
        issues = []
        for line in run.stdout.read_text("utf-8", "surrogateescape").split("\n"):
            found = re.fullmatch("Would reformat: (.+)", line)
            if found is not None:
                diagnostic = Diagnostic(UNFORMATTED, "File would be reformatted", found[1], fix=Fix("safe"))
                issues.append(diagnostic.issue(project, self.name, run))
            elif line and not re.fullmatch(r"(\d+ files? (would be reformatted|already formatted)(, )?)+", line):
                raise not_understood(self.name, run, f"the line {line[:80]!r}")
        for line in run.stderr.read_text("utf-8", "surrogateescape").split("\n"):
            if found := re.fullmatch(r"error: Failed to (parse|format|read) (.+?):(?:(\d+):(\d+): )?(.*)", line):
                where = Position(int(found[3]), int(found[4])) if found[3] else None
                rule = "io" if found[1] == "read" else "invalid-syntax"
                diagnostic = Diagnostic(rule, found[5].strip(), found[2], where)
                issues.append(diagnostic.issue(project, self.name, run))
        check_exit(self.name, run, {0, 1, 2} if issues else {0, 1}, MEND)
        if bool(issues) != (run.exit_code != 0):
            raise not_understood(self.name, run, f"{len(issues)} findings do not go with the exit code")
        return Findings(issues=issues)
