"""The dashboard's files, and the interface's documents."""

from __future__ import annotations

import html
import mimetypes
import re
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from air_executor.web.answers import Json, error_answer

__all__ = ["routes"]

routes = APIRouter()

STATIC: Final = Path(__file__).with_name("static")
NOT_BUILT: Final = (
    "Air-Executor's interface for programs works (see docs), but the dashboard is not built here.\n"
    "It is part of released packages; in a clone, build it with: make dashboard\n"
)
_ASSET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")


@routes.get("/healthz")
async def healthz() -> Response:
    """Whether the server answers."""
    return Json({"ok": True})


@routes.get("/", include_in_schema=False)
async def page() -> Response:
    index = STATIC / "index.html"
    if not index.is_file():
        return Response(NOT_BUILT, media_type="text/plain")
    return FileResponse(index, media_type="text/html", headers={"Cache-Control": "no-cache"})


@routes.get("/assets/{file}", include_in_schema=False)
async def asset(file: str) -> Response:
    return _static(STATIC / "assets", file, "public, max-age=31536000, immutable")


@routes.get("/docs", include_in_schema=False)
async def documents(request: Request) -> Response:
    """The interface as a page that needs nothing from elsewhere."""
    return Response(_document(request.app.openapi()), media_type="text/html")


@routes.get("/{file}", include_in_schema=False)
async def file(file: str) -> Response:
    return _static(STATIC, file, "no-cache")


def _static(folder: Path, name: str, cache: str) -> Response:
    path = folder / name
    if not _ASSET.fullmatch(name) or not path.is_file():
        return error_answer(404, "there is no such page")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return FileResponse(path, media_type=kind, headers={"Cache-Control": cache})


def _document(schema: dict[str, Any]) -> str:
    parts = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>")
            parts.append(f"<p>{html.escape(operation.get('description', ''))}</p>")
            rows = "".join(_parameter(parameter) for parameter in operation.get("parameters", ()))
            if rows:
                parts.append(f"<table>{rows}</table>")
            answers = "".join(
                f"<li>{status}: {html.escape(answer['description'])}</li>"
                for status, answer in operation["responses"].items()
            )
            parts.append(f"<ul>{answers}</ul>")
    title = html.escape(f"{schema['info']['title']} {schema['info']['version']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<h1>{title}</h1><p>{html.escape(schema['info']['description'])} "
        f'For programs: <a href="openapi.json">openapi.json</a>.</p>{"".join(parts)}</html>'
    )


def _parameter(parameter: dict[str, Any]) -> str:
    cells = (parameter["name"], parameter["in"], parameter.get("description", ""))
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
