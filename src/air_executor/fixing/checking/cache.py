"""Results of earlier checks, found again by everything they depend on.

That is: the contents of files, the program (its file's identity, which changes with its version, and that of its
Python's packages), its configuration, lock files, the allowlisted environment, how code was let run, our own code.
Tests, types and builds depend on every file of the repository; tests on its place as well. What ignored files hold is
not part of it. Which content a file has is remembered by its size and times, as git does.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from air_executor.fixing.check import Check, Project, Tool
from air_executor.fixing.outcome import CheckResult
from air_executor.store.files import Identity, identity, write_atomically

__all__ = ["Cache", "Digests", "cache_folder"]

ABSENT: Final = "-"
SETTLED_NS: Final = 2_000_000_000
"""A file changed so shortly before it was read may change once more without its times telling."""
KEPT_S: Final = 30 * 86_400.0
DYNAMIC: Final = frozenset({"tests", "coverage"})
BY_OWN_FILES: Final = frozenset({"lint", "format", "metrics"})


def cache_folder() -> Path:
    """Where everything of fixing is kept that can be made again."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(folder, "air-executor", "fixing")


class _Known(msgspec.Struct, array_like=True):
    identity: tuple[int, int, int, int]
    digest: str


class Digests:
    """Digests of file contents; files that have not changed are not read again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = False
        try:
            self._known = msgspec.msgpack.decode(path.read_bytes(), type=dict[str, _Known])
        except (OSError, msgspec.DecodeError):
            self._known = {}
        self._asked: dict[str, str] = {}

    def of(self, path: Path | str) -> str:
        """The digest of a file's content, of a folder its times; `-` for what is not there or cannot be read."""
        name = os.fspath(path)
        if name not in self._asked:
            self._asked[name] = self._find(name)
        return self._asked[name]

    def _find(self, name: str) -> str:
        now = time.time_ns()
        try:
            info = os.stat(name)
        except OSError:
            return ABSENT
        seen = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        if stat.S_ISDIR(info.st_mode):
            return str(seen)
        if not stat.S_ISREG(info.st_mode):
            return ABSENT
        known = self._known.get(name)
        if known is not None and known.identity == seen:
            return known.digest
        try:
            with open(name, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return ABSENT
        if max(info.st_ctime_ns, info.st_mtime_ns) < now - SETTLED_NS:
            self._known[name] = _Known(seen, digest)
            self._changed = True
        return digest

    def save(self) -> None:
        """Keep what was learnt for the next time."""
        if self._changed:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            kept = {name: known for name, known in self._known.items() if name in self._asked}
            write_atomically(self._path, msgspec.msgpack.encode(kept))
            self._changed = False


@cache
def own_code() -> str:
    """A digest of all of `fixing`: another reader may find other things in the same output."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def program_identity(program: Path) -> list[str]:
    """What changes when a program is installed anew, without starting it."""
    seen: list[Identity | None] = [identity(program), identity(os.path.realpath(program))]
    words = [str(one) for one in seen]
    if program.parent.name == "bin":
        found = sorted(program.parent.parent.glob("lib/python3*/site-packages"))
        words += [f"{packages} {identity(packages)}" for packages in found]
    return words


class Cache:
    """The results kept for one user."""

    def __init__(self, folder: Path, repository: Path, paths: Iterable[str]) -> None:
        """`paths`: all files of the repository that are looked at."""
        self._folder = folder / "results"
        self._repository = repository
        self._paths = tuple(paths)
        place = hashlib.sha256(os.fsencode(repository)).hexdigest()[:16]
        self.digests = Digests(folder / "digests" / f"{place}.msgpack")
        self._contents: dict[tuple[str, ...], str] = {}

    def key(
        self,
        check: Check,
        project: Project,
        tool: Tool,
        *,
        locks: Iterable[Path],
        environment: dict[str, str],
        mode: str,
    ) -> str:
        """A digest of all that a result depends on."""
        dynamic = check.kind in DYNAMIC
        alone = check.kind in BY_OWN_FILES and not check.loads_code(project)
        words: list[str] = [
            own_code(),
            type(check).__qualname__,
            check.name,
            project.root,
            *tool.argv,
            tool.version or "",
            *program_identity(Path(tool.argv[0])),
            *(f"{name}={value}" for name, value in sorted(tool.env.items())),
            mode,
            str(self._repository) if dynamic else "",
            *(f"{name}={value}" for name, value in sorted(environment.items())),
            "files",
            self._content(project.files if alone else self._paths),
            *project.files,
            "configuration",
            self.rules(check, project),
            *(f"{path} {self.digests.of(path)}" for path in locks),
        ]
        return hashlib.sha256("\0".join(words).encode(errors="surrogatepass")).hexdigest()

    def _content(self, paths: tuple[str, ...]) -> str:
        """A digest of these files of the repository, which several checks ask for."""
        if paths not in self._contents:
            digest = hashlib.sha256()
            for path in paths:
                text = f"{path}\0{self.digests.of(os.path.join(self._repository, path))}\0"
                digest.update(text.encode(errors="surrogatepass"))
            self._contents[paths] = digest.hexdigest()
        return self._contents[paths]

    def rules(self, check: Check, project: Project) -> str:
        """A digest of a check's configuration."""
        words = [f"{path} {self.digests.of(path)}" for path in check.configuration(project)]
        return hashlib.sha256("\0".join(words).encode(errors="surrogatepass")).hexdigest()[:16]

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"

    def get(self, key: str) -> CheckResult | None:
        """The result of that key; None where there is none."""
        path = self._path(key)
        try:
            result = msgspec.json.decode(path.read_bytes(), type=CheckResult)
            os.utime(path)
        except (OSError, msgspec.DecodeError):
            return None
        return msgspec.structs.replace(result, cached=True)

    def put(self, key: str, result: CheckResult) -> None:
        """Keep a result; one that could not run is none."""
        if result.outcome != "could_not_run":
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, msgspec.json.encode(result))

    def prune(self) -> None:
        """Remove results that nobody has asked for in a month."""
        limit = time.time() - KEPT_S
        for path in self._folder.glob("*/*.json"):
            try:
                if path.stat().st_mtime < limit:
                    path.unlink()
            except OSError:
                continue
