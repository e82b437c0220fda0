"""`run`: a job file to its end, with a manager of its own where none is running."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Self

import click

from air_executor.cli.following import JobFollower, ManagerWatch
from air_executor.cli.options import base_option, capacity_options, param_option, parse_params
from air_executor.cli.output import warn
from air_executor.cli.summary import print_summary
from air_executor.cli.watching import MANAGER_GRACE_S, choose_display, follow
from air_executor.cli.wording import note_on
from air_executor.client import AirExecutorClient
from air_executor.errors import ManagerRunning, NoManager
from air_executor.private_manager import ManagerProcess, manager_facts
from air_executor.store.files import Identity, identity
from air_executor.store.inbox import drop_files

__all__ = ["Outcome", "run", "run_job"]

STARTS: Final = 3
"""So many managers in a row may find nothing to do before we say that something is wrong."""
LEAVE_S: Final = 0.5


class Interrupted(Exception):
    """A second signal: leave at once."""


class Signals:
    """INT and TERM, counted instead of obeyed."""

    def __init__(self) -> None:
        self.count = 0
        self.last = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _: FrameType | None) -> None:
        self.count += 1
        self.last = number


class Managing:
    """Sees to it that somebody works on the job, and notices when nobody does."""

    def __init__(self, client: AirExecutorClient, follower: JobFollower, options: dict[str, Any]) -> None:
        self._client = client
        self._follower = follower
        self._given = options
        self._others = ManagerWatch(client)
        self._own: ManagerProcess | None = None
        self._starts = 0
        self._left_with: tuple[list[str], Identity | None] | None = None
        if (pid := self._others.look()) is not None:
            self._tell_of_options(pid)

    def _tell_of_options(self, pid: int) -> None:
        given = [f"--{name.replace('_', '-')}" for name, value in self._given.items() if value is not None]
        if given:
            slots = manager_facts(self._client.base, pid).get("slots")
            has = f" with {slots} slots" if slots else ""
            warn(f"manager {pid} is at work here already{has}: {', '.join(given)} can have no effect")

    def attend(self) -> int | None:
        """The pid of the manager at work; starts one where needed. Raises `NoManager` if one has died."""
        if self._own is not None:
            code = self._own.ended()
            if code is None:
                self._others.saw(self._own.pid)
                return self._own.pid
            own, self._own = self._own, None
            if code not in (0, ManagerRunning.exit_code):
                raise own.error(code)
            self._others.look_now()
        pid = self._others.look()
        if pid is not None:
            self._left_with = None
            return pid
        if self._follower.ended() is not None:
            return None
        if not self._follower.begun:
            self._start()
        elif self._may_wait():
            # It went because nothing is to be done; whoever queues, closes or resumes changes the folder.
            now = self._in_folder()
            if self._left_with is None:
                self._left_with = now
            elif now != self._left_with or now[0]:
                self._left_with, self._starts = None, 0
                self._start()
        elif self._others.gone_s > MANAGER_GRACE_S:
            raise NoManager(
                f"manager {self._others.last_pid}, which worked on job {self._follower.job!r}, is gone; "
                f"`air-executor start --base {self._client.base}` lets the job go on"
            )
        return None

    def _start(self) -> None:
        if self._starts >= STARTS:
            raise NoManager(
                f"managers were started but none takes job {self._follower.job!r} up; "
                f"see {self._client.base.manager_log}"
            )
        self._starts += 1
        self._own = ManagerProcess(self._client.base, {**self._given, "until_idle": True})

    def _may_wait(self) -> bool:
        progress = self._follower.progress
        return (progress.open or progress.paused) and not progress.running

    def _in_folder(self) -> tuple[list[str], Identity | None]:
        folder = self._client.base.job(self._follower.job)
        return drop_files(folder.inbox), identity(folder.tasks)

    def leave(self) -> None:
        """Give our own manager a moment to end, so that nothing is left behind."""
        if self._own is not None:
            self._own.wait(LEAVE_S)


class Outcome:
    """How it went: the final state (None if we left before), and the signal that was sent (or 0)."""

    def __init__(self, follower: JobFollower) -> None:
        self.follower = follower
        self.state: dict[str, Any] | None = None
        self.signal = 0

    @property
    def exit_code(self) -> int:
        if self.signal:
            return 128 + self.signal
        return 0 if self.state is not None and self.state["state"] == "completed" else 1


def run_job(client: AirExecutorClient, submit: Callable[[], tuple[str, str]], options: dict[str, Any]) -> Outcome:
    """Submit a job and see it through to its end, with progress and the result on stdout."""
    from air_executor.settings import load_settings

    load_settings(client.base.config, options)  # a bad setting is told before anything is done
    with Signals() as signals:
        job, job_id = submit()
        follower = JobFollower(client, job, job_id)
        outcome = Outcome(follower)
        managing = Managing(client, follower, options)
        cancelled = False

        def attend() -> str:
            nonlocal cancelled
            if signals.count > 1 and cancelled:
                raise Interrupted
            if signals.count and not cancelled:
                cancelled = True
                client.cancel(job)
            pid = managing.attend()
            if cancelled:
                return "cancelling what runs; once more to leave at once"
            return "starting a manager" if pid is None and not follower.begun else note_on(follower, pid or -1)

        try:
            outcome.state = follow(follower, choose_display(), attend)
        except Interrupted:
            warn(f"left job {job!r} while it is being cancelled; see `air-executor watch {job}`")
        finally:
            outcome.signal = signals.last
            follower.close()
        if outcome.state is not None:
            print_summary(follower, outcome.state, time.time())
        managing.leave()
    return outcome


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@param_option
@click.option("--name", help="Call the job so, whatever the file says.")
@capacity_options
@base_option
def run(base: str | None, file: str, params: tuple[str, ...], name: str | None, **options: Any) -> int:
    """Run a job file (JSON or YAML) to its end, with live progress.

    No manager is needed: where none is running, one is started for as long as there is work. Exit 0 when the
    job completed, 1 when it failed. Ctrl-C (or TERM) cancels the job and waits for its end; a second one
    leaves at once.
    """
    client = AirExecutorClient(base)
    values = parse_params(params)
    return run_job(client, lambda: client.submit_file(file, values, name=name), options).exit_code
