"""A real server on a free port, and asking it by HTTP with nothing in between."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.acceptance.command_line import environment

READY_S = 30.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """`air-executor serve` on 127.0.0.1 (or elsewhere) with a port of its own choice."""

    def __init__(self, base: Path, *options: str, **env: str) -> None:
        self.streams: list[Stream] = []
        self.cache = base.parent / "cache"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "air_executor", "serve", "--base", str(base), "--port", "0", *options],
            env=environment(XDG_CACHE_HOME=str(self.cache), **env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], READY_S)
        line = self.process.stdout.readline().decode() if readable else ""
        assert line.startswith("serving "), line + (self.process.stdout.read().decode() if line else "")
        self.url = line.split()[-1].rstrip("/")
        self.port = int(self.url.rsplit(":", 1)[1])
        deadline = time.monotonic() + READY_S
        while True:
            try:
                assert self.get("/healthz").json == {"ok": True}
                return
            except OSError:
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.02)

    def connect(self, timeout: float = 30.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own; header names with `_` for `-`."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = self.connect()
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, data, named)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, {} if body is None else body, **{"X_Air_Executor": "1", **headers})

    def memory_mb(self) -> float:
        """Resident memory of the server."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1000

    def stop(self, number: int = signal.SIGTERM) -> float:
        """End it; gives the seconds that took."""
        began = time.monotonic()
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()
            for stream in self.streams:
                stream.close()
        return time.monotonic() - began


class Event(NamedTuple):
    kind: str
    data: Any
    id: str


class Stream:
    """Server-sent events as they come."""

    def __init__(self, server: Server, path: str, *, timeout: float = 20.0, **headers: str) -> None:
        self.connection = server.connect(timeout)
        server.streams.append(self)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request("GET", path, headers=named)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.read()
        assert self.answer.headers["content-type"].startswith("text/event-stream")
        self.last_id = ""

    def __iter__(self) -> Iterator[Event]:
        kind, data, id_ = "message", "", ""
        while raw := self.answer.readline():
            line = raw.decode().rstrip("\n")
            if not line:
                if data:
                    self.last_id = id_ or self.last_id
                    yield Event(kind, json.loads(data), id_)
                kind, data, id_ = "message", "", ""
            elif not line.startswith(":"):
                field, _, value = line.partition(": ")
                if field == "event":
                    kind = value
                elif field == "data":
                    data = value
                elif field == "id":
                    id_ = value

    def until(self, wanted: Any) -> Event:
        """The first event of a kind, or that a function says yes to."""
        for event in self:
            if event.kind == wanted or (callable(wanted) and wanted(event)):
                return event
        raise AssertionError("the stream ended")

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


@contextlib.contextmanager
def served(base: Path, *options: str, **env: str) -> Iterator[Server]:
    server = Server(base, *options, **env)
    try:
        yield server
    finally:
        server.stop()
