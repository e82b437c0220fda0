"""Routes that change something: they leave requests in the job's folder, as the command line does."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from air_executor.client import AirExecutorClient
from air_executor.errors import InvalidInput, NotFound, Refused, WaitTimeout
from air_executor.observe.roll import STATUSES
from air_executor.observe.tail import JournalTail
from air_executor.store.inbox import drop_records
from air_executor.store.layout import JobFolder
from air_executor.web.answers import Json
from air_executor.web.jobs import JobName, TheSite
from air_executor.web.site import Site

__all__ = ["routes"]

routes = APIRouter()

TAKEN: Final = frozenset({"self", "job_name", "job_id", "tasks", "cwd"})
"""What `create_job` calls its own parameters; no option of a job is called so."""


async def _body(request: Request) -> dict[str, Any]:
    data = await request.body()
    try:
        body = msgspec.json.decode(data) if data else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, f"the request's body is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidInput("the request's body: expected an object")
    return body


Body = Annotated[dict[str, Any], Depends(_body)]


def _list_of_tasks(body: dict[str, Any]) -> list[dict[str, Any]]:
    tasks = body.get("tasks", [])
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InvalidInput("tasks: expected a list of task objects")
    return tasks


@routes.post("/jobs")
async def create(site: TheSite, body: Body) -> Response:
    """Make a job: `name`, `tasks`, and what else stands in a job file.

    Where there is a job of that name this is its next run. With an `id` of the caller's own the request can be
    repeated: a run of that id begins once.
    """
    name, tasks = body.get("name"), _list_of_tasks(body)
    cwd = body.get("cwd", str(site.base.parent))
    job_id = body.get("id")
    options = {key: value for key, value in body.items() if key not in ("name", "tasks", "cwd", "id")}
    if not isinstance(name, str):
        raise InvalidInput("name: expected a string")
    if not isinstance(cwd, str) or not cwd.startswith("/") or "\0" in cwd:
        raise InvalidInput("cwd: expected an absolute path")
    if taken := TAKEN & options.keys():
        raise InvalidInput(f"{', '.join(sorted(taken))}: not a key of a job")
    client = AirExecutorClient(site.base.path)
    job_id = await asyncio.to_thread(client.create_job, name, tasks, cwd=cwd, job_id=job_id, **options)
    return Json({"id": job_id, "name": name}, status_code=201)


@routes.post("/jobs/{name}/tasks")
async def queue(site: TheSite, name: JobName, body: Body) -> Response:
    """Queue tasks into a job. `reopen` lets one that has ended go on."""
    tasks = [{"cwd": str(site.base.parent), **task} for task in _list_of_tasks(body)]
    reopen = body.get("reopen", False)
    if not isinstance(reopen, bool):
        raise InvalidInput("reopen: expected true or false")
    if not tasks:
        raise InvalidInput("tasks: expected at least one")
    client = AirExecutorClient(site.base.path)
    ids = await asyncio.to_thread(client.queue_tasks, name, tasks, reopen=reopen)
    return Json({"ids": ids}, status_code=202)


@routes.post("/jobs/{name}/cancel")
async def cancel(site: TheSite, name: JobName, body: Body) -> Response:
    """Cancel tasks (`task`, or `tasks`), or the whole job when none is named; with `run`, only of that run."""
    run = _run_named(body)
    tail = await _going_on(site, name)
    ids = _named(tail, body)
    wanted: list[str | None] = [None] if ids is None else [*ids]
    of_run = {} if run is None else {"run": run}
    await _leave(site, tail.folder, [{"request": "cancel", "task": task, **of_run} for task in wanted])
    return Json({}, status_code=202)


@routes.post("/jobs/{name}/retry")
async def retry(site: TheSite, name: JobName, body: Body) -> Response:
    """Give failed tasks another go: those in `tasks`, or all. Skipped ones come back with what they need."""
    tail = await site.tails.look(name)
    ids = _named(tail, body)
    roll = tail.progress.roll
    for task in ids or ():
        if STATUSES[roll.codes[roll.places[task]]] != "failed":
            raise Refused(f"task {task!r} has not failed")
    if not tail.progress.counts["failed"]:
        raise Refused(f"job {name!r} has no failed task")
    await _leave(site, tail.folder, [{"request": "retry", "tasks": ids}])
    return Json({}, status_code=202)


@routes.post("/jobs/{name}/pause")
async def pause(site: TheSite, name: JobName) -> Response:
    """Start no more tasks; running ones go on."""
    return await _ask(site, name, "pause")


@routes.post("/jobs/{name}/resume")
async def resume(site: TheSite, name: JobName) -> Response:
    """Let a paused job go on."""
    return await _ask(site, name, "resume")


@routes.post("/jobs/{name}/close")
async def close(site: TheSite, name: JobName) -> Response:
    """Say that an open job gets no more tasks: it ends when nothing of it is left."""
    return await _ask(site, name, "close")


@routes.post("/jobs/{name}/renew")
async def renew(site: TheSite, name: JobName, body: Body) -> Response:
    """Say that somebody still waits for a job with `lease_s`, or for one `run` of it. One that has ended stays so."""
    await asyncio.to_thread(AirExecutorClient(site.base.path).renew, name, job_id=_run_named(body))
    return Json({}, status_code=202)


def _run_named(body: dict[str, Any]) -> str | None:
    run = body.get("run")
    if run is not None and not isinstance(run, str):
        raise InvalidInput("run: expected the id of a run")
    return run


async def _ask(site: Site, name: str, request: str) -> Response:
    tail = await _going_on(site, name)
    await _leave(site, tail.folder, [{"request": request}])
    return Json({}, status_code=202)


async def _going_on(site: Site, name: str) -> JournalTail:
    """The job, unless it has ended and no next run of it waits."""
    tail = await site.tails.look(name)
    if tail.progress.ended:
        try:
            state = await asyncio.to_thread(AirExecutorClient(site.base.path).wait, name, 0)
        except WaitTimeout:
            return tail
        raise Refused(f"job {name!r} has ended already ({state['state']})")
    return tail


def _named(tail: JournalTail, body: dict[str, Any]) -> list[str] | None:
    """The ids of tasks that a request names; None when it names none."""
    ids = body.get("tasks")
    task = body.get("task")
    if task is not None:
        ids = [task] if ids is None else ids
    if ids is None:
        return None
    if not isinstance(ids, list) or not ids or not all(isinstance(task, str) for task in ids):
        raise InvalidInput("tasks: expected a list of one or more task ids")
    for task in ids:
        if task not in tail.progress.roll.places:
            raise NotFound(f"no task {task!r} in job {tail.name!r}")
    return ids


async def _leave(site: Site, folder: JobFolder, records: list[dict[str, Any]]) -> None:
    """Put requests into the job's inbox; they are on disk when this returns."""

    def leave() -> None:
        folder.create()
        drop_records(folder.inbox, records, None, site.base.file_mode)

    await asyncio.to_thread(leave)
