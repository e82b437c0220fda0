"""Skips that nobody allowed fail, however they are made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

CONFTEST = """
from tests.skips import OnlyAllowedSkips

def pytest_configure(config):
    config.pluginmanager.register(OnlyAllowedSkips(["needs root", "no leases on *"]))
"""
TESTS = """
import pytest

def test_runs(): pass

@pytest.mark.skipif(True, reason="needs root")
def test_allowed_by_mark(): pass

def test_allowed_by_pattern(): pytest.skip("no leases on tmpfs")

@pytest.mark.xfail(reason="known")
def test_expected_to_fail(): assert False

@pytest.mark.skip(reason="too slow today")
def test_mark(): pass

def test_call(): pytest.skip("needs roots")

@pytest.fixture
def broken(): pytest.skip("no such thing")

def test_fixture(broken): pass
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False, text=True, timeout=60)


def test_only_listed_reasons_pass(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    done = run(tmp_path)
    assert done.returncode == 1, done.stdout
    for reason in ("too slow today", "needs roots", "no such thing"):
        assert f"not in tests/allowed_skips: {reason}\n" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert all(part in last for part in ("1 passed", "2 skipped", "1 xfailed")), last
    assert "1 failed" in last
    assert "2 errors" in last  # a mark and a fixture skip before the test begins


def test_a_skipped_file_fails_too(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    done = run(tmp_path)
    assert done.returncode == 2, done.stdout
    assert "not in tests/allowed_skips: could not import 'no_such_module'" in done.stdout
