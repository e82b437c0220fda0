"""A picture of a run: how its tasks were completed while it grew, and which slot worked on what.

`render` needs matplotlib (extra `plot`), which is imported when it is called; the rest needs nothing.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Literal

from air_executor.errors import BaseUnusable
from air_executor.observe.progress import Progress
from air_executor.observe.roll import GRID
from air_executor.observe.timeline import timeline
from air_executor.observe.wording import duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["picture", "render"]

Format = Literal["png", "svg"]
Span = list[Any]
"""`[lane, n, started, ended or None, code, attempt]`, times in epoch seconds, codes as below."""

RUNNING: Final = 1
FAILED: Final = 3
SPANS: Final = 5_000

ACROSS: Final = 1_200
_CODES: Final = (0, 2, RUNNING, 4, 5, FAILED)
_BADNESS: Final = {code: badness for badness, code in enumerate(_CODES)}

_COLOURS: Final = {"completed": "#2f9e6e", "running": "#2b7de0", "failed": "#d6453d", "total": "#8a93a3"}
_SPAN_COLOURS: Final = {1: "#2b7de0", 2: "#2f9e6e", 3: "#d6453d", 4: "#e0a12b", 5: "#8a6fc9"}
_INK: Final = "#1f2733"
_QUIET: Final = "#667085"
_GRID: Final = "#e6e9ee"
_HIGHEST_LANES: Final = 64


def picture(progress: Progress, now: float) -> tuple[dict[str, list[float]], list[Span]]:
    """Series and spans of a run. Of very many spans what would fall on one point of the picture is one span."""
    few = len(progress.roll.tasks) <= SPANS
    spans = timeline(progress, now, SPANS)["spans"] if few else _merged(progress, now)
    return progress.series_columns(now), spans


def _merged(progress: Progress, now: float) -> list[Span]:
    """The whole timeline as `ACROSS` points a lane: each in the worst state that any attempt in it came to."""
    roll = progress.roll
    until = now if progress.ended_at is None else progress.ended_at
    began = roll.started[0]
    point_s = max(until - began, 1e-3) / ACROSS
    lanes = [bytearray(ACROSS) for _ in range(roll.lane_count)]
    for started, ended, code, lane in zip(roll.started, roll.ended, roll.ends, roll.lanes, strict=True):
        first = min(ACROSS - 1, max(0, int((started - began) / point_s)))
        last = ACROSS - 1 if code == RUNNING else min(ACROSS - 1, max(first, int((ended - began) / point_s)))
        badness = _BADNESS[GRID[code]]
        points = lanes[lane]
        for point in range(first, last + 1):
            points[point] = max(points[point], badness)
    spans: list[Span] = []
    for lane, points in enumerate(lanes):
        start = 0
        for point in range(1, ACROSS + 1):
            if point == ACROSS or points[point] != points[start]:
                if points[start]:
                    code = _CODES[points[start]]
                    spans.append([lane, 0, began + start * point_s, began + point * point_s, code, 1])
                start = point
    return spans


def render(
    series: dict[str, list[float]], spans: list[Span], *, title: str, format: Format, subtitle: str = ""
) -> bytes:
    """The picture as a file. Raises `BaseUnusable` when matplotlib is not installed."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise BaseUnusable("charts need matplotlib: pip install 'air-executor[plot]'") from None

    style: Any = {
        "font.family": "sans-serif",
        "font.sans-serif": ["Inter", "Noto Sans", "DejaVu Sans"],
        "font.size": 9.5,
        "text.color": _INK,
        "axes.labelcolor": _QUIET,
        "xtick.color": _QUIET,
        "ytick.color": _QUIET,
        "axes.edgecolor": _GRID,
        "hatch.linewidth": 0.6,
        "svg.hashsalt": "air-executor",  # the same run gives the same file
        "svg.fonttype": "none" if format == "svg" else "path",
        "text.usetex": False,
        "text.parse_math": False,  # a job may be called $x$
    }
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # drawn as a box, which is as good as it gets
        lanes = min(1 + max((int(span[0]) for span in spans), default=0), _HIGHEST_LANES)
        heights = [3.3, 0.85, *([0.5 + 0.14 * lanes] if spans else [])]
        figure = Figure(figsize=(10.0, 1.6 + sum(heights)), dpi=140, layout="constrained", facecolor="white")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.12, hspace=0.02)  # type: ignore[union-attr,call-arg]
        panels = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))
        times = series["t"]
        began = min([*times[:1], *(span[2] for span in spans)], default=0.0)
        ended = max([*times[-1:], *(span[3] or span[2] for span in spans)], default=began)
        length = max(ended - began, 1e-3)
        x = [t - began for t in times]
        _draw_counts(panels[0], x, series)
        _draw_running(panels[1], x, series["running"])
        if spans:
            _draw_spans(panels[2], spans, began, ended, lanes)
        panels[0].set_xlim(0, length * 1.003)
        _scale(panels[-1], length, began)
        for panel in panels[:-1]:
            panel.tick_params(labelbottom=False)
            panel.spines["bottom"].set_visible(False)
        figure.align_ylabels(panels)
        _head(panels[0], _cut(title, 80), subtitle or _subtitle(series, length))
        _fix_layout(figure, panels)
        file = BytesIO()
        metadata = {"Date": None} if format == "svg" else {"Software": None}
        figure.savefig(file, format=format, metadata=metadata)
    return file.getvalue()


def _fix_layout(figure: Figure, panels: list[Axes]) -> None:
    """Lay the panels out to the pixel: the solver's last digits differ from time to time."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for panel in panels:
        panel.set_position([round(edge, 4) for edge in panel.get_position().bounds])  # type: ignore[arg-type]


def _head(axes: Axes, title: str, subtitle: str) -> None:
    """Title, what it came to, and the legend, all from the left edge of the axes."""
    at: Any = {"xy": (0, 1), "xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(title, xytext=(0, 52), fontsize=14, fontweight="bold", **at)
    axes.annotate(subtitle, xytext=(0, 33), fontsize=10, color=_QUIET, **at)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, frameon=False, handlelength=1.6, columnspacing=1.6,
        borderaxespad=0.3, borderpad=0.0, fontsize=9.5,
    )  # fmt: skip


def _subtitle(series: dict[str, list[float]], length: float) -> str:
    if not series["t"]:
        return "no tasks yet"
    total, completed, running, failed = (int(series[n][-1]) for n in ("total", "completed", "running", "failed"))
    parts = [f"{completed:,} of {total:,} tasks completed"]
    parts += [f"{count:,} {word}" for count, word in ((failed, "failed"), (running, "running")) if count]
    return f"{', '.join(parts)}, in {duration(length)}"


def _draw_counts(axes: Axes, x: list[float], series: dict[str, list[float]]) -> None:
    total, completed, failed = series["total"], series["completed"], series["failed"]
    done = [a + b for a, b in zip(completed, failed, strict=True)]
    axes.fill_between(x, total, done, step="post", color=_COLOURS["total"], alpha=0.10, linewidth=0)
    axes.step(x, total, where="post", color=_COLOURS["total"], linewidth=1.4, linestyle=(0, (4, 2)), label="total")
    if any(failed):
        axes.fill_between(x, done, completed, step="post", color=_COLOURS["failed"], alpha=0.35, linewidth=0)
        axes.step(x, done, where="post", color=_COLOURS["failed"], linewidth=1.3, label="failed, on top of completed")
    axes.fill_between(x, completed, step="post", color=_COLOURS["completed"], alpha=0.22, linewidth=0)
    axes.step(x, completed, where="post", color=_COLOURS["completed"], linewidth=2.0, label="completed")
    axes.set_ylim(0, max([*total, 1]) * 1.05)
    axes.set_ylabel("tasks")
    _whole_numbers(axes, 6)
    _clear(axes)


def _draw_running(axes: Axes, x: list[float], running: list[float]) -> None:
    axes.fill_between(x, running, step="post", color=_COLOURS["running"], alpha=0.22, linewidth=0)
    axes.step(x, running, where="post", color=_COLOURS["running"], linewidth=1.2)
    axes.set_ylim(0, max([*running, 1]) * 1.15)
    axes.set_ylabel("running")
    _whole_numbers(axes, 2)
    _clear(axes)


def _whole_numbers(axes: Axes, ticks: int) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(ticks, integer=True, min_n_ticks=2))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _draw_spans(axes: Axes, spans: list[Span], began: float, ended: float, lanes: int) -> None:
    from matplotlib.collections import PolyCollection

    least = max(ended - began, 1e-3) / 1_500  # what is shorter could not be seen
    edge = 0.25 if len(spans) < 1_000 else 0.0
    by_code: dict[int, list[Any]] = {}
    for lane, _, started, end, code, _ in spans:
        if lane < lanes:
            left, right = started - began, max((ended if end is None else end) - began, started - began + least)
            low, high = lane - 0.42, lane + 0.42
            by_code.setdefault(int(code), []).append([(left, low), (left, high), (right, high), (right, low)])
    for code in sorted(by_code):  # failures over the others
        colour = _SPAN_COLOURS.get(code, _QUIET)
        alpha = 0.45 if code == RUNNING else 0.9
        hatch = "////" if code == FAILED and edge else None  # never colour alone
        axes.add_collection(
            PolyCollection(
                by_code[code], facecolors=colour, edgecolors="white", linewidths=edge, alpha=alpha, hatch=hatch
            )
        )
    axes.set_ylim(lanes - 0.4, -0.6)
    axes.set_ylabel("slots")
    axes.set_yticks([] if lanes == 1 else [0, lanes - 1], labels=[] if lanes == 1 else ["1", str(lanes)])
    _clear(axes, grid="x")


def _scale(axes: Axes, length: float, began: float) -> None:
    """Times from the beginning, at places that people like."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    steps = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200,
             14_400, 21_600, 43_200, 86_400, 172_800, 604_800)  # fmt: skip
    step = next((s for s in steps if length / s <= 10), length / 8)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, step)))
    axes.set_xlabel(f"since {datetime.fromtimestamp(began, UTC):%Y-%m-%d %H:%M:%S} UTC", fontsize=9)


def _tick(value: float, step: float) -> str:
    if value == 0:
        return "0"
    if step < 1:
        return f"{value:.2f} s".replace("0 s", " s").replace(". s", " s") if step < 0.1 else f"{value:.1f} s"
    return duration(round(value))


def _clear(axes: Axes, grid: Literal["x", "y", "both"] = "both") -> None:
    axes.set_axisbelow(True)
    axes.grid(visible=True, axis=grid, color=_GRID, linewidth=0.8)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
