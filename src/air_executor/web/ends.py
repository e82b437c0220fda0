"""Routes for those who wait for jobs: how far many of them are, and the report of one."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from air_executor.errors import InvalidInput
from air_executor.observe.ends import Look, look
from air_executor.observe.report import hindrance, report
from air_executor.store.layout import Base
from air_executor.web.answers import Json
from air_executor.web.jobs import JobName, TheSite

__all__ = ["routes"]

routes = APIRouter()

MOST: Final = 1_000


@routes.get("/ends")
async def ends(
    site: TheSite,
    job: Annotated[list[str], Query(description="Names of jobs, one parameter each.")] = [],  # noqa: B006
    run: Annotated[
        list[str], Query(description="For each `job`, in the same order, the id of the run meant; empty: the last.")
    ] = [],  # noqa: B006
) -> Response:
    """How far many jobs are, and which have ended, in one answer; in the order asked."""
    if len(job) > MOST:
        raise InvalidInput(f"job: at most {MOST} at once, got {len(job)}")
    if run and len(run) != len(job):
        raise InvalidInput(f"run: expected one for each job ({len(job)}) or none at all, got {len(run)}")
    wanted = list(zip(job, run or [""] * len(job), strict=True))
    return Json({"ends": await asyncio.to_thread(_looks, site.base, wanted)})


def _looks(base: Base, wanted: list[tuple[str, str]]) -> list[Look]:
    return [look(base, name, run or None) for name, run in wanted]


@routes.get("/jobs/{name}/report")
async def job_report(site: TheSite, name: JobName) -> Response:
    """The progress report as `air-executor status` prints it."""
    tail = await site.tails.look(name)
    note = hindrance(tail.progress, name, site.base if site.manager() is None else None)
    text = report(tail.name, tail.progress, time.time(), note=note, said=site.said(tail))
    return Response(text, media_type="text/plain")
