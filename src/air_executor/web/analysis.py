"""Routes that show a job in another light: over time, by failure, as a graph, and its runs."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from air_executor import events as ev
from air_executor.observe.roll import REASONS, STATUSES
from air_executor.observe.runs import present_run
from air_executor.observe.tail import JournalTail
from air_executor.observe.timeline import timeline
from air_executor.web.answers import Json, error_answer
from air_executor.web.drawing import can_draw, draw
from air_executor.web.jobs import JobName, TheSite
from air_executor.web.site import Site

__all__ = ["routes"]

routes = APIRouter()

GRAPH_TASKS: Final = 200
CHART_SPANS: Final = 5_000

Moment = Annotated[float | None, Query(ge=0, le=1e11, description="Epoch seconds.")]
FromMoment = Annotated[float | None, Query(alias="from", ge=0, le=1e11, description="Epoch seconds.")]


@routes.get("/jobs/{name}/timeline")
async def job_timeline(
    site: TheSite,
    name: JobName,
    from_: FromMoment = None,
    to: Moment = None,
    limit: Annotated[int, Query(ge=1, le=20_000)] = 5_000,
) -> Response:
    """What ran when: `spans` of slot, place in the list, start, end, code of the grid, attempt."""
    tail = await site.tails.look(name)
    return Json(timeline(tail.progress, time.time(), limit, from_, to))


@routes.get("/jobs/{name}/series")
async def series(site: TheSite, name: JobName) -> Response:
    """The counts over time, at most 600 moments."""
    tail = await site.tails.look(name)
    return Json(tail.progress.series_columns(time.time()))


@routes.get("/jobs/{name}/failures")
async def failures(site: TheSite, name: JobName) -> Response:
    """Failed tasks, those together that failed for the same reason with the same last line."""
    tail = await site.tails.look(name)
    for groups in site.failure_lines(tail).groups(tail):
        if groups is not None:
            return Json(groups)
        await asyncio.sleep(0)
    raise AssertionError("unreachable")


@routes.get("/jobs/{name}/graph")
async def graph(site: TheSite, name: JobName) -> Response:
    """Which task waits for which, in jobs of up to 200 tasks."""
    tail = await site.tails.look(name)
    roll = tail.progress.roll
    if len(roll) > GRAPH_TASKS:
        return error_answer(413, f"a graph shows up to {GRAPH_TASKS} tasks; this job has {len(roll):,}")
    nodes, edges = [], []
    for place, task in enumerate(roll.ids):
        code = roll.codes[place]
        nodes.append({"n": place, "id": task, "status": STATUSES[code], "reason": REASONS[code]})
        queued = tail.event_at(roll.queued[place])
        if isinstance(queued, ev.TaskQueued | ev.TaskImported):
            known = (roll.places.get(dependency) for dependency in dict.fromkeys(queued.task.dependencies))
            edges += [[needed, place] for needed in known if needed is not None]
    return Json({"nodes": nodes, "edges": edges})


@routes.get("/jobs/{name}/history")
async def history(site: TheSite, name: JobName) -> Response:
    """The runs of a job, the present one first."""
    tail = await site.tails.look(name)
    return Json({"runs": [present_run(tail, time.time()), *site.earlier_runs(tail)]})


@routes.get("/jobs/{name}/chart.svg")
async def chart_svg(site: TheSite, name: JobName) -> Response:
    """The counts over time and the timeline, drawn."""
    return await _chart(site, await site.tails.look(name), "svg")


@routes.get("/jobs/{name}/chart.png")
async def chart_png(site: TheSite, name: JobName) -> Response:
    """The counts over time and the timeline, drawn."""
    return await _chart(site, await site.tails.look(name), "png")


async def _chart(site: Site, tail: JournalTail, kind: Literal["svg", "png"]) -> Response:
    if not can_draw():
        return error_answer(501, "charts need matplotlib: pip install 'air-executor[plot]'")
    now = time.time()
    spans = timeline(tail.progress, now, CHART_SPANS)["spans"]
    async with site.drawing:
        data = await draw(tail.progress.series_columns(now), spans, tail.name, kind)
    return Response(data, media_type={"svg": "image/svg+xml", "png": "image/png"}[kind])
