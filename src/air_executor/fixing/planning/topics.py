"""What an issue is about, by its tool's rule code; what belongs together, and what a commit that mends it is called.

The table of codes is `rules.toml`. Words of messages are never looked at: they change with every version of a tool.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from air_executor.fixing.issue import Issue

__all__ = ["OTHER", "PHASES", "TOPICS", "Phase", "Scope", "Topic", "phase_of", "tool_name", "topic_of"]

Phase = Literal["build", "test", "lint", "coverage"]
Scope = Literal["cleanup", "location", "single"]
PHASES: Final[tuple[Phase, ...]] = ("build", "test", "lint", "coverage")
"""In the order in which they are worked on."""
PHASE_OF_KIND: Final[Mapping[str, Phase]] = {
    "build": "build",
    "types": "build",
    "tests": "test",
    "lint": "lint",
    "format": "lint",
    "metrics": "lint",
    "coverage": "coverage",
}
"""Phase of what a check of each kind finds."""


class Topic(Struct, frozen=True):
    """A kind of problem."""

    name: str
    scope: Scope
    """`cleanup`: mended in the same way wherever it is, so across the project; `location`: what is near belongs
    together; `single`: each by itself."""
    type: str
    """Of the conventional commit."""
    words: str
    """What a subject says: of a cleanup what is done, with `all ` in it; else what is wrong, so that `in src/` can
    follow."""
    lines: int
    """A diff's lines for one issue, those it takes away and those it adds."""
    span: bool = False
    """Whether the whole range of an issue may be rewritten."""
    phase: Phase | None = None
    """None: that of the tool."""
    by_file: bool = False
    """Whether near is the same file, not the same folder."""


_ALL: Final = (
    Topic("unused-imports", "cleanup", "chore", "remove all unused imports", 2),
    Topic("import-order", "cleanup", "style", "put all imports in order", 4, span=True),
    Topic("formatting", "cleanup", "style", "format all code", 2, span=True),
    Topic("unused-variables", "cleanup", "chore", "remove all unused variables", 3),
    Topic("missing-const", "cleanup", "style", "add all missing const", 2),
    Topic("outdated-syntax", "cleanup", "refactor", "bring all outdated syntax up to date", 3, span=True),
    Topic("simplification", "cleanup", "refactor", "simplify all needlessly long code", 4, span=True),
    Topic("doc-style", "cleanup", "docs", "tidy all documentation comments", 4),
    Topic("needless-suppressions", "cleanup", "chore", "remove all needless suppressions", 2),
    Topic("commented-code", "cleanup", "chore", "remove all code that is commented out", 2, span=True),
    Topic("syntax-errors", "location", "fix", "syntax errors", 4, phase="build"),
    Topic("build-errors", "location", "fix", "build errors", 6, phase="build"),
    Topic("configuration", "single", "fix", "configuration", 4, phase="build"),
    Topic("type-errors", "location", "fix", "type errors", 6, phase="build"),
    Topic("borrow-errors", "location", "fix", "borrowing errors", 8, phase="build"),
    Topic("null-safety", "location", "fix", "null safety", 6),
    Topic("missing-overrides", "location", "fix", "missing overrides", 2),
    Topic("undefined-names", "location", "fix", "undefined names", 4),
    Topic("unresolved-imports", "location", "fix", "imports that are not found", 4),
    Topic("missing-annotations", "location", "fix", "missing type annotations", 3),
    Topic("unsafe-types", "location", "fix", "unsafe types", 6),
    Topic("deprecations", "location", "fix", "deprecated calls", 4),
    Topic("async", "location", "fix", "concurrency", 8),
    Topic("error-handling", "location", "fix", "error handling", 8),
    Topic("security", "location", "fix", "security", 10),
    Topic("likely-bugs", "location", "fix", "likely bugs", 6),
    Topic("hooks", "location", "fix", "hooks", 6),
    Topic("accessibility", "location", "fix", "accessibility", 4),
    Topic("performance", "location", "perf", "slow code", 8),
    Topic("unused-arguments", "location", "refactor", "unused arguments", 6),
    Topic("naming", "location", "refactor", "naming", 10),
    Topic("design", "location", "refactor", "design", 8),
    Topic("complexity", "location", "refactor", "complex code", 20, span=True),
    Topic("duplication", "location", "refactor", "duplicated code", 20, span=True),
    Topic("long-files", "single", "refactor", "too many lines", 300),
    Topic("missing-docs", "location", "docs", "missing documentation", 6),
    Topic("debug-output", "location", "chore", "debugging output", 3),
    Topic("suppressions", "location", "chore", "suppressions", 3),
    Topic("todos", "single", "chore", "things left to do", 20),
    Topic("test-style", "location", "test", "style of tests", 6),
    Topic("failing-tests", "location", "fix", "failing tests", 20, phase="test", by_file=True),
    Topic("broken-tests", "single", "fix", "tests that cannot be collected", 10, phase="test"),
    Topic("coverage-gaps", "location", "test", "coverage gaps", 60, phase="coverage"),
)
TOPICS: Final[Mapping[str, Topic]] = {topic.name: topic for topic in _ALL}
OTHER: Final = Topic("other", "single", "fix", "", 8, span=True)
"""Rules nobody has told us about."""

ANY_TOOL: Final = "*"
TABLES: Final[Mapping[str, str]] = {
    "basedpyright": "pyright",
    "biome-format": "biome",
    "cargo-check": "clippy",
    "cargo-clippy": "clippy",
    "cargo": "clippy",
    "rustc": "clippy",
    "dart-analyze": "dart",
    "dartanalyzer": "dart",
    "flutter-analyze": "dart",
    "flutter-format": "dart-format",
    "dart_format": "dart-format",
    "go": "go-build",
    "govet": "go-vet",
    "golangci": "golangci-lint",
    "typescript": "tsc",
}
"""Other names of tools."""
COMPILERS: Final = frozenset({"clippy", "dart"})
"""Tools that tell errors of the compiler beside findings of their own; only the first keep it from building."""
PLUGINS: Final[Mapping[str, str]] = {"typescript": "@typescript-eslint", "typescript-eslint": "@typescript-eslint"}
"""Plugins of eslint that oxlint has its own name for."""


LONGEST: Final = 200
"""Characters of a code; no tool has longer ones, but anything may be imported."""


def tool_name(tool: str) -> str:
    """The name a tool has in the table."""
    name = tool.strip().lower().replace(" ", "-")
    return TABLES.get(name, name)


def topic_of(issue: Issue) -> Topic:
    """What an issue is about; `OTHER` for a rule that is not in the table."""
    return _topic(issue.tool, issue.rule)


def phase_of(issue: Issue) -> Phase:
    """When an issue's turn is: by its topic, else by the kind of the check that found it, else with the linters'."""
    topic, tool = topic_of(issue), tool_name(issue.tool)
    if topic.phase is not None:
        return topic.phase
    if tool in COMPILERS:
        return "build" if issue.severity == "error" and "::" not in issue.rule else "lint"
    return _phases_of_tools().get(tool, "lint")


@cache
def _phases_of_tools() -> dict[str, Phase]:
    from air_executor.fixing.languages import languages

    return {
        tool_name(check.name): PHASE_OF_KIND[check.kind]
        for language in languages().values()
        for check in language.checks
    }


@cache
def _rules() -> dict[str, dict[str, Topic]]:
    """Tool -> code -> topic."""
    text = Path(__file__).with_name("rules.toml").read_text("utf-8")
    return {
        tool: {code: TOPICS[topic] for topic, codes in topics.items() for code in codes}
        for tool, topics in tomllib.loads(text).items()
    }


@cache
def _topic(tool: str, rule: str) -> Topic:
    name = tool_name(tool)
    rule = rule.removeprefix("clippy::")
    if len(rule) > LONGEST:
        return OTHER
    if name == "oxlint":
        rule = _as_of_eslint(rule)
    everywhere = _rules()[ANY_TOOL].get(rule)
    if everywhere is not None:
        return everywhere
    for table in (name, "eslint") if name == "oxlint" else (name,):
        for key in _keys(rule):
            if (topic := _rules().get(table, {}).get(key)) is not None:
                return topic
    return OTHER


def _as_of_eslint(rule: str) -> str:
    """A rule of oxlint, `plugin(rule)` or `plugin/rule`, by the name it has in eslint."""
    if found := re.fullmatch(r"(?:eslint-plugin-)?([^()/]+)[(/]([^()]+)\)?", rule):
        plugin = PLUGINS.get(found[1], found[1])
        return found[2] if plugin == "eslint" else f"{plugin}/{found[2]}"
    return rule


def _keys(rule: str) -> Iterator[str]:
    """What a rule may stand under in the table, the most exact first."""
    yield rule
    above, _, last = rule.rpartition("/")
    if above:
        yield last
    head = f"{above}/" if above else ""
    if code := re.fullmatch(r"([A-Za-z]+)(\d+)", last):
        for length in range(len(code[2]) - 1, -1, -1):
            yield f"{head}{code[1]}{code[2][:length]}"
    while above:
        yield f"{above}/*"
        yield above
        above = above.rpartition("/")[0]
    yield "*"
