"""The application: one ASGI app for a base folder, to be served by itself or mounted into another."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from air_executor import __version__
from air_executor.errors import AirExecutorError
from air_executor.store.layout import Base
from air_executor.web import analysis, changes, ends, jobs, logs, metrics, pages, tasks
from air_executor.web.access import Access, Gate
from air_executor.web.answers import error_answer, status_of
from air_executor.web.schema import describe
from air_executor.web.site import Site

__all__ = ["create_app"]


def create_app(
    base: str | os.PathLike[str] | None = None,
    *,
    access: Access | None = None,
    index: str | os.PathLike[str] | None = None,
) -> Application:
    """The whole interface of one base folder. It keeps nothing that could not be read again from there.

    Without `access` only requests to a loopback name are answered. `index` is the folder for what is kept of
    long journals, by default among the user's caches. `app.site.stop()` ends all streams.
    """
    site = Site(Base(base).require(), None if index is None else Path(index))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        site.begin()
        yield
        site.close()

    app = FastAPI(
        title="Air-Executor",
        version=__version__,
        description="Jobs that grow while they run: see how far they are, hand work in, cancel and retry.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.state.site = site
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    for routes in (
        jobs.routes,
        ends.routes,
        tasks.routes,
        logs.routes,
        analysis.routes,
        metrics.routes,
        changes.routes,
        pages.routes,
    ):
        app.include_router(routes)
    app.add_exception_handler(AirExecutorError, _told)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(OSError, _unreadable)
    return Application(app, access or Access(), site)


class Application(Gate):
    """The gate with what is behind it."""

    def __init__(self, app: FastAPI, access: Access, site: Site) -> None:
        super().__init__(app, access)
        self.api = app
        self.site = site


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, AirExecutorError)
    return error_answer(status_of(error), str(error))


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = error_answer(error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    texts = [f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors()]
    return error_answer(422, "; ".join(texts))


async def _unreadable(_: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    return error_answer(503, f"{error.filename or 'a file'}: {error.strerror}")
