"""Comments that tell a tool to be silent.

A form counts where its tool looks for it: at the beginning of a comment, or behind another mark within it
(`# why  # noqa`), not somewhere in its prose. What is suppressed is read as its tool reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from air_executor.fixing.suppressions.lexing import Comment, Lexed
from air_executor.fixing.suppressions.suppression import Suppression

__all__ = ["WORDS", "in_comments"]


class Form(NamedTuple):
    """How a suppression is written: the group `form` is its name, `rules` what it is about."""

    expression: re.Pattern[str]
    separator: str
    """Between the rules."""
    prefix: str
    """What makes a name of the group's text that is none alone."""
    only: str
    """Which of the rules count, of a form that can say the contrary too."""
    block: bool
    """Whether it counts in a block comment too."""


def _form(
    expression: str,
    *,
    separator: str = r"[\s,]+",
    flags: int = 0,
    prefix: str = "",
    only: str = "",
    block: bool = True,
) -> Form:
    return Form(re.compile(expression, flags), separator, prefix, only, block)


def _of_python(expression: str, separator: str = r"[\s,]+") -> Form:
    return _form(expression, separator=separator, flags=re.IGNORECASE)


BRACKETS: Final = r"(?:\s*\[(?P<rules>[^\]]*)\])"
NAMES: Final = r"[\w-]+(?:\s*,\s*[\w-]+)*"
PYTHON: Final = (
    _of_python(r"(?P<form>noqa)\b(?:\s*:\s*(?P<rules>[A-Z][A-Z0-9-]*\d(?:[\s,]+[A-Z]+\d+)*))?"),
    _of_python(r"(?P<form>(?:ruff|flake8):\s*noqa)\b(?:\s*:\s*(?P<rules>[A-Z]+\d+(?:[\s,]+[A-Z]+\d+)*))?"),
    _of_python(rf"(?P<form>ruff:\s*(?:ignore|file-ignore|disable)){BRACKETS}"),
    _of_python(rf"(?P<form>(?:type|pyright|ty|pyre|pyrefly):\s*ignore)\b{BRACKETS}?"),
    _of_python(rf"(?P<form>mypy:\s*(?:ignore-errors|disable-error-code))\b(?:\s*=\s*\"?(?P<rules>{NAMES}))?"),
    _of_python(r"(?P<form>pyright:\s*basic)\b"),
    _of_python(
        r"(?P<form>pyright):\s*(?P<rules>report\w+\s*=\s*(?:false|none)(?:\s*,\s*\w+\s*=\s*\w+)*)", separator=","
    ),
    _of_python(rf"(?P<form>pylint:\s*disable(?:-next|-msg)?)\s*=\s*(?P<rules>{NAMES})"),
    _of_python(r"(?P<form>pylint:\s*skip-file)\b"),
    _of_python(r"(?P<form>pragma:\s*no\s?(?:cover|branch|mutate))\b"),
    _of_python(r"(?P<form>nosec)\b(?:[:\s]+(?P<rules>B\d+(?:[\s,]+B\d+)*))?"),
    _of_python(r"(?P<form>(?:fmt|yapf|isort):\s*(?:off|skip_file|skip|disable))\b"),
    _of_python(r"(?P<form>(?:complexipy|pytype|pydoclint|import-linter):\s*(?:ignore|disable))\b"),
)
ESLINT_RULES: Final = r"(?:\s+(?!--)(?P<rules>[\w@/$.-]+(?:\s*,\s*[\w@/$.-]+)*))?"
OFF: Final = r":\s*\[?\s*(?:['\"]?off\b|0\b)"
JAVASCRIPT: Final = (
    _form(
        rf"(?P<form>(?:eslint|oxlint|tslint|jshint|stylelint)[-:]disable(?:-next-line|-line)?)(?![-\w]):?{ESLINT_RULES}"
    ),
    _form(
        rf"(?P<form>eslint)\s+(?P<rules>(?=.*{OFF}).+?)(?:\s--\s.*)?$",
        separator=r",(?![^\[]*\])",
        only=OFF,
    ),
    _form(r"(?P<form>@ts-(?:ignore|expect-error|nocheck))\b"),
    _form(r"(?P<form>biome-ignore(?:-all|-start)?)\s+(?P<rules>[\w/.()-]+(?:\s+[\w]+/[\w/.()-]+)*)(?=\s*(?::|$))"),
    _form(r"(?P<form>deno-lint-ignore(?:-file)?)\b(?:\s+(?P<rules>[\w-]+(?:[\s,]+[\w-]+)*))?"),
    _form(r"(?P<form>(?:istanbul|c8|v8)\s+ignore(?!\s+(?:stop|end))(?:\s+(?:next|if|else|file|start|try|catch))?)\b"),
    _form(r"(?P<form>node:coverage\s+(?:disable|ignore next))\b"),
    _form(r"(?P<form>prettier-ignore(?:-start)?|dprint-ignore(?:-file)?|jshint ignore:\w+)\b"),
    _form(r"(?P<form>svelte-ignore)\s+(?P<rules>[\w-]+(?:[\s,]+[\w-]+)*)"),
    _form(r"(?P<form>\$Flow(?:FixMe|Ignore|ExpectedError|Issue))\b(?:\[(?P<rules>[^\]]*)\])?"),
)
GO: Final = (
    _form(r"(?P<form>nolint)(?:\s*:\s*(?P<rules>[\w-]+(?:\s*,\s*[\w-]+)*))?(?=\s|$)", block=False),
    _form(r"(?P<form>lint:(?:ignore|file-ignore))\s+(?P<rules>\S+)", separator=",", block=False),
    _form(r"(?P<form>revive:disable(?:-next-line|-line)?)\b(?::(?P<rules>[\w,-]+))?", block=False),
    _form(r"#?(?P<form>nosec)\b(?:\s+(?P<rules>G\d+(?:[\s,]+G\d+)*))?"),
    _form(r"(?P<form>(?:coverage|gocyclo|gocognit|exhaustive):ignore)\b"),
    _form(r"(?P<form>go:build\s+ignore|\+build\s+ignore)\b", block=False),
)
DART: Final = (
    _form(r"(?P<form>ignore(?:_for_file)?)\s*:\s*(?P<rules>[\w/=.]+(?:\s*,\s*[\w/=.]+)*)", prefix="// ", block=False),
    _form(r"(?P<form>coverage:ignore-(?:line|start|file))\b"),
    _form(r"(?P<form>dart format off)\b"),
)
ANY: Final = (
    _form(r"#?\s*(?P<form>lizard forgives?)\b(?:\((?P<rules>[\w,\s]+)\))?"),
    _form(r"(?P<form>NOSONAR)\b"),
    _form(r"(?P<form>nosemgrep)\b(?::\s*(?P<rules>[\w.-]+(?:\s*,\s*[\w.-]+)*))?"),
)
FORMS: Final = {
    **dict.fromkeys((".py", ".pyi", ".pyw"), (*PYTHON, *ANY)),
    **dict.fromkeys(
        (".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte"), (*JAVASCRIPT, *ANY)
    ),
    ".go": (*GO, *ANY),
    ".dart": (*DART, *ANY),
    ".rs": ANY,
}
_HASH: Final = re.compile(
    r"#.*(?:noqa|ruff:|(?:ty|type|pyre|pyright|pyrefly|pytype|complexipy|pydoclint|linter|mypy|pylint|fmt|yapf|isort):"
    r"|pragma:|nosec|lizard|nosonar|nosemgrep)",
    re.IGNORECASE,
)
_SLASHES: Final = re.compile(
    r"lint|@ts-|biome-|svelte-|dprint-|prettier-|jshint|istanbul|c8 |v8 |coverage|\$Flow|revive:|nosec|:ignore"
    r"|build\s+ignore|ignore(?:_for_file)?\s*:|format off|lizard|NOSONAR|nosemgrep"
)
WORDS: Final = {suffix: _HASH if forms[0] is PYTHON[0] else _SLASHES for suffix, forms in FORMS.items()}
"""Files without any of these need no second look."""
SEGMENT: Final = {
    "#": re.compile(r"#+"),
    "/": re.compile(r"(?:^|(?<=\s))//+!?|(?:^|(?<=\s))#(?=\s*(?:nosec|lizard))"),
}


def in_comments(path: str, suffix: str, lexed: Lexed) -> Iterator[Suppression]:
    """The suppressions in the comments of one file, in order."""
    forms = FORMS[suffix]
    for comment in lexed.comments:
        if WORDS[suffix].search(comment.text):
            yield from _of_comment(path, forms, comment)


def _of_comment(path: str, forms: tuple[Form, ...], comment: Comment) -> Iterator[Suppression]:
    for line, segment in _segments(comment):
        for form in forms:
            match = form.expression.match(segment)
            if match is None or (not form.block and comment.text.startswith("/*")):
                continue
            rules = re.split(form.separator, match.groupdict().get("rules") or "")
            name = form.prefix + " ".join(match["form"].split())
            if comment.text.startswith("#"):
                name = re.sub(r"\s*:\s*", ": ", name.lower())
            yield Suppression(
                form=name,
                path=path,
                line=line,
                rules=tuple(rule.strip() for rule in rules if rule.strip() and re.search(form.only, rule)),
            )
            break


def _segments(comment: Comment) -> Iterator[tuple[int, str]]:
    """The parts of a comment at whose beginning tools look, with their lines."""
    if comment.text.startswith(("/*", "<!--")):
        text = comment.text.removeprefix("/*").removeprefix("<!--").removesuffix("*/").removesuffix("-->")
        first = text.lstrip("*! \t\n")
        begins = comment.line + text[: len(text) - len(first)].count("\n")
        yield begins, re.sub(r"\n\s*\*?\s*", " ", first).strip()
        last = text.rstrip().rpartition("\n")
        if last[1] and begins != comment.line + last[0].count("\n") + 1:
            line = last[2].lstrip("* \t")
            if line.startswith("@ts-"):  # TypeScript looks at the last line
                yield comment.line + last[0].count("\n") + 1, line
        return
    mark = SEGMENT[comment.text[0]]
    for part in mark.split(comment.text):
        if part.strip():
            yield comment.line, part.strip()
