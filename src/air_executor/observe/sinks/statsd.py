"""The counts of all jobs as StatsD gauges, one datagram for many; what is lost on the way comes again soon."""

from __future__ import annotations

import re
import socket
import time
from typing import Final, Literal

from air_executor.errors import InvalidInput
from air_executor.observe.metrics import Counts
from air_executor.observe.sinks.health import Health

__all__ = ["Form", "StatsD", "parse_address"]

Form = Literal["tags", "names"]
DATAGRAM: Final = 1_432
"""What passes an Ethernet in one piece."""
REPEAT_S: Final = 10.0
RESOLVE_S: Final = 60.0
_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9_-]")
_UNSAFE_IN_TAG = re.compile(r"[|#,:@\s]")


def parse_address(text: str) -> tuple[str, int]:
    """`host:8125` or `[::1]:8125`."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise InvalidInput(f"statsd: expected HOST:PORT, like 127.0.0.1:8125, got {text!r}")
    return host.strip("[]"), int(port)


class StatsD:
    """Sends what has changed, and everything now and then, since datagrams get lost. Never waits."""

    def __init__(self, address: str, form: Form, health: Health) -> None:
        self._host, self._port = parse_address(address)
        self._form = form
        self._health = health
        self._socket: socket.socket | None = None
        self._resolve_at = 0.0
        self._sent: dict[str, Counts] = {}
        self._repeat_at = 0.0
        self._polls = 0

    def send(self, counts: list[Counts], polls: int) -> None:
        now = time.monotonic()
        whole = now >= self._repeat_at
        if whole:
            self._repeat_at = now + REPEAT_S
        changed = [one for one in counts if whole or self._sent.get(one.job) != one]
        lines = [line for one in changed for line in self._lines(one)]
        if polls > self._polls:
            lines.append(f"air_executor.polls:{polls - self._polls}|c")
        try:
            self._put(lines, now)
        except OSError as error:
            self._health.failed(f"{self._host}:{self._port}: {error.strerror or error}")
            self._resolve_at = min(self._resolve_at, now + 1.0)
            return
        self._polls = polls
        self._sent = {one.job: one for one in counts}
        self._health.took()

    def _lines(self, counts: Counts) -> list[str]:
        values: dict[str, float] = {
            "total_tasks": counts.total,
            "completed_tasks": counts.completed,
            "running_tasks": counts.running,
            "failed_tasks": counts.failed,
        }
        if self._form == "names":
            job = _UNSAFE_IN_NAME.sub("_", counts.job)
            values["progress"] = round(counts.percent, 2)
            return [f"air_executor.{job}.{name}:{_number(value)}|g" for name, value in values.items()]
        tag = _UNSAFE_IN_TAG.sub("_", counts.job)
        values["progress_percent"] = round(counts.percent, 2)
        return [f"air_executor.{name}:{_number(value)}|g|#job:{tag}" for name, value in values.items()]

    def _put(self, lines: list[str], now: float) -> None:
        datagram = b""
        for line in (*map(str.encode, lines), None):
            if datagram and (line is None or len(datagram) + 1 + len(line) > DATAGRAM):
                self._connected(now).send(datagram)
                datagram = b""
            if line is not None:
                datagram = line if not datagram else datagram + b"\n" + line

    def _connected(self, now: float) -> socket.socket:
        """The socket; names are looked up again from time to time, since addresses move."""
        if self._socket is None or now >= self._resolve_at:
            self.close()
            self._resolve_at = now + RESOLVE_S
            kind, _, _, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(kind, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            self._socket.connect(address)
        return self._socket

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
