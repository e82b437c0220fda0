"""The versions of Airflow the tests run on: one a file `constraints/airflow-*.txt`; `make airflow` installs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints"
PRE = "pre"
"""The newest pre-release: tried, and allowed to fail."""


@dataclass(frozen=True, eq=False)
class Version:
    """An Airflow of our own; `name` is that of its constraint file."""

    name: str
    pins: dict[str, str]
    pythons: str
    """As in `Requires-Python`, what the constraint file says in its first line."""

    @property
    def version(self) -> str:
        return self.pins["apache-airflow"]

    @property
    def series(self) -> tuple[int, int]:
        major, minor, *_ = self.version.split(".")
        return int(major), int(minor)

    @property
    def environment(self) -> Path:
        """The virtual environment; AIRFLOW_ENVIRONMENTS names another folder of environments than .venv."""
        folder = Path(os.environ.get("AIRFLOW_ENVIRONMENTS", ROOT / ".venv"))
        return next(
            (path for path in (folder / self.name, folder / self.version) if path.is_dir()), folder / self.tag
        )

    @property
    def tag(self) -> str:
        return f"airflow-{self.name}"

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    @cached_property
    def unsupported(self) -> str | None:
        """Why this version cannot run with our Python."""
        for operator, bound in re.findall(r"(<|>=|!=)\s*([\d.]+)", self.pythons):
            limit = tuple(map(int, bound.split(".")))
            mine = sys.version_info[: len(limit)]
            if not {"<": mine < limit, ">=": mine >= limit, "!=": mine != limit}[operator]:
                return f"Airflow {self.version} does not run on Python {sys.version_info[0]}.{sys.version_info[1]}"
        return None

    @property
    def missing(self) -> str | None:
        """Why it cannot be used although it could be."""
        if not self.python.exists():
            return f"Airflow {self.version} is not installed in {self.environment}: make airflow"
        return None

    def run(self, *args: str, env: dict[str, str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """A command of the environment: its output, whatever its exit code."""
        return subprocess.run(
            [self.python.with_name(args[0]), *args[1:]],
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )


def read(path: Path) -> Version:
    """The version a constraint file pins."""
    text = path.read_text("utf-8")
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", text, re.MULTILINE))
    pythons = re.search(r"^# Python (.*)$", text, re.MULTILINE)
    return Version(path.stem.removeprefix("airflow-"), pins, pythons[1] if pythons else "")


ALL = {
    version.name: version
    for version in sorted(map(read, CONSTRAINTS.glob("airflow-*.txt")), key=lambda v: (v.name == PRE, v.series))
}
