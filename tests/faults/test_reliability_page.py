"""`docs/reliability.md` names tests that exist, and every test file of this folder."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args, get_type_hints

from air_executor.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
NAMED = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE))


def test_the_named_tests_exist() -> None:
    assert len(NAMED) > 40
    for file in {file for file, _ in NAMED}:
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        missing = {name for where, name in NAMED if where == file} - there
        assert not missing, f"{file}: {missing}"


def test_every_fault_has_a_promise_and_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "::" in line]
    assert len(rows) > 25
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 3, row
        assert all(cells), row


def test_all_fault_tests_are_named() -> None:
    here = {f"tests/faults/{path.name}" for path in Path(__file__).parent.glob("test_*.py")}
    aside = {"tests/faults/test_reliability_page.py", "tests/faults/test_undisturbed.py"}
    assert here - aside == {file for file, _ in NAMED if file.startswith("tests/faults/")}


def test_all_sync_modes_are_told() -> None:
    modes = get_args(get_type_hints(Settings)["sync"])
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and not line.startswith("| `sync`")]
    assert [re.match(r"\| `(\w+)`", row)[1] for row in rows] == list(modes)  # type: ignore[index]
