"""What is told of all jobs, narrowed to those that a user may see: lists, numbers, what happens, runs of a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qsl, urlencode

import msgspec

from air_executor.airflow.ui.asked import Asked, Denied, dag_of

if TYPE_CHECKING:
    from air_executor.airflow.ui.guards import Rights

__all__ = ["Overview", "narrowed_info", "narrowed_jobs", "narrowed_runs"]

PAGES: Final = 20
"""Pages of the list that are looked through at most for jobs that the user may see."""
ABOUT_JOBS: Final = b"event: jobs\n"
FIRST_JOBS: Final = 500
"""A first event that tells of so many does not tell of all."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Source(Protocol):
    """Where the jobs are."""

    async def ask(self, path: str, query: str = "") -> tuple[int, Any]: ...

    async def owner(self, job: str) -> str | None: ...

    async def numbers(self) -> dict[str, Any]: ...


async def visible(rights: Rights, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of some jobs or runs that the user may see."""
    allowed = await rights.among((dag_of(row.get("origin")) for row in rows), "see")
    return [row for row in rows if dag_of(row.get("origin")) in allowed]


async def narrowed_info(source: Source, rights: Rights, job: str | None = None) -> dict[str, Any]:
    """The server in numbers, of the jobs that the user may see; `write`: whether the job may be changed."""
    told = dict(await source.numbers())
    apart = told.pop("apart")
    allowed = await rights.among((group["value"] for group in apart), "see")
    mine = [group for group in apart if group["value"] in allowed]
    told["counts"] = {state: sum(group["counts"][state] for group in mine) for state in told["counts"]}
    told["running_tasks"] = sum(group["running_tasks"] for group in mine)
    told["rate_per_s"] = round(sum(group["rate_per_s"] for group in mine), 3)
    told["write"] = False
    if job is not None:
        dag_id = await source.owner(job)
        told["write"] = await rights.may(dag_id, "see") and await rights.may(dag_id, "change")
    if not await rights.may(None, "see"):
        told["base"] = ""
        if told["manager"] is not None:
            told["manager"] = {**told["manager"], "host": "", "pid": 0}
    return told


async def narrowed_jobs(source: Source, rights: Rights, query: str) -> dict[str, Any]:
    """A page of the list; it may hold fewer jobs than were asked for, though there are more."""
    wanted = dict(parse_qsl(query, keep_blank_values=True))
    rows: list[dict[str, Any]] = []
    following: str | None = None
    for _ in range(PAGES):
        status, told = await source.ask("/jobs", urlencode(wanted))
        if status != 200:
            raise Denied(status, str(told.get("error", "the jobs cannot be read")))
        rows = await visible(rights, told["jobs"])
        following = told["next"]
        if rows or following is None:
            break
        wanted["after"] = following
    return {"jobs": rows, "next": following}


async def narrowed_runs(source: Source, rights: Rights, what: Asked) -> tuple[Any, int]:
    """The runs of a name, and the status of the answer. Another DAG may have used the name before."""
    status, told = await source.ask(what.path)
    if status == 200:
        told = {"runs": await visible(rights, told["runs"])}
    return told, status


class Overview:
    """What happens in all jobs, for one listener."""

    def __init__(self, source: Source, rights: Rights) -> None:
        self._source = source
        self._rights = rights
        self._shown: set[str] = set()
        self._info: dict[str, Any] | None = None

    async def narrowed(self, event: bytes) -> bytes:
        """One event as it is sent on; empty when there is nothing in it for this listener."""
        if not event.startswith(ABOUT_JOBS):
            return event if event.startswith(b":") else b""
        told = _decode(event.partition(b"data: ")[2])
        rows = await visible(self._rights, told["jobs"])
        names = {row["name"] for row in rows}
        others = {row["name"] for row in told["jobs"]} - names
        gone = sorted(self._shown & ({*told["gone"]} | others))
        self._shown = (self._shown | names) - {*gone}
        info = await narrowed_info(self._source, self._rights)
        if not rows and not gone and info == self._info:
            return b""
        self._info = info
        partial = len(told["jobs"]) >= FIRST_JOBS
        return ABOUT_JOBS + b"data: " + _encode({"jobs": rows, "gone": gone, "info": info, "partial": partial})
