"""`observe`, and the options by which a manager gets an observer."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import click

from air_executor.cli.options import base_option

if TYPE_CHECKING:
    from air_executor.manager import Manager
    from air_executor.settings import Settings
    from air_executor.store.layout import Base

__all__ = ["as_environment", "observe", "observer_of", "observing_options"]

F = TypeVar("F", bound=Callable[..., Any])


def observing_options(function: F) -> F:
    """Who is told of what happens."""
    for option in (
        click.option(
            "--webhook", metavar="URL", help="Tell this URL when a job ends, misses its deadline, or stands still."
        ),
        click.option("--otlp", metavar="URL", help="Send all metrics to this OpenTelemetry collector."),
        click.option("--statsd", metavar="HOST:PORT", help="Send the counts of all jobs to this StatsD server."),
        click.option("--metrics-port", metavar="N", type=int, help="Serve /metrics for Prometheus on this port."),
        click.option(
            "--history", metavar="URL",
            help="Keep a history in this database; `sqlite` is a file in the base folder.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


def as_environment(given: dict[str, Any]) -> dict[str, str]:
    """Options of the observer as the variables they may also be given by."""
    from air_executor.settings import OBSERVING

    return {
        f"AIR_EXECUTOR_{name.upper()}": str(value)
        for name, value in given.items()
        if name in OBSERVING and value is not None
    }


@contextlib.contextmanager
def observer_of(base: Base, settings: Settings) -> Iterator[tuple[Settings, Callable[[Manager], None]]]:
    """Gives the settings without what is the observer's alone, and what lets a manager have an observer.

    The observer's variables leave this process's environment, since tasks inherit that.
    """
    from threading import Event

    import msgspec

    from air_executor.manager.observer import ObserverProcess
    from air_executor.settings import OBSERVING, SINKS, shown_settings

    values = {name: value for name in OBSERVING if (value := getattr(settings, name)) is not None}
    for name in OBSERVING:
        os.environ.pop(f"AIR_EXECUTOR_{name.upper()}", None)
    plain = msgspec.structs.replace(settings, **{name: shown_settings(settings)[name] for name in OBSERVING})
    started: list[ObserverProcess] = []

    def observe(manager: Manager) -> None:
        wanted = manager.webhook_named
        if any(getattr(settings, name) is not None for name in SINKS):
            wanted = Event()
            wanted.set()
        started.append(ObserverProcess(base, as_environment(values), wanted))
        started[0].start()

    try:
        yield plain, observe
    finally:
        for process in started:
            process.end()


@click.command()
@observing_options
@click.option("--while-stdin", is_flag=True, hidden=True, help="End when standard input does.")
@click.option("--since", type=float, hidden=True, help="Tell of what has happened since (epoch seconds).")
@base_option
def observe(base: str | None, while_stdin: bool, since: float | None, **given: Any) -> None:
    """Follow all jobs and tell others of them: history, metrics, alerts.

    What `manager --history …` starts beside itself, as a command of its own: for a base on a shared folder whose
    manager runs elsewhere, say. One a base. TERM or INT: it brings everything up to the present, and ends.
    """
    import logging
    import signal

    from air_executor.errors import InvalidInput
    from air_executor.observe.observer import Observer
    from air_executor.settings import SINKS, load_settings
    from air_executor.store.layout import Base

    folder = Base(base).require()
    settings, _ = load_settings(folder.config, given)
    if since is None and all(getattr(settings, name) is None for name in SINKS):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in SINKS)
        raise InvalidInput(f"nobody to tell: give at least one of {options}, or set it in {folder.config}")
    _log_to_stderr(plain=while_stdin)
    observer = Observer(folder, settings, time.time() if since is None else since)
    for number in (signal.SIGTERM, signal.SIGINT):
        # not at once: a signal may come while this very thread holds the lock that `stop` needs
        signal.signal(number, lambda *_: Thread(target=observer.stop, daemon=True).start())
    if while_stdin:
        # a process group shares Ctrl-C; who has a manager ends when that has, and has told everything
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Thread(target=_when_stdin_ends, args=(observer.stop,), daemon=True).start()
    observer.run()
    logging.shutdown()


def _when_stdin_ends(action: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4_096):
            pass
    action()


def _log_to_stderr(*, plain: bool) -> None:
    """`plain`: a manager reads it, and says it in its own log, with the time."""
    import logging

    handler = logging.StreamHandler(sys.stderr)
    form = "%(levelname)s %(message)s" if plain else "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s"
    formatter = logging.Formatter(form, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    log = logging.getLogger("air_executor")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
