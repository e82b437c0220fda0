"""complexipy: how hard functions of Python are to understand (cognitive complexity), by the project's own limit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Final

from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue
from air_executor.fixing.tools.output import check_exit, decode, last_words, not_understood, relative
from air_executor.fixing.tools.programs import folders_up
from air_executor.fixing.tools.python import config_files, find_python_tool, listed, tool_table

__all__ = ["Complexipy"]

CONFIG: Final = ("complexipy.toml", ".complexipy.toml")
RULE: Final = "cognitive-complexity"
MEND: Final = "run `complexipy .` by hand in the project's folder"
UNREAD: Final = re.compile(r"^error: Failed to process (.+) - Please check file/folder exists or check syntax$", re.M)
WORDS_LIMIT: Final = 1_500_000
"""Bytes of arguments that a program surely takes."""


class Lines(Struct):
    begin: int


class Location(Struct):
    path: str
    lines: Lines


class Finding(Struct):
    """One entry in GitLab's form, the only one with plain paths and lines."""

    check_name: str
    description: str
    location: Location


class Complexipy:
    """`complexipy --output-format gitlab`, where the project has configured it."""

    name: ClassVar[str] = "complexipy"
    kind: ClassVar[Kind] = "lint"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        """Its limit is a choice of the project; `metrics` measures every other."""
        return any(
            any((folder / name).exists() for name in CONFIG) or tool_table(folder, "complexipy") is not None
            for folder in folders_up(project)
        )

    def loads_code(self, project: Project) -> bool:
        return False

    def find(self, project: Project) -> Tool:
        return find_python_tool(project, "complexipy")

    def configuration(self, project: Project) -> list[Path]:
        return config_files(project, *CONFIG, "pyproject.toml")

    def command(self, project: Project, tool: Tool) -> Command:
        files = [*listed(project, (".py",))]
        if sum(len(name.encode()) + 9 for name in files) > WORDS_LIMIT:
            raise CouldNotRun(
                "complexipy takes no list of so many files", "leave it out, or make several projects of it"
            )
        return Command(
            argv=(
                *tool.argv, "--quiet", "--cache-dir", "{cache}", "--output-format", "gitlab",
                "--output", "{out}/report.json", *files,
            ),
            cwd=project.path,
            outputs={"report": "report.json"},
        )  # fmt: skip

    def parse(self, project: Project, run: ToolRun) -> Findings:
        check_exit(self.name, run, {0, 1}, MEND)
        if (said := last_words(run.stderr)).startswith(("Invalid config", "Failed to parse")):
            raise CouldNotRun(f"complexipy does not take its configuration: {said}", "mend it")
        found = decode(self.name, run, list[Finding], run.outputs.get("report", run.stdout))
        unread = UNREAD.findall(run.stdout.read_text("utf-8", "surrogateescape"))
        issues = [self._issue(project, run, one.location.path, one.location.lines.begin, one) for one in found]
        issues += [self._issue(project, run, path, 0, None) for path in unread]
        if bool(issues) != (run.exit_code == 1):
            raise not_understood(self.name, run, f"{len(issues)} findings do not go with the exit code")
        return Findings(issues=issues)

    def _issue(self, project: Project, run: ToolRun, name: str, line: int, finding: Finding | None) -> Issue:
        path = relative(project, name)
        if path is None:
            raise not_understood(self.name, run, f"{name} is not in the repository")
        return Issue(
            tool=self.name,
            rule=RULE if finding is not None else "invalid-syntax",
            severity="warning" if finding is not None else "error",
            message=finding.description if finding is not None else "the file cannot be read or has a syntax error",
            path=path,
            line=line,
        )
