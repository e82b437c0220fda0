"""Handing a request on to an ASGI application within this process: made anew, watched over, ended in time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from air_executor.airflow.ui.asked import Asked

__all__ = ["Handed", "json_of", "request_for", "request_of"]

AGAIN_S: Final = 5.0
"""How often it is asked anew whether whoever follows a stream still may."""
STREAM_S: Final = 20.0
"""No stream lasts longer: the page comes back for more, and shows its login again. Nor does one hold up longer a
server that is to stop."""
HANDED_ON: Final = frozenset(
    {b"accept", b"accept-encoding", b"content-length", b"content-type", b"last-event-id", b"range", b"x-air-executor"}
)


def request_for(path: str, query: str = "", method: str = "GET", headers: Any = ()) -> Scope:
    """A request of our own."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("latin-1"),
        "root_path": "",
        "query_string": query.encode("latin-1"),
        "headers": [(name, value) for name, value in headers if name in HANDED_ON],
        "client": None,
        "server": None,
        "state": {},
    }


def request_of(what: Asked, request: Request) -> Scope:
    """What was decided about, with those headers of the request that a route understands."""
    return request_for(what.path, what.query, what.method, request.scope["headers"])


async def json_of(app: ASGIApp, scope: Scope) -> tuple[int, Any]:
    """Status and value of an answer; 502 for one that is none of ours."""
    status, parts = 0, []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def take(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, take)
    try:
        return status, msgspec.json.decode(b"".join(parts))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 502, {"error": "what answers there is no server of Air-Executor"}


class Handed(Response):
    """An answer that another application gives.

    `still`: asked again and again while it is given; it ends when that says no, and streams end after a while in
    any case. `change`: what becomes of each whole event of a stream; empty, nothing is sent.
    """

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        *,
        still: Callable[[], Awaitable[bool]] | None = None,
        change: Callable[[bytes], Awaitable[bytes]] | None = None,
    ) -> None:
        super().__init__()
        self._app = app
        self._scope = scope
        self._still = still
        self._change = change
        self._begun = False
        self._ended = False
        self._left = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._begun = True
                if self._change is not None:
                    message["headers"] = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
            elif self._change is not None:
                message = {**message, "body": await self._changed(message)}
            self._ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            if message["type"] == "http.response.start" or message["body"] or self._ended:
                await send(message)

        if self._still is None and self._change is None:
            await self._app(self._scope, receive, send_on)
            return
        given = asyncio.ensure_future(self._app(self._scope, receive, send_on))
        until = time.monotonic() + STREAM_S
        try:
            while not given.done() and time.monotonic() < until:
                await asyncio.wait([given], timeout=AGAIN_S)
                if not given.done() and self._still is not None and not await self._still():
                    break
        finally:
            given.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await given
        if self._begun and not self._ended:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _changed(self, message: Message) -> bytes:
        assert self._change is not None
        whole, end, self._left = (self._left + message.get("body", b"")).rpartition(b"\n\n")
        events = [await self._change(event) for event in whole.split(b"\n\n")] if end else []
        return b"".join(event + b"\n\n" for event in events if event)
