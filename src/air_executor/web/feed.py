"""What happens, as server-sent events: one job with its grid, or all jobs at a glance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from air_executor.masking import mask_event
from air_executor.observe.overview import holds
from air_executor.observe.roll import GRID
from air_executor.observe.tail import JournalTail
from air_executor.observe.tails import Watched
from air_executor.web.answers import PING, event
from air_executor.web.texts import in_header

if TYPE_CHECKING:
    from air_executor.web.site import Site

__all__ = ["all_jobs", "journal_lines", "one_job"]

BETWEEN_S: Final = 0.1
BETWEEN_OVERVIEWS_S: Final = 0.25
BYTES_PER_S: Final = 50_000
EVENTS_PER_S: Final = 400
"""To all listeners together: with more than forty each hears less often, so that they do not take a whole CPU."""
READING_S: Final = 0.5
PING_S: Final = 15.0
FIRST_JOBS: Final = 500
MAX_CELLS: Final = 200_000
"""Bytes of grid changes in one event; when there are more, the grid is to be read again."""
MAX_REREAD: Final = 16_000_000
"""Bytes of the journal that are read again for a caller who resumes; who missed more gets a snapshot."""

_encode = msgspec.json.Encoder().encode


class Frames:
    """Encoded parts of events, made once for all who get the same."""

    def __init__(self, site: Site, watched: Watched) -> None:
        self._site = site
        self._watched = watched
        self._detail: tuple[tuple[object, ...], bytes] = ((), b"")
        self._cells: tuple[tuple[object, ...], bytes] = ((), b"")

    def detail(self) -> bytes:
        """The job in full as it is now, or was a second ago at most."""
        tail = self._watched.tail
        key = (tail, tail.version, self._watched.tellings, int(time.monotonic()))
        if self._detail[0] != key:
            self._detail = (key, _encode(self._site.detail(tail)))
        return self._detail[1]

    def cells(self, since: int) -> bytes | None:
        """What has changed in the grid since the change number `since`; None when that is not known any more."""
        roll = self._watched.tail.progress.roll
        if since < roll.forgotten:
            return None
        key = (roll, since, roll.changed)
        if self._cells[0] != key:
            self._cells = (key, encode_cells(roll.codes, roll.changes[since - roll.forgotten :]))
        return self._cells[1]


def encode_cells(codes: bytearray, places: Iterable[int]) -> bytes:
    """`[[first place, how many, code], …]` of the places that changed, as they are now."""
    runs: list[list[int]] = []
    for place in sorted(set(places)):
        code = GRID[codes[place]]
        if runs and runs[-1][2] == code and runs[-1][0] + runs[-1][1] == place:
            runs[-1][1] += 1
        else:
            runs.append([place, 1, code])
    return _encode(runs)


def _id(tail: JournalTail) -> str:
    return f"{in_header(tail.progress.run_id)}@{tail.position}"


async def one_job(site: Site, name: str, last_id: str, *, with_cells: bool) -> AsyncIterator[bytes]:
    """Snapshot, then deltas; after `last_id` if the run still is the one it names."""
    while not site.tails.stopping and await site.tails.look_soon(name, READING_S) is None:
        yield event("reading", b'{"job":%s}' % _encode(site.detail_from_state(name)))
    async with site.tails.listening(name) as watched:
        frames = site.frames(watched)
        tail = watched.tail
        roll = tail.progress.roll
        seen = roll.changed
        missed = await _missed(tail, last_id)
        chunk = None
        if missed is not None and watched.tail is tail and tail.progress.roll is roll and seen >= roll.forgotten:
            missed.update(roll.changes[seen - roll.forgotten :])  # what came while the journal was read again
            cells = encode_cells(roll.codes, missed) if with_cells else b""
            if len(cells) <= MAX_CELLS:
                chunk = _delta(tail, frames, cells)
                seen = roll.changed
        while not site.tails.stopping and not watched.gone:
            moved = watched.moved
            if watched.tail is not tail or tail.progress.roll is not roll or chunk is None:
                tail = watched.tail
                roll = tail.progress.roll
                seen = roll.changed
                chunk = event("snapshot", b'{"job":%s,"position":%d}' % (frames.detail(), tail.position), _id(tail))
            yield chunk
            await site.pause(max(BETWEEN_S, len(chunk) / BYTES_PER_S, site.tails.listeners / EVENTS_PER_S))
            while not moved.done() and not site.tails.stopping:
                await asyncio.wait([moved], timeout=PING_S)
                if not moved.done():
                    yield PING
            if watched.tail is not tail or tail.progress.roll is not roll:
                continue
            found = frames.cells(seen) if with_cells else b""
            seen = roll.changed
            if found is None or len(found) > MAX_CELLS:
                yield event("resync", b"{}")
                chunk = None
            else:
                chunk = _delta(tail, frames, found)
        if watched.gone:
            yield event("gone", b"{}")


def _delta(tail: JournalTail, frames: Frames, cells: bytes) -> bytes:
    with_cells = b',"cells":' + cells if cells else b""
    return event("delta", b'{"job":%s,"position":%d%s}' % (frames.detail(), tail.position, with_cells), _id(tail))


async def _missed(tail: JournalTail, last_id: str) -> set[int] | None:
    """The places of tasks of which something happened since `last_id`; None when that cannot be told."""
    run, _, position = last_id.rpartition("@")
    if not run or run != in_header(tail.progress.run_id) or not position.isdigit() or len(position) > 18:
        return None
    begin = int(position)
    end = tail.position
    if not 0 < begin <= end or end - begin > MAX_REREAD:
        return None
    found: set[int] = set()
    for places in tail.places_between(begin, end):
        if places is None:
            return None
        found |= places
        await asyncio.sleep(0)
    return found


async def all_jobs(site: Site, write: bool, origin: dict[str, Any] | None) -> AsyncIterator[bytes]:
    """All jobs (of one origin), then those that change."""
    seen = -1
    quiet_s = 0.0
    told: dict[str, Any] = {}
    while not site.tails.stopping:
        overview = site.overview
        overview.look()
        info = site.info(write)
        if overview.version != seen or info != told:
            jobs = overview.jobs(seen)
            if origin is not None:
                jobs = [job for job in jobs if holds(job["origin"], origin)]
            gone = [name for version, name in overview.gone if version > seen] if seen >= 0 else []
            jobs = jobs[:FIRST_JOBS] if seen < 0 else jobs
            seen = overview.version
            if jobs or gone or info != told:
                told = info
                chunk = event("jobs", _encode({"jobs": jobs, "gone": gone, "info": info}))
                yield chunk
                await site.pause(len(chunk) / BYTES_PER_S)
                quiet_s = 0.0
            else:
                quiet_s += BETWEEN_OVERVIEWS_S
        else:
            quiet_s += BETWEEN_OVERVIEWS_S
        if quiet_s >= PING_S:
            quiet_s = 0.0
            yield PING
        await site.pause(BETWEEN_OVERVIEWS_S)


async def journal_lines(site: Site, name: str, *, follow: bool) -> AsyncIterator[bytes]:
    """The masked events of the present run, a line each; then, with `follow`, those that come until it has ended."""
    async with site.tails.listening(name) as watched:
        tail = watched.tail.frozen()
        try:
            position, quiet_s = 0, 0.0
            while not site.tails.stopping:
                until = watched.tail.position
                while position < until:
                    data = tail.lines_from(position, until)
                    position += len(data)
                    yield b"".join(_encode(mask_event(record)) + b"\n" for record in _records(data))
                    await asyncio.sleep(0)
                progress = watched.tail.progress
                if not follow or watched.gone or progress.run_id != tail.progress.run_id or progress.ended:
                    return
                quiet_s += BETWEEN_S
                if quiet_s > PING_S:
                    quiet_s = 0.0
                    yield b"\n"
                await site.pause(BETWEEN_S)
        finally:
            tail.close()


def _records(data: bytes) -> Iterator[dict[str, Any]]:
    """The events of some lines; what is none is passed over."""
    for line in data.split(b"\n")[:-1]:
        try:
            record = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record
