"""What is served where the guards could not be made: nothing, to nobody. It imports nothing that could fail."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

__all__ = ["SAFE_HEADERS", "Refusal", "answer_error"]

SAFE_HEADERS: Final = (
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
TEXT: Final = "Air-Executor cannot check who asks, so it answers nobody; the log of the API server says why"

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Refusal:
    """An ASGI application that answers 503 to whatever is asked."""

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Send,
    ) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1011})
        if scope["type"] == "http":
            await answer_error(send, 503, TEXT)


async def answer_error(send: Send, status: int, text: str) -> None:
    """Answer a request with why it is not done."""
    body = json.dumps({"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *SAFE_HEADERS]})
    await send({"type": "http.response.body", "body": body, "more_body": False})
