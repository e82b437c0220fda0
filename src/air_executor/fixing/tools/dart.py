"""What the checks of Dart and Flutter share: the programs, the manifest, and whether packages have been fetched."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
import yaml

from air_executor.fixing.check import CouldNotRun, Kind, Project, Tool
from air_executor.fixing.sources import read_source
from air_executor.fixing.tools.programs import find_program, folders_up
from air_executor.store.files import Identity, identity

__all__ = ["DartCheck", "find_dart", "is_flutter", "listed", "mapping", "table"]

SDK: Final = ".fvm/flutter_sdk/bin"
"""Where fvm puts the version of Flutter that a project has chosen."""


def mapping(path: Path) -> dict[str, Any]:
    """A YAML file's content; empty where there is none or it is broken, which its tools will tell. Not to be
    changed: it is read once."""
    return _yaml(path, identity(path.resolve()))


@lru_cache(maxsize=256)
def _yaml(path: Path, _: Identity | None) -> dict[str, Any]:
    try:
        content = yaml.safe_load(read_source(path))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def table(content: dict[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def is_flutter(project: Project) -> bool:
    """Whether it depends on Flutter, so that only `flutter` can run its tests."""
    pubspec = mapping(project.path / "pubspec.yaml")
    return any(name in table(pubspec, part) for part in ("dependencies", "dev_dependencies") for name in FLUTTER)


FLUTTER: Final = ("flutter", "flutter_test")


def find_dart(project: Project, name: str = "dart") -> Tool:
    """`dart` or `flutter`. It is told that nobody sits before it, so that it asks and reports nothing."""
    mend = "install Flutter, which brings Dart, or put its `bin` folder into PATH"
    tool = find_program(project, name, own=f"{SDK}/{name}", mend=mend)
    cache = Path(os.environ.get("PUB_CACHE") or os.path.expanduser("~/.pub-cache"))
    env = {"BOT": "true", "CI": "true", "FLUTTER_SUPPRESS_ANALYTICS": "true"}
    if cache.is_absolute() and cache.is_dir():
        env["PUB_CACHE"] = str(cache)
    return msgspec.structs.replace(tool, env=env)


def fetched(project: Project) -> None:
    """Raise where what it depends on has not been fetched: every import of it would be reported as an error."""
    pubspec = mapping(project.path / "pubspec.yaml")
    needed = any(table(pubspec, part) for part in ("dependencies", "dev_dependencies"))
    there = any((folder / ".dart_tool" / "package_config.json").exists() for folder in folders_up(project))
    if needed and not there:
        program = "flutter" if is_flutter(project) else "dart"
        raise CouldNotRun("the packages it depends on have not been fetched", f"`{program} pub get` in its folder")


def listed(project: Project) -> list[str]:
    """The project's files, relative to its folder."""
    start = 0 if project.root == "." else len(project.root) + 1
    return [path[start:] for path in project.files]


class DartCheck:
    """What the checks of Dart have in common."""

    name: ClassVar[str]
    kind: ClassVar[Kind]
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        return True

    def loads_code(self, project: Project) -> bool:
        return False

    def find(self, project: Project) -> Tool:
        return find_dart(project)

    def configuration(self, project: Project) -> list[Path]:
        names = ("pubspec.yaml", "analysis_options.yaml")
        return [folder / name for folder in folders_up(project) for name in names]
