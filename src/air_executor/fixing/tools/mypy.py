"""mypy. Where its configuration names files or packages it is run just so, else over all the project's files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Final

from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.issue import Issue
from air_executor.fixing.tools import pyright
from air_executor.fixing.tools.output import check_exit, decode_lines, last_words, not_understood, relative
from air_executor.fixing.tools.programs import folders_up
from air_executor.fixing.tools.python import (
    config_files,
    find_python_tool,
    ini,
    installed_version,
    listed,
    python_of,
    tool_table,
    version_numbers,
)

__all__ = ["Mypy"]

INI: Final = ("mypy.ini", ".mypy.ini")
JSON_SINCE: Final = (1, 11)
CHOOSES: Final = ("files", "packages", "modules")
"""Settings that say what is checked; the same as `mypy` without arguments."""
PASSED_OVER: Final = frozenset({"site-packages", "node_modules", "__pycache__"})
END: Final = {"end": "end.xml"}
MEND: Final = "mend mypy's configuration; `mypy` run by hand tells what is wrong with it"


class Line(Struct):
    """One line of `--output=json`."""

    file: str
    line: int
    column: int
    message: str
    code: str | None
    severity: str
    end_line: int | None = None
    end_column: int | None = None


class Configuration(Struct):
    """Which file mypy would read, and what stands in it."""

    path: Path
    settings: dict[str, Any]

    @property
    def chooses(self) -> bool:
        return any(self.settings.get(name) for name in CHOOSES)

    @property
    def excludes(self) -> list[str]:
        given = self.settings.get("exclude")
        if isinstance(given, str):
            return [given] if given else []
        return [pattern for pattern in given if isinstance(pattern, str)] if isinstance(given, list) else []

    @property
    def plugins(self) -> bool:
        return bool(self.settings.get("plugins"))


def configuration(project: Project) -> Configuration | None:
    for folder in folders_up(project):
        for name in INI:
            if (path := folder / name).exists():
                return Configuration(path, dict(ini(path).get("mypy", {})))
        if (table := tool_table(folder, "mypy")) is not None:
            return Configuration(folder / "pyproject.toml", table)
        if "mypy" in (sections := ini(path := folder / "setup.cfg")):
            return Configuration(path, dict(sections["mypy"]))
    return None


class Mypy:
    """`mypy --output=json`. Its notes explain errors or are asked for in the code; they are no issues."""

    name: ClassVar[str] = "mypy"
    kind: ClassVar[Kind] = "types"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        return configuration(project) is not None or not pyright.configured(project)

    def loads_code(self, project: Project) -> bool:
        config = configuration(project)
        return config is not None and config.plugins

    def find(self, project: Project) -> Tool:
        tool = find_python_tool(project, "mypy")
        return Tool(tool.argv, installed_version(Path(tool.argv[0]).resolve(), "mypy"), tool.own)

    def configuration(self, project: Project) -> list[Path]:
        return config_files(project, *INI, "pyproject.toml", "setup.cfg")

    def command(self, project: Project, tool: Tool) -> Command:
        if version_numbers(tool.version) < JSON_SINCE:
            raise CouldNotRun(
                f"mypy {tool.version} cannot write JSON", "update mypy to 1.11 or later (`pip install -U mypy`)"
            )
        config = configuration(project)
        words = ["--output=json", "--no-error-summary", "--no-install-types", "--cache-dir={cache}"]
        words.append("--junit-xml={out}/end.xml")
        python = python_of(project)
        given = config is not None and "python_executable" in config.settings
        if python is not None and not given and Path(tool.argv[0]).parent != python.parent:
            words.append(f"--python-executable={python}")
        if config is not None and config.path.parent != project.path:
            words.append(f"--config-file={config.path}")
        elif config is not None and config.chooses:
            return Command(argv=(*tool.argv, *words), cwd=project.path, outputs=END)
        names = [*_checked(project, config.excludes if config is not None else [])]
        if not names:
            raise CouldNotRun("mypy's `exclude` leaves no file to check", MEND)
        return Command(
            argv=(*tool.argv, *words, "@{out}/files"),
            cwd=project.path,
            inputs={"files": "".join(f"{name}\n" for name in names)},
            outputs=END,
        )

    def parse(self, project: Project, run: ToolRun) -> Findings:
        if run.exit_code == 2 and run.stdout.stat().st_size:
            return self._stopped(project, run)
        check_exit(self.name, run, {0, 1}, MEND)
        if "end" not in run.outputs:  # it says nothing when all is well, so its silence proves nothing
            raise not_understood(self.name, run, "it ended without its report")
        note = self._of_configuration(run)
        issues = self._issues(project, run)
        if not issues and run.exit_code:
            raise not_understood(self.name, run, "no error, but the exit code of some")
        own = frozenset(project.files)
        return Findings(issues=[issue for issue in issues if issue.path in own], note=note)

    def _of_configuration(self, run: ToolRun) -> str | None:
        """mypy goes on with what it cannot read of its configuration, by other rules than were asked for."""
        told = []
        for line in run.stderr.read_text("utf-8", "replace").split("\n"):
            if not (found := re.match(r"(?:.*/)?(?:\.?mypy\.ini|pyproject\.toml|setup\.cfg): (?!note:)", line)):
                continue
            if "Unrecognized option" not in line:
                raise CouldNotRun(f"mypy cannot read its configuration: {found.string}", MEND)
            told.append(found.string)
        return "; ".join(told) or None

    def _stopped(self, project: Project, run: ToolRun) -> Findings:
        """A blocking error: mypy tells it and checks nothing. Only if that is in the code it is a finding."""
        issues = self._issues(project, run)
        if issues and all(issue.rule == "syntax" for issue in issues):
            return Findings(issues=issues, note="mypy checks nothing until the syntax errors are gone")
        said = "; ".join(f"{issue.path}: {issue.message}" for issue in issues[:3]) or last_words(run.stderr)
        raise CouldNotRun(f"mypy stopped: {said}", MEND)

    def _issues(self, project: Project, run: ToolRun) -> list[Issue]:
        found = []
        for line in decode_lines(self.name, run, Line):
            if line.severity not in ("error", "note"):
                raise not_understood(self.name, run, f"severity {line.severity!r}")
            path = relative(project, line.file)
            if line.severity == "error" and path is not None:
                found.append(
                    Issue(
                        tool=self.name,
                        rule=line.code or "misc",
                        severity="error",
                        message=line.message,
                        path=path,
                        line=max(line.line, 0),
                        column=max(line.column + 1, 0),
                        end_line=line.end_line if line.end_line and line.end_line > 0 else None,
                        end_column=line.end_column + 1 if line.end_column and line.end_column > 0 else None,
                    )
                )
        return found


def _checked(project: Project, excludes: list[str]) -> Iterator[str]:
    """The files mypy would find from the project's folder downward."""
    try:
        patterns = [re.compile(pattern) for pattern in excludes]
    except re.error:
        patterns = []  # mypy tells
    names = [*listed(project)]
    stubs = {name for name in names if name.endswith(".pyi")}
    for name in names:
        if f"{name}i" in stubs:
            continue
        parts = PurePosixPath(name).parts
        if any(part in PASSED_OVER or part.startswith(".") for part in parts[:-1]):
            continue
        steps = ["/".join(parts[:count]) + "/" for count in range(1, len(parts))] + ["/".join(parts)]
        if not any(pattern.search(step) for pattern in patterns for step in steps):
            yield name
