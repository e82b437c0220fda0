"""Who may read, who may change something, and what no request may do."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from air_executor.web.answers import error_answer
from air_executor.web.peers import user_of_peer

__all__ = ["MAY_WRITE", "Access", "Gate", "is_loopback"]

Rights = Literal["read", "write"]

MAY_WRITE: Final = "air_executor.may_write"
"""Key of the request's scope: whether the caller may change things."""
GUARDED: Final = frozenset({"info", "jobs", "ends", "events", "metrics"})
"""First segments of paths that tell something about jobs; pages and documents say nothing of them."""
CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_BODY: Final = 64_000_000
MAX_PATH: Final = 8_000
MAX_QUERY: Final = 16_000
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
HEADERS: Final = (
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Access:
    """Tokens and what they allow. Without tokens only the server's own user is answered, by a loopback name.

    `trusted`: what every caller may do, whatever the Host; for an application that checks its callers itself
    before it hands their requests to this one.
    """

    def __init__(
        self,
        write: Iterable[str] = (),
        read: Iterable[str] = (),
        *,
        trusted: Rights | None = None,
    ) -> None:
        self._tokens: list[tuple[bytes, Rights]] = [(_digest(token.encode()), "write") for token in write]
        self._tokens += [(_digest(token.encode()), "read") for token in read]
        self.trusted = trusted

    @property
    def has_tokens(self) -> bool:
        return bool(self._tokens)

    def rights(self, given: bytes) -> Rights | None:
        """What a token allows; takes as long for a wrong one as for a right one."""
        digest = _digest(given)
        found: Rights | None = None
        for token, rights in self._tokens:
            if hmac.compare_digest(token, digest) and found != "write":
                found = rights
        return found


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def is_loopback(host: str) -> bool:
    """Whether a Host header (or an address to listen on) names this machine by a name nobody can rebind."""
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    return name in LOOPBACK_NAMES


class Gate:
    """Lets requests through that may pass, by their path as it was sent, and adds the headers of safety.

    Task ids may hold slashes, which come as `%2F`; so routes are matched before the path is decoded.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def safe_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                present = {name.lower() for name, _ in headers}
                headers.extend(pair for pair in HEADERS if pair[0] not in present)
                if b"cache-control" not in present:
                    headers.append((b"cache-control", b"no-store"))
            await send(message)

        path = sent_path(scope)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        refused = self._refusal(scope, path, headers)
        if refused is not None:
            status, text = refused
            answer = error_answer(status, text)
            if status == 401:
                answer.headers["WWW-Authenticate"] = 'Bearer realm="air-executor"'
            await answer(scope, receive, safe_send)
            return
        scope["path"] = scope.get("root_path", "") + path
        await self.app(scope, _Limited(receive), safe_send)

    def _refusal(self, scope: Scope, path: str, headers: Mapping[bytes, bytes]) -> tuple[int, str] | None:
        """Why a request may not pass, with the status that says so; None when it may. Notes what it may."""
        if len(path) > MAX_PATH or len(scope["query_string"]) > MAX_QUERY:
            return 414, "the address is too long"
        if (size := headers.get(b"content-length", b"0")) and (not size.isdigit() or int(size) > MAX_BODY):
            return 413, f"the request is larger than {MAX_BODY:,} bytes"
        rights: Rights | None = "write"
        if self.access.trusted is not None:
            rights = self.access.trusted
        elif not self.access.has_tokens:
            if not is_loopback(headers.get(b"host", b"").decode("latin-1")):
                return 403, "this server answers to localhost only; ask it by that name, or give it a token"
            if self._is_of_another_user(scope):
                return 403, "this server answers to the user who started it only; others need a token"
        elif path.strip("/").split("/", 1)[0] in GUARDED:
            kind, _, token = headers.get(b"authorization", b"").partition(b" ")
            rights = self.access.rights(token.strip()) if kind.lower() == b"bearer" else None
            if rights is None:
                return 401, "a token is needed: Authorization: Bearer TOKEN"
        scope[MAY_WRITE] = rights == "write"
        if scope["method"] in CHANGING:
            if headers.get(b"x-air-executor") != b"1":
                return 403, "a request that changes something needs the header X-Air-Executor: 1"
            if rights != "write":
                return 403, "this token may only read"
        return None

    @staticmethod
    def _is_of_another_user(scope: Scope) -> bool:
        """Whether somebody else on this machine asks. Where that cannot be told, the name has to do."""
        peer, ours = scope.get("client"), scope.get("server")
        if not peer or not ours:
            return False
        user = user_of_peer(tuple(peer), tuple(ours))
        return user not in (None, 0, os.geteuid())


def sent_path(scope: Scope) -> str:
    """The path below where the application is mounted, with its percent signs as they came."""
    raw = scope.get("raw_path")
    root: str = scope.get("root_path", "")
    if raw is None:
        from urllib.parse import quote

        path: str = scope["path"]
        return quote(path[len(root) :] if path.startswith(root) else path, safe="/:@!$&'()*+,;=~-._")
    text: str = raw.partition(b"?")[0].decode("latin-1")
    if root and unquote_to_bytes(text)[: len(root.encode())] == root.encode():
        text = "/".join(["", *text.split("/")[root.count("/") + 1 :]])
    return text or "/"


class _Limited:
    """A request's body, cut off where it grows past the limit (one sent in chunks tells no length)."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._size = 0

    async def __call__(self) -> Any:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > MAX_BODY:
            return {"type": "http.disconnect"}
        return message
