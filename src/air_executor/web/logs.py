"""Routes of one task: what it is, what became of its attempts, and what it has written."""

from __future__ import annotations

import asyncio
import codecs
import os
import re
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from air_executor.errors import NotFound
from air_executor.observe.objects import attempt_objects, task_object
from air_executor.observe.roll import STATUSES
from air_executor.observe.tail import JournalTail
from air_executor.store.files import open_regular
from air_executor.web.answers import PING, EventStream, Json, error_answer, event
from air_executor.web.jobs import JobName, TheSite
from air_executor.web.site import Site
from air_executor.web.tasks import TaskId, place_of

__all__ = ["routes"]

routes = APIRouter()

CHUNK: Final = 65_536
LOOK_S: Final = 0.1
PING_S: Final = 15.0
MAX: Final = 1 << 60
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_encode = msgspec.json.Encoder().encode


@routes.get("/jobs/{name}/tasks/{id}")
async def task(site: TheSite, name: JobName, id: TaskId) -> Response:
    """One task as `tasks.json` shows it, and its attempts."""
    tail = await site.tails.look(name)
    place = place_of(tail, id)
    attempts = attempt_objects(tail, place)
    for record in attempts:
        record["log"] = _log(tail, id, record["attempt"]) is not None
    latest = _log(tail, id, None)
    size = None if latest is None else latest.stat().st_size
    return Json({**task_object(tail, place, site.said(tail)), "n": place, "attempts": attempts, "log_size": size})


def _log(tail: JournalTail, task: str, attempt: int | None) -> Path | None:
    """The file with what an attempt wrote (None: the last one); None when it wrote nothing, or it is gone."""
    folder = tail.folder
    for part in (folder.base.jobs, folder.path, folder.logs):
        if part.is_symlink():
            return None
    roll = tail.progress.roll
    last = roll.last[roll.places[task]]
    number = roll.numbers[last] if last >= 0 else None
    path = folder.log(task, None if attempt == number else attempt)
    return path if path.is_file() and not path.is_symlink() else None


@routes.get("/jobs/{name}/tasks/{id}/log")
async def log(
    site: TheSite,
    request: Request,
    name: JobName,
    id: TaskId,
    attempt: Annotated[int | None, Query(ge=1, le=65_535, description="Of this attempt, not the last.")] = None,
    follow: Annotated[int, Query(ge=0, le=1, description="1: as events, as it is written.")] = 0,
    from_: Annotated[int | None, Query(alias="from", ge=0, le=MAX, description="Follow from this byte.")] = None,
    tail: Annotated[int | None, Query(ge=0, le=MAX, description="Follow so many bytes before its end.")] = None,
) -> Response:
    """What a task has written: all of it, a part (`Range`), or as it goes on (`follow=1`)."""
    job = await site.tails.look(name)
    place_of(job, id)
    if follow:
        last_id = request.headers.get("last-event-id", "")
        begin = int(last_id) if last_id.isdigit() and len(last_id) < 19 else from_
        return EventStream(_follow(site, name, id, begin, tail))
    path = _log(job, id, attempt)
    if path is None:
        raise NotFound(f"task {id!r} of job {name!r} has written nothing")
    file = open(open_regular(path), "rb", buffering=0)  # noqa: SIM115  (whoever sends it closes it)
    size = os.fstat(file.fileno()).st_size
    headers = {"Accept-Ranges": "bytes"}
    part = _part(request.headers.get("range"), size)
    status, first, last = 200, 0, size
    if part is not None:
        first, last = part
        if first >= last:
            file.close()
            answer = error_answer(416, f"the log has {size:,} bytes")
            answer.headers["Content-Range"] = f"bytes */{size}"
            return answer
        status = 206
        headers["Content-Range"] = f"bytes {first}-{last - 1}/{size}"
    headers["Content-Length"] = str(last - first)
    return StreamingResponse(
        _bytes(file, first, last), status, headers=headers, media_type="text/plain; charset=utf-8"
    )


def _part(text: str | None, size: int) -> tuple[int, int] | None:
    """Which bytes a Range header asks for, end excluded; None for all (no header, or not one we understand)."""
    found = _RANGE.fullmatch((text or "").strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        return (max(0, size - int(found[2])), size) if int(found[2]) else (size, size)
    first = int(found[1])
    last = min(size, int(found[2]) + 1) if found[2] else size
    if found[2] and int(found[2]) < first:
        return None
    return first, last


async def _bytes(file: FileIO, first: int, last: int) -> AsyncIterator[bytes]:
    """A part of a file; exactly as long as promised, although it may grow or be cut meanwhile."""
    try:
        while first < last:
            data = os.pread(file.fileno(), min(CHUNK, last - first), first)
            if not data:
                data = bytes(min(CHUNK, last - first))
            first += len(data)
            yield data
            await asyncio.sleep(0)
    finally:
        file.close()


class _Text:
    """A log as text, read on as it grows; a character that is not whole yet is left for the next time."""

    def __init__(self) -> None:
        self.fd = -1
        self.offset = 0
        self._inode = 0

    @property
    def done(self) -> bool:
        """Whether all there is has been read."""
        return self.offset >= self.size

    def open(self, path: Path | None) -> bool:
        """Go over to the file that stands there now; whether it is another one."""
        try:
            if path is None or os.stat(path).st_ino == self._inode:
                return False
            fd = open_regular(path)
        except OSError:
            return False
        self.close()
        self.fd, self._inode = fd, os.fstat(fd).st_ino
        self.offset = 0
        return True

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size if self.fd >= 0 else 0

    def read(self, *, whole: bool) -> str:
        """The next text; with `whole` nothing is left for later."""
        data = os.pread(self.fd, CHUNK, self.offset) if self.fd >= 0 else b""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        text = decoder.decode(data, final=whole and len(data) < CHUNK)
        self.offset += len(data) - len(decoder.getstate()[0])
        return text

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


async def _follow(site: Site, name: str, task: str, begin: int | None, last: int | None) -> AsyncIterator[bytes]:
    """What a task writes, through attempts that follow each other, until it has ended."""
    text = _Text()
    first = True
    quiet_s = 0.0
    try:
        async with site.tails.listening(name) as watched:
            while not site.tails.stopping and not watched.gone:
                tail = watched.tail
                place = tail.progress.roll.places.get(task)
                if place is None:
                    return  # another run has begun
                status = STATUSES[tail.progress.roll.codes[place]]
                ended = status in ("completed", "failed")
                if text.done and text.open(_log(tail, task, None)):
                    if first and begin is not None:
                        text.offset = min(begin, text.size)
                    elif first and last is not None:
                        text.offset = max(0, text.size - last)
                    first = False
                at = text.offset
                if said := text.read(whole=ended):
                    quiet_s = 0.0
                    yield event("log", _encode({"at": at, "text": said}), str(text.offset))
                    await asyncio.sleep(0)
                    continue
                if ended:
                    yield event("end", _encode({"status": status}))
                    return
                quiet_s += LOOK_S
                if quiet_s >= PING_S:
                    quiet_s = 0.0
                    yield PING
                await site.pause(LOOK_S)
    finally:
        text.close()
