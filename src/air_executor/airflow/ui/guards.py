"""Who may see and change what of the page inside Airflow 3: Airflow's login, and its auth manager's word.

Every request passes `guarded`: first who asks (as Airflow's own routes find out), then `Rights` for each job by the
DAG in the job's own record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.models.dag import DagModel
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from air_executor.airflow.ui.asked import Right
from air_executor.airflow.ui.refusal import SAFE_HEADERS

__all__ = ["CONN_ID", "Rights", "guarded"]

CONN_ID: Final = "air_executor_default"
HOLDS_S: Final = 5.0
"""How long an answer of the auth manager holds within one request; streams ask anew after it."""
METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]

_TERMS: Final[dict[Right, tuple[Any, DagAccessEntity]]] = {
    "see": ("GET", DagAccessEntity.TASK_INSTANCE),
    "logs": ("GET", DagAccessEntity.TASK_LOGS),
    "change": ("PUT", DagAccessEntity.RUN),
}


class Rights:
    """What one user may do. Kept for one request only: the next may come with other roles."""

    def __init__(self, user: Any) -> None:
        self._user = user
        self._known: dict[tuple[str | None, Right], tuple[float, bool]] = {}

    async def may(self, dag_id: str | None, right: Right) -> bool:
        """`dag_id`: None for jobs that no DAG handed in."""
        return dag_id in await self.among([dag_id], right)

    async def among(self, dag_ids: Iterable[str | None], right: Right) -> set[str | None]:
        """Those of the DAGs (None: no DAG) of which the user may do this."""
        now = time.monotonic()
        wanted = set(dag_ids)
        old = {each for each in wanted if self._known.get((each, right), (-HOLDS_S, False))[0] <= now - HOLDS_S}
        if old:
            # The auth manager may ask a database or another server.
            for dag_id, allowed in (await asyncio.to_thread(self._ask, old, right)).items():
                self._known[dag_id, right] = (now, allowed)
        return {dag_id for dag_id in wanted if self._known[dag_id, right][1]}

    def _ask(self, dag_ids: set[str | None], right: Right) -> dict[str | None, bool]:
        return {dag_id: bool(self._allowed(dag_id, right)) for dag_id in dag_ids}

    def _allowed(self, dag_id: str | None, right: Right) -> bool:
        manager = get_auth_manager()
        if dag_id is None:
            # Whoever may change the connection decides where jobs lie, and has its token: these are nobody else's.
            details = ConnectionDetails(conn_id=CONN_ID)
            return manager.is_authorized_connection(method="PUT", details=details, user=self._user)
        method, entity = _TERMS[right]
        return manager.is_authorized_dag(
            method=method, access_entity=entity, details=_details(dag_id), user=self._user
        )


def _details(dag_id: str) -> DagDetails:
    if "team_name" not in DagDetails.__dataclass_fields__ or not conf.getboolean(
        "core", "multi_team", fallback=False
    ):
        return DagDetails(id=dag_id)
    return DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))


class Behind(Protocol):
    """What the guards let requests through to."""

    def lifespan(self, app: FastAPI) -> AbstractAsyncContextManager[None]: ...

    def answer(self, request: Request, rights: Rights) -> Awaitable[Response]: ...


def guarded(behind: Behind) -> FastAPI:
    """An application with a single route, which nobody passes whom Airflow does not know. It documents nothing."""
    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=behind.lifespan
    )  # fmt: skip

    async def every(request: Request, user: GetUserDep) -> Response:
        if user is None:
            raise HTTPException(401, "Not authenticated")
        return await behind.answer(request, Rights(user))

    app.add_api_route("/{path:path}", every, methods=METHODS, response_model=None)
    app.add_exception_handler(HTTPException, _refused)
    app.add_middleware(SafeHeaders)
    return app


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


class SafeHeaders:
    """Adds the headers of safety to all answers, refusals and errors too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def safe_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in SAFE_HEADERS}
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in names]
                if all(name.lower() != b"cache-control" for name, _ in kept):
                    kept.append((b"cache-control", b"no-store"))
                message["headers"] = [*kept, *SAFE_HEADERS]
            await send(message)

        await self._app(scope, receive, safe_send)
