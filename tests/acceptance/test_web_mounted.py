"""The application inside another one, under a path of that one's choice."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from air_executor.web import Access, create_app
from tests.support import write_job


async def ask(app: Any, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request, by ASGI alone; `path` as it is sent."""
    from urllib.parse import unquote

    place, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote(place), "raw_path": place.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not sent:
            return {"type": "http.request", "body": b"{}", "more_body": False}
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize("prefix", ["/air", "/plugins/air executor", "/a/b/c"])
def test_under_a_path(base: Path, tmp_path: Path, prefix: str) -> None:
    write_job(base, "job", [{"id": "a/b", "command": "true"}])
    inner = create_app(base, access=Access(trusted="read"), index=tmp_path / "index")
    outer = Starlette(routes=[Mount(prefix, app=inner)])

    async def look() -> None:
        sent = prefix.replace(" ", "%20")
        status, _, body = await ask(outer, "GET", f"{sent}/jobs/job/tasks/a%2Fb", host="airflow.example")
        assert (status, json.loads(body)["id"]) == (200, "a/b")
        status, headers, body = await ask(outer, "GET", f"{sent}/info", host="airflow.example")
        assert json.loads(body)["write"] is False
        assert headers["x-content-type-options"] == "nosniff"
        status, _, _ = await ask(outer, "POST", f"{sent}/jobs/job/cancel", host="a", x_air_executor="1")
        assert status == 403
        for path in ("/", "/docs", "/healthz", "/openapi.json"):
            status, _, _ = await ask(outer, "GET", f"{sent}{path}", host="airflow.example")
            assert status == 200, path
        status, _, _ = await ask(outer, "GET", f"{sent}/jobs/none", host="airflow.example")
        assert status == 404

    try:
        asyncio.run(look())
    finally:
        inner.site.close()


def test_whoever_mounts_it_may_let_callers_write(base: Path, tmp_path: Path) -> None:
    folder = write_job(base, "job", [{"id": "t", "command": "true"}])
    inner = create_app(base, access=Access(trusted="write"), index=tmp_path / "index")
    try:
        status, _, _ = asyncio.run(ask(inner, "POST", "/jobs/job/cancel", host="a", x_air_executor="1"))
        assert status == 202
        status, _, _ = asyncio.run(ask(inner, "POST", "/jobs/job/cancel", host="a"))
        assert status == 403
    finally:
        inner.site.close()
    assert len([path for path in (folder / "inbox").iterdir() if path.suffix == ".jsonl"]) == 1
