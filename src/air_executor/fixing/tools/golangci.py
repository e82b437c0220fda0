"""golangci-lint, where the project is configured for it or it is installed; versions 1 and 2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
import yaml
from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue, Severity
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools.go import GoCheck, find_go, located, own_issues
from air_executor.fixing.tools.output import check_exit, decode, not_understood, relative
from air_executor.fixing.tools.programs import find_own, find_program, folders_up, in_path

__all__ = ["GolangciLint"]

CONFIGS: Final = tuple(f".golangci.{suffix}" for suffix in ("yml", "yaml", "toml", "json"))
OWN: Final = "bin/golangci-lint"
MEND: Final = "run `golangci-lint run` by hand in the module's folder"
# Codes that linters put before their message; names do so in those that have no codes.
CODE: Final = re.compile(r"([A-Z]{1,3}\d{2,5}): ")
NAME: Final = re.compile(r"([a-zA-Z][\w-]*): ")
SHAPING: Final = frozenset(
    {"gci", "gofmt", "gofumpt", "goimports", "golines", "godot", "nlreturn", "whitespace", "wsl", "wsl_v5"}
)
"""Those whose fixes only change the form; what others propose may change what the code does."""
NAMED: Final = frozenset({"gocritic", "govet", "revive"})
SEVERITIES: Final[dict[str, Severity]] = {
    "error": "error", "high": "error", "info": "info", "low": "info", "note": "info",
}  # fmt: skip
SECOND: Final = 2


class Position(Struct, rename="pascal"):
    filename: str
    line: int = 0
    column: int = 0


class Lines(Struct, rename="pascal"):
    from_: int = msgspec.field(name="From")
    to: int = 0


class Found(Struct, rename="pascal"):
    """One issue. A linter that could mend it tells a replacement (version 1) or fixes (version 2)."""

    from_linter: str
    text: str
    pos: Position
    severity: str = ""
    line_range: Lines | None = None
    replacement: dict[str, Any] | None = None
    suggested_fixes: list[dict[str, Any]] | None = None


class Facts(Struct, rename="pascal"):
    error: str = ""


class Report(Struct, rename="pascal"):
    issues: list[Found] | None
    """None where there are none."""
    report: Facts | None = None


def config_of(project: Project) -> Path | None:
    """The configuration it would read: the nearest one upward."""
    return next(
        (folder / name for folder in folders_up(project) for name in CONFIGS if (folder / name).is_file()), None
    )


class GolangciLint(GoCheck):
    """`golangci-lint run`, all issues. What go vet finds is left to that, unless the configuration speaks of it."""

    name: ClassVar[str] = "golangci-lint"
    kind: ClassVar[Kind] = "lint"

    def applies(self, project: Project) -> bool:
        there = find_own(project, OWN) or in_path(project, "golangci-lint")
        return config_of(project) is not None or there is not None

    def loads_code(self, project: Project) -> bool:
        """Its plugins are libraries that it loads."""
        config = config_of(project)
        return config is not None and bool(_plugins(config))

    def find(self, project: Project) -> Tool:
        mend = "install golangci-lint, or take its configuration away if it is not used any more"
        tool = find_program(project, "golangci-lint", own=OWN, mend=mend)
        go = find_go(project)
        return msgspec.structs.replace(tool, env=go.env | {"GOLANGCI_LINT_CACHE": "{cache}"})

    def configuration(self, project: Project) -> list[Path]:
        return super().configuration(project) + [folder / name for folder in folders_up(project) for name in CONFIGS]

    def command(self, project: Project, tool: Tool) -> Command:
        first = re.match(r"\d+", tool.version or "")
        new = first is None or int(first[0]) >= SECOND
        words = ["--output.json.path={out}/report.json" if new else "--out-format=json:{out}/report.json"]
        words += ["--issues-exit-code=1", "--max-issues-per-linter=0", "--max-same-issues=0", "--timeout=24h"]
        words += ["--allow-parallel-runners", *_without_vet(config_of(project))]
        return Command(argv=(*tool.argv, "run", *words, "./..."), cwd=project.path, outputs={"report": "report.json"})

    def parse(self, project: Project, run: ToolRun) -> Findings:
        check_exit(self.name, run, {0, 1}, MEND)
        if "report" not in run.outputs:
            raise not_understood(self.name, run, "no report")
        report = decode(self.name, run, Report, run.outputs["report"])
        if report.report is not None and report.report.error:
            raise CouldNotRun(f"golangci-lint failed: {' '.join(report.report.error.split())}", MEND)
        found = report.issues or []
        if bool(found) != (run.exit_code == 1):
            raise not_understood(self.name, run, f"{len(found)} findings do not go with the exit code")
        issues = [issue for one in found for issue in self._issues(project, run, one)]
        broken = any(one.from_linter == "typecheck" for one in found)
        note = "packages that do not compile are not looked at by most linters" if broken else None
        return Findings(issues=own_issues(project, self.name, list(dict.fromkeys(issues))), note=note)

    def _issues(self, project: Project, run: ToolRun, one: Found) -> Iterator[Issue]:
        told = [*located(one.text.split("\n"))] if one.from_linter == "typecheck" else []
        if told:  # the compiler's words, with places of their own
            for message in told:
                place = Position(message.path, message.line, message.column)
                yield self._issue(project, run, one, place, message.message)
        else:
            yield self._issue(project, run, one, one.pos, one.text)

    def _issue(self, project: Project, run: ToolRun, one: Found, place: Position, text: str) -> Issue:
        code = CODE.match(text) or (NAME.match(text) if one.from_linter in NAMED else None)
        lines = one.line_range
        return Issue(
            tool=self.name,
            rule=f"{one.from_linter}/{code[1]}" if code else one.from_linter,
            severity=SEVERITIES.get(one.severity.lower(), "error" if one.from_linter == "typecheck" else "warning"),
            message=" ".join(text.split()),
            path=self._path(project, run, place.filename),
            line=max(place.line, 0),
            column=max(place.column, 0) if place.line > 0 else 0,
            end_line=lines.to if lines is not None and lines.to > place.line else None,
            safe_fix=one.from_linter in SHAPING and bool(one.replacement or one.suggested_fixes),
        )

    def _path(self, project: Project, run: ToolRun, name: str) -> str:
        """Version 2 tells paths as seen from its configuration."""
        config = config_of(project)
        places = [relative(project, name), relative(project, name, config.parent) if config is not None else None]
        own = frozenset(project.files)
        path = next((one for one in places if one in own), places[0])
        if path is None:
            raise not_understood(self.name, run, f"{name} is not in the repository")
        return path


def _without_vet(config: Path | None) -> list[str]:
    try:
        text = read_source(config) if config is not None else ""
    except OSError:
        text = ""
    # It refuses to disable by name what is disabled as a whole.
    return [] if re.search(r"\bgovet\b|\bvet\b|disable-all|\bdefault\b", text) else ["--disable=govet"]


def _plugins(config: Path) -> bool:
    """`custom` linters; where the configuration is not YAML or JSON, the word is enough."""
    try:
        text = read_source(config)
    except OSError:
        return False
    try:
        content: Any = yaml.safe_load(text) if config.suffix != ".toml" else None
    except (yaml.YAMLError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        return "custom" in text
    places = [content.get("linters-settings")]
    linters = content.get("linters")
    if isinstance(linters, dict):
        places.append(linters.get("settings"))
    return any(isinstance(place, dict) and place.get("custom") for place in places)
