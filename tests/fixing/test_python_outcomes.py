"""Every check of Python in every situation a tool can be in: nothing but a clean project is ever taken for clean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from air_executor.fixing.outcome import CheckResult
from tests.fixing.conftest import Write, program, project_of, run_check
from tests.fixing.outcomes import Misbehaving, Situation, could_not

CHECKS = ("ruff", "ruff-format", "mypy", "pyright", "pytest", "coverage")
PYPROJECT = """
    [project]
    name = "thing"
    version = "1"
    [tool.ruff.lint]
    select = ["F"]
    [tool.ruff.format]
    [tool.mypy]
    [tool.pyright]
"""
TEST = "from thing import one\n\n\ndef test_one():\n    assert one() == 1\n"
CLEAN = {"pyproject.toml": PYPROJECT, "thing.py": "def one() -> int:\n    return 1\n", "test_thing.py": TEST}
FINDINGS = CLEAN | {
    "thing.py": "import os\n\ndef one() -> int:\n    return '2'\n\n\ndef two() -> int:\n    return 2\n"
}
FOUND = {
    "ruff": [("F401", "thing.py", 1, 8)],
    "ruff-format": [("unformatted", "thing.py", 3, 1)],
    "mypy": [("return-value", "thing.py", 4, 12)],
    "pyright": [("reportReturnType", "thing.py", 4, 12)],
    "pytest": [("test-failed", "test_thing.py", 4, 0)],
    "coverage": [],
}
SYNTAX = CLEAN | {"broken file.py": "def f(:\n    pass\n", "test_broken.py": "def test_b(:\n    pass\n"}
CONFIG = {
    "ruff": {"pyproject.toml": PYPROJECT.replace('select = ["F"]', 'select = "F"')},
    "ruff-format": {"pyproject.toml": PYPROJECT.replace("[tool.ruff.format]", "[tool.ruff.format]\n    indent = 7")},
    "mypy": {"mypy.ini": "[mypy]\nstrict = perhaps\n"},
    "pyright": {"pyrightconfig.json": '{"typeCheckingMode": "hard"}'},
    "pytest": {"pytest.ini": "[pytest]\naddopts = --no-such-option\n"},
    "coverage": {".coveragerc": "[run]\nno_such_option = 1\nplugins = no_such_plugin\n"},
}


@pytest.fixture
def checked(repository: Write, tmp_path: Path) -> Situation:
    """The result of one check; coverage after the tests it reads."""

    def run(name: str, files: dict[str, str | bytes], timeout_s: float = 60.0) -> CheckResult:
        project = project_of(repository(files))
        reads = None
        if name == "coverage":
            reads = tmp_path / "read"
            run_check(project, "pytest", reads)
        return run_check(project, name, tmp_path / "run", timeout_s=timeout_s, reads=reads)

    return run


@pytest.fixture
def with_program(repository: Write, tmp_path: Path) -> Callable[..., CheckResult]:
    """The result of a check whose program is the project's own and does as told."""

    def run(name: str, body: str, timeout_s: float = 30.0) -> CheckResult:
        place = repository(CLEAN)
        command = {"ruff": "ruff", "ruff-format": "ruff", "mypy": "mypy", "pyright": "pyright"}.get(name, "python")
        bin_folder = place / ".venv" / "bin"
        text = f'#!/bin/sh\ncase "$*" in *--version*) echo "{name} 99.1.0"; exit 0;; esac\n{body}\n'
        program(bin_folder / "python", "#!/bin/sh\nexit 0\n")
        program(bin_folder / command, text)
        for package in ("pytest", "coverage"):
            (place / ".venv" / "lib" / "python3.11" / "site-packages" / package).mkdir(parents=True)
        read = tmp_path / "read"
        (read / "out").mkdir(parents=True)
        (read / "out" / "coverage.data").write_bytes(b"")
        (read / "outputs.json").write_bytes(msgspec.json.encode({"coverage": "coverage.data"}))
        reads = read if name == "coverage" else None
        return run_check(project_of(place), name, tmp_path / "run", timeout_s=timeout_s, reads=reads)

    return run


@pytest.mark.parametrize("name", CHECKS)
def test_clean(checked: Situation, with_tools: Path, name: str):
    result = checked(name, CLEAN)
    assert (result.outcome, result.issues, result.reason) == ("ok", [], None)
    assert result.version is not None
    if name == "pytest":
        assert [test.id for test in result.tests or []] == ["test_thing.py::test_one"]
    if name == "coverage":
        assert result.coverage is not None
        assert (result.coverage.covered, result.coverage.lines) == (5, 5)


@pytest.mark.parametrize("name", CHECKS)
def test_findings(checked: Situation, with_tools: Path, name: str):
    result = checked(name, FINDINGS)
    found = sorted((issue.rule, issue.path, issue.line, issue.column) for issue in result.issues)
    assert found == FOUND[name]
    assert result.outcome == ("ok" if name == "coverage" else "findings")
    assert all(issue.fingerprint for issue in result.issues)
    if name == "coverage":
        assert result.coverage is not None
        assert {file.path: file.missing for file in result.coverage.files}["thing.py"] == (8,)


@pytest.mark.parametrize("name", CHECKS)
def test_syntax_error(checked: Situation, with_tools: Path, name: str):
    result = checked(name, SYNTAX)
    if name == "coverage":
        assert result.outcome == "ok"
        return
    assert result.outcome == "findings"
    assert {issue.path for issue in result.issues} <= {"broken file.py", "test_broken.py"}
    assert {issue.rule for issue in result.issues} == {
        "ruff": {"invalid-syntax"},
        "ruff-format": {"invalid-syntax"},
        "mypy": {"syntax"},
        "pyright": {"unclassified"},
        "pytest": {"collection-error"},
    }[name]
    if name == "mypy":
        assert result.note is not None
        assert "nothing until" in result.note
    if name == "pytest":
        assert [(test.id, test.end) for test in result.tests or []] == [
            ("test_broken.py::", "error"),
            ("test_thing.py::test_one", "passed"),
        ]


@pytest.mark.parametrize("name", CHECKS)
def test_config_error(checked: Situation, with_tools: Path, name: str):
    could_not(checked(name, CLEAN | CONFIG[name]))


@pytest.mark.parametrize("name", CHECKS)
def test_missing(checked: Situation, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    could_not(checked(name, CLEAN), "not there" if name not in ("coverage",) else "pytest")


@pytest.mark.parametrize("name", CHECKS)
def test_not_really_there(name: str, repository: Write, tmp_path: Path):
    place = repository(CLEAN)
    for command in ("ruff", "mypy", "pyright", "python"):
        program(place / ".venv" / "bin" / command, "#!/no/such/interpreter\n")
    for package in ("pytest", "coverage"):
        (place / ".venv" / "lib" / "python3.11" / "site-packages" / package).mkdir(parents=True)
    could_not(run_check(project_of(place), name, tmp_path / "run"), "cannot be started")


def test_a_rule_of_ruff_without_a_code_goes_by_its_name(repository: Write, with_tools: Path, tmp_path: Path):
    rule = "unnecessary-regular-expression-compile"
    place = repository(
        {
            "pyproject.toml": f'[project]\nname = "a"\n[tool.ruff.lint]\npreview = true\nselect = ["{rule}"]\n',
            "a.py": 'import re\n\n\ndef found():\n    return re.compile("a").match("b")\n',
        }
    )
    result = run_check(project_of(place), "ruff", tmp_path / "run")

    assert [(issue.rule, issue.line) for issue in result.issues] == [(rule, 5)]


class TestMisbehaving(Misbehaving):
    checks = CHECKS

    def garbage(self, name: str) -> str:
        return """
            for file in "$AIR_EXECUTOR_PYTEST_REPORT" /dev/stdout; do
                [ -z "$file" ] || echo "{[garbage" >"$file"
            done
        """
