"""gofmt, the one form of Go that is written everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

import msgspec

from air_executor.fixing.check import Command, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue
from air_executor.fixing.tools.go import GoCheck, compile_issues, find_go, located, passed_over
from air_executor.fixing.tools.output import check_exit, not_understood, relative

__all__ = ["Gofmt"]

CANARY: Final = "canary.go"
"""A file that is not formatted: gofmt says nothing when all is well, so it is seen at work by this one."""
SCRIPT: Final = 'exec xargs -0 -s 1500000 -a "$1" "$("$0" env GOROOT)/bin/gofmt" -l -e "$2"'
"""gofmt takes no list in a file, and a command line ends somewhere; so xargs starts it, mostly once."""
SYNTAX: Final = "invalid-syntax"
UNREADABLE: Final = 123
"""What xargs makes of gofmt's 2."""


class Gofmt(GoCheck):
    """`gofmt -l`, the one that belongs to `go` (which need not be in PATH beside it). One issue a file; those that
    `go fmt ./...` does not come to are left alone."""

    name: ClassVar[str] = "gofmt"
    kind: ClassVar[Kind] = "format"

    def find(self, project: Project) -> Tool:
        return find_go(project, module=False)

    def configuration(self, project: Project) -> list[Path]:
        return []  # it has none

    def command(self, project: Project, tool: Tool) -> Command:
        start = 0 if project.root == "." else len(project.root) + 1
        names = [f"./{path[start:]}" for path in _formatted(project)]
        return Command(
            argv=("/bin/sh", "-c", SCRIPT, tool.argv[0], "{out}/files", f"{{out}}/{CANARY}"),
            cwd=project.path,
            inputs={CANARY: "package  canary\n", "files": "".join(f"{name}\0" for name in names)},
        )

    def parse(self, project: Project, run: ToolRun) -> Findings:
        check_exit(self.name, run, {0, UNREADABLE}, "run `gofmt -l .` by hand")
        listed = run.stdout.read_text("utf-8", "surrogateescape").split("\n")[:-1]
        if not any(name.endswith(f"/{CANARY}") for name in listed):
            raise not_understood(self.name, run, "it does not see what is not formatted")
        asked = frozenset(_formatted(project))
        issues = []
        for name in listed:
            path = relative(project, name)
            if path in asked:
                issues.append(
                    Issue(
                        tool=self.name,
                        rule="unformatted",
                        severity="warning",
                        message="gofmt would format this file otherwise",
                        path=path,
                        safe_fix=True,
                    )
                )
            elif not name.endswith(f"/{CANARY}"):
                raise not_understood(self.name, run, f"the line {name[:80]!r}")
        broken = []
        if run.exit_code == UNREADABLE:
            said = run.stderr.read_text("utf-8", "surrogateescape").split("\n")
            told = compile_issues(project, self.name, located(said))
            broken = [msgspec.structs.replace(one, rule=SYNTAX) for one in told if one.path in asked]
        if (run.exit_code == UNREADABLE) != bool(broken):
            raise not_understood(self.name, run, "its exit code does not go with what it told")
        return Findings(issues=issues + broken)


def _formatted(project: Project) -> list[str]:
    return [path for path in project.files if path.endswith(".go") and not passed_over(project, path)]
