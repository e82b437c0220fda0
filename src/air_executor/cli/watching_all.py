"""`watch` without a job: the table of all jobs, live."""

from __future__ import annotations

import sys
import time
from typing import Any, Final, Literal

from air_executor.cli.listing import TO_RIGHT, job_object, job_rows, print_jobs
from air_executor.cli.output import print_json
from air_executor.client import AirExecutorClient
from air_executor.model import ENDED_STATES

__all__ = ["watch_all"]

REDRAW_S: Final = 0.5
REPRINT_S: Final = 5.0


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
    from rich.cells import cell_len
    from rich.console import Console, Group
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    from air_executor.cli.live import STATE_COLOURS

    def draw() -> Group:
        states = client.jobs()
        states.sort(key=lambda s: (s["state"] in ENDED_STATES, s["name"]))  # what goes on comes first
        room = max(1, console.size.height - 5)
        headings, rows = job_rows(states[:room], time.time())
        table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
        for heading, cells in zip(headings, zip(*rows, strict=True) if rows else headings, strict=True):
            # the name gives way, never a number
            least = max(len(heading), *map(cell_len, cells))
            justify: Literal["left", "right"] = "right" if heading in TO_RIGHT.split() else "left"
            table.add_column(
                heading, justify=justify, no_wrap=True, min_width=min(8, least) if heading == "JOB" else least
            )
        for row in rows:
            table.add_row(Text(row[0]), Text(row[1], style=STATE_COLOURS[row[1]]), *row[2:])
        pid = client.manager_pid
        title = f"manager {pid}" if pid else "no manager is running: `air-executor start`"
        lines: list[Text | Table] = [
            Text(f"{client.base}   {title}", style="" if pid else "yellow", overflow="ellipsis", no_wrap=True),
            table,
        ]
        if len(states) > room:
            lines.append(Text(f"and {len(states) - room} more", style="bright_black"))
        return Group(*lines) if states else Group(lines[0], Text("no jobs"))

    console = Console(highlight=False)
    with Live(draw(), console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        while True:
            time.sleep(REDRAW_S)
            live.update(draw(), refresh=True)
