"""Which files of a repository are looked at, and which are left out and why.

Git says what is ignored and what `.gitattributes` marks as generated or vendored, in a folder without history too.
Without git every file counts but those of installed packages. Names that are not UTF-8, or that hold control
characters, are left out with that reason: tools print them in ways that cannot be told apart.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from air_executor.errors import InvalidInput, NotFound

__all__ = ["Files", "LeftOut", "find_files", "git"]

INSTALLED: Final = frozenset(
    {".git", ".hg", ".svn", ".tox", ".nox", ".venv", "node_modules", "__pycache__", "site-packages", ".dart_tool"}
)
"""Folders whose content somebody else wrote, ignored by git or not."""
MARKS: Final = {"linguist-generated": "marked as generated", "linguist-vendored": "marked as vendored"}
SUBMODULE: Final = "160000"
# A repository's own configuration may name programs that git runs while it lists files.
HARMLESS: Final = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false")


class LeftOut(Struct, frozen=True):
    """What is not looked at. `path` is relative; bytes that are no text are written as `\\xe9`."""

    path: str
    reason: str


class Files(Struct, frozen=True):
    """Paths relative to the repository's root, with `/`, in order."""

    paths: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()


def find_files(repository: Path) -> Files:
    """The regular files of a repository or of any other folder. Links are left out: their targets count."""
    if not repository.is_dir():
        raise NotFound(f"{repository}: no such folder")
    repository = repository.resolve()
    try:
        str(repository).encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{os.fsencode(repository)!r}: a repository's path has to be UTF-8") from None
    names, left = _by_git(repository)
    if names is None:
        names = _by_walking(repository)
    environments = {name.rpartition(b"/")[0] + b"/" for name in names if name.endswith(b"/pyvenv.cfg")}
    # What `go mod vendor` makes, and go alone may change.
    vendored = tuple(name[: -len(b"modules.txt")] for name in names if _last(name, 2) == b"vendor/modules.txt")
    kept: dict[str, None] = {}
    for raw in names:
        if environments and any(raw.startswith(folder) for folder in environments):
            continue
        if vendored and raw.startswith(vendored):
            left.append(LeftOut(raw.decode(errors="backslashreplace"), "vendored by Go"))
            continue
        reason = _why_not(repository, raw)
        if reason is None:
            kept[raw.decode()] = None
        elif reason:
            left.append(LeftOut(raw.decode(errors="backslashreplace"), reason))
    marked = _marked(repository, kept)
    left += [LeftOut(path, reason) for path, reason in marked.items()]
    left.sort(key=lambda one: one.path)
    return Files(tuple(sorted(path for path in kept if path not in marked)), tuple(left))


def _last(path: bytes, count: int) -> bytes:
    """The last names of a path."""
    return b"/".join(path.split(b"/")[-count:])


def _why_not(repository: Path, raw: bytes) -> str | None:
    """Why a listed path is no file to look at; an empty text for what needs no telling, None for a good one."""
    parts = raw.split(b"/")
    if any(os.fsdecode(part) in INSTALLED for part in parts[:-1]):
        return ""
    try:
        mode = os.lstat(os.path.join(os.fsencode(repository), raw)).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""  # deleted, but git has not been told
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a repository of its own"
    if not stat.S_ISREG(mode):
        return "not a regular file"
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        return "its name is not UTF-8"
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "its name holds a control character"
    return None


def git(repository: Path, *words: str, git_dir: str | None = None, stdin: bytes = b"") -> bytes | None:
    """What git prints; None where there is no git, or this is no repository of its."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    where = [] if git_dir is None else [f"--git-dir={git_dir}", f"--work-tree={repository}"]
    try:
        done = subprocess.run(
            ["git", *HARMLESS, *where, *words], cwd=repository, env=env, input=stdin, capture_output=True, check=False
        )
    except (FileNotFoundError, PermissionError):
        return None
    if b"dubious ownership" in done.stderr:
        raise InvalidInput(
            f"{repository}: git refuses it because it belongs to another user; "
            f"`git config --global --add safe.directory {repository}` allows it"
        )
    return None if done.returncode else done.stdout


def _by_git(repository: Path) -> tuple[list[bytes] | None, list[LeftOut]]:
    staged = git(repository, "ls-files", "--stage", "-z", git_dir=None)
    if staged == b"" and git(repository, "check-ignore", "-q", str(repository), git_dir=None) is not None:
        staged = None  # another repository around it ignores it as a whole
    if staged is not None:
        names: list[bytes] = []
        left = []
        for entry in staged.split(b"\0")[:-1]:
            facts, _, name = entry.partition(b"\t")
            if facts.startswith(SUBMODULE.encode()):
                left.append(LeftOut(name.decode(errors="backslashreplace"), "a submodule"))
            else:
                names.append(name)
        others = git(repository, "ls-files", "--others", "--exclude-standard", "-z", git_dir=None) or b""
        names += others.split(b"\0")[:-1]
        return [*dict.fromkeys(name.rstrip(b"/") for name in names)], left
    with tempfile.TemporaryDirectory(prefix="air-executor-git-") as scratch:  # an empty history: all files are others
        if git(repository, "init", "--quiet", "--bare", scratch, git_dir=None) is None:
            return None, []
        others_only = git(repository, "ls-files", "--others", "--exclude-standard", "-z", git_dir=scratch)
    if others_only is None:
        return None, []
    return [name.rstrip(b"/") for name in others_only.split(b"\0")[:-1]], []


def _by_walking(repository: Path) -> list[bytes]:
    return [os.fsencode(path) for path in _walk(repository, "")]


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        return
    if prefix and any(entry.name in ("pyvenv.cfg", ".git") for entry in entries):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in INSTALLED:
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}"


def _marked(repository: Path, paths: Iterable[str]) -> dict[str, str]:
    """The paths that `.gitattributes` marks as not written by people here, with the reason."""
    names = [*paths]
    if not any(name.rpartition("/")[2] == ".gitattributes" for name in names):
        return {}
    asked = b"".join(name.encode() + b"\0" for name in names)
    answer = git(repository, "check-attr", "-z", "--stdin", *MARKS, git_dir=None, stdin=asked)
    if answer is None:
        with tempfile.TemporaryDirectory(prefix="air-executor-git-") as scratch:
            git(repository, "init", "--quiet", "--bare", scratch, git_dir=None)
            answer = git(repository, "check-attr", "-z", "--stdin", *MARKS, git_dir=scratch, stdin=asked) or b""
    words = answer.decode().split("\0")
    found: dict[str, str] = {}
    for path, mark, value in zip(words[0::3], words[1::3], words[2::3], strict=False):
        if value in ("set", "true"):
            found.setdefault(path, MARKS[mark])
    return found
