"""Answers: JSON, errors, and streams of events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from air_executor.errors import AirExecutorError, BaseUnusable, InvalidInput, NotFound, Refused

__all__ = ["EventStream", "Json", "error_answer", "status_of"]

_encode = msgspec.json.Encoder().encode


class Json(Response):
    """A JSON value, encoded at once."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else _encode(content)


def error_answer(status: int, text: str) -> Json:
    return Json({"error": text}, status_code=status)


def status_of(error: AirExecutorError) -> int:
    """The HTTP status that says what kind of error it is."""
    for kind, status in ((InvalidInput, 422), (NotFound, 404), (Refused, 409), (BaseUnusable, 503)):
        if isinstance(error, kind):
            return status
    return 500


class EventStream(Response):
    """Server-sent events, as they come. It ends with its source, or when the caller has gone.

    What a slow caller has not read yet fills the connection's buffer; then the source is asked for nothing more.
    """

    media_type = "text/event-stream"

    def __init__(self, source: AsyncIterator[bytes], media_type: str | None = None) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"}, media_type=media_type or self.media_type)
        del self.headers["content-length"]
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

        async def pump() -> None:
            async for chunk in self._source:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def hang_up() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        tasks = {asyncio.ensure_future(pump()), asyncio.ensure_future(hang_up())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                # a job that goes away meanwhile ends what is told of it
                with contextlib.suppress(asyncio.CancelledError, OSError, AirExecutorError):
                    await task
            if hasattr(self._source, "aclose"):
                await self._source.aclose()


def event(kind: str, data: bytes, id_: str = "") -> bytes:
    """One server-sent event; `data` is JSON on one line."""
    head = f"id: {id_}\n" if id_ else ""
    return b"%sevent: %s\ndata: %s\n\n" % (head.encode(), kind.encode(), data)


PING = b": ping\n\n"
