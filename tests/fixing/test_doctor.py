"""`air-executor fix doctor` and `fix init`: what is there before anything is checked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from air_executor.cli import main
from air_executor.fixing import trust
from air_executor.fixing.configuration.config import PLACE, TEMPLATE, load_config
from air_executor.fixing.configuration.sections import FixingConfig
from air_executor.fixing.reports.shapes import DOCTOR
from tests.fixing.conftest import Write, git, program

PYPROJECT = '[project]\nname = "thing"\nversion = "1"\n[tool.ruff]\n[tool.ruff.format]\n[tool.mypy]\n[tool.pyright]\n'
THING = {"pyproject.toml": PYPROJECT, "thing.py": "x = 1\n", "test_thing.py": "def test(): pass\n"}


def doctor(capsys: pytest.CaptureFixture[str], folder: Path, *options: str, code: int) -> dict[str, Any]:
    assert main(["fix", "doctor", str(folder), "--json", *options]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found.keys() == DOCTOR.keys.keys()
    return found


def tools_of(found: dict[str, Any], project: int = 0) -> dict[str, dict[str, Any]]:
    return {tool["check"]: tool for tool in found["projects"][project]["tools"]}


def test_all_tools_are_there(repository: Write, with_tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = repository(THING)
    found = doctor(capsys, folder, code=0)
    assert found["complete"] is True
    assert found["extra"] is True
    assert found["trusted"] is False
    assert (found["sandbox"], found["mode"]) == (None, "sandbox")
    project = found["projects"][0]
    assert (project["project"], project["language"], project["manifest"], project["files"]) == (
        ".", "python", "pyproject.toml", 2,
    )  # fmt: skip
    tools = tools_of(found)
    assert tools.keys() == {
        f"python/{name}" for name in ("ruff", "ruff-format", "mypy", "pyright", "pytest", "coverage", "metrics")
    }
    for name, tool in tools.items():
        assert tool["reason"] is None, name
        assert tool["whose"] == ("built-in" if name == "python/metrics" else "user")
        assert tool["version"][0].isdigit(), name
    assert tools["python/ruff"]["program"] == str(with_tools / "bin" / "ruff")
    assert [name for name, tool in tools.items() if tool["loads_code"]] == ["python/pytest", "python/coverage"]


def test_what_is_missing_is_told_with_how_to_install_it(
    repository: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    folder = repository(THING)
    found = doctor(capsys, folder, "--static-only", code=1)
    assert found["complete"] is False
    tools = tools_of(found)
    assert "python/pytest" not in tools  # it runs the project's code
    assert "pip install mypy" in tools["python/mypy"]["mend"]
    assert main(["fix", "doctor", str(folder), "--static-only"]) == 1
    printed = capsys.readouterr().out
    assert "MISSING  mypy" in printed
    assert "-> `pip install mypy`" in printed
    assert printed.endswith("4 missing, 0 broken\n")


def test_the_projects_own_tools_come_first(
    repository: Write, with_tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = repository(THING)
    program(folder / ".venv" / "bin" / "python", "#!/bin/sh\nexit 0\n")
    program(folder / ".venv" / "bin" / "ruff", "#!/bin/sh\necho ruff 99.1.0\n")
    program(folder / ".venv" / "bin" / "mypy", "#!/bin/sh\necho broken >&2\nexit 3\n")
    tools = tools_of(doctor(capsys, folder, code=1))
    assert (tools["python/ruff"]["whose"], tools["python/ruff"]["version"]) == (
        "project",
        "99.1.0",
    )
    assert tools["python/mypy"]["program"] == str(folder / ".venv" / "bin" / "mypy")
    assert "exit code 3: broken" in tools["python/mypy"]["reason"]
    assert main(["fix", "doctor", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "BROKEN   mypy" in printed
    assert printed.endswith("2 missing, 1 broken\n")

    static = tools_of(doctor(capsys, folder, "--static-only", code=0))
    assert static["python/ruff"]["program"] == str(with_tools / "bin" / "ruff")  # nothing of the project is started


def test_languages_checks_and_trust_follow_what_was_said(
    repository: Write, with_tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = repository(THING | {PLACE: "languages:\n  python: {checks: [ruff]}\n"})
    trust.trust(folder)
    found = doctor(capsys, folder, code=0)
    assert found["config"] == str(folder / PLACE)
    assert (found["mode"], found["trusted"]) == ("trusted", True)
    assert list(tools_of(found)) == ["python/ruff", "python/metrics"]


def test_what_is_left_out_is_told(repository: Write, with_tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = repository(THING | {".gitattributes": "gen.py linguist-generated\n", "gen.py": "y = 2\n"})
    git(folder, "init", "-q")
    os.symlink("thing.py", folder / "link.py")
    found = doctor(capsys, folder, "--static-only", code=0)
    assert {one["path"]: one["reason"] for one in found["left_out"]} == {
        "gen.py": "marked as generated",
        "link.py": "a symbolic link",
    }


def test_a_folder_without_projects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = doctor(capsys, tmp_path, code=0)
    assert found["projects"] == []
    assert main(["fix", "doctor", str(tmp_path)]) == 0
    assert "no files of python" in capsys.readouterr().out


# ---- init ------------------------------------------------------------------------------------------


def test_init_writes_the_defaults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fix", "init", str(tmp_path)]) == 0
    assert (tmp_path / PLACE).read_text("utf-8") == TEMPLATE
    assert load_config(tmp_path) == FixingConfig()
    assert capsys.readouterr().out == f"{tmp_path / PLACE} is ready; `air-executor fix health` uses it\n"


def test_init_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / PLACE).parent.mkdir()
    (tmp_path / PLACE).write_text("# mine\n")
    monkeypatch.chdir(tmp_path)
    assert main(["fix", "init"]) == 4
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / PLACE).read_text() == "# mine\n"
    assert main(["fix", "init", "--stdout"]) == 0
    assert capsys.readouterr().out == TEMPLATE
    (tmp_path / PLACE).unlink()
    (tmp_path / PLACE).symlink_to(tmp_path / "elsewhere.yaml")
    assert main(["fix", "init"]) == 4
    assert not (tmp_path / "elsewhere.yaml").exists()


def test_init_needs_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fix", "init", str(tmp_path / "nowhere")]) == 3
    assert "no such folder" in capsys.readouterr().err
