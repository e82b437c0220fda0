"""Progress as a picture on the terminal, redrawn in place."""

from __future__ import annotations

import math
from typing import Final

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from air_executor.cli.following import JobFollower
from air_executor.cli.output import clean, clock, glyph, number, plural
from air_executor.cli.wording import failure_text, left_text, rate_text
from air_executor.observe.progress import Progress

__all__ = ["LiveDisplay", "picture"]

REDRAW_S: Final = 0.125
COLOURS: Final = {"completed": "green", "running": "cyan", "pending": "bright_black", "failed": "red"}
STATE_COLOURS: Final = {"waiting": "yellow", "working": "cyan", "completed": "green", "failed": "red"}
FAILURES: Final = 5


class LiveDisplay:
    """Redraws at most eight times a second, and leaves nothing behind when it is closed."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        self._drawn_at = 0.0

    def show(self, follower: JobFollower, now: float, note: str) -> None:
        if abs(now - self._drawn_at) < REDRAW_S:
            return
        self._drawn_at = now
        size = self._console.size
        drawn = picture(follower, now, note, size.width, max(4, size.height - 1))
        self._live.update(Group(*drawn), refresh=True)

    def close(self, follower: JobFollower, now: float) -> None:
        """Give the terminal back."""
        self._live.stop()


def picture(follower: JobFollower, now: float, note: str, width: int, height: int) -> list[Text]:
    """The lines to draw, at most `height` of at most `width` columns."""
    progress = follower.progress
    lines = [
        _title(follower, width),
        _bar(progress, width),
        _counts(progress, width),
        _pace(progress, now, width),
    ]
    if note:
        lines.append(Text(note, style="yellow"))
    failures = progress.last_failures(min(FAILURES, max(1, (height - len(lines)) // 3)))
    room = height - len(lines) - (len(failures) + 2 if failures else 0) - 2
    follower.listen([task for task, _ in progress.longest_running(max(0, room))])
    if progress.running and room > 0:
        lines += _running(follower, now, width, room)
    if failures and height - len(lines) >= len(failures) + 2:
        lines += [Text(), Text("Last failures", style="bold")]
        width_of_id = _column([failure.task for failure in failures], width)
        for failure in failures:
            lines.append(
                Text.assemble(
                    (f"  {glyph('failed')} ", "red"),
                    _fit(failure.task, width_of_id),
                    "  ",
                    failure_text(failure),
                )
            )
    for line in lines:
        line.no_wrap = True
        line.overflow = "ellipsis"
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def _title(follower: JobFollower, width: int) -> Text:
    state = follower.progress.state
    name = follower.job
    room = max(8, width - len(state) - 2)
    return Text.assemble((_fit(name, min(room, cell_len(name))), "bold"), "  ", (state, STATE_COLOURS[state]))


def _bar(progress: Progress, width: int) -> Text:
    """Completed, failed and running tasks as parts of all that are known; the whole grows with the job."""
    total = progress.total
    figures = f" {number(progress.counts['completed'])}/{number(total)} {progress.percent:5.1f}%"
    length = max(10, width - len(figures))
    parts = []
    used = 0
    for status in ("completed", "failed", "running"):
        count = progress.counts[status]
        # rounded down, so that only a job that is done looks done; but what there is can be seen
        cells = min(length - used, max(1, math.floor(length * count / total))) if count else 0
        parts.append(("━" * cells, COLOURS[status]))
        used += cells
    return Text.assemble(*parts, ("━" * (length - used), "bright_black"), figures)


def _counts(progress: Progress, width: int) -> Text:
    line = _counts_in_words(progress, "{glyph} {count} {status}")
    if progress.not_run_count:
        line.append(f" ({number(progress.not_run_count)} not run)", style="red")
    return line if line.cell_len <= width else _counts_in_words(progress, "{glyph} {count}")


def _counts_in_words(progress: Progress, form: str) -> Text:
    """Always four counts in the same places; a colour only where there is something to see."""
    parts = []
    for status, colour in COLOURS.items():
        count = progress.counts[status]
        text = form.format(glyph=glyph(status), count=number(count), status=status)
        parts.append(Text(text, style=colour if count else "bright_black"))
    return Text("   ").join(parts)


def _pace(progress: Progress, now: float, width: int) -> Text:
    parts = [f"{clock(progress.elapsed_s(now))} elapsed"]
    estimate = progress.estimate(now)
    if estimate is not None:
        parts.append(left_text(estimate))
    parts.append(rate_text(progress.rate(now)))
    if progress.retries:
        parts.append(plural(progress.retries, "retry").replace("retrys", "retries"))
    while len(parts) > 1 and cell_len("   ".join(parts)) > width:
        parts.pop()
    return Text("   ".join(parts))


def _running(follower: JobFollower, now: float, width: int, room: int) -> list[Text]:
    running = follower.progress.running
    shown = follower.progress.longest_running(room if len(running) <= room else max(1, room - 1))
    lines = [Text(), Text("Running", style="bold")]
    width_of_id = _column([task for task, _ in shown], width)
    for task, attempt in shown:
        line = Text.assemble(
            (f"  {glyph('running')} ", "cyan"),
            _fit(task, width_of_id),
            f"  {clock(now - attempt.started_at):>7}",
        )
        if attempt.attempt > 1:
            line.append(f"  attempt {attempt.attempt}", style="yellow")
        said = follower.said.get(task)
        if said is not None:
            line.append(f"  {100 * said.fraction:3.0f}% {clean(said.text)}", style="bright_black")
        lines.append(line)
    if len(running) > len(shown):
        lines.append(Text(f"    and {number(len(running) - len(shown))} more", style="bright_black"))
    return lines


def _column(names: list[str], width: int) -> int:
    """How wide a column of names is: no wider than half the terminal."""
    return min(max(map(cell_len, names), default=0), max(8, width // 2))


def _fit(name: str, width: int) -> str:
    """`name` in exactly `width` columns. Its end tells it apart from others, so the middle gives way."""
    excess = cell_len(name) - width
    if excess > 0:
        head = max(1, (width - 1) // 3)
        start, end = "", name
        while end and cell_len(end) > width - 1 - head:
            end = end[1:]
        for c in name:
            if cell_len(start + c) > head:
                break
            start += c
        name = f"{start}…{end}"
    return name + " " * (width - cell_len(name))
