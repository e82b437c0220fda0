"""Source code cut into words, strings and signs, without comments: only as much as finding blocks and copies needs.

lizard's own tokens will not do for that: it takes template strings and JSX apart and puts them together elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

__all__ = ["FAMILIES", "Family", "Token", "tokens"]

Family = Literal["python", "javascript", "go", "rust", "dart"]

FAMILIES: Final[dict[str, Family]] = {
    **dict.fromkeys((".py", ".pyi", ".pyw"), "python"),
    **dict.fromkeys((".js", ".jsx", ".cjs", ".mjs", ".ts", ".tsx", ".cts", ".mts", ".vue", ".svelte"), "javascript"),
    ".go": "go",
    ".rs": "rust",
    ".dart": "dart",
}
"""By suffix."""

SIMPLE: Final = r'"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])*'"
C_COMMENT: Final = r"//[^\n]*|/\*.*?(?:\*/|\Z)"
TRIPLE: Final = r'"""(?:\\.|[^\\])*?(?:"""|\Z)|' + r"'''(?:\\.|[^\\])*?(?:'''|\Z)"
RAW_TRIPLE: Final = r'[rR]"""(?:.*?)(?:"""|\Z)|' + r"[rR]'''(?:.*?)(?:'''|\Z)|" + r"""[rR]"[^"\n]*"|[rR]'[^'\n]*'"""
PREFIX: Final = r"(?:[rRbBuUfFtT]{1,2}(?=[\"']))?"
COMMENTS: Final[dict[Family, str]] = {
    "python": r"\#[^\n]*|\\\n",
    "javascript": C_COMMENT + r"|\A\#![^\n]*",
    "go": C_COMMENT,
    "rust": r"//[^\n]*",  # block comments nest, see below
    "dart": C_COMMENT,
}
STRINGS: Final[dict[Family, str]] = {
    "python": f"{PREFIX}(?:{TRIPLE}|{SIMPLE})",
    "javascript": SIMPLE,
    "go": SIMPLE + r"|`[^`]*(?:`|\Z)",
    "rust": r'b?r(?P<marks>\#*)".*?(?:"(?P=marks)|\Z)|[bc]?"(?:\\.|[^"\\])*(?:"|\Z)|'
    r"b?'(?:\\(?:[^u]|u\{[^}]*\})[^'\n]{0,2}|[^'\\\n])'|'\w+",
    "dart": f"{RAW_TRIPLE}|{TRIPLE}|{SIMPLE}",
}
SIGNS: Final = r"=>|->|:=|[<>=!+\-*/%&|^]=|&&|\|\||[^\w\s]"
PATTERNS: Final = {
    family: re.compile(
        f"(?P<comment>{COMMENTS[family]})|(?P<string>{STRINGS[family]})|(?P<word>\\w+)|(?P<end>\n)|"
        f"(?P<space>[^\\S\n]+)|(?P<sign>{SIGNS})",
        re.DOTALL,
    )
    for family in COMMENTS
}
REGULAR: Final = re.compile(r"/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/\w*")
TEMPLATE: Final = re.compile(r"(?:\\.|[^\\`$]|\$(?!\{))*(?:`|\$\{|\Z)", re.DOTALL)
NESTED: Final = re.compile(r"/\*|\*/")
BEFORE_REGULAR: Final = frozenset({
    "\n", "(", ",", "=", ":", "[", "!", "&", "|", "?", "{", "}", ";", "+", "-", "*", "%", "~", "^", "=>", "&&", "||",
    "return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "instanceof", "await", "yield", "else",
})  # fmt: skip
"""What stands before the slash of a regular expression of JavaScript, not of a division."""


class Token(NamedTuple):
    """A word, a string, a sign, or the end of a line."""

    kind: str
    """`word`, `string`, `sign`, `end`, or `space` (only where a line of Python begins)."""
    text: str
    line: int


def tokens(text: str, family: Family) -> Iterator[Token]:
    r"""Of a text whose lines end with `\n`. An `end` within a comment or string is part of that."""
    match = PATTERNS[family].match
    line, place, last = 1, 0, "\n"
    braces: list[int] = []
    while place < len(text):
        found = match(text, place)
        assert found is not None  # every character is a space, a word's or a sign
        kind, word = found.lastgroup or "sign", found[0]
        if kind == "sign":
            if family == "javascript":
                kind, word = _javascript(text, place, word, last, braces)
            elif family == "rust" and text.startswith("/*", place):
                kind, word = "comment", _nested(text, place)
        elif kind == "marks":
            kind = "string"
        if kind not in ("comment", "space"):
            yield Token(kind, word, line)
            last = word
        elif kind == "space" and family == "python" and last == "\n":
            yield Token(kind, word, line)
        line += word.count("\n")
        place += len(word)


def _javascript(text: str, place: int, sign: str, last: str, braces: list[int]) -> tuple[str, str]:
    """What a sign begins, which may be a regular expression, or a template or what follows `${…}` in one.

    `braces` counts the open ones within each `${`.
    """
    if sign in ("/", "/=") and last in BEFORE_REGULAR:
        found = REGULAR.match(text, place)
        return ("string", found[0]) if found else ("sign", sign)
    if sign == "`":
        return "string", _template(text, place, braces)
    if sign == "{" and braces:
        braces[-1] += 1
    elif sign == "}" and braces:
        braces[-1] -= 1
        if braces[-1] < 0:
            braces.pop()
            return "string", _template(text, place, braces)
    return "sign", sign


def _template(text: str, place: int, braces: list[int]) -> str:
    """A template string from here up to its end or to its next `${`."""
    found = TEMPLATE.match(text, place + 1)
    end = found.end() if found is not None else len(text)
    if text.endswith("${", place, end):
        braces.append(0)
    return text[place:end]


def _nested(text: str, place: int) -> str:
    depth = 0
    for mark in NESTED.finditer(text, place):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return text[place : mark.end()]
    return text[place:]
