"""What every check has in common: which tool it needs, what it runs, and how it reads what came out.

A check is one file in `tools/` and one line in its language. It starts nothing itself: `command` says what to run,
the check's own task runs it with standard output and error in files of their own, and `parse` reads those.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Protocol

from msgspec import Struct, field

from air_executor.fixing.issue import Issue
from air_executor.fixing.outcome import Coverage, TestResult

__all__ = ["Check", "Command", "CouldNotRun", "Findings", "Kind", "Project", "Tool", "ToolRun"]

Kind = Literal["build", "lint", "format", "types", "tests", "coverage", "metrics"]
"""`build`, `lint`, `format`, `types` and `metrics` are static; `tests` and `coverage` are dynamic."""


class Project(Struct, kw_only=True, frozen=True):
    """What a manifest stands for: a root of one language in a repository, and the files that are its own."""

    repository: Path
    root: str
    """Relative to the repository's; `.` for itself."""
    language: str
    manifest: str | None
    files: tuple[str, ...]
    """Relative to the repository's root. No file belongs to two projects of one language."""

    @property
    def path(self) -> Path:
        return self.repository / self.root


class Tool(Struct, frozen=True):
    """A program that was found, and whose it is."""

    argv: tuple[str, ...]
    version: str | None
    own: bool
    """Whether it is the project's (its virtual environment, its node_modules), not ours."""


class CouldNotRun(Exception):
    """A check has no result. Raised with the reason, and with what the user can do about it."""

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.mend = mend


class Command(Struct, kw_only=True, frozen=True):
    """What to run. Environment: a private HOME and TMPDIR, no credentials, and `env`."""

    argv: tuple[str, ...]
    cwd: Path
    env: dict[str, str] = field(default_factory=dict)
    timeout_s: float = 180.0
    outputs: dict[str, str] = field(default_factory=dict)
    """Files the tool writes: name -> path relative to the folder `{out}`, which stands in `argv` and `env`."""


class ToolRun(Struct, kw_only=True, frozen=True):
    """What came of it."""

    exit_code: int | None
    signal: str | None
    timed_out: bool
    stdout: Path
    stderr: Path
    outputs: dict[str, Path]
    duration_s: float


class Findings(Struct, kw_only=True):
    """What a tool found. An empty one means that all is well."""

    issues: list[Issue] = field(default_factory=list)
    tests: list[TestResult] | None = None
    coverage: Coverage | None = None


class Check(Protocol):
    """One tool applied to one project. Every method raises `CouldNotRun` where there can be no result."""

    name: ClassVar[str]
    """The tool's name, such as `ruff`."""
    kind: ClassVar[Kind]
    loads_code: ClassVar[bool]
    """Whether code of the target runs in the tool (tests, plugins, configurations that are programs)."""

    def applies(self, project: Project) -> bool:
        """Whether this project is configured for it, or has no other tool of this kind."""

    def find(self, project: Project) -> Tool:
        """The program: the project's own before ours."""

    def configuration(self, project: Project) -> list[Path]:
        """Files that decide what it finds."""

    def command(self, project: Project, tool: Tool) -> Command:
        """What to run over all the project's files."""

    def parse(self, project: Project, run: ToolRun) -> Findings:
        """Read what came out. What is not exactly what this tool prints is `CouldNotRun`, never nothing found."""
