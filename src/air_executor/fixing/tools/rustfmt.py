"""rustfmt, by `cargo fmt --check`, which finds the files and their edition. It builds nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Final

from air_executor.fixing.check import Command, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue
from air_executor.fixing.tools.cargo import cargo_failed, configuration_files, configured_programs, find_cargo
from air_executor.fixing.tools.output import not_understood, relative

__all__ = ["Rustfmt"]

UNFORMATTED: Final = "unformatted"
PARSE_ERROR: Final = "parse-error"
MEND: Final = "mend rustfmt's configuration; `cargo fmt --check` tells what is wrong with it"
BROKEN: Final = re.compile(r"^error(?:\[\w+\])?: (.+)\n +--> (.+):(\d+):(\d+)$", re.MULTILINE)


class Rustfmt:
    """`cargo fmt --check`. One issue a file."""

    name: ClassVar[str] = "rustfmt"
    kind: ClassVar[Kind] = "format"
    version_args: ClassVar[tuple[str, ...]] = ("fmt", "--version")
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        return True  # there is one way to format Rust, and next to every project keeps to it

    def loads_code(self, project: Project) -> bool:
        return configured_programs(project)

    def find(self, project: Project) -> Tool:
        return find_cargo(project)

    def configuration(self, project: Project) -> list[Path]:
        return configuration_files(project, "rustfmt.toml", ".rustfmt.toml")

    def command(self, project: Project, tool: Tool) -> Command:
        # Told to say more, it names what it looks at: its silence would prove nothing.
        words = ("fmt", "--all", "--verbose", "--", "--check", "--files-with-diff", "--color=never")
        return Command(
            argv=(*tool.argv, *words),
            cwd=project.path,
            env={"CARGO_HOME": "{cache}/home", "RUSTUP_AUTO_INSTALL": "0"},
        )

    def parse(self, project: Project, run: ToolRun) -> Findings:
        said = run.stdout.read_bytes().decode("utf-8", "replace").split("\n")
        if run.exit_code not in (0, 1):
            raise cargo_failed(self.name, run, MEND)
        own = frozenset(project.files)
        issues = []
        looked_at = False
        for line in said:
            looked_at |= re.fullmatch(r'\[.+ \(\d{4}\)\] ".+"', line) is not None
            if line.startswith("/") and (path := relative(project, line)) in own:
                issues.append(self._issue(str(path), UNFORMATTED, "the file would be formatted"))
            elif line and not line.startswith(("[", "/")) and not re.match(r"\S*rustfmt ", line):
                raise not_understood(self.name, run, f"the line {line[:80]!r}")
        for message, name, row, column in BROKEN.findall(run.stderr.read_bytes().decode("utf-8", "replace")):
            path = relative(project, name)
            if path in own:
                issues.append(self._issue(str(path), PARSE_ERROR, message, int(row), int(column)))
        if run.exit_code and not issues:
            raise cargo_failed(self.name, run, MEND)
        if not looked_at or (issues and not run.exit_code):
            raise not_understood(self.name, run, f"{len(issues)} findings do not go with the exit code")
        return Findings(issues=[*dict.fromkeys(issues)])

    def _issue(self, path: str, rule: str, message: str, line: int = 0, column: int = 0) -> Issue:
        return Issue(
            tool=self.name,
            rule=rule,
            severity="error" if rule == PARSE_ERROR else "warning",
            message=message,
            path=path,
            line=line,
            column=column,
            safe_fix=rule == UNFORMATTED,
        )
