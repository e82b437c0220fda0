"""What the checks of Python share: the project's virtual environment, its configuration files, and lists of files."""

from __future__ import annotations

import base64
import configparser
import hashlib
import os
import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from air_executor.fixing.check import Project, Tool
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools.programs import folders_up, in_path, inside, missing
from air_executor.store.files import Identity, identity

__all__ = [
    "CONFIGS",
    "config_files",
    "environment",
    "find_python_tool",
    "ini",
    "installed_version",
    "listed",
    "pyproject",
    "python_of",
    "tool_table",
    "version_numbers",
]

ENVIRONMENTS: Final = (".venv", "venv")
CONFIGS: Final = ("pyproject.toml", "setup.cfg", "tox.ini")


def environment(project: Project) -> Path | None:
    """The project's virtual environment: `.venv` or `venv` in its folder or above, uv's, or poetry's in its cache."""
    if project.own_programs:
        places = list(ENVIRONMENTS)
        if named := os.environ.get("UV_PROJECT_ENVIRONMENT"):
            places.insert(0, named)
        for folder in folders_up(project):
            for place in places:
                if (folder / place / "bin" / "python").exists():
                    return folder / place
    for folder in folders_up(project):
        if (found := _of_poetry(folder)) is not None:
            return found
    return None


def _of_poetry(folder: Path) -> Path | None:
    """The environment poetry keeps in its cache: named after the project and a hash of its folder."""
    name = _table(pyproject(folder), "tool", "poetry").get("name") or _table(pyproject(folder), "project").get("name")
    if not isinstance(name, str) or not (folder / "poetry.lock").exists():
        return None
    cache = os.environ.get("POETRY_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "pypoetry"
    )
    kept = os.environ.get("POETRY_VIRTUALENVS_PATH") or os.path.join(cache, "virtualenvs")
    digest = hashlib.sha256(os.path.realpath(folder).encode()).digest()
    plain = re.sub(r'[ $`!*@"\\\r\n\t]', "_", name.lower())[:42]
    prefix = f"{plain}-{base64.urlsafe_b64encode(digest).decode()[:8]}-py"
    try:
        found = sorted(entry for entry in os.listdir(kept) if entry.startswith(prefix))
    except OSError:
        return None
    usable = [Path(kept, entry) for entry in found if Path(kept, entry, "bin", "python").exists()]
    return usable[-1] if usable else None


def python_of(project: Project) -> Path | None:
    """The interpreter with what the project depends on; None where it has no environment of its own."""
    home = environment(project)
    return home / "bin" / "python" if home is not None else None


def find_python_tool(project: Project, name: str) -> Tool:
    """The program `name` of the project's environment, else the one in PATH."""
    home = environment(project)
    if home is not None and os.access(home / "bin" / name, os.X_OK):
        return Tool((str(home / "bin" / name),), None, True)
    if (program := in_path(project, name)) is not None:
        return Tool((str(program),), None, inside(project, program))
    raise missing(name, f"`pip install {name}`, in the project's environment or where PATH finds it", project)


def installed_version(packages_of: Path, name: str) -> str | None:
    """The version of a package in the environment whose `bin` holds this program, as its metadata has it: asking the
    program itself would start an interpreter. None where that does not tell."""
    found = packages_of.parent.parent.glob(f"lib/python3*/site-packages/{name}-*.dist-info")
    versions = {entry.name.removesuffix(".dist-info").partition("-")[2] for entry in found}
    return versions.pop() if len(versions) == 1 and packages_of.parent.name == "bin" else None


def pyproject(folder: Path) -> dict[str, Any]:
    """`pyproject.toml` of a folder; empty where there is none or it is broken, which its tools will tell. Not to be
    changed: it is read once."""
    path = folder / "pyproject.toml"
    return _toml(path, identity(path.resolve()))


@lru_cache(maxsize=256)
def _toml(path: Path, _: Identity | None) -> dict[str, Any]:
    try:
        return tomllib.loads(read_source(path))
    except (OSError, ValueError):
        return {}


def ini(path: Path) -> dict[str, dict[str, str]]:
    """Sections of `setup.cfg` and the like; empty where there is no such file or it is broken."""
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(read_source(path))
    except (OSError, ValueError, configparser.Error):
        return {}
    return {name: {key: value or "" for key, value in parser.items(name)} for name in parser.sections()}


def _table(content: Any, *names: str) -> dict[str, Any]:
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def tool_table(folder: Path, *names: str) -> dict[str, Any] | None:
    """`[tool.NAME]` of `pyproject.toml`; None where it is not there."""
    content: Any = pyproject(folder).get("tool")
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else None


def config_files(project: Project, *names: str, below: bool = False) -> list[Path]:
    """Where files of these names would be found: in the project's folder, those above it and, if asked for, those of
    its files."""
    folders = list(folders_up(project))
    if below:
        inner = {project.repository / path.rpartition("/")[0] for path in project.files}
        folders += sorted(inner.difference(folders))
    return [folder / name for folder in folders for name in names]


def listed(project: Project, suffixes: tuple[str, ...] = (".py", ".pyi")) -> Iterator[str]:
    """The project's files, relative to its folder, so written that none is taken for an option."""
    start = 0 if project.root == "." else len(project.root) + 1
    for path in project.files:
        if path.endswith(suffixes):
            yield f"./{path[start:]}"


def version_numbers(version: str | None) -> tuple[int, ...]:
    """A version's first three numbers; one that is not known counts as new."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3]) if version else (999,)
