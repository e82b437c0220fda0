"""A baseline knows its issues again, in a file made to be committed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_executor.errors import InvalidInput, NotFound
from air_executor.fixing.health.baseline import changed_tools, gone_issues, new_issues, read_baseline, write_baseline
from air_executor.fixing.issue import Issue, with_fingerprints
from air_executor.fixing.outcome import CheckResult

SOURCE = ["import os", "import re", "", "x = y", "x = y"]


def issues(lines: list[str]) -> list[Issue]:
    """One for each line that is an import or undefined, with real fingerprints."""
    found = [
        Issue(tool="ruff", rule="F401" if text.startswith("import") else "F821", severity="error",
              message=f"line {number}", path="a b.py", line=number, column=1)
        for number, text in enumerate(lines, 1)
        if text
    ]  # fmt: skip
    return with_fingerprints(found, lambda _, line: lines[line - 1])


def result(
    version: str | None = "1.0", rules: str = "a", outcome: str = "findings", check: str = "python/ruff"
) -> CheckResult:
    return CheckResult(check=check, project=".", kind="lint", outcome=outcome, version=version, rules=rules)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "baseline.json"


def test_what_is_known_is_not_new(path: Path):
    write_baseline(path, issues(SOURCE))
    assert new_issues(issues(SOURCE), path) == []
    assert gone_issues(issues(SOURCE), path) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_moved_lines_are_known_and_others_are_new(path: Path):
    write_baseline(path, issues(SOURCE))
    later = ["import sys", "", *SOURCE[1:], "x = y"]
    new = new_issues(issues(later), path)
    assert [(one.rule, one.line, one.message) for one in new] == [("F401", 1, "line 1"), ("F821", 7, "line 7")]
    assert [(one.rule, one.path, one.message) for one in gone_issues(issues(later), path)] == [
        ("F401", "a b.py", "line 1")
    ]


def test_the_file_is_the_same_for_the_same_issues(path: Path):
    write_baseline(path, issues(SOURCE), [result(), result(check="python/mypy")])
    first = path.read_bytes()
    write_baseline(path, reversed(issues(SOURCE)), [result(check="python/mypy"), result()])
    assert path.read_bytes() == first
    write_baseline(path, issues(["", "", *SOURCE]), [result(), result(check="python/mypy")])
    # Moved lines leave all but the messages, which name the lines here.
    assert path.read_bytes().count(b"\n") == first.count(b"\n")
    assert b'"line"' not in first
    assert len([line for line in first.split(b"\n") if b"fingerprint" in line]) == 4


def test_an_empty_one_knows_nothing(path: Path):
    write_baseline(path, [])
    assert read_baseline(path).issues == ()
    assert len(new_issues(issues(SOURCE), path)) == 4


def test_tools_that_changed_are_told(path: Path):
    lost = result(outcome="could_not_run", check="python/pyright", version=None)
    write_baseline(path, [], [result(), result(check="python/mypy"), lost])
    assert changed_tools([result(), result(check="python/mypy"), lost], path) == []
    told = changed_tools(
        [result("1.1"), result(check="python/mypy", rules="b"), result(check="python/pyright", version=None)], path
    )
    assert told == [
        "python/ruff is of version 1.1, then 1.0",
        "python/mypy has another configuration than then",
        "python/pyright did not run when the baseline was written",
    ]


def test_one_without_tools_says_nothing_of_them(path: Path):
    write_baseline(path, issues(SOURCE))
    assert changed_tools([result()], path) == []


def test_no_such_file(path: Path):
    with pytest.raises(NotFound, match=r"baseline\.json: no such baseline"):
        new_issues([], path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"issues": [1]}', "\xff", '{"version": 2}', '{"version": "1"}'])
def test_a_file_that_is_none(path: Path, text: str):
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"baseline\.json: (not a baseline|a baseline of version 2)"):
        new_issues([], path)


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=8))
def test_any_text_is_kept(tmp_path_factory: pytest.TempPathFactory, facts: list[tuple[str, str, str]]):
    path = tmp_path_factory.mktemp("baseline") / "b.json"
    found = [
        Issue(tool="x", rule=rule, severity="info", message=message, path=name, fingerprint=f"{number}")
        for number, (rule, message, name) in enumerate(facts)
    ]
    write_baseline(path, found)
    assert new_issues(found, path) == []
    assert {(one.rule, one.message, one.path) for one in read_baseline(path).issues} == set(facts)
