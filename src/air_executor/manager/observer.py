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
from threading import Event, Thread
from typing import Final

from air_executor.store.layout import Base

__all__ = ["ObserverProcess"]

log = logging.getLogger("air_executor.manager")

FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0
LEAVE_S: Final = 2.0


class ObserverProcess:
    """Keeps an observer running, by a thread that mostly sleeps."""

    def __init__(self, base: Base, environment: dict[str, str], wanted: Event) -> None:
        """`environment`: what the observer's settings are to be, beside its own reading of `config.toml`.

        It is started when `wanted` is set.
        """
        self._base = base
        self._environment = environment
        self._wanted = wanted
        self._since = time.time()
        self._stop = Event()
        self._needless = False
        """Whether it was never wanted."""
        self._stdin = -1
        self._thread = Thread(target=self._attend, name="observer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Let it tell what has happened, and give it a moment; after that it ends by itself."""
        self._needless = not self._wanted.is_set()
        self._stop.set()
        self._wanted.set()
        self._hang_up()
        self._thread.join(LEAVE_S)

    def _attend(self) -> None:
        self._wanted.wait()
        if self._needless:
            return
        wait_s = FIRST_RETRY_S
        while True:  # once at least: there is something to tell
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
