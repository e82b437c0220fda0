"""What we find in real old releases against what the tools count themselves, in other processes and other forms."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from air_executor.fixing.files import find_files
from air_executor.fixing.outcome import CheckResult
from tests.fixing.conftest import project_of, run_check
from tests.fixing.releases import release

RELEASES = {
    "boltons": ("boltons", "20.0.0", False),
    "pyflakes": ("pyflakes", "2.1.1", False),
    "toolz": ("toolz", "0.11.0", False),
    "docopt": ("docopt", "0.6.2", True),
    "thefuck": ("thefuck", "3.32", False),
    "more-itertools": ("more-itertools", "6.0.0", False),
}
SELECT = "E,F,W,I,B,UP,N,SIM,C4,RUF,PLR,D"
# Several tools over a whole release, and the release has to be fetched first.
pytestmark = pytest.mark.timeout(300)
CONFIG = f"""
[tool.ruff.lint]
select = {json.dumps(SELECT.split(","))}
[tool.mypy]
check_untyped_defs = true
[tool.pyright]
"""


@pytest.fixture
def tree(name: str, tmp_path: Path) -> Path:
    """A copy of a release, made harder: names with spaces, other encodings and line ends, a file nobody can parse."""
    place = tmp_path / name
    distribution, version, source = RELEASES[name]
    shutil.copytree(release(distribution, version, source=source), place)
    (place / "pyproject.toml").write_text(CONFIG)
    # Away from its package, what imports from it stops mypy.
    texts = [path.read_bytes() for path in sorted(place.rglob("*.py"))]
    text = max((text for text in texts if b"from ." not in text), key=len)
    (place / "a folder").mkdir()
    (place / "a folder" / "with CRLF.py").write_bytes(text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    (place / "latin.py").write_bytes(
        '# -*- coding: latin-1 -*-\nimport os\nname = "é"\nx: int = name\n'.encode("latin-1")
    )
    return place


def ruff(tools: Path, place: Path, *words: str) -> str:
    done = subprocess.run(
        [tools / "bin" / "ruff", "check", "--no-cache", *words, "."],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def places(result: CheckResult) -> Counter[tuple[str, str, int, int]]:
    return Counter((issue.rule, issue.path, issue.line, issue.column) for issue in result.issues)


@pytest.mark.parametrize("name", sorted(RELEASES))
def test_ruff(tree: Path, with_tools: Path, tmp_path: Path):
    (tree / "broken.py").write_text("def f(:\n    pass\n")
    result = run_check(project_of(tree), "ruff", tmp_path / "run")
    counted = {
        entry["code"] or "invalid-syntax": entry["count"]
        for entry in json.loads(ruff(with_tools, tree, "--statistics", "--output-format=json"))
    }
    assert Counter(issue.rule for issue in result.issues) == counted
    assert sum(counted.values()) > 200
    told = ruff(with_tools, tree, "--output-format=pylint")
    lines = Counter(re.findall(r"^(.+):(\d+): \[([\w-]+)\]", told, re.MULTILINE))
    assert Counter((path, str(line), rule) for rule, path, line, _ in places(result).elements()) == lines
    sarif = json.loads(ruff(with_tools, tree, "--output-format=sarif"))
    fixable = sum(bool(found.get("fixes")) for found in sarif["runs"][0]["results"])
    assert sum(issue.safe_fix for issue in result.issues) <= fixable
    assert len({issue.fingerprint for issue in result.issues}) == len(result.issues)


@pytest.mark.parametrize("name", ["boltons", "docopt", "thefuck"])
def test_ruff_format(tree: Path, with_tools: Path, tmp_path: Path):
    (tree / "pyproject.toml").write_text(CONFIG + "[tool.ruff.format]\n")
    result = run_check(project_of(tree), "ruff-format", tmp_path / "run")
    done = subprocess.run(
        [with_tools / "bin" / "ruff", "format", "--no-cache", "--diff", "."],
        cwd=tree,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    changed = set(re.findall(r"^\+\+\+ (.+\.py)$", done.stdout, re.MULTILINE))
    assert {issue.path for issue in result.issues if issue.rule == "unformatted"} == changed
    assert {issue.path for issue in result.issues} - changed == {"latin.py"}


@pytest.mark.parametrize("name", ["docopt", "more-itertools", "pyflakes", "toolz"])
def test_mypy(tree: Path, with_tools: Path, tmp_path: Path):
    result = run_check(project_of(tree), "mypy", tmp_path / "run")
    done = subprocess.run(
        [
            with_tools / "bin" / "mypy", "--show-column-numbers", "--no-pretty", "--cache-dir", os.devnull,
            "--junit-xml", str(tmp_path / "junit.xml"), ".",
        ],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.findall(r"^(.+?):(\d+):(?:(\d+):)? error: .*?(?:\[([a-z-]+)\])?$", done.stdout, re.MULTILINE)
    told = Counter((rule or "misc", path, int(line), int(column or 0)) for path, line, column, rule in found)
    assert places(result) == told
    summary = re.search(r"^Found (\d+) errors? in (\d+) files?", done.stdout, re.MULTILINE)
    assert summary is not None
    assert len(result.issues) == int(summary[1])
    assert len({issue.path for issue in result.issues}) == int(summary[2])


@pytest.mark.parametrize("name", ["docopt", "more-itertools", "toolz"])
def test_pyright(tree: Path, with_tools: Path, tmp_path: Path):
    result = run_check(project_of(tree), "pyright", tmp_path / "run", timeout_s=110)
    done = subprocess.run([with_tools / "bin" / "pyright"], cwd=tree, capture_output=True, text=True, check=False)
    line = re.compile(r"^  (/.+):(\d+):(\d+) - (error|warning|information): (.*)$", re.MULTILINE)
    told = Counter(
        (os.path.relpath(path, tree), int(row), int(column), severity)
        for path, row, column, severity, _ in line.findall(done.stdout)
    )
    found = Counter((issue.path, issue.line, issue.column, issue.severity) for issue in result.issues)
    assert {(*place, severity.replace("info", "information")): n for (*place, severity), n in found.items()} == told
    summary = re.search(r"^(\d+) errors?, (\d+) warnings?, (\d+) informations?", done.stdout, re.MULTILINE)
    assert summary is not None
    severities = Counter(issue.severity for issue in result.issues)
    assert [severities[name] for name in ("error", "warning", "info")] == [int(number) for number in summary.groups()]


@pytest.mark.parametrize("name", ["pyflakes", "toolz", "more-itertools"])
def test_pytest_and_coverage(name: str, with_tools: Path, tmp_path: Path):
    """Totals against JUnit's, lines against `coverage report`."""
    tree = tmp_path / name
    shutil.copytree(release(*RELEASES[name][:2], source=RELEASES[name][2]), tree)
    (tree / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    project = project_of(tree)
    result = run_check(project, "pytest", tmp_path / "run", timeout_s=110)
    covered = run_check(project, "coverage", tmp_path / "coverage", reads=tmp_path / "run")
    assert result.tests is not None, result
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "COVERAGE_FILE": str(tmp_path / "data"),
        "LC_ALL": "C.UTF-8",
    }
    python = with_tools / "bin" / "python"
    words = [
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
        f"--junit-xml={tmp_path / 'junit.xml'}",
        "-q",
    ]
    done = subprocess.run(
        [python, "-m", "coverage", "run", "--source=.", "-m", "pytest", *words],
        cwd=tree, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert suite is not None, done.stdout[-2000:]
    ends = Counter(test.end for test in result.tests)
    assert len(result.tests) == int(suite.attrib["tests"]) > 50
    assert ends["failed"] == int(suite.attrib["failures"])
    assert ends["error"] == int(suite.attrib["errors"])
    assert ends["skipped"] + ends["xfailed"] == int(suite.attrib["skipped"])
    identities = {(test.file, test.suite, test.name, test.parameters, test.ordinal) for test in result.tests}
    assert len(identities) == len(result.tests)
    assert {test.file for test in result.tests} <= set(find_files(tree).paths)
    assert len(result.issues) == ends["failed"] + ends["error"]

    report = subprocess.run(
        [python, "-m", "coverage", "report", "-i"], cwd=tree, env=env, capture_output=True, text=True, check=False
    ).stdout
    rows = dict(re.findall(r"^(\S+\.py) +(\d+ +\d+) ", report, re.MULTILINE))
    assert covered.coverage is not None, covered
    ours = {file.path: f"{file.lines} {len(file.missing)}" for file in covered.coverage.files}
    assert ours == {path: " ".join(numbers.split()) for path, numbers in rows.items()}
    total = re.search(r"^TOTAL +(\d+) +(\d+) ", report, re.MULTILINE)
    assert total is not None
    assert covered.coverage.lines == int(total[1])
    assert covered.coverage.lines - covered.coverage.covered == int(total[2])
