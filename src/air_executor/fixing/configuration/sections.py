"""The sections of `config/autonomous_fix.yaml`, every key with its default and what it means."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

__all__ = [
    "BatchSizes",
    "CircuitBreaker",
    "CompletionCriteria",
    "Execution",
    "FixingConfig",
    "HealthCheck",
    "IssueGrouping",
    "LanguageConfig",
    "Languages",
    "Mode",
    "Redis",
    "TargetProject",
    "Weights",
]

Mode = Literal["mega", "smart", "individual"]

Share = Annotated[float, Meta(ge=0, le=1)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Count = Annotated[int, Meta(ge=0)]
AtLeastOne = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=1_000_000)]


class _Section(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A part of the configuration. What stands under each of its fields is that field's documentation."""


class TargetProject(_Section, kw_only=True, frozen=True):
    """What is looked at."""

    path: str | None = None
    """The repository, for a configuration that lies outside of it; relative to the file's folder, or to the folder
    around it if that is called `config`. None: the repository the command names, or the current folder."""
    type: str | None = None
    """The one language to look at (`python`), as if `languages.enabled` held only it."""


class CompletionCriteria(_Section, kw_only=True, frozen=True):
    """When a project is done: `fix run` ends there."""

    build_passes: bool = True
    """Whether no error of compilers and type checkers may be left, and every such check must have run."""
    min_test_pass_rate: Share = 0.95
    """Passed tests among those that passed or failed."""
    max_lint_errors: Count = 0
    """Issues of severity error that linters and formatters may leave."""
    stability_runs: AtLeastOne = 3
    """How many iterations in a row have to meet all of this."""


class CircuitBreaker(_Section, kw_only=True, frozen=True):
    """When `fix run` gives up."""

    max_consecutive_failures: AtLeastOne = 5
    """Batches in a row without one verified fix."""
    max_total_runs: AtLeastOne = 20
    """Agent sessions of one run."""
    max_duration_hours: Annotated[float, Meta(gt=0)] = 4.0
    """Of one run."""


class BatchSizes(_Section, kw_only=True, frozen=True):
    """The most issues of a batch of each phase, in every mode; None: only `issue_grouping` limits them."""

    build_fixes: AtLeastOne | None = None
    test_fixes: AtLeastOne | None = None
    lint_fixes: AtLeastOne | None = None
    coverage_fixes: AtLeastOne | None = None


class IssueGrouping(_Section, kw_only=True, frozen=True):
    """How issues become batches."""

    mode: Mode = "smart"
    """`mega`: one batch for a phase; `smart`: cleanup and location batches, the rest one by one; `individual`: one
    issue a batch."""
    mega_batch_mode: bool = False
    """True is the same as `mode: mega`."""
    max_cleanup_batch_size: AtLeastOne = 50
    """The most issues of a batch of one rule across the project."""
    max_location_batch_size: AtLeastOne = 20
    """The most issues of a batch of one kind in one folder."""

    @property
    def effective_mode(self) -> Mode:
        return "mega" if self.mega_batch_mode else self.mode


class Execution(_Section, kw_only=True, frozen=True):
    """How Air-Executor's tasks are run."""

    timeout: Seconds = 900.0
    """Seconds an agent's session may take."""
    slots: AtLeastOne | None = None
    """Checks, and later sessions, at once; None: one a CPU."""


class Redis(_Section, kw_only=True, frozen=True):
    """Where `fix run` keeps queue, counts and history for others to read."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 6379
    db: Count = 0


class Weights(_Section, kw_only=True, frozen=True):
    """The numbers of the score; those that share something out sum to 1."""

    analysis: Share = 0.6
    """Of static health: what the analysis gives when it finds no error."""
    analysis_few_errors: Share = 0.3
    """What it gives instead with errors, but fewer than `few_errors`."""
    quality: Share = 0.4
    """Of static health: code quality."""
    pass_rate: Share = 0.7
    """Of dynamic health: passed tests."""
    coverage: Share = 0.3
    """Of dynamic health: covered lines."""
    static: Share = 0.4
    """Of the whole: static health."""
    dynamic: Share = 0.6
    """Of the whole: dynamic health."""
    static_alone: Share = 0.7
    """What static health is multiplied by where there is no dynamic health."""


class HealthCheck(_Section, kw_only=True, frozen=True):
    """What counts as an issue, and how health is computed."""

    file_size_threshold: AtLeastOne = 300
    """Lines of a file; longer is an issue."""
    function_length_threshold: AtLeastOne = 60
    """Lines of a function."""
    complexity_threshold: AtLeastOne = 15
    """Cyclomatic complexity of a function."""
    nesting_threshold: AtLeastOne = 4
    """Blocks within blocks in a function."""
    duplication_threshold: AtLeastOne = 15
    """Lines of a block that stands in two places; shorter ones are no issue."""
    coverage_threshold: Percent = 80.0
    """Percent of a file's lines that tests have to run through."""
    static_pass_threshold: Share = 0.6
    """Static health from which on tests are run."""
    healthy_threshold: Share = 0.8
    """Overall health from which on a project is healthy."""
    few_errors: Count = 100
    """Fewer errors than this still give `weights.analysis_few_errors`."""
    test_timeout: Seconds = 180.0
    """Seconds of a project's tests."""
    static_timeout: Seconds = 600.0
    """Seconds of any other check."""
    weights: Weights = field(default_factory=Weights)


class LanguageConfig(_Section, kw_only=True, frozen=True):
    """What holds for one language only; None: what `health_check` says."""

    checks: tuple[str, ...] | None = None
    """Names of the checks that are run (`ruff`, `mypy`); None: all that apply."""
    file_size_threshold: AtLeastOne | None = None
    function_length_threshold: AtLeastOne | None = None
    complexity_threshold: AtLeastOne | None = None
    nesting_threshold: AtLeastOne | None = None
    duplication_threshold: AtLeastOne | None = None
    coverage_threshold: Percent | None = None


class Languages(_Section, kw_only=True, frozen=True):
    """Which languages are looked at. In the file the settings of one stand beside these, under its name."""

    enabled: tuple[str, ...] | None = None
    """None: all that are known."""
    auto_detect: bool = True
    """True: those of the enabled that the repository has files of. False: exactly the enabled (or
    `target_project.type`), so that one without files is an error."""
    each: dict[str, LanguageConfig] = field(default_factory=dict)


class FixingConfig(_Section, kw_only=True, frozen=True):
    """All that `config/autonomous_fix.yaml` can say."""

    target_project: TargetProject = field(default_factory=TargetProject)
    completion_criteria: CompletionCriteria = field(default_factory=CompletionCriteria)
    circuit_breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    batch_sizes: BatchSizes = field(default_factory=BatchSizes)
    issue_grouping: IssueGrouping = field(default_factory=IssueGrouping)
    health_check: HealthCheck = field(default_factory=HealthCheck)
    languages: Languages = field(default_factory=Languages)
    air_executor: Execution = field(default_factory=Execution)
    redis: Redis | None = None
    """None: state is kept in a SQLite file of the user's."""

    def health_check_for(self, language: str) -> HealthCheck:
        """`health_check` with what is set for this language instead."""
        own = self.languages.each.get(language)
        if own is None:
            return self.health_check
        set_here = {name: value for name, value in msgspec.structs.asdict(own).items() if value is not None}
        set_here.pop("checks", None)
        return msgspec.structs.replace(self.health_check, **set_here)
