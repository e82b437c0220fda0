"""Code that stands twice: blocks of lines that are the same word for word, whatever indentation and comments."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

from air_executor.fixing.metrics.measures import Duplicate
from air_executor.fixing.metrics.scanning import Token

__all__ = ["LINES", "TOKENS", "CodeLine", "code_lines", "find_duplicates"]

LINES: Final = 6
TOKENS: Final = 50
"""Shorter blocks are no duplicates: imports, closing brackets and the like repeat everywhere."""
TRIED: Final = 8
"""Places that are compared for the longest block; more of the same would take for ever in tables of data."""


class CodeLine(NamedTuple):
    """A line that holds code, by a digest of its words."""

    digest: int
    line: int
    end_line: int
    tokens: int


def code_lines(tokens: Iterable[Token]) -> list[CodeLine]:
    """Lines as they stand; a string over several lines belongs to the one in which it begins."""
    found = []
    words: list[str] = []
    first = last = 0
    for token in tokens:
        if token.kind == "space":
            continue
        if token.kind != "end":
            if not words:
                first = token.line
            words.append(token.text)
            last = token.line + token.text.count("\n")
        elif words:
            found.append(_line(words, first, last))
            words = []
    if words:
        found.append(_line(words, first, last))
    return found


def _line(words: list[str], first: int, last: int) -> CodeLine:
    digest = hashlib.blake2b("\0".join(words).encode(errors="surrogatepass"), digest_size=8).digest()
    return CodeLine(int.from_bytes(digest), first, last, len(words))


def find_duplicates(files: Iterable[tuple[str, list[CodeLine]]]) -> list[Duplicate]:
    """Each block that stands earlier as well (in an earlier file, or further up), with the longest such place.

    No line belongs to two of them, so their lines can be added up.
    """
    paths: list[str] = []
    lines: list[CodeLine] = []
    owner: list[int] = []  # of each line its file
    for path, content in files:
        paths.append(path)
        lines += content
        owner += [len(paths) - 1] * len(content)
    windows: dict[tuple[int, ...], list[int]] = {}
    digests = [line.digest for line in lines]
    keys: list[tuple[int, ...] | None] = []
    for start in range(len(lines)):
        whole = start + LINES <= len(lines) and owner[start] == owner[start + LINES - 1]
        window = tuple(digests[start : start + LINES])
        # Tables repeat one line over and over.
        keys.append(window if whole and len(set(window)) > LINES // 2 else None)
    found = []
    place = 0
    entered = 0
    while place < len(lines):
        while entered <= place:
            key = keys[entered]
            if key is not None:
                earlier = windows.setdefault(key, [])
                if len(earlier) < TRIED:
                    earlier.append(entered)
            entered += 1
        best = length = 0
        key = keys[place]
        for other in windows[key] if key is not None else ():
            if other >= place:
                break
            reach = _reach(digests, owner, other, place)
            if reach > length:
                best, length = other, reach
        count = sum(line.tokens for line in lines[place : place + length])
        if length < LINES or count < TOKENS:
            place += 1
            continue
        found.append(
            Duplicate(
                path=paths[owner[place]],
                line=lines[place].line,
                end_line=lines[place + length - 1].end_line,
                of_path=paths[owner[best]],
                of_line=lines[best].line,
                of_end_line=lines[best + length - 1].end_line,
                code_lines=length,
                tokens=count,
            )
        )
        place += length
    return found


def _reach(digests: list[int], owner: list[int], first: int, second: int) -> int:
    """How many lines from two places on are the same, without running into each other or out of their files."""
    length = 0
    limit = second - first
    while (
        length < limit
        and second + length < len(digests)
        and digests[first + length] == digests[second + length]
        and owner[first + length] == owner[first]
        and owner[second + length] == owner[second]
    ):
        length += 1
    return length
