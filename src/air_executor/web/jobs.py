"""Routes that tell of jobs: the list, one job, its grid, its progress, and what happens."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from air_executor.client import AirExecutorClient
from air_executor.errors import InvalidInput, WaitTimeout
from air_executor.masking import mask_options
from air_executor.model import STATES
from air_executor.observe.objects import grid
from air_executor.observe.overview import holds, newest_first
from air_executor.web.access import MAY_WRITE
from air_executor.web.answers import EventStream, Json
from air_executor.web.feed import all_jobs, journal_lines, one_job
from air_executor.web.site import Site
from air_executor.web.texts import decoded, in_header

__all__ = ["JobName", "TheSite", "routes"]

routes = APIRouter()


async def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


async def _job_name(name: Annotated[str, Path(description="Name of the job, percent-encoded.")]) -> str:
    return decoded(name, "job name")


async def _origin(
    origin: Annotated[
        str | None, Query(description="Only jobs whose `origin` holds this JSON object, and maybe more.")
    ] = None,
) -> dict[str, Any] | None:
    if origin is None:
        return None
    try:
        wanted = msgspec.json.decode(origin)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        wanted = None
    if not isinstance(wanted, dict):
        raise InvalidInput("origin: expected a JSON object")
    return wanted


TheSite = Annotated[Site, Depends(_site)]
Origin = Annotated[dict[str, Any] | None, Depends(_origin)]
JobName = Annotated[str, Depends(_job_name)]


@routes.get("/info")
async def info(
    site: TheSite,
    request: Request,
    by: Annotated[
        str | None, Query(description="Also apart by what stands there in the jobs' `origin`, as `a.b`.")
    ] = None,
) -> Response:
    """The server, its manager, and all jobs in numbers."""
    site.overview.look()
    shown = site.info(request.scope.get(MAY_WRITE, False))
    return Json(shown if by is None else {**shown, "apart": site.overview.numbers_by(by)})


@routes.get("/jobs")
async def jobs(
    site: TheSite,
    origin: Origin,
    state: Annotated[str | None, Query(description="Only jobs of this state; several with commas between.")] = None,
    q: Annotated[str | None, Query(description="Only jobs whose names hold this text.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    after: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> Response:
    """All jobs, the one updated last first."""
    site.overview.look()
    states = set(state.split(",")) if state else None
    if states is not None and not states <= set(STATES):
        raise InvalidInput(f"state: expected some of {', '.join(STATES)}, with commas between")
    found = [
        job
        for job in site.overview.jobs()
        if (states is None or job["state"] in states)
        and (not q or q.casefold() in job["name"].casefold())
        and (origin is None or holds(job["origin"], origin))
    ]
    if after is not None:
        key = _key_of(after)
        found = [job for job in found if newest_first(job) > key]
    page = found[:limit]
    next_ = _key(page[-1]) if len(found) > limit else None
    return Json({"jobs": page, "next": next_})


def _key(job: dict[str, Any]) -> str:
    at, name = newest_first(job)
    return f"{-at!r}:{name}"


def _key_of(text: str) -> tuple[float, str]:
    at, _, name = text.partition(":")
    try:
        return -float(at), name
    except ValueError:
        raise InvalidInput("after: expected `next` of the page before") from None


@routes.get("/jobs/{name}")
async def job(site: TheSite, name: JobName) -> Response:
    """One job in full."""
    tail = await site.tails.look_soon(name)
    return Json(site.detail_from_state(name) if tail is None else site.detail(tail))


@routes.get("/jobs/{name}/origin")
async def job_origin(site: TheSite, name: JobName) -> Response:
    """Who handed a job in (its option `origin`), and the id of its present run."""
    return Json(site.origin(name))


@routes.get("/jobs/{name}/grid")
async def job_grid(site: TheSite, name: JobName, request: Request) -> Response:
    """One byte a task, in the order of the list: 0 pending, 1 running, 2 completed, 3 failed, 4 skipped,
    5 cancelled."""
    tail = await site.tails.look(name)
    data = grid(tail)
    headers = {"X-Run": in_header(tail.progress.run_id), "X-Position": str(tail.position), "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", "") and len(data) > 1_000:
        import zlib

        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        data = packer.compress(data) + packer.flush()
        headers["Content-Encoding"] = "gzip"
    return Response(data, media_type="application/octet-stream", headers=headers)


@routes.get("/events")
async def events(
    site: TheSite,
    request: Request,
    origin: Origin,
    job: Annotated[str | None, Query(description="Of this job; without it all jobs at a glance.")] = None,
    cells: Annotated[int, Query(ge=0, le=1, description="0: without changes of the grid.")] = 1,
) -> Response:
    """What happens, as server-sent events. `Last-Event-ID` goes on exactly where a connection broke off."""
    if job is None:
        return EventStream(all_jobs(site, request.scope.get(MAY_WRITE, False), origin))
    site.tails.folder(job)
    last_id = request.headers.get("last-event-id", "")
    return EventStream(one_job(site, job, last_id, with_cells=bool(cells)))


@routes.get("/jobs/{name}/journal")
async def journal(
    site: TheSite,
    name: JobName,
    follow: Annotated[int, Query(ge=0, le=1, description="1: go on until the job has ended.")] = 0,
) -> Response:
    """All events of a job, one JSON object a line, as `air-executor events` prints them."""
    await site.tails.look(name)
    return EventStream(journal_lines(site, name, follow=bool(follow)), "application/x-ndjson")


@routes.get("/jobs/{name}/end")
async def end(
    site: TheSite,
    name: JobName,
    run: Annotated[str | None, Query(description="Of this run, even if another has followed.")] = None,
) -> Response:
    """Whether a job has ended with no next run in line, and its `state.json` then."""
    site.tails.folder(name)
    try:
        state = await asyncio.to_thread(AirExecutorClient(site.base.path).wait, name, 0, job_id=run)
    except WaitTimeout:
        return Json({"ended": False, "state": None})
    mask_options(state)
    state.pop("environment", None)
    return Json({"ended": True, "state": state})
