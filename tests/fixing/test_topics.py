"""The table of rule codes: what it says of rules everybody knows, and that its codes are ones the tools have."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from air_executor.fixing.issue import Issue, Severity
from air_executor.fixing.planning import topics
from air_executor.fixing.planning.topics import OTHER, TOPICS, Topic, phase_of, topic_of
from air_executor.fixing.tools.clippy import UNCODED

TABLE: dict[str, dict[str, list[str]]] = tomllib.loads(
    Path(topics.__file__).with_name("rules.toml").read_text("utf-8")
)


def issue(tool: str, rule: str, severity: Severity = "error") -> Issue:
    return Issue(tool=tool, rule=rule, severity=severity, message="no word of this counts", path="a")


def codes(tool: str) -> set[str]:
    return {code for found in TABLE[tool].values() for code in found} - {"*"}


@pytest.mark.parametrize(
    ("tool", "rule", "topic", "scope"),
    [
        ("ruff", "F401", "unused-imports", "cleanup"),
        ("ruff", "I001", "import-order", "cleanup"),
        ("ruff", "UP006", "outdated-syntax", "cleanup"),
        ("ruff", "F821", "undefined-names", "location"),
        ("ruff", "F811", "likely-bugs", "location"),
        ("ruff", "RUF100", "needless-suppressions", "cleanup"),
        ("ruff", "RUF012", "likely-bugs", "location"),
        ("ruff", "PT011", "test-style", "location"),
        ("ruff", "PTH123", "outdated-syntax", "cleanup"),
        ("ruff", "C901", "complexity", "location"),
        ("ruff", "invalid-syntax", "syntax-errors", "location"),
        ("ruff-format", "unformatted", "formatting", "cleanup"),
        ("mypy", "arg-type", "type-errors", "location"),
        ("mypy", "a-code-of-tomorrow", "type-errors", "location"),
        ("mypy", "union-attr", "null-safety", "location"),
        ("mypy", "explicit-override", "missing-overrides", "location"),
        ("pyright", "reportUnusedImport", "unused-imports", "cleanup"),
        ("pyright", "reportArgumentType", "type-errors", "location"),
        ("basedpyright", "reportOptionalMemberAccess", "null-safety", "location"),
        ("eslint", "no-unused-vars", "unused-variables", "cleanup"),
        ("eslint", "@typescript-eslint/no-unused-vars", "unused-variables", "cleanup"),
        ("eslint", "@typescript-eslint/no-shadow", "undefined-names", "location"),
        ("eslint", "@typescript-eslint/unbound-method", "likely-bugs", "location"),
        ("eslint", "prefer-const", "missing-const", "cleanup"),
        ("eslint", "simple-import-sort/imports", "import-order", "cleanup"),
        ("eslint", "company/no-fun", "other", "single"),
        ("oxlint", "eslint(no-debugger)", "debug-output", "location"),
        ("oxlint", "no-debugger", "debug-output", "location"),
        ("oxlint", "typescript-eslint(no-explicit-any)", "missing-annotations", "location"),
        ("oxlint", "typescript/no-explicit-any", "missing-annotations", "location"),
        ("oxlint", "eslint-plugin-unicorn(no-thenable)", "likely-bugs", "location"),
        ("biome", "lint/correctness/noUnusedImports", "unused-imports", "cleanup"),
        ("biome", "lint/style/useConst", "missing-const", "cleanup"),
        ("biome", "lint/suspicious/noSparseArray", "likely-bugs", "location"),
        ("biome", "lint/a11y/noNewBarrier", "accessibility", "location"),
        ("biome", "assist/source/useSortedKeys", "import-order", "cleanup"),
        ("biome", "lint/nursery/noBrandNew", "other", "single"),
        ("biome", "format", "formatting", "cleanup"),
        ("tsc", "TS1005", "syntax-errors", "location"),
        ("tsc", "TS2322", "type-errors", "location"),
        ("tsc", "TS2307", "unresolved-imports", "location"),
        ("tsc", "TS18048", "null-safety", "location"),
        ("tsc", "TS4114", "missing-overrides", "location"),
        ("tsc", "TS6133", "unused-variables", "cleanup"),
        ("go-build", "UnusedImport", "unused-imports", "cleanup"),
        ("go-build", "compile-error", "build-errors", "location"),
        ("go-build", "InvalidDeclCycle", "build-errors", "location"),
        ("biome-format", "format", "formatting", "cleanup"),
        ("go vet", "printf", "likely-bugs", "location"),
        ("go-vet", "copylocks", "async", "location"),
        ("golangci-lint", "errcheck", "error-handling", "location"),
        ("golangci-lint", "staticcheck/SA1019", "deprecations", "location"),
        ("golangci-lint", "staticcheck/S1005", "simplification", "cleanup"),
        ("golangci-lint", "staticcheck/SA4006", "likely-bugs", "location"),
        ("golangci-lint", "gosec/G404", "security", "location"),
        ("golangci-lint", "a-linter-of-tomorrow", "other", "single"),
        ("gofmt", "unformatted", "formatting", "cleanup"),
        ("dart-analyze", "unused_import", "unused-imports", "cleanup"),
        ("dart", "prefer_const_constructors", "missing-const", "cleanup"),
        ("dart", "annotate_overrides", "missing-overrides", "location"),
        ("dart", "unchecked_use_of_nullable_value", "null-safety", "location"),
        ("dart", "argument_type_not_assignable", "type-errors", "location"),
        ("clippy", "clippy::needless_return", "simplification", "cleanup"),
        ("clippy", "unused_imports", "unused-imports", "cleanup"),
        ("clippy", "E0308", "type-errors", "location"),
        ("clippy", "E0502", "borrow-errors", "location"),
        ("pytest", "test-failed", "failing-tests", "location"),
        ("CodeQL", "py/sql-injection", "other", "single"),
    ],
)
def test_what_a_rule_is_about(tool: str, rule: str, topic: str, scope: str) -> None:
    found = topic_of(issue(tool, rule))

    assert (found.name, found.scope) == (topic, scope)


@pytest.mark.parametrize(
    ("tool", "rule", "severity", "phase"),
    [
        ("mypy", "union-attr", "error", "build"),
        ("pyright", "reportOptionalMemberAccess", "error", "build"),
        ("ruff", "F821", "error", "lint"),
        ("ruff", "invalid-syntax", "error", "build"),
        ("ruff-format", "unformatted", "error", "lint"),
        ("pytest", "test-failed", "error", "test"),
        ("pytest", "collection-error", "error", "test"),
        ("anything", "coverage-gap", "warning", "coverage"),
        ("dart", "undefined_method", "error", "build"),
        ("dart-analyze", "prefer_const_constructors", "info", "lint"),
        ("clippy", "E0425", "error", "build"),
        ("clippy", "clippy::eq_op", "error", "lint"),
        ("some SARIF tool", "X1", "error", "lint"),
    ],
)
def test_when_its_turn_is(tool: str, rule: str, severity: Severity, phase: str) -> None:
    assert phase_of(issue(tool, rule, severity)) == phase


def test_a_topic_is_used_and_every_code_stands_once() -> None:
    used = {topic for table in TABLE.values() for topic in table}
    assert used == set(TOPICS)
    for tool, table in TABLE.items():
        found = [code for of_topic in table.values() for code in of_topic]
        assert len(found) == len(set(found)), tool


@pytest.mark.parametrize("topic", [topic for topic in TOPICS.values() if topic.scope == "cleanup"])
def test_a_cleanup_can_be_said_of_a_part(topic: Topic) -> None:
    assert topic.words.count("all ") == 1


def test_other_is_no_topic_of_the_table() -> None:
    assert OTHER.name not in TOPICS


def output(*words: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=cwd)
    return done.stdout


def of_ruff(tools: Path) -> set[str]:
    rules = json.loads(output(tools / "bin" / "ruff", "rule", "--all", "--output-format=json"))
    return {rule["code"] or rule["name"] for rule in rules}


def of_mypy(tools: Path) -> set[str]:
    code = "import json, mypy.errorcodes as codes; print(json.dumps(sorted(codes.error_codes)))"
    return set(json.loads(output(tools / "bin" / "python", "-c", code)))


def of_vet(tools: Path) -> set[str]:
    text = output(tools / "bin" / "go", "tool", "vet", "help")
    return set(re.findall(r"^    (\w+) ", text, re.MULTILINE))


def of_go_build(tools: Path) -> set[str]:
    root = Path(output(tools / "bin" / "go", "env", "GOROOT").strip())
    text = (root / "src" / "internal" / "types" / "errors" / "codes.go").read_text()
    return set(re.findall(r"^\t([A-Z]\w+)(?: .*)?$", text, re.MULTILINE)) | {"syntax"}


YOUNGER = {
    "doc_lazy_continuation", "empty_line_after_doc_comments", "excessive_nesting", "explicit_auto_deref",
    "large_futures", "legacy_numeric_constants", "let_underscore_future", "manual_let_else",
    "missing_const_for_thread_local", "needless_borrows_for_generic_args", "overly_complex_bool_expr",
    "redundant_imports", "result_large_err", "suspicious_doc_comments", "uninlined_format_args",
}  # fmt: skip
"""Lints that clippy of Debian 12 does not have yet."""


def of_clippy(_: Path) -> set[str]:
    text = output("clippy-driver", "-W", "help")
    found = re.findall(r"^ +(?:clippy::)?([a-z0-9-]+)  +(?:allow|warn|deny|forbid) ", text, re.MULTILINE)
    errors = {code for code in codes("clippy") if code[0] == "E" and code[1:] and output("rustc", "--explain", code)}
    return {name.replace("-", "_") for name in found} | errors | YOUNGER | {UNCODED}


ESLINT = """
const rules = new Set();
for (const version of ["eslint", "eslint8"])
  for (const [name] of require(version + "/use-at-your-own-risk").builtinRules) rules.add(name);
for (const name of Object.keys(require("typescript-eslint").plugin.rules)) rules.add("@typescript-eslint/" + name);
console.log(JSON.stringify([...rules]));
"""


def of_eslint(node_modules: Path) -> set[str]:
    return set(json.loads(output("node", "-e", ESLINT, cwd=node_modules)))


def of_biome(node_modules: Path) -> set[str]:
    schema = json.loads((node_modules / "@biomejs" / "biome" / "configuration_schema.json").read_text())
    groups = (
        "A11y",
        "Complexity",
        "Correctness",
        "Nursery",
        "Performance",
        "Security",
        "Source",
        "Style",
        "Suspicious",
    )
    return {name for group in groups for name in schema["$defs"][group]["properties"]}


def test_rules_of_eslint_are_all_about_something(with_node: Path) -> None:
    rules = of_eslint(with_node)
    own = {code for code in codes("eslint") if "/" not in code or code.startswith("@typescript-eslint/")}

    # What its message about a needless comment has no rule for, and what stands for a whole plugin.
    assert own - rules == {"directive", "@typescript-eslint/*"}
    assert {rule for rule in rules if topic_of(issue("eslint", rule)) is OTHER} == set()


def test_rules_of_biome_are_there(with_node: Path) -> None:
    # What is no rule of its linter, and a rule of its first version.
    others = {"format", "parse", "unused", "noConsoleLog"}

    assert {code for code in codes("biome") if "/" not in code} - of_biome(with_node) == others


LISTS = {"ruff": of_ruff, "mypy": of_mypy, "go-build": of_go_build, "go-vet": of_vet, "clippy": of_clippy}


@pytest.mark.parametrize(("tool", "known"), LISTS.items())
def test_every_code_is_one_the_tool_has(tool: str, known: Callable[[Path], set[str]], tools: Path) -> None:
    rules = known(tools)
    letters = re.compile("[A-Z]*")

    def stands_for_one(code: str) -> bool:
        family = letters.match(code)
        assert family is not None
        return code in rules or any(
            rule.startswith(code) and letters.match(rule)[0] == family[0]  # type: ignore[index]
            for rule in rules
            if family[0]
        )

    assert {code for code in codes(tool) if not stands_for_one(code)} == set()


def test_next_to_every_rule_of_ruff_is_about_something(tools: Path) -> None:
    """A new family of rules has to be put into the table."""
    unknown = {rule for rule in of_ruff(tools) if topic_of(issue("ruff", rule)) is OTHER}

    assert unknown == set()
