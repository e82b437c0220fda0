"""complexipy in every situation a tool can be in, and its numbers against those of its other report."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.tools.complexipy import Complexipy
from tests.fixing.conftest import Write, program, project_of, run_check
from tests.fixing.outcomes import could_not
from tests.fixing.releases import release

PYPROJECT = "[project]\nname = 'x'\n[tool.complexipy]\nmax-complexity-allowed = 3\n"
HARD = """
    import os


    class Thing:
        def hard(self, a):
            for b in a:
                if b:
                    while a:
                        return 1


    def easy():
        return 1
"""
CLEAN = {"pyproject.toml": PYPROJECT, "a b.py": "def easy():\n    return 1\n"}


def check(place: Path, run: Path, timeout_s: float = 60.0) -> CheckResult:
    return run_check(project_of(place), "complexipy", run, timeout_s=timeout_s)


def test_clean(repository: Write, with_tools: Path, tmp_path: Path):
    result = check(repository(CLEAN), tmp_path / "run")
    assert (result.outcome, result.issues) == ("ok", [])
    assert result.version is not None


def test_findings_and_syntax_errors(repository: Write, with_tools: Path, tmp_path: Path):
    files = {
        "a b.py": HARD,
        "-f.py": HARD,
        "broken.py": "def f(:\n",
        "latin.py": b"# coding: latin-1\nx = '\xe9'\r\ndef g(): pass\r\n",
    }
    place = repository(CLEAN | files)
    result = check(place, tmp_path / "run")
    assert [(issue.rule, issue.path, issue.line, issue.severity) for issue in result.issues] == [
        ("cognitive-complexity", "-f.py", 5, "warning"),
        ("cognitive-complexity", "a b.py", 5, "warning"),
        ("invalid-syntax", "broken.py", 0, "error"),
    ]
    assert "Thing::hard" in result.issues[0].message
    assert sorted(path.name for path in place.iterdir()) == sorted({*CLEAN, *files}), "nothing is left in the target"


@pytest.mark.parametrize("config", ["max-complexity-allowed = 'x'", "max-complexity-allowed = "])
def test_config_error(repository: Write, with_tools: Path, tmp_path: Path, config: str):
    place = repository(CLEAN | {"complexipy.toml": config + "\n"})
    could_not(check(place, tmp_path / "run"), "configuration")


def test_missing(repository: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    could_not(check(repository(CLEAN), tmp_path / "run"), "not there")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("kill -SEGV $$", "SIGSEGV"),
        ("exit 70", "exit code 70"),
        ("exit 0", "cannot be understood"),
        ("echo '[]' >$7; exit 1", "do not go with the exit code"),
        ("echo '{[garbage' >$7; exit 0", "cannot be understood"),
        ("echo '{[garbage'; exit 1", "cannot be understood"),
        ("sleep 600 & sleep 600", "did not end within 1 s"),
        ("head -c 300000000 /dev/zero", "more than 64 MB"),
        ("head -c 300000000 /dev/zero >&2", "more than 64 MB"),
        ("head -c 300000000 /dev/zero >$7", "more than 64 MB"),
    ],
)
def test_a_program_that_fails(repository: Write, tmp_path: Path, body: str, words: str):
    place = repository(CLEAN)
    text = f'#!/bin/sh\n[ "$1" = --version ] && echo complexipy 99.1 && exit 0\n{body}\n'
    program(place / ".venv" / "bin" / "complexipy", text)
    program(place / ".venv" / "bin" / "python", "#!/bin/sh\n")
    could_not(check(place, tmp_path / "run", 1.0 if "sleep" in body else 60.0), words)


def test_only_where_it_is_configured(repository: Write):
    place = repository({"pyproject.toml": "[project]\n", "a.py": "", "b/pyproject.toml": PYPROJECT, "b/c.py": ""})
    assert not Complexipy().applies(project_of(place))
    assert Complexipy().applies(project_of(place, root="b"))
    (place / "complexipy.toml").touch()
    assert Complexipy().applies(project_of(place))


@pytest.mark.parametrize(("name", "version"), [("boltons", "20.0.0"), ("thefuck", "3.32")])
def test_old_releases(name: str, version: str, with_tools: Path, tmp_path: Path):
    place = tmp_path / name
    shutil.copytree(release(name, version, source=False), place)
    (place / "pyproject.toml").write_text(PYPROJECT)
    result = check(place, tmp_path / "run")
    report = tmp_path / "report.json"
    words = ["-q", "--cache-dir", str(tmp_path / "cache"), "--output-format", "json", "--output", str(report), "."]
    subprocess.run([with_tools / "bin" / "complexipy", *words], cwd=place, capture_output=True, check=False)
    told = Counter(entry["path"] for entry in json.loads(report.read_text()) if entry["complexity"] > 3)
    ours = Counter(issue.path for issue in result.issues if issue.rule == "cognitive-complexity")
    assert sum(ours.values()) > 20
    assert ours == told
    assert len({issue.fingerprint for issue in result.issues}) == len(result.issues)
