"""clippy, with what the compiler itself says: `cargo clippy` over every target of the workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue, Severity
from air_executor.fixing.tools.cargo import (
    Line,
    Message,
    Replacement,
    cargo_command,
    cargo_failed,
    configuration_files,
    find_cargo,
)
from air_executor.fixing.tools.output import decode_lines, in_one_line, not_understood, relative

__all__ = ["Clippy", "issues_of", "place_of"]

SEVERITIES: Final[dict[str, Severity]] = {"error": "error", "warning": "warning"}
UNCODED: Final = "unclassified"
"""For what has no code in the compiler: syntax errors and the like."""
MEND: Final = "`cargo clippy` by hand tells what is wrong"


class Clippy:
    """`cargo clippy --all-targets`."""

    name: ClassVar[str] = "clippy"
    kind: ClassVar[Kind] = "lint"
    version_args: ClassVar[tuple[str, ...]] = ("clippy", "--version")
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        return True

    def loads_code(self, project: Project) -> bool:
        return True

    def find(self, project: Project) -> Tool:
        return find_cargo(project)

    def configuration(self, project: Project) -> list[Path]:
        return configuration_files(project, "clippy.toml", ".clippy.toml")

    def command(self, project: Project, tool: Tool) -> Command:
        return cargo_command(
            project, tool, ["clippy", "--workspace", "--all-targets", "--message-format=json", "--quiet"]
        )

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if run.exit_code not in (0, 101) or (run.exit_code and not run.stdout.stat().st_size):
            raise cargo_failed(self.name, run, MEND)
        lines = decode_lines(self.name, run, Line)
        if not lines or lines[-1].reason != "build-finished" or lines[-1].success != (run.exit_code == 0):
            raise not_understood(self.name, run, "the build did not come to its end")
        messages = [line.message for line in lines if line.message is not None]
        issues = list(issues_of(project, self.name, messages))
        own = frozenset(project.files)
        found = [issue for issue in issues if issue.path in own]
        if run.exit_code and not any(issue.severity == "error" for issue in found):
            told = next((message.message for message in messages if message.level.startswith("error")), "")
            raise CouldNotRun(f"cargo cannot build this: {in_one_line(told) or 'it does not say why'}", MEND)
        note = "what does not compile is not looked at any further, nor what needs it" if run.exit_code else None
        return Findings(issues=found, note=note)


def place_of(project: Project, message: Message) -> tuple[str, Replacement] | None:
    """The file of the repository, and the place in it, that a message is about: of code that a macro has made, the
    place where the macro is called."""
    for given in message.spans:
        span: Replacement | None = given if given.is_primary else None
        while span is not None:
            path = relative(project, span.file_name)
            if path in project.files:
                return path, span
            span = span.expansion.span if span.expansion is not None else None
    return None


def issues_of(project: Project, tool: str, messages: list[Message]) -> Iterator[Issue]:
    """Each message once, though several targets are built of the same file."""
    seen: set[tuple[object, ...]] = set()
    for message in messages:
        severity = SEVERITIES.get(message.level)
        found = place_of(project, message) if severity is not None else None
        if severity is None or found is None:
            continue  # sums ("2 warnings emitted"), and what is wrong in the code of others
        path, span = found
        rule = message.code.code if message.code is not None else UNCODED
        key = (rule, path, span.line_start, span.column_start, span.line_end, span.column_end, message.message)
        if key in seen:
            continue
        seen.add(key)
        yield Issue(
            tool=tool,
            rule=rule,
            severity=severity,
            message=message.message,
            path=path,
            line=span.line_start,
            column=span.column_start,
            end_line=span.line_end,
            end_column=span.column_end,
            safe_fix=_fixable(message),
        )


def _fixable(message: Message) -> bool:
    spans = [span for one in (message, *message.children) for span in one.spans]
    return any(span.suggestion_applicability == "MachineApplicable" for span in spans)
