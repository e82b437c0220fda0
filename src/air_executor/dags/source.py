"""The folder that is brought to an Airflow: its DAG files, the modules they need, and the data beside them."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from air_executor.dags.imports import Named, names_in, names_in_text
from air_executor.errors import InvalidInput

__all__ = ["Kind", "Problem", "Snapshot", "SourceFile", "choose", "files_below", "take"]

Kind = Literal["dag", "module", "data"]

NEVER: Final = re.compile(r"__pycache__|.*\.py[co]|.*~|\..*|#.*#")
NAMING: Final = frozenset({".yaml", ".yml", ".json", ".toml", ".sh", ".cfg", ".ini"})
NAMING_BYTES: Final = 1_000_000
IGNORE_FILE: Final = ".airflowignore"


class Problem(NamedTuple):
    """What keeps a file from being deployed. `line` is 0 where it concerns the file as a whole."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


class SourceFile(NamedTuple):
    """A file to be deployed; `needs` are the modules and files it names, and what those name in turn."""

    name: str
    kind: Kind
    needs: frozenset[str] = frozenset()


class Snapshot(NamedTuple):
    """A private copy of what is to be deployed, so that what was validated is what is deployed."""

    root: Path
    files: dict[str, SourceFile]
    sha256: dict[str, str]


def files_below(folder: Path) -> list[str]:
    """All regular files below `folder` that may be deployed, links followed as Airflow follows them; sorted."""
    found: list[str] = []
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not NEVER.fullmatch(name)]
        for name in files:
            nested_ignore = name == IGNORE_FILE and root != str(folder)
            if (nested_ignore or not NEVER.fullmatch(name)) and os.path.isfile(os.path.join(root, name)):
                found.append(os.path.relpath(os.path.join(root, name), folder))
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def choose(
    folder: Path,
    dag_files: Iterable[str],
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    data: bool = True,
) -> tuple[dict[str, SourceFile], list[str], list[Problem]]:
    """What of `folder` is deployed, what Python files are left out, and which cannot be read as Python.

    DAG files are what Airflow says they are. A module or program goes along when a deployed file names it, or
    when it matches `include`; other files go along unless they match `exclude`.
    """
    there = [name for name in files_below(folder) if not _matches(name, exclude)]
    dags = [name for name in dag_files if name in set(there)]
    asked = [name for name in there if name.endswith(".py") and _matches(name, include)]
    beside = [
        name for name in there if not name.endswith(".py") and name not in dags and (data or _matches(name, include))
    ]
    start = [*dags, *asked, *_programs(folder, beside, frozenset(there))]
    named, problems = _read_from(folder, start, frozenset(there))
    chosen = {name: SourceFile(name, "dag" if name in dags else "module", _needs(name, named)) for name in named}
    chosen |= {name: SourceFile(name, "data") for name in beside}
    left_out = [name for name in there if name.endswith(".py") and name not in chosen]
    return dict(sorted(chosen.items())), left_out, problems


def _matches(name: str, patterns: Iterable[str]) -> bool:
    """A pattern means the file, or any folder it is in: `tests` leaves out all below `tests/`."""
    parts = name.split(os.sep)
    starts = [os.sep.join(parts[:i]) for i in range(1, len(parts) + 1)]
    return any(fnmatch.fnmatchcase(start, pattern.rstrip("/")) for pattern in patterns for start in starts)


def _programs(folder: Path, data: Iterable[str], there: frozenset[str]) -> set[str]:
    """Python files that job files, scripts and settings name."""
    found: set[str] = set()
    for name in data:
        place = folder / name
        if place.suffix in NAMING and place.stat().st_size <= NAMING_BYTES:
            found.update(_resolve(names_in_text(place.read_text("utf-8", errors="replace")), name, there))
    return found


def _read_from(
    folder: Path, start: list[str], there: frozenset[str]
) -> tuple[dict[str, frozenset[str]], list[Problem]]:
    """Every Python file that is reached from `start`, with the files it names itself."""
    named: dict[str, frozenset[str]] = {}
    problems: list[Problem] = []
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name in named:
            continue
        named[name] = frozenset()
        if not name.endswith(".py"):
            continue  # an archive of DAG files
        try:
            found = names_in((folder / name).read_bytes(), name, _package(name))
        except SyntaxError as error:
            problems.append(Problem(name, error.lineno or 0, f"{type(error).__name__}: {error.msg}"))
            continue
        except (ValueError, RecursionError) as error:  # a NUL byte; nested too deeply
            problems.append(Problem(name, 0, f"SyntaxError: {error}"))
            continue
        named[name] = frozenset(_resolve(found, name, there)) - {name}
        waiting += named[name]
    return named, problems


def _package(name: str) -> str:
    """The package that a file belongs to, as Airflow imports it: from the top of the folder."""
    return ".".join(Path(name).parent.parts)


def _resolve(found: Named, name: str, there: frozenset[str]) -> Iterable[str]:
    """What there is of that: from the top of the folder, as Airflow imports, or beside the file, as programs do."""
    here = os.path.dirname(name)
    for module in found.modules:
        parts = module.split(".")
        for base in {"", here}:
            for i in range(1, len(parts) + 1):  # importing a.b.c runs a and a.b as well
                start = os.path.join(base, *parts[:i])
                yield from {f"{start}.py", os.path.join(start, "__init__.py")} & there
            yield from {os.path.join(base, *parts, "__main__.py")} & there
    for file in found.files:
        places = {os.path.normpath(os.path.join(here, file)), os.path.normpath(file)} & there
        if not places and os.sep not in file:  # the last part of a path that is put together
            places = {
                one for one in there if os.path.basename(one) == file and one.startswith(os.path.join(here, ""))
            }
        yield from places


def _needs(name: str, named: Mapping[str, frozenset[str]]) -> frozenset[str]:
    found: set[str] = set()
    waiting = list(named[name])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += named.get(other, ())
    return frozenset(found - {name})


def take(folder: Path, files: dict[str, SourceFile], root: Path) -> Snapshot:
    """Copy `files` to `root`, readable for whoever Airflow runs as."""
    digests = {}
    for name in files:
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(folder / name, "rb") as source, open(target, "xb") as copy:
                shutil.copyfileobj(source, copy)
                runs = os.fstat(source.fileno()).st_mode & stat.S_IXUSR
            target.chmod(0o755 if runs else 0o644)
        except OSError as error:
            raise InvalidInput(f"cannot copy {folder / name}: {error.strerror or error}") from None
        digests[name] = sha256_of(target)
    return Snapshot(root, files, digests)


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
