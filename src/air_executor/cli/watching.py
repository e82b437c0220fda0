"""`watch`: a job, or all of them, as they go on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import click

from air_executor.cli.following import JobFollower, ManagerWatch
from air_executor.cli.options import base_option, job_argument, json_option
from air_executor.cli.shapes import JOBS, STATUS
from air_executor.client import AirExecutorClient
from air_executor.errors import NoManager

__all__ = ["Display", "choose_display", "follow", "watch", "watch_job"]

LINES: Final = "objects, one a line, at most one a second, the last when the job has ended"
LISTS: Final = "lists like that of `list --json`, one a line, whenever it has changed"
LOOK_S: Final = 0.05
MANAGER_GRACE_S: Final = 3.0
"""So long a manager may be away, to be started anew, before waiting for it makes no sense."""


class Display(Protocol):
    """Shows how a job goes on; called often, and decides itself how often to print."""

    def show(self, follower: JobFollower, now: float, note: str) -> None: ...

    def close(self, follower: JobFollower, now: float) -> None: ...


def choose_display(*, keys: bool = False) -> Display:
    """A live picture on a terminal, lines anywhere else. `keys`: it may be led and left by keys (`Left`)."""
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from air_executor.cli.live import LiveDisplay

        return LiveDisplay(keys=keys)
    from air_executor.cli.lines import LineDisplay

    return LineDisplay()


def follow(follower: JobFollower, display: Display, attend: Callable[[], str]) -> dict[str, Any]:
    """Show a job until it has ended, and return its state. `attend`, called all along, gives the note."""
    try:
        while True:
            note = attend()
            follower.look()
            display.show(follower, time.time(), note)
            if (state := follower.ended()) is not None:
                follower.look(whole=True)
                return state
            time.sleep(LOOK_S)
    finally:
        display.close(follower, time.time())


def watch_job(
    client: AirExecutorClient,
    job: str,
    job_id: str | None = None,
    *,
    need_manager: bool = False,
    display: Display | None = None,
) -> int:
    """Follow a job to its end and print the result; 1 if it failed. `need_manager`: give up without one.

    0 also when somebody stops looking (q): nothing has failed then.
    """
    from air_executor.cli.keys import Left
    from air_executor.cli.summary import print_summary
    from air_executor.cli.wording import note_on

    follower = JobFollower(client, job, job_id)
    manager = ManagerWatch(client)

    def attend() -> str:
        pid = manager.look()
        if need_manager and (manager.gone_s > MANAGER_GRACE_S or (pid is None and manager.last_pid is None)):
            raise NoManager(f"no manager is running on {client.base}; job {job!r} goes on with `air-executor start`")
        return note_on(follower, pid)

    try:
        state = follow(follower, display or choose_display(keys=not need_manager), attend)
        if display is None:
            print_summary(follower, state, time.time())
    except Left:
        click.echo(f"job {job!r} goes on; `air-executor watch {job}` looks again")
        return 0
    finally:
        follower.close()
    return 0 if state["state"] == "completed" else 1


class _JsonDisplay:
    """The object of `status JOB --json` on a line, at most once a second and at the end."""

    def __init__(self, client: AirExecutorClient) -> None:
        self._client = client
        self._next = 0.0

    def show(self, follower: JobFollower, now: float, note: str) -> None:
        if now >= self._next:
            self._next = now + 1.0
            self.close(follower, now)

    def close(self, follower: JobFollower, now: float) -> None:
        from air_executor.cli.output import print_json
        from air_executor.cli.status import status_object

        print_json(status_object(follower, now, self._client.manager_pid), line=True)


@click.command()
@job_argument(required=False)
@json_option(STATUS._replace(form=LINES), without_job=JOBS._replace(form=LISTS))
@base_option
def watch(base: str | None, job: str | None, as_json: bool) -> int:
    """Watch a job until it has ended, or all jobs, live.

    Exit 0 when the job completed, 1 when it failed. Without JOB: a table of all jobs; on a terminal until
    q, elsewhere until no job has anything to do. On a terminal keys choose a task, follow its log, and put
    failures together that look alike; ? shows them. q and Ctrl-C end the watching, not the job.
    """
    client = AirExecutorClient(base)
    if job is None:
        from air_executor.cli.watching_all import watch_all

        return watch_all(client, as_json=as_json)
    return watch_job(client, job, display=_JsonDisplay(client) if as_json else None)
