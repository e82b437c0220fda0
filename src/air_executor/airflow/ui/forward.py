"""Requests to a server elsewhere (`air-executor serve`) on behalf of users whom the guards have let through.

The server's token stays in this process: nothing of what a browser sends is handed on but what a route needs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import httpx
from starlette.types import Receive, Scope, Send

from air_executor.airflow.ui.refusal import answer_error

__all__ = ["Forward"]

log = logging.getLogger(__name__)

PATIENCE: Final = httpx.Timeout(60.0, connect=5.0)
SENT: Final = frozenset(
    {b"accept", b"accept-encoding", b"content-type", b"last-event-id", b"range", b"x-air-executor"}
)
RETURNED: Final = frozenset(
    {
        b"accept-ranges",
        b"cache-control",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"vary",
        b"x-accel-buffering",
        b"x-position",
        b"x-run",
    }
)


class Forward:
    """An ASGI application that asks the server instead, and passes its answers on as they come."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        """`headers`: what each request to the server carries, its token above all."""
        self.url = url.rstrip("/")
        self._headers = dict(headers)
        self._client = httpx.AsyncClient(timeout=PATIENCE, follow_redirects=False, trust_env=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in SENT
        }
        headers.setdefault("accept-encoding", "identity")
        path: str = scope["raw_path"].decode("latin-1")
        query: str = scope["query_string"].decode("latin-1")
        request = self._client.build_request(
            scope["method"],
            httpx.URL(self.url + path + (f"?{query}" if query else "")),
            headers={**headers, **self._headers},
            content=await _body(receive) if scope["method"] == "POST" else None,
        )
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            log.warning("%s cannot be reached: %s", self.url, error)
            await answer_error(send, 502, "the server that has the jobs cannot be reached from Airflow")
            return
        try:
            if answer.status_code in (401, 403):
                log.warning("%s answered %s to %s", self.url, answer.status_code, path)
                text = "the server that has the jobs refuses Airflow's token; it is the connection's password"
                await answer_error(send, 502, text)
                return
            kept = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() in RETURNED]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await answer.aclose()

    async def close(self) -> None:
        await self._client.aclose()


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return b"".join(parts)
