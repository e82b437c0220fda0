"""How deep control structures stand in each other: `if` in `for` in `try` makes three.

`else`, `elif`, `except` and their like belong to what they continue. Functions start anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from air_executor.fixing.metrics.scanning import Family, Token

__all__ = ["Chain", "chains", "deepest"]

Lines = tuple[int, ...]


class Chain(NamedTuple):
    """Where a control structure stands."""

    lines: Lines
    """In which the structures around it begin, from the outside; the last is its own."""
    function: int | None = None
    """Line of the function around it, 0 for none; None: not known. Then the lines are those within it."""


PYTHON: Final = frozenset({"if", "elif", "else", "for", "while", "try", "except", "finally", "with", "match"})
HEADED: Final = frozenset({"if", "for", "while", "switch", "catch", "with"})
"""In JavaScript and Dart followed by something in parentheses."""
BARE: Final = frozenset({"else", "do", "try", "finally"})
BRACED: Final = {
    "go": frozenset({"if", "else", "for", "switch", "select"}),
    "rust": frozenset({"if", "else", "for", "while", "loop", "match"}),
}
"""Where no parentheses stand around conditions, but braces always around what follows."""


def chains(tokens: Iterable[Token], family: Family) -> list[Chain] | None:
    """For each control structure where it stands; None where the braces do not fit together."""
    if family == "python":
        return _indented(tokens)
    return _Braces(tokens, family).chains()


def deepest(found: Iterable[Chain], functions: list[tuple[int, int]]) -> list[int]:
    """For each function, given by its first and last line, the depth within it, not counting functions within."""
    depths = [0] * len(functions)
    # The innermost function of a line is the last to begin before it; of those that begin together the shortest.
    inner = sorted(range(len(functions)), key=lambda number: (functions[number][0], -functions[number][1]))
    begins = [functions[number][0] for number in inner]
    by_line = {begin: number for number, (begin, _) in enumerate(functions)}
    for chain, function in found:
        if function is not None:
            if (number := by_line.get(function)) is not None:
                depths[number] = max(depths[number], len(chain))
            continue
        for place in range(bisect_right(begins, chain[-1]) - 1, -1, -1):
            begin, end = functions[inner[place]]
            if chain[-1] <= end:
                depths[inner[place]] = max(depths[inner[place]], sum(line >= begin for line in chain))
                break
    return depths


def _indented(tokens: Iterable[Token]) -> list[Chain]:
    around: list[tuple[int, int, bool]] = []  # indentation, line, whether it is a function or class
    found = []
    for indent, words in _logical_lines(tokens):
        while around and around[-1][0] >= indent:
            around.pop()
        first = words[1] if words[0].text == "async" and len(words) > 1 else words[0]
        if first.text in ("def", "class"):
            around.append((indent, words[0].line if first.text == "def" else 0, True))
        elif first.text in PYTHON and (first.text != "match" or words[-1].text == ":"):
            around.append((indent, first.line, False))
            begins = max((number for number, (*_, new) in enumerate(around) if new), default=-1)
            function = around[begins][1] if begins >= 0 else 0
            found.append(Chain(tuple(line for _, line, _ in around[begins + 1 :]), function))
    return found


def _logical_lines(tokens: Iterable[Token]) -> Iterator[tuple[int, list[Token]]]:
    """Lines with their indentation; what stands in parentheses over several lines is one."""
    words: list[Token] = []
    indent = depth = 0
    for token in tokens:
        if token.kind == "end":
            if depth == 0 and words:
                yield indent, words
            if depth == 0:
                words, indent = [], 0
        elif token.kind == "space":
            if not words:
                indent = len(token.text.expandtabs(8).replace("\f", ""))
        else:
            words.append(token)
            if token.text in ("(", "[", "{"):
                depth += 1
            elif token.text in (")", "]", "}"):
                depth = max(0, depth - 1)
    if words:
        yield indent, words


class _Open(NamedTuple):
    """What was known where a brace opened, to be known again behind it."""

    keyword: str
    around: Lines
    waiting: Lines
    level: int
    brackets: int


class _Braces:
    """Control structures of languages with braces."""

    def __init__(self, tokens: Iterable[Token], family: Family) -> None:
        self._words: list[Token] = []
        self._ends: set[int] = set()  # numbers of words before which a line ends
        for token in tokens:
            if token.kind == "end":
                self._ends.add(len(self._words))
            else:
                self._words.append(token)
        self._family = family
        self._keywords = BRACED.get(family)
        self._around: Lines = ()
        self._waiting: Lines = ()
        """Structures whose body has not ended, and is no braces."""
        self._keyword = ""
        self._body = False
        """Whether something of that body was seen."""
        self._level = self._brackets = 0
        self._open: list[_Open] = []
        self._closed = ""

    def chains(self) -> list[Chain] | None:
        found = []
        for number, token in enumerate(self._words):
            if number in self._ends and self._body and self._brackets <= self._level:
                self._forget()
            text = token.text if token.kind != "string" else ""
            if text == "}" and not self._open:
                return None
            if text in SIGNS:
                SIGNS[text](self, number)
            elif self._opens(number):
                if not (text == "if" and self._before(number) == "else" and self._waiting):  # `else if` is one
                    if not self._waiting:
                        self._level = self._brackets
                    self._waiting += (token.line,)
                    found.append(Chain(self._around + self._waiting))
                self._body, self._keyword = False, text
            elif self._keywords is None and self._waiting and self._brackets == self._level:
                self._body = text != "await"
        return None if self._open else found

    def _forget(self) -> None:
        self._waiting, self._body = (), False

    def _before(self, number: int) -> str:
        return self._words[number - 1].text if number else ""

    def _after(self, number: int) -> str:
        return self._words[number + 1].text if number + 1 < len(self._words) else ""

    def _separate(self, _: int) -> None:
        if self._keywords is None and self._brackets == self._level:
            self._forget()

    def _enter(self, _: int) -> None:
        self._brackets += 1

    def _leave(self, _: int) -> None:
        self._brackets -= 1
        if self._brackets < self._level:
            self._forget()

    def _begin(self, number: int) -> None:
        its_body = bool(self._waiting) and not self._body and self._brackets == self._level
        if its_body and self._family == "go" and self._literal(number):
            its_body = False
        keyword = self._keyword if its_body else ""
        kept: Lines = () if its_body else self._waiting
        self._open.append(_Open(keyword, self._around, kept, self._level, self._brackets))
        if its_body or self._body:
            self._around += self._waiting
        self._forget()
        self._level = self._brackets = 0

    def _end(self, _: int) -> None:
        self._closed, self._around, self._waiting, self._level, self._brackets = self._open.pop()
        self._body = bool(self._waiting) and self._keywords is None and self._brackets == self._level

    def _opens(self, number: int) -> bool:
        """Whether a control structure begins at this word."""
        token = self._words[number]
        if token.kind != "word":
            return False
        before, after = self._before(number), self._after(number)
        if self._keywords is not None:
            if token.text not in self._keywords or before in (".", "#"):
                return False
            return self._family != "rust" or self._opens_in_rust(number)
        if before == "." or after in (":", ",", "=", ".") or (before in ("{", ",") and after == "}"):
            return False
        if token.text == "while" and before == "}" and self._closed == "do":
            return False
        if token.text in HEADED:
            return after == "(" or (token.text, after) in (("for", "await"), ("catch", "{"))
        return token.text in BARE

    def _opens_in_rust(self, number: int) -> bool:
        """`for` of `impl … for` and of `for<'a>` is none, nor `if` behind the pattern of an arm."""
        word = self._words[number].text
        if word not in ("for", "if"):
            return True
        brackets = 0
        for token in self._words[number + 1 :]:
            if token.text in ("(", "["):
                brackets += 1
            elif token.text in (")", "]"):
                brackets -= 1
            elif brackets == 0 and token.text in ("=>", "in") and token.kind != "string":
                return token.text == "in"
            elif brackets <= 0 and token.text in ("{", ";", "}"):
                return word == "if"
        return False

    def _literal(self, number: int) -> bool:
        """Whether a brace of Go begins a value such as `[]int{1, 2}`, which may stand in the head of a loop."""
        place = number - 1
        while place > 0 and (self._words[place].kind == "word" or self._words[place].text in (".", "*")):
            place -= 1
        if place == number - 1 or self._words[place].text != "]":
            return False
        depth = 0
        while place >= 0:
            depth += {"]": 1, "[": -1}.get(self._words[place].text, 0)
            place -= 1
            if depth == 0:
                break
        before = self._words[place]
        return before.text in ("map", "range", "return") or (before.kind == "sign" and before.text not in (")", "]"))


SIGNS: Final[dict[str, Callable[[_Braces, int], None]]] = {
    "{": _Braces._begin, "}": _Braces._end, "(": _Braces._enter, "[": _Braces._enter, ")": _Braces._leave,
    "]": _Braces._leave, ";": _Braces._separate, ",": _Braces._separate,
}  # fmt: skip
