"""What `pip install 'air-executor[airflow]'` does beside an Airflow with its own pinned dependencies."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

import pytest

from tests.airflow import versions

BESIDE = {"air-executor", "click", "msgspec", "pyyaml", "rich", "markdown-it-py", "mdurl", "pygments"}
"""We and what we need ourselves; of these an environment may lack some, and gets those only."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.airflow(pre=True)
def test_it_changes_nothing_that_airflow_pins(version: versions.Version) -> None:
    (packages,) = version.environment.glob("lib/python*/site-packages")
    installed = {normal(found.name): found.version for found in metadata.distributions(path=[str(packages)])}
    assert {name: installed.get(name) for name in version.pins} == version.pins
    assert "air-executor" in installed
    assert set(installed) - set(version.pins) <= BESIDE
    checked = subprocess.run(
        [sys.executable, "-m", "pip", "--python", version.python, "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_constraints_hold_names_and_versions_only() -> None:
    for path in versions.CONSTRAINTS.glob("*.txt"):
        lines = path.read_text("utf-8").splitlines()
        if path.stem.startswith("airflow-"):
            assert re.fullmatch(r"# Python (?:(?:>=|<|!=)[\d.]+(?:, ?)?)+", lines.pop(0)), path
        lines = [line for line in lines if not line.startswith("# ")]
        assert lines
        for line in lines:
            assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9A-Za-z.]*", line), f"{path.name}: {line}"


@pytest.mark.parametrize(
    ("pythons", "fits"),
    [
        (">=3.8, <3.99", True),
        (">=3.11", True),
        ("<3.11", False),
        (">=3.98", False),
        ("<4", True),
        ("!=3.97,>=3.8", True),
    ],
)
def test_a_python_that_a_version_does_not_support_is_told(pythons: str, fits: bool) -> None:
    version = versions.Version("x", {"apache-airflow": "1.2.3"}, pythons)
    mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert version.unsupported == (None if fits else f"Airflow 1.2.3 does not run on Python {mine}")


def test_all_versions_are_here() -> None:
    assert {version.series for version in versions.ALL.values() if version.name != versions.PRE} == {(2, 10), (3, 3)}
    assert versions.PRE not in list(versions.ALL)[:-1], "the pre-release comes last"
