"""docs/fixing.md is true: its commands run, what it shows is what they print, its tables are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import air_executor
from air_executor.fixing.configuration.sections import FixingConfig
from air_executor.fixing.languages import languages
from tests.acceptance.command_line import environment
from tests.acceptance.test_docs import Block, blocks, run, table
from tests.fixing.conftest import SYSTEM_PATH

PAGE = "docs/fixing.md"
TEXT = (Path(__file__).parents[2] / PAGE).read_text("utf-8")


@pytest.fixture
def env(tmp_path: Path, tools: Path) -> dict[str, str]:
    """An environment with `air-executor` and the tools, and nothing of the user's."""
    program = tmp_path / "bin" / "air-executor"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m air_executor "$@"\n')
    program.chmod(0o755)
    return environment(
        PATH=f"{program.parent}:{tools / 'bin'}:{SYSTEM_PATH}",
        PYTHONPATH=str(Path(air_executor.__file__).parents[1]),
        XDG_STATE_HOME=str(tmp_path / "state"),
    )


def shown(block: Block) -> str:
    """The command whose output a block shows, or ''."""
    lines = TEXT.split("\n")
    marked = re.fullmatch(r"<!-- output: (.+) -->", lines[block.line - 2])
    return marked[1] if marked else ""


@pytest.mark.timeout(180)
def test_the_page_runs(tmp_path: Path, env: dict[str, str]) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    outputs = 0
    for block in blocks(PAGE):
        if block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text)
        elif block.language == "sh":
            run(PAGE, block, folder, env)
        elif command := shown(block):
            outputs += 1
            done = subprocess.run(
                command.split(), cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=True
            )
            pattern = re.escape(block.text).replace("…", "[^\n]*")
            assert re.fullmatch(pattern, done.stdout), f"line {block.line}:\n{done.stdout}"
        else:
            assert block.language == "text", block
    assert outputs == 2


def test_the_languages_are_those_there_are() -> None:
    rows = [
        f"| {name} | {', '.join(check.name for check in language.checks if check.name != 'metrics')} |"
        for name, language in languages().items()
    ]
    assert "\n".join(("| Language | Checks |", "| --- | --- |", *rows, "")) in TEXT, "\n".join(rows)
    assert all(name in table(PAGE, "What is looked at") for name in languages())


def test_the_numbers_are_the_defaults() -> None:
    section = TEXT.partition("## How the score comes about")[2]
    health = FixingConfig().health_check
    weights = health.weights
    for words in (
        f"static = {weights.analysis:g} without errors ({weights.analysis_few_errors:g} with fewer than "
        f"{health.few_errors}) + {weights.quality:g} × code quality; "
        f"it passes from {health.static_pass_threshold:g} on",
        f"dynamic = {weights.pass_rate:g} × passed tests + {weights.coverage:g} × covered lines",
        f"overall = {weights.static:g} × static + {weights.dynamic:g} × dynamic, "
        f"or {weights.static_alone:g} × static",
        f"healthy from {health.healthy_threshold:g} on",
    ):
        assert words in " ".join(section.split()), words
