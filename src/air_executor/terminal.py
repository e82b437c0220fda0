"""What the commands of every surface print with: JSON of documented shapes, tables, warnings."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import click

__all__ = [
    "Shape",
    "cut",
    "json_option",
    "print_json",
    "print_table",
    "table_lines",
    "terminal_width",
    "warn",
]

F = TypeVar("F", bound=Callable[..., Any])


class Shape(NamedTuple):
    """What a command prints with `--json`: `form` says how many objects, `keys` what is in each."""

    form: str
    keys: dict[str, str]


def json_option(shape: Shape, without_job: Shape | None = None, *more: Shape) -> Callable[[F], F]:
    """`--json`, and the shape of what it prints, which `docs/cli.md` shows and tests compare.

    `more`: what it prints with other options; their forms say with which.
    """

    def decorate(function: F) -> F:
        function.json_shapes = (shape, without_job, *more)  # type: ignore[attr-defined]
        option = click.option("--json", "as_json", is_flag=True, help=f"Print JSON: {shape.form}.")
        return option(function)

    return decorate


def print_json(value: Any, *, line: bool = False) -> None:
    """One JSON value on stdout: indented, or on a line of its own."""
    text = json.dumps(value, ensure_ascii=False, indent=None if line else 2)
    click.echo(text)


def warn(text: str) -> None:
    """Something the user should know, beside the command's output."""
    click.echo(f"air-executor: {text}", err=True)


def terminal_width() -> int:
    """Columns to fill; as many as there are lines to print when nobody sees them on a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000


def _width(text: str) -> int:
    """The columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """At most `width` columns of `text`, with an ellipsis where something is missing."""
    if _width(text) <= width:
        return text
    kept, used = [], 1
    for c in text:
        used += _width(c)
        if used > width:
            break
        kept.append(c)
    return "".join(kept) + "…" if width > 0 else ""


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], right: str = "") -> None:
    """Columns as wide as they need to be; the last is cut at the edge of the terminal.

    `right` names the headings of columns that are aligned to the right.
    """
    to_right = [heading in right.split() for heading in headings]
    for line in table_lines([headings, *rows], to_right, terminal_width()):
        click.echo(line)


def table_lines(rows: Iterable[Sequence[str]], to_right: Sequence[bool], edge: int) -> Iterator[str]:
    """Rows of cells as lines of at most `edge` columns."""
    lines = [list(row) for row in rows]
    if not lines:
        return
    widths = [max(_width(line[i]) for line in lines) for i in range(len(lines[0]))]
    excess = sum(widths) + 2 * (len(widths) - 1) - edge
    if excess > 0:  # the widest give way first, since they are names or commands
        for i in sorted(range(len(widths)), key=lambda i: -widths[i])[:2]:
            spare = min(excess, max(0, widths[i] - 16))
            widths[i] -= spare
            excess -= spare
    for line in lines:
        cells = []
        for text, width, aligned in zip(line, widths, to_right, strict=True):
            text = cut(text, width)
            space = " " * (width - _width(text))
            cells.append(space + text if aligned else text + space)
        yield "  ".join(cells).rstrip()
