"""The dashboard inside Airflow 3: what the guards let through is asked of the base folder or of a server that has it.

The one file of the provider that uses `air_executor.web`: its application is the dashboard, and is mounted here.
It keeps nothing that cannot be read again, so every process of the API server has its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from air_executor.airflow.ui.asked import Asked, Denied, Right, asked, dag_of
from air_executor.airflow.ui.forward import Forward
from air_executor.airflow.ui.handed import Handed, json_of, request_for, request_of
from air_executor.airflow.ui.narrowed import Overview, narrowed_info, narrowed_jobs, narrowed_runs
from air_executor.client_http import HttpClient
from air_executor.errors import AirExecutorError
from air_executor.web import Access, create_app, pages
from air_executor.web.access import sent_path
from air_executor.web.answers import Json, error_answer

if TYPE_CHECKING:
    from air_executor.airflow.ui.guards import Rights
    from air_executor.web.app import Application

__all__ = ["Dashboard"]

LOOK_AGAIN_S: Final = 30.0
"""How often it is asked anew where the jobs are: a connection may have been changed."""
INFO_S: Final = 1.0
UNKNOWN: Final = "there is no job of this name, or none that you may see"
ICONS: Final = {"/airflow-icon.svg": "#3f3f46", "/airflow-icon-dark.svg": "#d4d4d8"}
ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 18 18" fill="{}">'
    '<path d="M1 1h4.6v4.6H1zM6.7 1h4.6v4.6H6.7zM1 6.7h4.6v4.6H1z"/>'
    '<path opacity=".4" d="M12.4 1H17v4.6h-4.6zM6.7 6.7h4.6v4.6H6.7zM1 12.4h4.6V17H1z"/></svg>'
)


class Dashboard:
    """Answers what the guards have let through, for one process of the API server."""

    def __init__(self, find: Callable[[], Path | HttpClient] | None = None) -> None:
        """`find` says where the jobs are: a folder, or the client of a server."""
        self._find = find or _by_airflow
        self._source: Source | None = None
        self._look_at = 0.0
        self._finding = asyncio.Lock()

    @asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Airflow 3.3 runs this; where it does not, the end of the process has to do."""
        yield
        if self._source is not None:
            await self._source.close()
            self._source = None

    async def answer(self, request: Request, rights: Rights) -> Response:
        query = request.scope["query_string"].decode("latin-1")
        try:
            what = asked(request.method, sent_path(request.scope), query)
            if request.method == "POST" and request.headers.get("x-air-executor") != "1":
                raise Denied(403, "a request that changes something needs the header X-Air-Executor: 1")
            if what.kind == "page":
                return _page()
            if what.kind == "file":
                return await _file(what.path)
            source = await self._current()
            match what.kind:
                case "info":
                    return Json(await narrowed_info(source, rights, what.job))
                case "jobs":
                    return Json(await narrowed_jobs(source, rights, what.query))
                case "overview":
                    return Handed(source.app, request_of(what, request), change=Overview(source, rights).narrowed)
            return await _of_job(source, what, request, rights)
        except Denied as denied:
            return error_answer(denied.status, str(denied))
        except AirExecutorError as error:
            return error_answer(503, str(error))

    async def _current(self) -> Source:
        async with self._finding:
            now = time.monotonic()
            if self._source is None or now >= self._look_at:
                found = await asyncio.to_thread(self._find)
                if self._source is None or self._source.found != found:
                    old, self._source = self._source, await asyncio.to_thread(Source, found)
                    self._source.begin()
                    if old is not None:
                        await old.close()
                self._look_at = now + LOOK_AGAIN_S
            return self._source


def _by_airflow() -> Path | HttpClient:
    """Where Airflow's connection or configuration says that the jobs are."""
    from air_executor.airflow._compat import AirflowException
    from air_executor.airflow.hook import AirExecutorHook

    try:
        hook = AirExecutorHook()
        if hook.base is not None:
            return hook.base
        client = hook.get_conn()
    except AirflowException as error:
        raise Denied(503, str(error)) from None
    if not isinstance(client, HttpClient):
        raise Denied(503, "the connection names neither a folder nor a server")
    return client


class Source:
    """Where the jobs are, as an ASGI application that trusts whoever asks it: only this file does."""

    def __init__(self, found: Path | HttpClient) -> None:
        self.found = found
        self.app: ASGIApp
        self._site: Application | None = None
        self._numbers: tuple[float, dict[str, Any]] = (-INFO_S, {})
        if isinstance(found, HttpClient):
            self.app = Forward(found.url, found.headers)
        else:
            self.app = self._site = create_app(found, access=Access(trusted="write"))

    def begin(self) -> None:
        """In the event loop; an application that is mounted is not told that it has begun."""
        if self._site is not None:
            self._site.site.begin()

    async def close(self) -> None:
        if self._site is not None:
            self._site.site.close()
        elif isinstance(self.app, Forward):
            await self.app.close()

    async def ask(self, path: str, query: str = "") -> tuple[int, Any]:
        """One answer of it, as JSON."""
        return await json_of(self.app, request_for(path, query))

    async def owner(self, job: str) -> str | None:
        """The DAG that handed a job in; `Denied` when there is no such job."""
        status, told = await self.ask(f"/jobs/{quote(job, safe='')}/origin")
        if status == 404:
            raise Denied(404, UNKNOWN)
        if status != 200:
            raise Denied(status, str(told.get("error", "the job cannot be read")))
        return dag_of(told["origin"])

    async def numbers(self) -> dict[str, Any]:
        """All jobs in numbers, apart by their DAGs; a second old at most."""
        at, told = self._numbers
        if time.monotonic() >= at + INFO_S:
            status, told = await self.ask("/info", "by=airflow.dag_id")
            if status != 200:
                raise Denied(status, str(told.get("error", "the jobs cannot be read")))
            if "apart" not in told:
                raise Denied(502, "the server that has the jobs is too old; update air-executor there")
            self._numbers = (time.monotonic(), told)
        return told


async def _of_job(source: Source, what: Asked, request: Request, rights: Rights) -> Response:
    job = what.job or ""
    dag_id = await source.owner(job)
    if not await rights.may(dag_id, "see"):
        raise Denied(404, UNKNOWN)
    for right, text in REFUSED.items():
        if right in what.rights and not await rights.may(dag_id, right):
            raise Denied(403, text)
    if what.path.endswith("/history"):
        return Json(*await narrowed_runs(source, rights, what))

    async def still() -> bool:
        try:
            return what.rights <= {right for right in what.rights if await rights.may(await source.owner(job), right)}
        except Denied:
            return False

    return Handed(source.app, request_of(what, request), still=still if what.streamed else None)


REFUSED: Final[dict[Right, str]] = {
    "logs": "you may not read the logs of this DAG's tasks",
    "change": "you may not change the runs of this DAG",
}


def _page() -> Response:
    """The page, which is told where it is shown."""
    index = pages.STATIC / "index.html"
    if not index.is_file():
        return Response(pages.NOT_BUILT, media_type="text/plain")
    text = index.read_text(encoding="utf-8").replace(
        "<head>", '<head>\n    <meta name="host" content="airflow" />', 1
    )
    return Response(text, media_type="text/html", headers={"Cache-Control": "no-cache"})


async def _file(path: str) -> Response:
    if path in ICONS:
        return Response(
            ICON.format(ICONS[path]), media_type="image/svg+xml", headers={"Cache-Control": "max-age=3600"}
        )
    if path.startswith("/assets/"):
        answer = await pages.asset(path.removeprefix("/assets/"))
        answer.headers["Cache-Control"] = answer.headers.get("Cache-Control", "no-store").replace("public", "private")
        return answer
    return await pages.file(path.removeprefix("/"))
