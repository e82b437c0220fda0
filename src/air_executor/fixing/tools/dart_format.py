"""dart format, the one form of Dart."""

from __future__ import annotations

import re
from typing import ClassVar, Final

import msgspec

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
        names = []
        for line in lines:
            found = CHANGED.fullmatch(line)
            if found is None:
                raise not_understood(self.name, run, f"the line {line[:80]!r}")
            names.append(found[1])
        if len(names) != int(summary[2] or 0):
            raise not_understood(self.name, run, f"{len(names)} files, but {summary[2]} in its summary")
        said = run.stderr.read_text("utf-8", "replace").split("\n")
        issues = [*map(self._changed, names)]
        broken = [self._broken(found) for line in said if (found := BROKEN.fullmatch(line.strip()))]
        if bool(broken) != (run.exit_code == UNPARSED) or (not broken and bool(issues) != bool(run.exit_code)):
            raise not_understood(self.name, run, "its exit code does not go with what it told")
        own = frozenset(project.files)
        placed = [msgspec.structs.replace(one, path=relative(project, one.path) or "") for one in issues + broken]
        if any(one.path not in own for one in placed):
            raise not_understood(self.name, run, "a file that was not asked for")
        return Findings(issues=placed)

    def _changed(self, name: str) -> Issue:
        message = "dart format would change this file"
        return Issue(
            tool=self.name, rule="unformatted", severity="warning", message=message, path=name, safe_fix=True
        )

    def _broken(self, found: re.Match[str]) -> Issue:
        return Issue(
            tool=self.name,
            rule="invalid-syntax",
            severity="error",
            message=found[4],
            path=found[3],
            line=int(found[1]),
            column=int(found[2]),
        )
