"""Python: ruff, mypy or pyright as configured, complexipy where it is, pytest and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from air_executor.fixing.check import Project
from air_executor.fixing.languages.language import Language
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools.complexipy import Complexipy
from air_executor.fixing.tools.coverage import PythonCoverage
from air_executor.fixing.tools.mypy import Mypy
from air_executor.fixing.tools.pyright import Pyright
from air_executor.fixing.tools.python import environment, ini, pyproject
from air_executor.fixing.tools.python_tests import Pytest
from air_executor.fixing.tools.ruff import Ruff, RuffFormat

__all__ = ["PYTHON"]

BUILDS: Final = ("flit", "hatch", "pdm", "poetry", "setuptools", "uv")


def stands(manifest: Path) -> bool:
    """A `setup.cfg` or `pyproject.toml` that only configures tools makes no project, nor a module called `setup`."""
    if manifest.name == "setup.py":
        return not (manifest.parent / "__init__.py").exists() and "setup(" in _text(manifest)
    if manifest.name == "setup.cfg":
        return bool({"metadata", "options"} & ini(manifest).keys())
    if manifest.name == "pyproject.toml":
        content = pyproject(manifest.parent)
        tools = content.get("tool")
        return (
            not content  # broken or empty, but meant as one
            or "project" in content
            or "build-system" in content
            or (isinstance(tools, dict) and any(name in tools for name in BUILDS))
        )
    return True


def _text(path: Path) -> str:
    try:
        return read_source(path)
    except OSError:
        return ""


def members(manifest: Path) -> Sequence[str]:
    """uv's workspaces."""
    if manifest.name != "pyproject.toml":
        return ()
    place: Any = pyproject(manifest.parent)
    for name in ("tool", "uv", "workspace"):
        place = place.get(name, {}) if isinstance(place, dict) else {}
    if not isinstance(place, dict):
        return ()
    wanted = [pattern for pattern in place.get("members", ()) if isinstance(pattern, str)]
    return [*wanted, *(f"!{pattern}" for pattern in place.get("exclude", ()) if isinstance(pattern, str))]


def installed(project: Project) -> Sequence[Path]:
    home = environment(project)
    return sorted(home.glob("lib/python3*/site-packages")) if home is not None else ()


PYTHON: Final = Language(
    name="python",
    suffixes=frozenset({".py", ".pyi", ".pyw"}),
    manifests=("pyproject.toml", "setup.py", "setup.cfg"),
    weak_manifests=("Pipfile", "requirements.txt"),
    stands=stands,
    members=members,
    lock_files=("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.txt", "requirements-dev.txt"),
    installed=installed,
    checks=(Ruff(), RuffFormat(), Mypy(), Pyright(), Complexipy(), Pytest(), PythonCoverage()),
)
