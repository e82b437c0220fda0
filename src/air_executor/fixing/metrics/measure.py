"""The program that measures the files of a project. It reads them and runs nothing of theirs.

python -m air_executor.fixing.metrics.measure FILES OUT [KEPT]

FILES: JSON, `Asked`. OUT: JSON, `ProjectMetrics`. KEPT: what was measured of each file, for the next time.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, Final

import msgspec
from msgspec import Struct

from air_executor.fixing.metrics import nesting
from air_executor.fixing.metrics.duplication import CodeLine, code_lines, find_duplicates
from air_executor.fixing.metrics.measures import FileMetrics, FunctionMetrics, ProjectMetrics
from air_executor.fixing.metrics.scanning import FAMILIES, tokens
from air_executor.store.files import write_atomically

__all__ = ["Asked", "measure"]

SIZE_LIMIT: Final = 1_000_000
"""Larger files are data or made by programs; lizard would work on one for minutes."""
FILE_LIMIT_S: Final = 20.0
ALIASES: Final = {".pyi": ".py", ".pyw": ".py", ".mts": ".ts", ".cts": ".ts", ".svelte": ".ts", ".vue": ".ts"}
"""What lizard is told in place of suffixes it does not know; for `.vue` it would tell other lines than the file's."""
SECTIONED: Final = (".vue", ".svelte")
SCRIPT: Final = re.compile(r"<script\b[^>]*>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)
LINE_ENDS: Final = re.compile("\r\n?")


class Asked(Struct):
    """What is to be measured."""

    repository: str
    paths: tuple[str, ...]
    key: str = ""
    """What was kept under another one is not used: other code may measure otherwise."""


class Measured(Struct, array_like=True):
    """What is known of one file from its content alone."""

    digest: str
    file: FileMetrics
    lines: list[CodeLine]


class Kept(Struct):
    """By path."""

    key: str
    files: dict[str, Measured]


class TooSlow(BaseException):
    """A file takes longer than it may."""


def measure(asked: Asked, kept: Path | None = None) -> ProjectMetrics:
    """Every file by itself, then what stands in several. `kept`: file with what was measured the last time."""
    known = _read_kept(kept, asked.key)
    found: dict[str, Measured] = {}
    comparable = False
    for path in asked.paths:
        suffix = PurePosixPath(path).suffix.lower()
        comparable = comparable or suffix in FAMILIES
        found[path] = _file(Path(asked.repository, path), path, suffix, known.get(path))
    if kept is not None and any(known.get(path) is not one for path, one in found.items()):
        sure = {path: one for path, one in found.items() if one.digest}
        write_atomically(kept, msgspec.msgpack.encode(Kept(asked.key, sure)))
    content = [(path, one.lines) for path, one in found.items()]
    return ProjectMetrics(
        files=tuple(one.file for one in found.values()),
        duplicates=tuple(find_duplicates(content)) if comparable else None,
        code_lines=sum(len(lines) for _, lines in content) if comparable else None,
    )


def _read_kept(path: Path | None, key: str) -> dict[str, Measured]:
    if path is not None:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            kept = msgspec.msgpack.decode(path.read_bytes(), type=Kept)
            if kept.key == key:
                return kept.files
    return {}


def _file(place: Path, path: str, suffix: str, known: Measured | None) -> Measured:
    """What is known if the content is the same; without a digest what need not be so the next time."""
    try:
        if not place.is_file():
            raise FileNotFoundError(errno.ENOENT, "no such file")
        if place.stat().st_size > SIZE_LIMIT:
            size = f"it is larger than {SIZE_LIMIT // 1_000_000} MB: only its length is known"
            return Measured("", FileMetrics(path=path, lines=_lines_of_large(place), unknown=size), [])
        data = place.read_bytes()
    except OSError as error:
        return Measured("", FileMetrics(path=path, lines=None, unknown=f"it cannot be read: {error.strerror}"), [])
    digest = hashlib.sha256(data).hexdigest()
    if known is not None and known.digest == digest:
        return known
    count = _line_count(data)
    text = LINE_ENDS.sub("\n", _text(data))
    code = _scripts(text) if suffix in SECTIONED else text
    found: tuple[FunctionMetrics, ...] | None = None
    lines: list[CodeLine] = []
    unknown = None
    try:
        with _limited(FILE_LIMIT_S):
            chains: list[nesting.Chain] | None = None
            if (family := FAMILIES.get(suffix)) is not None:
                words = list(tokens(code, family))
                lines = code_lines(words)
                chains = nesting.chains(words, family)
            found, whole = _functions(code, suffix, chains)
            if found is None:
                unknown = f"complexity: lizard does not know {suffix or 'such'} files"
            elif not whole:
                unknown = "complexity: lizard stops at a comment that says the code is generated"
            elif family is None:
                unknown = f"nesting and copies: {suffix} files are only read for complexity"
            elif chains is None:
                unknown = "nesting: its braces do not fit together"
    except TooSlow:
        found, unknown, digest = None, f"complexity: lizard did not end within {FILE_LIMIT_S:g} s", ""
    except Exception as error:
        found, unknown = None, f"complexity: lizard failed: {type(error).__name__}: {error}"
    return Measured(digest, FileMetrics(path=path, lines=count, functions=found, unknown=unknown), lines)


def _scripts(text: str) -> str:
    """Only the code of a file that holds a page as well; what is left out leaves its lines."""
    kept, place = [], 0
    for found in SCRIPT.finditer(text):
        kept += ["\n" * text.count("\n", place, found.start(1)), found[1]]
        place = found.end(1)
    return "".join([*kept, "\n" * text.count("\n", place)])


def _line_count(data: bytes) -> int:
    ends = data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
    return ends + (data[-1:] not in (b"", b"\n", b"\r"))


def _lines_of_large(place: Path) -> int:
    """The same, without having all of it at once."""
    count, last = 0, b""
    with place.open("rb") as file:
        while block := file.read(SIZE_LIMIT):
            # A line's end may be cut in two; what ends here without one goes on in the next block.
            count += _line_count(block) - (block[-1:] not in (b"\n", b"\r")) - (last == b"\r" and block[:1] == b"\n")
            last = block[-1:]
    return count + (last not in (b"", b"\n", b"\r"))


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _functions(
    text: str, suffix: str, chains: list[nesting.Chain] | None
) -> tuple[tuple[FunctionMetrics, ...] | None, bool]:
    """As lizard finds them, None where it does not know the language; and whether it read to the end."""
    lizard: Any = import_module("lizard")

    name = f"file{ALIASES.get(suffix, suffix)}"
    kind = import_module("lizard_languages").get_reader_for(name)
    if kind is None:
        return None, True
    context: Any = lizard.FileInfoBuilder(name)
    reader = kind(context)
    words = source = iter(reader.generate_tokens(text))
    for step in lizard.get_extensions([]):
        words = step(words, reader)
    for _ in reader(words, reader):
        pass
    functions = context.fileinfo.function_list
    depths: list[int | None] = [None] * len(functions)
    if chains is not None:
        depths = [*nesting.deepest(chains, [(one.start_line, one.end_line) for one in functions])]
    found = tuple(
        FunctionMetrics(
            name=one.name,
            line=one.start_line,
            end_line=one.end_line,
            complexity=one.cyclomatic_complexity,
            nesting=depth,
            parameters=one.parameter_count,
        )
        for one, depth in zip(functions, depths, strict=True)
    )
    return found, next(source, None) is None


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main() -> int:
    asked = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Asked)
    sys.setrecursionlimit(5_000)
    metrics = measure(asked, Path(sys.argv[3]) if len(sys.argv) > 3 else None)
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(metrics))
    print(f"{len(metrics.files)} files measured")
    return 0


if __name__ == "__main__":
    sys.exit(main())
