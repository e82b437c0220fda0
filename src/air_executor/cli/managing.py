"""`manager`, `start`, `stop`: the process that carries jobs out."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from air_executor.cli.observing import observing_options
from air_executor.cli.options import base_option, capacity_options

__all__ = ["manager", "start", "stop"]

F = TypeVar("F", bound=Callable[..., Any])

READY_S: Final = 30.0
STOP_S: Final = {"leave": 30.0, "drain": None, "kill": 60.0}
SIGNALS: Final = {"leave": signal.SIGTERM, "drain": signal.SIGUSR1, "kill": signal.SIGUSR2}


def manager_options(function: F) -> F:
    for option in (
        click.option("--launchers", type=int, help="Launcher processes [default: one a CPU, at most 8]."),
        click.option(
            "--sync", type=click.Choice(["each", "group", "off"]),
            help="When journals go to the disk [default: group].",
        ),
    ):  # fmt: skip
        function = option(function)
    return capacity_options(observing_options(function))


@click.command()
@manager_options
@click.option(
    "--until-idle", is_flag=True, help="End when no job has anything to do (open and paused jobs may wait)."
)
@click.option(
    "--linger", type=click.FloatRange(min=0), metavar="SECONDS",
    help="With `--until-idle`: stay so long after the last of them, in case there is more [default: 0].",
)  # fmt: skip
@base_option
def manager(base: str | None, until_idle: bool, linger: float | None, **given: Any) -> None:
    """Run a manager in the foreground.

    TERM or INT: leave; running tasks go on and the next manager takes them up. USR1: start nothing new, end
    when nothing runs. USR2: cancel all jobs that have not ended, then end. It logs to stderr and manager.log.
    With --history, --metrics-port, --statsd, --otlp or --webhook it has an observer beside it: a process that
    reads the journals and tells others, and whose troubles are not the manager's.
    """
    from air_executor.cli.manager_log import log_to
    from air_executor.cli.observing import observer_of
    from air_executor.errors import AirExecutorError, InvalidInput
    from air_executor.settings import load_settings
    from air_executor.store.layout import Base

    if linger is not None and not until_idle:
        raise InvalidInput("--linger: goes with --until-idle only")
    folder = Base(base)
    settings, _ = load_settings(folder.config, given)
    folder.create()
    log = log_to(folder, settings)
    from air_executor.manager import Manager

    if settings.prune_after_days is not None:
        from air_executor.cli.prune import prune_from_time_to_time

        prune_from_time_to_time(folder, settings.prune_after_days * 86_400, settings.prune_keep)
    with observer_of(folder, settings) as (plain, observe):
        work = Manager(folder, plain, until_idle=until_idle, linger_s=linger or 0.0)
        observe(work)
        try:
            work.run()
        except (AirExecutorError, OSError):
            raise
        except Exception:
            log.exception("the manager ends because of a bug")
            raise


@click.command()
@manager_options
@base_option
def start(base: str | None, **given: Any) -> None:
    """Start a manager in the background.

    Returns when it takes jobs; they go on when the terminal is closed. `air-executor stop` ends it.
    """
    from air_executor.cli.observing import as_environment
    from air_executor.errors import ManagerRunning
    from air_executor.private_manager import ManagerProcess
    from air_executor.settings import load_settings
    from air_executor.store.layout import Base
    from air_executor.store.lock import manager_pid

    folder = Base(base)
    settings, _ = load_settings(folder.config, given)  # a bad setting is told here, not in a log
    pid = manager_pid(folder)
    if pid is not None:
        raise ManagerRunning(str(folder), pid)
    process = ManagerProcess(folder, given, as_environment(given))
    ready = process.wait_until_ready(READY_S)
    click.echo(f"manager {process.pid} started on {folder} with {settings.slots} slots")
    click.echo(f"log: {folder.manager_log}")
    if not ready:
        click.echo("it is still reading the journals of its jobs")


@click.command()
@click.option(
    "--leave",
    "how",
    flag_value="leave",
    default=True,
    help="Running tasks go on; the next manager takes them up (default).",
)
@click.option("--drain", "how", flag_value="drain", help="Start nothing new, and wait until nothing runs.")
@click.option("--kill", "how", flag_value="kill", help="Cancel all jobs that have not ended.")
@click.option(
    "--timeout", type=click.FloatRange(min=0),
    help="Seconds to wait for its end [default: 30, with --kill 60, with --drain for ever].",
)  # fmt: skip
@base_option
def stop(base: str | None, how: str, timeout: float | None) -> None:
    """Stop the manager of a base folder and wait until it has ended."""
    from air_executor.errors import NoManager, Refused, WaitTimeout
    from air_executor.store.layout import Base
    from air_executor.store.lock import manager_pid

    folder = Base(base)
    pid = manager_pid(folder)
    if pid is None:
        raise NoManager(f"no manager is running on {folder}")
    if pid <= 0:  # the kernel's word for a process that cannot be seen from here; a signal would go to others
        raise Refused(f"the manager of {folder} runs in another container or on another machine; stop it there")
    try:
        os.kill(pid, SIGNALS[how])
    except ProcessLookupError:
        pass  # it has just ended
    except PermissionError:
        raise Refused(f"manager {pid} belongs to another user; only that user can stop it") from None
    limit = STOP_S[how] if timeout is None else timeout
    deadline = None if limit is None else time.monotonic() + limit
    while manager_pid(folder) == pid:
        if deadline is not None and time.monotonic() >= deadline:
            raise WaitTimeout(f"manager {pid} was told to stop but had not ended after {limit:g} s")
        time.sleep(0.02)
    click.echo(f"manager {pid} has stopped")
    if how == "leave":
        _tell_what_goes_on(folder)


def _tell_what_goes_on(base: Any) -> None:
    from air_executor.cli.listing import job_object
    from air_executor.cli.output import plural
    from air_executor.client import AirExecutorClient

    jobs = AirExecutorClient(base.path).jobs()
    running = sum(job["running"] for job in map(job_object, jobs) if job["state"] == "working")
    if running:
        click.echo(f"{plural(running, 'running task')} went on; the next manager takes up what became of them")
