"""Which parts of a source file are comments and strings, so that what stands in a string is never taken for either.

No parser: a file with a syntax error is read too. Python is told apart by its own tokenizer where that gets through.
"""

from __future__ import annotations

import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

__all__ = ["LEXERS", "Comment", "Lexed", "lex"]


class Span(NamedTuple):
    start: int
    end: int
    comment: bool


class Comment(NamedTuple):
    """A comment with its marks; `line` is where it begins, from 1."""

    line: int
    text: str


class Lexed:
    """A source text, taken apart."""

    def __init__(self, text: str, spans: Iterable[Span]) -> None:
        self._text = text
        self._spans = list(spans)
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def line_of(self, place: int) -> int:
        return bisect_right(self._starts, place)

    @property
    def comments(self) -> list[Comment]:
        return [
            Comment(self.line_of(span.start), self._text[span.start : span.end])
            for span in self._spans
            if span.comment
        ]

    @property
    def code(self) -> str:
        """The text with spaces for comments and for what is in strings; every character stays in its place."""
        return self._blanked(strings=True)

    @property
    def uncommented(self) -> str:
        """The text with spaces for comments."""
        return self._blanked(strings=False)

    def _blanked(self, *, strings: bool) -> str:
        parts = []
        done = 0
        for start, end, comment in self._spans:
            if not comment and not strings:
                continue
            edge = 0 if comment or end - start < 2 else 1  # quotes stay, so that a string is still seen to be one
            parts += [self._text[done : start + edge], re.sub(r"[^\n]", " ", self._text[start + edge : end - edge])]
            done = end - edge
        return "".join([*parts, self._text[done:]])


def lex(text: str, suffix: str) -> Lexed | None:
    """The text of a file with this suffix, its lines ended by `\\n`; None for a language that is not known."""
    lexer = LEXERS.get(suffix)
    if lexer is None:
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Lexed(text, lexer(text))


# What can be told by one expression: `c` is a comment, everything else that matches is a string.
PYTHON: Final = re.compile(
    r"""(?P<c>\#[^\n]*)|(?:'''(?:[^\\]|\\.)*?'''|\"""(?:[^\\]|\\.)*?\"""|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")""",
    re.DOTALL,
)
GO: Final = re.compile(
    r"""(?P<c>//[^\n]*|/\*.*?\*/)|(?:`[^`]*`|'(?:[^'\\\n]|\\.)+'|"(?:[^"\\\n]|\\.)*")""",
    re.DOTALL,
)
DART: Final = re.compile(
    r"""(?P<c>//[^\n]*|(?P<nested>/\*))|(?:(?<!\w)r(?P<q>'''|\"""|'|")(?:.*?)(?P=q)
    |'''(?:[^\\]|\\.)*?'''|\"""(?:[^\\]|\\.)*?\"""|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")""",
    re.DOTALL | re.VERBOSE,
)
RUST: Final = re.compile(
    r"""(?P<c>//[^\n]*|(?P<nested>/\*))|(?:(?<!\w)(?:br|cr|r)(?P<q>\#*)".*?"(?P=q)
    |"(?:[^"\\]|\\.)*"|'(?:[^'\\\n]|\\u\{[^}\n]*\}|\\x..|\\.)')""",
    re.DOTALL | re.VERBOSE,
)
BLOCK_MARK: Final = re.compile(r"/\*|\*/")


def _plain(expression: re.Pattern[str]) -> Callable[[str], list[Span]]:
    def spans(text: str) -> list[Span]:
        found = []
        place = 0
        while match := expression.search(text, place):
            place = match.end()
            if "nested" in expression.groupindex and match["nested"]:
                place = _end_of_nested(text, match.end())
            found.append(Span(match.start(), place, match["c"] is not None))
        return found

    return spans


def _end_of_nested(text: str, place: int) -> int:
    """Where a block comment ends in which others may stand."""
    depth = 1
    while depth and (mark := BLOCK_MARK.search(text, place)):
        depth += 1 if mark[0] == "/*" else -1
        place = mark.end()
    return len(text) if depth else place


def _python(text: str) -> list[Span]:
    starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(position: tuple[int, int]) -> int:
        return starts[position[0] - 1] + position[1]

    found: list[Span] = []
    formatted: list[int] = []  # where the f-strings begin that are open; Python 3.12 gives their parts
    try:
        for token in tokenize.generate_tokens(io.StringIO(text, newline="\n").readline):
            kind = tokenize.tok_name[token.type]
            if kind.endswith("STRING_START"):
                formatted.append(place(token.start))
            elif kind.endswith("STRING_END"):
                start = formatted.pop()
                if not formatted:
                    found.append(Span(start, place(token.end), False))
            elif kind in ("COMMENT", "STRING") and not formatted:
                found.append(Span(place(token.start), place(token.end), kind == "COMMENT"))
    except (tokenize.TokenError, SyntaxError, ValueError, IndexError):
        return _plain(PYTHON)(text)
    return found


JAVASCRIPT: Final = re.compile(r"""//[^\n]*|/\*.*?\*/|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|[`{}/]""", re.DOTALL)
TEMPLATE: Final = re.compile(r"(?:[^`\\$]|\\.?|\$(?!\{))*(`|\$\{|\Z)", re.DOTALL)
EXPRESSION: Final = re.compile(r"/(?![*/])(?:[^/\\\[\n]|\\[^\n]|\[(?:[^\]\\\n]|\\[^\n])*\])+/\w*")
BEFORE_EXPRESSION: Final = re.compile(
    r"(?<![\w$])(?:return|typeof|case|in|of|delete|void|throw|new|else|do|instanceof|yield|await)\Z"
)


def _javascript(text: str) -> list[Span]:
    found: list[Span] = []
    templates: list[int] = []  # how deep in braces the templates were whose `${` is open
    depth = 0
    place = 0
    while match := JAVASCRIPT.search(text, place):
        start, place = match.span()
        token = match[0]
        if token == "{":
            depth += 1
        elif token == "`" or (token == "}" and templates and templates[-1] == depth):
            if token == "}":
                templates.pop()
            rest = TEMPLATE.match(text, place)
            assert rest is not None  # it matches the empty text
            place = rest.end()
            if rest[1] == "${":
                templates.append(depth)
            found.append(Span(start, place, False))
        elif token == "}":
            depth = max(0, depth - 1)
        elif token == "/":
            expression = EXPRESSION.match(text, start)
            if expression is not None and _begins_expression(text, start, found):
                place = expression.end()
                found.append(Span(start, place, False))
        else:
            found.append(Span(start, place, token.startswith(("//", "/*"))))
    return found


def _begins_expression(text: str, place: int, before: list[Span]) -> bool:
    """Whether a slash there begins a regular expression; else it divides, or ends a tag of JSX."""
    number = len(before)
    while True:
        while place and text[place - 1].isspace():
            place -= 1
        if number and before[number - 1].end == place:
            if not before[number - 1].comment:
                return False
            number -= 1
            place = before[number].start
            continue
        break
    if not place:
        return True
    last = text[place - 1]
    if last.isalnum() or last in "_$":
        return BEFORE_EXPRESSION.search(text[max(0, place - 20) : place]) is not None
    return last not in ")]}<"


MARKUP: Final = re.compile(
    r"<!--.*?-->|<(?P<tag>script|style)\b[^>]*>(?P<inside>.*?)</(?P=tag)\s*>", re.DOTALL | re.IGNORECASE
)
STYLE: Final = re.compile(r"(?P<c>/\*.*?\*/)|(?:'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")", re.DOTALL)


def _markup(text: str) -> list[Span]:
    """Components of Vue and Svelte: HTML with scripts and styles in it. Text between tags counts as a string."""
    found = []
    done = 0
    for match in MARKUP.finditer(text):
        if done < match.start():
            found.append(Span(done, match.start(), False))
        done = match.end()
        if match["tag"] is None:
            found.append(Span(match.start(), done, True))
            continue
        inner = _javascript if match["tag"].lower() == "script" else _plain(STYLE)
        start = match.start("inside")
        found += [Span(start + one.start, start + one.end, one.comment) for one in inner(match["inside"])]
    return [*found, Span(done, len(text), False)] if done < len(text) else found


LEXERS: Final[dict[str, Callable[[str], list[Span]]]] = {
    **dict.fromkeys((".py", ".pyi", ".pyw"), _python),
    **dict.fromkeys((".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts"), _javascript),
    **dict.fromkeys((".vue", ".svelte"), _markup),
    ".go": _plain(GO),
    ".dart": _plain(DART),
    ".rs": _plain(RUST),
    # JSON with comments, as the configurations of TypeScript, pyright and biome are
    ".json": _plain(GO),
    ".jsonc": _plain(GO),
}
"""By suffix."""
