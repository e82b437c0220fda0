"""dart format, the one form of Dart."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from air_executor.fixing.check import Command, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue
from air_executor.fixing.tools.dart import DartCheck, listed
from air_executor.fixing.tools.output import check_exit, not_understood, relative

__all__ = ["DartFormat"]

SUMMARY: Final = re.compile(r"Formatted (\d+|no) files?(?: \((\d+) changed\))?(?: in [\d.]+ seconds)?\.")
CHANGED: Final = re.compile(r"Changed (.+)")
BROKEN: Final = re.compile(r"line (\d+), column (\d+) of (.+?\.dart): (.*)")
WOULD_CHANGE, UNPARSED = 1, 65


class DartFormat(DartCheck):
    """`dart format --output=none`. One issue a file, and one for each place that it cannot read."""

    name: ClassVar[str] = "dart-format"
    kind: ClassVar[Kind] = "format"

    def command(self, project: Project, tool: Tool) -> Command:
        words = ("format", "--output=none", "--show=changed", "--summary=line", "--set-exit-if-changed")
        return Command(argv=(*tool.argv, *words, *(f"./{name}" for name in listed(project))), cwd=project.path)

    def parse(self, project: Project, run: ToolRun) -> Findings:
        check_exit(self.name, run, {0, WOULD_CHANGE, UNPARSED}, "run `dart format --output=none .` by hand")
        *lines, last = run.stdout.read_text("utf-8", "surrogateescape").rstrip("\n").split("\n")
        summary = SUMMARY.fullmatch(last)
        if summary is None:
            raise not_understood(self.name, run, "no summary")
        issues = []
        for line in lines:
            found = CHANGED.fullmatch(line)
            if found is None:
                raise not_understood(self.name, run, f"the line {line[:80]!r}")
            issues.append(self._issue(project, run, "unformatted", found[1], "dart format would change this file"))
        if len(issues) != int(summary[2] or 0):
            raise not_understood(self.name, run, f"{len(issues)} files, but {summary[2]} in its summary")
        broken = [
            self._issue(project, run, "syntax", found[3], found[4], int(found[1]), int(found[2]))
            for line in run.stderr.read_text("utf-8", "replace").split("\n")
            if (found := BROKEN.fullmatch(line.strip()))
        ]
        if bool(broken) != (run.exit_code == UNPARSED) or (not broken and bool(issues) != bool(run.exit_code)):
            raise not_understood(self.name, run, "its exit code does not go with what it told")
        return Findings(issues=issues + broken)

    def _issue(
        self, project: Project, run: ToolRun, rule: str, name: str, message: str, line: int = 0, column: int = 0
    ) -> Issue:
        path = relative(project, name)
        if path not in project.files:
            raise not_understood(self.name, run, f"{name} was not asked for")
        return Issue(
            tool=self.name,
            rule=rule,
            severity="error" if line else "warning",
            message=message,
            path=path,
            line=line,
            column=column,
            safe_fix=not line,
        )
