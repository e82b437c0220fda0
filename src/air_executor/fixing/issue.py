"""One finding of one tool, and the fingerprint by which it is known again when lines have moved."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Literal

import msgspec
from msgspec import Struct

__all__ = ["Issue", "Severity", "fingerprint", "with_fingerprints"]

Severity = Literal["error", "warning", "info"]
LONG: Final = 2_000


class Issue(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Where what is wrong, as the tool says it. Lines and columns count from 1; what counts as a column (characters,
    bytes, UTF-16 units) is the tool's choice."""

    tool: str
    rule: str
    """The tool's own code, such as `F401` or `no-unused-vars`; never made from words of the message."""
    severity: Severity
    message: str
    path: str
    """Relative to the repository's root, with `/`, whatever the tool printed."""
    line: int = 0
    """0: the file as a whole."""
    column: int = 0
    """0: the line as a whole."""
    end_line: int | None = None
    end_column: int | None = None
    safe_fix: bool = False
    """Whether the tool itself can mend it without changing what the code does."""
    url: str | None = None
    fingerprint: str = ""

    @property
    def place(self) -> tuple[str, int, int]:
        return self.path, self.line, self.column


def fingerprint(*words: str) -> str:
    """By which something is known again, made from words that do not change while it is the same."""
    return hashlib.sha256("\0".join(words).encode(errors="surrogatepass")).hexdigest()[:20]


def _normalised(source_line: Callable[[str, int], str], issue: Issue) -> str:
    """The text of an issue's line without its spaces; of a very long one (code made for browsers) a digest."""
    text = "".join(source_line(issue.path, issue.line).split()) if issue.line else ""
    return text if len(text) <= LONG else hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def with_fingerprints(issues: Iterable[Issue], source_line: Callable[[str, int], str]) -> list[Issue]:
    """The issues in order of their places, each with its fingerprint.

    It is made from tool, rule, path, the text of the source line without its spaces, and which of several equal
    ones it is; so inserted lines and renamed neighbours do not change it. `source_line(path, line)` gives the text of
    a line. An issue that has one keeps it (a failing test's is its identity).
    """
    seen: Counter[tuple[str, str, str, str]] = Counter()
    found = []
    place, text = ("", 0), ""
    for issue in sorted(issues, key=lambda i: (i.path, i.line, i.column, i.tool, i.rule, i.message)):
        if not issue.fingerprint:
            if place != (issue.path, issue.line):
                place, text = (issue.path, issue.line), _normalised(source_line, issue)
            key = (issue.tool, issue.rule, issue.path, text)
            seen[key] += 1
            issue = msgspec.structs.replace(issue, fingerprint=fingerprint(*key, str(seen[key])))
        found.append(issue)
    return found
