"""Routes that tell of tasks: the list, one task, the progress answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response, StreamingResponse

from air_executor.errors import NotFound
from air_executor.observe.objects import task_object, task_row
from air_executor.observe.said import Said
from air_executor.observe.select import Selection
from air_executor.observe.tail import JournalTail
from air_executor.store.results import results_of
from air_executor.web.answers import Json
from air_executor.web.jobs import JobName, TheSite
from air_executor.web.site import Site
from air_executor.web.texts import decoded

__all__ = ["TaskId", "place_of", "routes"]

routes = APIRouter()
_encode = msgspec.json.Encoder().encode

COUNTS: Final = ("total_tasks", "completed", "running", "failed", "pending")
STREAMED: Final = 200
"""Tasks of a list that are encoded in one go; then others have their turn."""


async def _task_id(id: Annotated[str, Path(description="Id of the task, percent-encoded.")]) -> str:
    return decoded(id, "task id")


TaskId = Annotated[str, Depends(_task_id)]


def place_of(tail: JournalTail, task: str) -> int:
    """The place of a task in its list, or `NotFound`."""
    place = tail.progress.roll.places.get(task)
    if place is None:
        raise NotFound(f"no task {task!r} in job {tail.name!r}")
    return place


@routes.get("/jobs/{name}/progress")
async def progress(
    site: TheSite,
    name: JobName,
    tasks: Annotated[int, Query(ge=0, le=1, description="0: without the list of tasks.")] = 1,
) -> Response:
    """How far a job is: counts, and its tasks as `tasks.json` shows them."""
    if not tasks and await site.tails.look_soon(name, 0.0) is None:
        shown = site.detail_from_state(name)
        return Json({"job_name": name, "state": shown["state"], **{key: shown[key] for key in COUNTS}})
    tail = await site.tails.look(name)
    if not tasks:
        return Json(_progress_head(tail))
    return StreamingResponse(_with_tasks(tail, site.said(tail)), media_type="application/json")


def _progress_head(tail: JournalTail) -> dict[str, Any]:
    counts = {"total_tasks": tail.progress.total, **tail.progress.counts}
    return {"job_name": tail.name, "state": tail.progress.state, **{key: counts[key] for key in COUNTS}}


async def _with_tasks(tail: JournalTail, said: Mapping[str, Said]) -> AsyncIterator[bytes]:
    """Counts and tasks as they are when it begins, however long it takes."""
    shown = tail.frozen()
    head = _encode(_progress_head(shown))
    total = len(shown.progress.roll)
    try:
        yield head[:-1] + b',"tasks":['
        for first in range(0, total, STREAMED):
            places = range(first, min(first + STREAMED, total))
            yield (b"," if first else b"") + b",".join(_encode(task_object(shown, place, said)) for place in places)
            await asyncio.sleep(0)
    finally:
        shown.close()
    yield b"]}"


@routes.get("/jobs/{name}/results")
async def results(
    site: TheSite,
    name: JobName,
    group: Annotated[str | None, Query(description="Only of tasks of this group.")] = None,
) -> Response:
    """What the completed tasks left as results, by task id, in the order in which they were queued."""
    found = results_of(site.tails.folder(name).journal, group)
    some = await _next_of(found)  # if the journal cannot be read this is told as any other error
    return StreamingResponse(_results(some, found), media_type="application/json")


async def _next_of(found: Iterator[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Reads beside the event loop, since the whole journal is gone through first."""
    return await asyncio.to_thread(lambda: list(itertools.islice(found, STREAMED)))


async def _results(some: list[tuple[str, Any]], found: Iterator[tuple[str, Any]]) -> AsyncIterator[bytes]:
    comma = b'{"results":{'
    while some:
        yield comma + b",".join(_encode(task) + b":" + _encode(value) for task, value in some)
        comma = b","
        some = await _next_of(found)
    yield b"}}" if comma == b"," else comma + b"}}"


async def _criteria(
    status: Annotated[
        str | None, Query(description="pending, running, completed, failed; several with commas between.")
    ] = None,
    reason: Annotated[str | None, Query(description="Why they failed; several with commas between.")] = None,
    group: Annotated[str | None, Query(description="Only tasks of this group.")] = None,
    q: Annotated[str | None, Query(description="Only tasks whose ids hold this text.")] = None,
) -> tuple[str | None, ...]:
    return status, reason, group, q


@routes.get("/jobs/{name}/tasks")
async def task_list(
    site: TheSite,
    name: JobName,
    criteria: Annotated[tuple[str | None, ...], Depends(_criteria)],
    line: Annotated[str | None, Query(description="Only failed tasks of the group with this line.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    after: Annotated[int | None, Query(ge=0, description="`n` of the last task of the page before.")] = None,
    from_: Annotated[int | None, Query(alias="from", ge=0, description="Begin at this place of the list.")] = None,
) -> Response:
    """The tasks of a job, in the order in which they were queued."""
    tail = await site.tails.look(name)
    first = max(0 if after is None else after + 1, from_ or 0)
    selection = Selection(tail.progress.roll, *criteria)
    if line is not None:
        selection.keep_only(await _with_line(site, tail, line))
    places, more = await selection.page(first, limit)
    rows = [task_row(tail, place) for place in places]
    total = await selection.count()
    return Json({"tasks": rows, "next": str(places[-1]) if more else None, "total": total})


async def _with_line(site: Site, tail: JournalTail, line: str) -> set[int]:
    """The places of failed tasks that `failures` shows under this line."""
    found = set()
    for item in site.failure_lines(tail).lines(tail):
        if item is None:
            await asyncio.sleep(0)
        elif item[1] == line:
            found.add(item[0])
    return found
