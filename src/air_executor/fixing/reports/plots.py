"""Plots as inline SVG: lines over time, bars, and points. Colours are those of the page around them, in its style."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final, NamedTuple

__all__ = ["Bar", "Line", "Point", "bars", "lines", "points"]

WIDTH: Final = 560
ROW: Final = 24
LABEL: Final = 190
LABEL_CHARACTERS: Final = 27
CHARACTER: Final = 6.2
"""About the width of one of the labels' digits."""
TOP, RIGHT, BOTTOM, LEFT = 14, 16, 34, 52
HEIGHT: Final = 260


class Bar(NamedTuple):
    """One row: a label, and its parts (class -> number), which are drawn one after the other."""

    label: str
    parts: Sequence[tuple[str, int]]
    title: str = ""
    cut_at_end: bool = True
    """Which side of a label that is too long goes; of a path it is the beginning."""


class Line(NamedTuple):
    """One series: its class, its name, and its values, None where there is none."""

    kind: str
    name: str
    values: Sequence[float | None]


class Point(NamedTuple):
    x: float
    y: float
    title: str
    bad: bool


def _svg(height: float, name: str, body: Iterable[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(name)}">'
    return "\n".join((head, *body, "</svg>"))


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def bars(name: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars, one a row, with its total behind it."""
    most = max((sum(count for _, count in row.parts) for row in rows), default=0) or 1
    room = WIDTH - LABEL - 16 - CHARACTER * len(f"{most:,}") - 8
    body = []
    for number, row in enumerate(rows):
        y = number * ROW
        total = sum(count for _, count in row.parts)
        body.append(f"<g><title>{escape(row.title or f'{row.label}: {total:,}')}</title>")
        body.append(_text(LABEL - 8, y + 16, _shortened(row), "label", "end"))
        x = float(LABEL)
        for kind, count in row.parts:
            if count:
                width = max(1.0, room * count / most)
                body.append(f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="16" class="{kind}"/>')
                x += width
        body.append(_text(x + 6, y + 16, f"{total:,}", "value") + "</g>")
    return _svg(max(1, len(rows)) * ROW, name, body)


def _shortened(row: Bar) -> str:
    label, limit = row.label, LABEL_CHARACTERS
    if len(label) <= limit:
        return label
    return label[: limit - 1] + "…" if row.cut_at_end else "…" + label[1 - limit :]


def lines(name: str, times: Sequence[str], series: Sequence[Line]) -> str:
    """Shares (0 to 1) over runs, which stand at even distances; `times` tells when each was."""
    across = WIDTH - LEFT - RIGHT
    down = HEIGHT - TOP - BOTTOM
    body = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = TOP + down * (1 - share)
        body.append(_rule(LEFT, y, WIDTH - RIGHT, y, "grid"))
        body.append(_text(LEFT - 8, y + 4, f"{share:.0%}", "tick", "end"))
    step = across / max(1, len(times) - 1)
    places = [LEFT + step * number if len(times) > 1 else LEFT + across / 2 for number in range(len(times))]
    if times:
        body.append(_text(places[0], HEIGHT - 12, times[0], "tick", "start" if len(times) > 1 else "middle"))
    if len(times) > 1:
        body.append(_text(places[-1], HEIGHT - 12, times[-1], "tick", "end"))
    for line in series:
        dots = []
        for run in _unbroken(places, line.values):
            path = " ".join(f"{x:.1f},{TOP + down * (1 - value):.1f}" for x, value in run)
            body.append(f'<polyline points="{path}" class="{line.kind}"/>')
        for x, value, time in zip(places, line.values, times, strict=True):
            if value is not None:
                title = f"<title>{escape(f'{line.name}, {time}: {value:.1%}')}</title>"
                y = TOP + down * (1 - value)
                dots.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="{line.kind}">{title}</circle>')
        body += dots
    return _svg(HEIGHT, name, body)


def _unbroken(places: Sequence[float], values: Sequence[float | None]) -> Iterable[list[tuple[float, float]]]:
    """The stretches in which there is a value at every place."""
    run: list[tuple[float, float]] = []
    for x, value in zip(places, values, strict=True):
        if value is not None:
            run.append((x, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def points(name: str, given: Sequence[Point], x_name: str, y_name: str, x_border: float, y_border: float) -> str:
    """Points with logarithmic axes from 1 on, and a line at each border."""
    across = WIDTH - LEFT - RIGHT
    down = HEIGHT - TOP - BOTTOM
    x_most = _power(max([x_border, *(point.x for point in given)]))
    y_most = _power(max([y_border, *(point.y for point in given)]))

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + across * math.log(max(1.0, x)) / math.log(x_most),
            TOP + down * (1 - math.log(max(1.0, y)) / math.log(y_most)),
        )

    body = []
    for tick in _ticks(x_most):
        x, _ = place(tick, 1)
        body.append(_rule(x, TOP, x, TOP + down, "grid"))
        body.append(_text(x, HEIGHT - 18, f"{tick:,}", "tick", "middle"))
    for tick in _ticks(y_most):
        _, y = place(1, tick)
        body.append(_rule(LEFT, y, WIDTH - RIGHT, y, "grid"))
        body.append(_text(LEFT - 8, y + 4, f"{tick:,}", "tick", "end"))
    border_x, border_y = place(x_border, y_border)
    body.append(_rule(border_x, TOP, border_x, TOP + down, "border"))
    body.append(_rule(LEFT, border_y, WIDTH - RIGHT, border_y, "border"))
    body.append(_text(WIDTH - RIGHT, HEIGHT - 4, x_name, "tick", "end"))
    body.append(_text(LEFT + 6, TOP - 3, y_name, "tick"))
    for point in sorted(given, key=lambda one: one.bad):
        x, y = place(point.x, point.y)
        kind = "point bad" if point.bad else "point"
        title = f"<title>{escape(point.title)}</title>"
        body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}">{title}</circle>')
    return _svg(HEIGHT, name, body)


def _power(value: float) -> float:
    """The next of 10, 20, 50, 100 … above a value."""
    size = 10.0
    while True:
        for step in (1, 2, 5):
            if size * step >= value:
                return size * step
        size *= 10


def _ticks(most: float) -> list[int]:
    found = []
    size = 1
    while size <= most:
        found += [size * step for step in (1, 2, 5) if size * step <= most]
        size *= 10
    return found if len(found) <= 8 else [tick for tick in found if str(tick)[0] == "1"]
