"""The observer as a child of a manager: started when it is wanted, started again when it dies, ended with it.

Nothing the manager does depends on it. It tells the manager nothing, and the manager tells it nothing either: it
reads journals, and ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

from air_executor.manager.loop import Manager
from air_executor.store.files import identity
from air_executor.store.layout import Base

__all__ = ["ObserverProcess", "told_at_the_end"]

log = logging.getLogger("air_executor.manager")

LOOK_S: Final = 1.0
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0
LEAVE_S: Final = 2.0
FIRST_LINE: Final = 65_536


class ObserverProcess:
    """Keeps an observer running, by a thread that mostly sleeps."""

    def __init__(self, base: Base, environment: dict[str, str], wanted: Callable[[], bool]) -> None:
        """`environment`: what the observer's settings are to be, beside its own reading of `config.toml`."""
        self._base = base
        self._environment = environment
        self._wanted = wanted
        self._since = time.time()
        self._stop = Event()
        self._stdin = -1
        self._thread = Thread(target=self._attend, name="observer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Let it tell what has happened, and give it a moment; after that it ends by itself."""
        self._stop.set()
        self._hang_up()
        self._thread.join(LEAVE_S)

    def _attend(self) -> None:
        while not self._wanted():
            if self._stop.wait(LOOK_S):
                if self._wanted():  # it all went quicker than we look
                    self._run()
                return
        wait_s = FIRST_RETRY_S
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._run()
            except OSError as error:
                log.warning("the observer could not be started: %s", error.strerror)
            self._hang_up()
            if self._stop.is_set():
                return
            if time.monotonic() - began > LONGEST_RETRY_S:
                wait_s = FIRST_RETRY_S
            log.warning("the observer has ended; it is started again in %g s", wait_s)
            if self._stop.wait(wait_s):
                return
            wait_s = min(2 * wait_s, LONGEST_RETRY_S)

    def _run(self) -> None:
        """Start it, and return when it has ended."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "air_executor", "observe", "--base", str(self._base),
                 "--while-stdin", "--since", repr(self._since)],
                stdin=read_end,
                stderr=subprocess.PIPE,
                env={**os.environ, **self._environment},
            )  # fmt: skip
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        self._stdin = write_end
        if self._stop.is_set():
            self._hang_up()
        log.info("observer %d started", process.pid)
        assert process.stderr is not None
        with process.stderr as stderr, contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(process.pid)
            try:
                _repeat(stderr.fileno(), pidfd)
            finally:
                os.close(pidfd)
        process.poll()

    def _hang_up(self) -> None:
        fd, self._stdin = self._stdin, -1
        if fd >= 0:
            os.close(fd)


def _repeat(stderr: int, pidfd: int) -> None:
    """Put into the manager's log what the observer says, until it has ended.

    The manager reaps all its children, so only the descriptor tells surely when this one has.
    """
    poll = select.poll()
    poll.register(stderr, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    rest = b""
    while True:
        ready = {fd for fd, _ in poll.poll()}
        data = os.read(stderr, 65_536) if stderr in ready else b""
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _say(line.decode(errors="replace"))
        if not data:
            if pidfd in ready:
                return
            poll.unregister(stderr)


def _say(line: str) -> None:
    word, _, text = line.partition(" ")
    level = logging.getLevelNamesMapping().get(word)
    log.log(logging.WARNING if level is None else level, "observer: %s", line if level is None else text)


def told_at_the_end(manager: Manager) -> Callable[[], bool]:
    """Whether a job of `manager` has named a webhook (`on_end`) since the last call."""
    seen: dict[str, object] = {}
    began_ns = time.time_ns()
    # Read by another thread than the loop's: whole copies of two dicts, which is one step each, and no change.
    folders = manager._folders

    def wanted() -> bool:
        for name, job in list(folders.jobs.items()):
            run = job.run
            if run is not None and run.options.on_end is not None:
                return True
            seen.pop(name, None)
        for name, ended in list(folders._asleep.items()):
            if seen.get(name) is not ended:  # it has ended since, quicker than we look
                seen[name] = ended
                now = identity(manager.base.job(name).journal)
                if now is not None and now.mtime_ns > began_ns and _names_one(manager.base.job(name).journal):
                    return True
        return False

    return wanted


def _names_one(journal: os.PathLike[str]) -> bool:
    try:
        with open(journal, "rb") as file:
            return b'"on_end":"' in file.readline(FIRST_LINE)
    except OSError:
        return False
