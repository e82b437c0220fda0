"""`watch` without a job: the table of all jobs, live."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from air_executor.cli.listing import TO_RIGHT, job_object, job_rows, print_jobs
from air_executor.cli.output import number, print_json
from air_executor.client import AirExecutorClient
from air_executor.errors import NotFound
from air_executor.model import ENDED_STATES, STATES

if TYPE_CHECKING:
    from rich.console import Group

    from air_executor.cli.keys import Keys

__all__ = ["watch_all"]

REDRAW_S: Final = 0.5
REPRINT_S: Final = 5.0
LOOK_S: Final = 0.05
WIDE: Final = 100
BAR: Final = 16


def watch_all(client: AirExecutorClient, *, as_json: bool) -> int:
    client.base.require()
    if sys.stdout.isatty() and not as_json:
        return _live(client)
    printed: list[dict[str, Any]] | None = None
    next_at = 0.0
    while True:
        states = client.jobs()
        objects = [job_object(state) for state in states]
        at_rest = all(job["state"] in ENDED_STATES for job in objects)
        if objects != printed and (time.monotonic() >= next_at or at_rest):
            if as_json:
                print_json(objects, line=True)
            else:
                print_jobs(states)
            printed = objects
            next_at = time.monotonic() + (1.0 if as_json else REPRINT_S)
        if at_rest:
            return 0
        time.sleep(REDRAW_S)


def _live(client: AirExecutorClient) -> int:
    from rich.console import Console
    from rich.live import Live

    from air_executor.cli.keys import Keys

    console = Console(highlight=False)
    table = JobsTable(client)
    while True:
        with (
            Keys() as keys,
            Live(
                table.draw(console.size.width, console.size.height, keys.there),
                console=console,
                auto_refresh=False,
                screen=keys.there,
                redirect_stdout=False,
                redirect_stderr=False,
            ) as live,
        ):
            job = _choose(table, keys, lambda: live.update(
                table.draw(console.size.width, console.size.height, keys.there), refresh=True
            ))  # fmt: skip
        if job is None:
            return 0
        _watch_one(client, job)


def _choose(table: JobsTable, keys: Keys, redraw: Callable[[], None]) -> str | None:
    """Show the table until a job is chosen, or it is left (None)."""
    drawn_at = 0.0
    while True:
        if keys.there:
            pressed = keys.pressed(REDRAW_S)
        else:
            time.sleep(REDRAW_S)
            pressed = []
        for key in pressed:
            if key in ("q", "esc"):
                return None
            if key in ("enter", "l") and table.chosen is not None:
                return table.chosen
            table.press(key)
        if pressed or time.monotonic() - drawn_at >= REDRAW_S:
            drawn_at = time.monotonic()
            redraw()


def _watch_one(client: AirExecutorClient, job: str) -> None:
    """Look at one job until q is pressed, also when it has ended."""
    from air_executor.cli.following import JobFollower
    from air_executor.cli.keys import Left
    from air_executor.cli.live import LiveDisplay
    from air_executor.cli.wording import note_on

    try:
        follower = JobFollower(client, job)
    except NotFound:
        return  # it was pruned this moment
    display = LiveDisplay(keys=True)
    try:
        while True:
            follower.look()
            display.show(follower, time.time(), note_on(follower, client.manager_pid))
            time.sleep(LOOK_S)
    except Left:
        pass
    finally:
        display.close(follower, time.time())
        follower.close()


class JobsTable:
    """All jobs, what goes on first; one of them may be chosen."""

    def __init__(self, client: AirExecutorClient) -> None:
        self._client = client
        self._names: list[str] = []
        self._place: int | None = None

    @property
    def chosen(self) -> str | None:
        return None if self._place is None or not self._names else self._names[min(self._place, len(self._names) - 1)]

    def press(self, key: str) -> None:
        if key in ("j", "k") and self._names:
            if self._place is None:
                self._place = 0
            else:
                self._place = max(0, min(len(self._names) - 1, self._place + (1 if key == "j" else -1)))

    def draw(self, width: int, height: int, with_keys: bool) -> Group:
        from rich.cells import cell_len
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        from air_executor.cli.live import STATE_COLOURS, share_bar

        chosen = self.chosen
        states = self._client.jobs()
        states.sort(key=lambda s: (s["state"] in ENDED_STATES, s["name"]))
        self._names = [state["name"] for state in states]
        if chosen in self._names:
            self._place = self._names.index(chosen)  # rows move, what was chosen stays so
        room = max(1, height - 5 - with_keys)
        first = max(0, min(len(states) - room, (self._place or 0) - room // 2))
        shown = states[first : first + room]
        headings, rows = job_rows(shown, time.time())
        pid = self._client.manager_pid
        title = f"manager {pid}" if pid else "no manager is running: `air-executor start`"
        counts = Counter(str(state["state"]) for state in states)
        summary = "   ".join(f"{number(counts[state])} {state}" for state in STATES if counts[state])
        lines: list[Text | Table] = [
            Text(f"{self._client.base}   {title}", style="" if pid else "yellow", overflow="ellipsis", no_wrap=True)
        ]
        if not states:
            return Group(*lines, Text("no jobs"))
        table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
        for heading, cells in zip(headings, zip(*rows, strict=True), strict=True):
            # the name gives way, never a number
            least = max(len(heading), *map(cell_len, cells))
            justify: Literal["left", "right"] = "right" if heading in TO_RIGHT.split() else "left"
            table.add_column(
                heading, justify=justify, no_wrap=True, min_width=min(8, least) if heading == "JOB" else least
            )
        with_bars = width >= WIDE
        if with_bars:
            table.add_column("", min_width=BAR)
        for row, state in zip(rows, shown, strict=True):
            bar = [share_bar(job_object(state), BAR)] if with_bars else []
            style = "reverse" if state["name"] == self.chosen else ""
            table.add_row(Text(row[0]), Text(row[1], style=STATE_COLOURS[row[1]]), *row[2:], *bar, style=style)
        lines += [Text(summary, style="bright_black"), table]
        if len(states) > len(shown):
            lines.append(Text(f"and {len(states) - len(shown)} more", style="bright_black"))
        if with_keys:
            lines += [Text(), Text(" j k choose  Enter look at it  q leave ", style="reverse bright_black")]
        return Group(*lines)
