"""Reading what tools print: exactly in their form, or `CouldNotRun` with what they said instead."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from air_executor.fixing.check import CouldNotRun, Project, ToolRun

__all__ = [
    "check_exit",
    "decode",
    "decode_lines",
    "first_words",
    "in_one_line",
    "last_words",
    "not_understood",
    "relative",
]

T = TypeVar("T")
SAID = 300


def last_words(path: Path, limit: int = SAID) -> str:
    """The last lines of a file that hold text, in one line."""
    return _one_line(_text(path, tail=True), limit, tail=True)


def first_words(path: Path, limit: int = SAID) -> str:
    return _one_line(_text(path, tail=False), limit, tail=False)


def in_one_line(text: str, limit: int = SAID) -> str:
    """A tool's own words, as far as they fit into one line."""
    return _one_line(text, limit, tail=False)


def _text(path: Path, *, tail: bool) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4_096) if tail else 0)
            return file.read(4_096).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _one_line(text: str, limit: int, *, tail: bool) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) <= limit:
        return line
    return "…" + line[-limit:] if tail else line[:limit] + "…"


def not_understood(tool: str, run: ToolRun, why: str) -> CouldNotRun:
    """What to raise when the output has another form than this tool's."""
    version = f" {run.version}" if run.version else ""
    said = last_words(run.stderr) or first_words(run.stdout) or "nothing"
    return CouldNotRun(
        f"{tool}{version} printed what cannot be understood ({why}; exit code {run.exit_code}); it said: {said}",
        f"run {tool} by hand; if its output is sound, this version of {tool} is not supported yet",
    )


def check_exit(tool: str, run: ToolRun, fine: frozenset[int] | set[int], mend: str) -> None:
    """Raise unless the program ended with one of these exit codes."""
    if run.exit_code in fine:
        return
    said = last_words(run.stderr) or first_words(run.stdout)
    how = f"ended by {run.signal}" if run.signal else f"failed with exit code {run.exit_code}"
    raise CouldNotRun(f"{tool} {how}" + (f": {said}" if said else ""), mend)


def decode(tool: str, run: ToolRun, form: type[T], content: Path | None = None) -> T:
    """Standard output, or another file, as one JSON value of this form."""
    try:
        data = (run.stdout if content is None else content).read_bytes()
    except FileNotFoundError:
        raise not_understood(tool, run, f"no {content.name if content else 'output'}") from None
    try:
        return msgspec.json.decode(data, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_understood(tool, run, str(error)) from None


def decode_lines(tool: str, run: ToolRun, form: type[T], content: Path | None = None) -> list[T]:
    """Standard output, or another file, as one JSON value a line; empty lines do not count."""
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(form)
    found: list[T] = []
    try:
        with (run.stdout if content is None else content).open("rb") as file:
            found.extend(decoder.decode(line) for line in file if line.strip())
    except FileNotFoundError:
        raise not_understood(tool, run, f"no {content.name if content else 'output'}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_understood(tool, run, f"line {len(found) + 1}: {error}") from None
    return found


def relative(project: Project, name: str, cwd: Path | None = None) -> str | None:
    """A path as a tool printed it (absolute, or relative to `cwd`, by default the project's folder), relative to the
    repository's root; None for what is not in the repository."""
    root = str(project.repository)
    # No `Path` is made: this is asked once for each of perhaps 100,000 issues.
    path = os.path.normpath(os.path.join(root, project.root, name) if cwd is None else os.path.join(cwd, name))
    if not path.startswith(root.rstrip("/") + "/"):
        path = os.path.realpath(path)
        if not path.startswith(root.rstrip("/") + "/"):
            return None
    return path[len(root.rstrip("/")) + 1 :]
