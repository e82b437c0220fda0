"""What every check has in common: which tool it needs, what it runs, and how it reads what came out.

A check is one file in `tools/` and one line in its language. It starts nothing itself: `command` says what to run,
the check's own task runs it with standard output and error in files of their own, and `parse` reads those.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Protocol

from msgspec import Struct, field

from air_executor.fixing.issue import Issue
from air_executor.fixing.metrics.measures import ProjectMetrics
from air_executor.fixing.outcome import Coverage, TestResult

__all__ = ["Check", "Command", "CouldNotRun", "Findings", "Kind", "Project", "Selection", "Tool", "ToolRun"]

Kind = Literal["build", "lint", "format", "types", "tests", "coverage", "metrics"]
"""`build`, `lint`, `format`, `types` and `metrics` are static; `tests` and `coverage` are dynamic."""


class Selection(Struct, kw_only=True, frozen=True):
    """Which tests are run and in which order, to tell flaky tests from broken ones."""

    tests: tuple[str, ...] | None = None
    """Ids as `TestResult.id` gives them; None for all."""
    seed: int | None = None
    """Of the random order; None: the framework's own order."""


class Project(Struct, kw_only=True, frozen=True):
    """What a manifest stands for: a root of one language in a repository, and the files that are its own."""

    repository: Path
    root: str
    """Relative to the repository's; `.` for itself."""
    language: str
    manifest: str | None
    files: tuple[str, ...]
    """Relative to the repository's root. No file belongs to two projects of one language."""
    nested: tuple[str, ...] = ()
    """Roots of other projects of this language below this one, relative to the repository's."""
    workspace: str | None = None
    """Root of the workspace it is a member of, relative to the repository's: lock file and programs may be there."""
    selection: Selection | None = None
    """Which tests are wanted. Only checks of tests look at it; one that cannot choose raises `CouldNotRun`."""
    own_programs: bool = True
    """Whether programs that lie inside the repository may be run; they are the target's code like its tests."""

    @property
    def path(self) -> Path:
        return self.repository / self.root


class Tool(Struct, frozen=True):
    """A program that was found, and whose it is."""

    argv: tuple[str, ...]
    version: str | None
    own: bool
    """Whether it is the project's (its virtual environment, its node_modules), not ours."""
    env: dict[str, str] = {}
    """What it needs in its environment whatever it is asked, its version too; filled in like a command's."""


class CouldNotRun(Exception):
    """A check has no result. Raised with the reason in one line, and with what the user can do about it."""

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.mend = mend


class Command(Struct, kw_only=True, frozen=True):
    """What to run. Environment: an allowlist, a private HOME and TMPDIR, no credentials, and `env`.

    `{out}` in `argv` and `env` stands for a fresh folder of this run, `{cache}` for one that stays from run to run of
    this check on this project, `{shared}` for one that stays and that all checks of the repository use at once,
    `{reads}` for the `{out}` of the check named by `reads`.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: dict[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    """None: what the configuration says for this kind of check."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Files that are written for the tool beforehand: path relative to `{out}` -> text."""
    outputs: dict[str, str] = field(default_factory=dict)
    """Files the tool may write: name -> path relative to `{out}`."""
    then: Command | None = None
    """What is run after it, however it ended, with its outputs in the same place. Where it fails they are missing."""
    parts: tuple[Path, ...] = ()
    """Files and packages the program is made of that lie elsewhere than it: the sandbox shows their folders."""


class ToolRun(Struct, kw_only=True, frozen=True):
    """What came of it."""

    exit_code: int | None
    signal: str | None
    stdout: Path
    stderr: Path
    outputs: dict[str, Path]
    """Those that exist, and those of the check named by `reads`, whose standard output is `stdout`."""
    duration_s: float
    version: str | None = None


class Findings(Struct, kw_only=True):
    """What a tool found. An empty one means that all is well."""

    issues: list[Issue] = field(default_factory=list)
    tests: list[TestResult] | None = None
    coverage: Coverage | None = None
    metrics: ProjectMetrics | None = None
    note: str | None = None
    """What the reader must know of a result that is not the whole truth (a syntax error hid the rest)."""


class Check(Protocol):
    """One tool applied to one project. Every method raises `CouldNotRun` where there can be no result."""

    name: ClassVar[str]
    """The tool's name, such as `ruff`."""
    kind: ClassVar[Kind]
    version_args: ClassVar[tuple[str, ...]]
    """What makes the program tell its version, such as `("--version",)`; the first number with a dot counts. It is
    not asked where `find` knows it."""
    reads: ClassVar[str | None]
    """The check of the same project whose outputs this one reads (coverage those of the tests); it runs after it."""

    def applies(self, project: Project) -> bool:
        """Whether this project is configured for it, or has no other tool of this kind."""

    def loads_code(self, project: Project) -> bool:
        """Whether code of the target runs in the tool (tests, plugins, configurations that are programs)."""

    def find(self, project: Project) -> Tool:
        """The program: the project's own before ours. Starts nothing; the version is asked for later."""

    def configuration(self, project: Project) -> list[Path]:
        """Files that decide what it finds, whether they exist or not; lock files are added by the language."""

    def command(self, project: Project, tool: Tool) -> Command | None:
        """What to run over all the project's files. None: nothing, all that is needed are the outputs of `reads`."""

    def parse(self, project: Project, run: ToolRun) -> Findings:
        """Read what came out. What is not exactly what this tool prints is `CouldNotRun`, never nothing found."""
