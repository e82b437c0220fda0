"""Progress as a picture on the terminal, redrawn in place."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from air_executor.cli.following import JobFollower
from air_executor.cli.grid import grid, rows_needed, state_of
from air_executor.cli.keys import Keys, Left
from air_executor.cli.log_tail import LogTail
from air_executor.cli.output import clean, clock, glyph, number, plural
from air_executor.cli.reasons import Reasons
from air_executor.cli.wording import failure_text, left_text, rate_text
from air_executor.observe.progress import Progress

__all__ = ["STATE_COLOURS", "LiveDisplay", "View", "picture", "share_bar"]

REDRAW_S: Final = 0.125
COLOURS: Final = {"completed": "green", "running": "cyan", "pending": "bright_black", "failed": "red"}
STATE_COLOURS: Final = {"waiting": "yellow", "working": "cyan", "completed": "green", "failed": "red"}
FAILURES: Final = 5
RATES: Final = 30
BARS: Final = "▁▂▃▄▅▆▇█"
HELP: Final = """\
Keys

  j k   up and down the tasks shown (arrows too)
  l     the log of the chosen task as it is written, or of the first (Enter too)
  f     failures one by one, or those that look alike together
  ?     this
  q     leave; the job goes on (Esc too)
"""


class View:
    """What somebody looks at: chosen by keys, and what was seen so far."""

    def __init__(self, utf8: bool = True) -> None:
        self.utf8 = utf8
        self.reasons = Reasons()
        self.chosen: str | None = None
        self.together: bool | None = None
        """Failures that look alike as one line; None: where there are more than there is room for."""
        self.log: LogTail | None = None
        self.helping = False
        self.tasks: list[str] = []
        """Those shown, of which one may be chosen."""
        self.are_together = False
        self._place = 0
        self.with_keys = False
        self._rates: deque[int] = deque(maxlen=RATES)
        self._counted = (0.0, 0)

    def count(self, progress: Progress, now: float) -> None:
        """Note every second how many tasks have ended since."""
        at, before = self._counted
        ended = progress.counts["completed"] + progress.counts["failed"]
        if not at:
            self._counted = (now, ended)
        elif now - at >= 1.0:
            self._rates.append(max(0, ended - before))
            self._counted = (now, ended)

    def bars(self) -> str:
        """The last seconds as a bar each."""
        most = max(self._rates, default=0)
        if not most or not self.utf8:
            return ""
        return "".join(BARS[(len(BARS) - 1) * rate // most] for rate in self._rates)

    def press(self, key: str, follower: JobFollower) -> bool:
        """Do what a key stands for; False when it leaves."""
        if self.log is not None and key in ("q", "esc", "l", "enter"):
            self.log.close()
            self.log = None
        elif key == "q" or (key == "esc" and not self.helping):
            return False
        elif key in ("?", "esc"):
            self.helping = not self.helping and key == "?"
        elif key in ("j", "k") and self.tasks:
            place = self.place()
            if place is None:
                self._place = 0 if key == "j" else len(self.tasks) - 1
            else:
                self._place = (place + (1 if key == "j" else -1)) % len(self.tasks)
            self.chosen = self.tasks[self._place]
        elif key == "f":
            self.together = not self.are_together
        elif key in ("l", "enter") and self.tasks and self.log is None:
            self.log = LogTail(follower, self.tasks[self.place() or 0])
        return True

    def place(self) -> int | None:
        """Where the chosen task is shown; the next one takes its place when it is shown no more."""
        if self.chosen is None or not self.tasks:
            return None
        if self.chosen in self.tasks:
            self._place = self.tasks.index(self.chosen)
        else:
            self._place = min(self._place, len(self.tasks) - 1)
            self.chosen = self.tasks[self._place]
        return self._place


class LiveDisplay:
    """Redraws at most eight times a second, and leaves nothing behind when it is closed."""

    def __init__(self, console: Console | None = None, *, keys: bool = False) -> None:
        """`keys`: listen to the keyboard, and take the whole screen."""
        self._console = console or Console(highlight=False)
        self._keys = Keys()
        if keys:
            self._keys.__enter__()
        self.view = View(utf8="utf" in (self._console.encoding or "").lower() and not self._console.no_color)
        self.view.with_keys = self._keys.there
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            screen=self._keys.there,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        self._drawn_at = 0.0

    def show(self, follower: JobFollower, now: float, note: str) -> None:
        """Raises `Left` when somebody has pressed q."""
        pressed = self._keys.pressed()
        for key in pressed:
            if not self.view.press(key, follower):
                raise Left
        if not pressed and abs(now - self._drawn_at) < REDRAW_S:
            return
        self._drawn_at = now
        size = self._console.size
        height = size.height if self._keys.there else max(4, size.height - 1)
        drawn = picture(follower, now, note, size.width, height, self.view)
        self._live.update(Group(*drawn), refresh=True)

    def close(self, follower: JobFollower, now: float) -> None:
        """Give the terminal back."""
        self._live.stop()
        self._keys.__exit__()
        if self.view.log is not None:
            self.view.log.close()


def picture(
    follower: JobFollower, now: float, note: str, width: int, height: int, view: View | None = None
) -> list[Text]:
    """The lines to draw, at most `height` of at most `width` columns."""
    view = view or View()
    progress = follower.progress
    view.count(progress, now)
    if view.log is not None:
        lines = view.log.lines(now, height - 1, state_of(progress, view.log.task))
    elif view.helping:
        lines = [Text(line) for line in HELP.splitlines()]
    else:
        lines = _overview(follower, now, note, width, height - view.with_keys, view)
    if view.with_keys:
        lines = [*lines[: height - 1], *[Text()] * (height - 1 - len(lines)), _foot(view)]
    for line in lines:
        line.no_wrap = True
        line.overflow = "ellipsis"
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def _foot(view: View) -> Text:
    keys = "l back  q back" if view.log is not None else "j k choose  l log  f failures  ? keys  q leave"
    return Text(f" {keys} ", style="reverse bright_black")


def _overview(follower: JobFollower, now: float, note: str, width: int, height: int, view: View) -> list[Text]:
    progress = follower.progress
    lines = [
        _title(follower, width),
        _bar(progress, width),
        _counts(progress, width),
        _pace(progress, now, width, view.bars()),
    ]
    if note:
        lines.append(Text(note, style="yellow"))
    lines += _grid(progress, view, width, height)
    failures = _failures(follower, width, max(1, (height - len(lines)) // 3), view)
    room = height - len(lines) - (len(failures[0]) + 2 if failures[0] else 0) - 2
    follower.listen()
    running, tasks = _running(follower, now, width, room) if progress.running and room > 0 else ([], [])
    if not (failures[0] and height - len(lines) - (len(running) + 2 if running else 0) >= len(failures[0]) + 2):
        failures = ([], [], "")
    view.tasks = tasks + failures[1]
    place = view.place()
    if place is not None:
        (running[: len(tasks)] + failures[0])[place].stylize("reverse")
    for heading, part in (("Running", running), (failures[2], failures[0])):
        if part:
            lines += [Text(), Text(heading, style="bold"), *part]
    return lines


def _grid(progress: Progress, view: View, width: int, height: int) -> list[Text]:
    tasks = len(progress.roll)
    rows = rows_needed(tasks, width, max(1, height // 4))
    if tasks < 2 or height < 12:
        return []
    lines, per = grid(progress.roll.codes, width, rows, utf8=view.utf8)
    head = Text("Tasks", style="bold")
    if per > 1:
        head.append(f"  a cell for {number(per)}", style="bright_black")
    return [Text(), head, *lines]


def _failures(follower: JobFollower, width: int, room: int, view: View) -> tuple[list[Text], list[str], str]:
    """The lines, the task each leads to, and the heading."""
    progress = follower.progress
    count = progress.failed_count or progress.not_run_count
    together = view.are_together = view.together if view.together is not None else count > min(FAILURES, room)
    if together:
        alike = view.reasons.alike(follower)[: min(2 * FAILURES, room)]
        lines = [
            Text.assemble(
                (f"  {glyph('failed')} ", "red"),
                (f"{number(len(one.tasks)):>6}× ", "bold"),
                f"{one.text}",
                (f"   {_fit(one.tasks[-1], min(cell_len(one.tasks[-1]), max(8, width // 4)))}", "bright_black"),
            )
            for one in alike
        ]
        return lines, [one.tasks[-1] for one in alike], "Failures that look alike"
    failures = progress.last_failures(min(FAILURES, room))
    width_of_id = _column([failure.task for failure in failures], width)
    lines = [
        Text.assemble((f"  {glyph('failed')} ", "red"), _fit(failure.task, width_of_id), "  ", failure_text(failure))
        for failure in failures
    ]
    return lines, [failure.task for failure in failures], "Last failures"


def _title(follower: JobFollower, width: int) -> Text:
    state = follower.progress.state
    name = follower.job
    room = max(8, width - len(state) - 2)
    return Text.assemble((_fit(name, min(room, cell_len(name))), "bold"), "  ", (state, STATE_COLOURS[state]))


def _bar(progress: Progress, width: int) -> Text:
    """Completed, failed and running tasks as parts of all that are known; the whole grows with the job."""
    total = progress.total
    figures = f" {number(progress.counts['completed'])}/{number(total)} {progress.percent:5.1f}%"
    return Text.assemble(share_bar({"total_tasks": total, **progress.counts}, max(10, width - len(figures))), figures)


def share_bar(counts: dict[str, int], length: int) -> Text:
    """What of all tasks has completed, failed, and runs, in so many cells."""
    total = counts["total_tasks"]
    parts = []
    used = 0
    for status in ("completed", "failed", "running"):
        count = counts[status]
        # rounded down, so that only a job that is done looks done; but what there is can be seen
        cells = min(length - used, max(1, math.floor(length * count / total))) if count else 0
        parts.append(("━" * cells, COLOURS[status]))
        used += cells
    return Text.assemble(*parts, ("━" * (length - used), "bright_black"))


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


def _pace(progress: Progress, now: float, width: int, bars: str = "") -> Text:
    parts = [f"{clock(progress.elapsed_s(now))} elapsed"]
    estimate = progress.estimate(now)
    if estimate is not None:
        parts.append(left_text(estimate))
    parts.append(rate_text(progress.rate(now)))
    if progress.retries:
        parts.append(plural(progress.retries, "retry").replace("retrys", "retries"))
    while len(parts) > 1 and cell_len("   ".join(parts)) > width:
        parts.pop()
    line = Text("   ".join(parts))
    if bars and line.cell_len + 3 + cell_len(bars) <= width:
        line.append(f"   {bars}", style="bright_black")
    return line


def _running(follower: JobFollower, now: float, width: int, room: int) -> tuple[list[Text], list[str]]:
    """The lines, and the tasks they are of."""
    running = follower.progress.running
    shown = follower.progress.longest_running(room if len(running) <= room else max(1, room - 1))
    lines = []
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
    return lines, [task for task, _ in shown]


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
