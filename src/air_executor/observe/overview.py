"""All jobs of a base folder at a glance, from their `state.json`, and the journals of those followed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from air_executor.errors import InvalidInput
from air_executor.model import ENDED_STATES, MAX_ORIGIN_BYTES, STATES
from air_executor.observe.objects import job_object
from air_executor.observe.tail import JournalTail
from air_executor.observe.tails import Tails
from air_executor.store.files import Identity, identity, read_regular
from air_executor.store.layout import Base
from air_executor.times import from_iso

__all__ = ["Overview", "from_state", "holds", "newest_first", "origin_in"]

COUNTS: Final = ("pending", "running", "completed", "failed")
LOOK_S: Final = 0.25
COST_FACTOR: Final = 20.0
COMPLETING_S: Final = 0.02
"""How much of a look goes into ended jobs that nobody has looked at; the next of them have their turn later."""
SHORT: Final = 1_000_000
FOLLOWED: Final = 50
"""So many jobs under way are followed for their rate and estimate; of others their `state.json` has to do."""


class _Seen:
    """What is remembered of one job."""

    __slots__ = ("changed", "exact", "job", "state", "told")

    def __init__(self) -> None:
        self.state: Identity | None = None
        self.told: dict[str, Any] = {}
        """From `state.json`."""
        self.job: dict[str, Any] = {}
        """As it is shown."""
        self.changed = 0
        self.exact = False
        """Whether `told` was completed from the journal."""


class Overview:
    """Brought up to date by `look`, which takes a few microseconds a job and looks no more often than it may."""

    def __init__(self, base: Base, tails: Tails) -> None:
        self._base = base
        self._tails = tails
        self._seen: dict[str, _Seen] = {}
        self._look_again_at = 0.0
        self.version = 0
        self.gone: list[tuple[int, str]] = []
        """Jobs that are no longer there, with the version that saw it; the oldest are forgotten."""

    def look(self) -> None:
        """See what has changed since the last look."""
        began = time.monotonic()
        if began < self._look_again_at:
            return
        now = time.time()
        self.version += 1
        names = self._names()
        for name in self._seen.keys() - names:
            del self._seen[name]
            self.gone = [*self.gone[-999:], (self.version, name)]
        followed = 0
        for name in names:
            seen = self._seen.setdefault(name, _Seen())
            self._read_state(name, seen)
            tail = None
            if seen.told["state"] not in ENDED_STATES and followed < FOLLOWED:
                followed += 1
                tail = self._tails.open_small(name)
            else:
                tail = self._tails.peek(name)
            job = seen.told
            if tail is not None and tail.begun:
                job = job_object(tail.progress, name, now)
            elif not seen.exact and job["state"] in ENDED_STATES and time.monotonic() < began + COMPLETING_S:
                seen.exact = True
                job = seen.told = self._completed(name, now) or job
            if job != seen.job:
                seen.job = job
                seen.changed = self.version
        self._look_again_at = began + max(LOOK_S, COST_FACTOR * (time.monotonic() - began))

    def _names(self) -> set[str]:
        try:
            with os.scandir(self._base.jobs) as entries:
                return {e.name for e in entries if e.name[0] != "." and e.is_dir(follow_symlinks=False) and _fit(e)}
        except OSError:
            return set()

    def _read_state(self, name: str, seen: _Seen) -> None:
        path = f"{self._base.jobs}/{name}/state.json"
        now = identity(path)
        if seen.told and now == seen.state:
            return
        seen.state = now
        seen.exact = False
        seen.told = from_state(path, name)

    def _completed(self, name: str, now: float) -> dict[str, Any] | None:
        """An ended job with what its `state.json` does not tell, if its journal is short."""
        tail = JournalTail(self._base.job(name))
        try:
            if 0 < tail.behind() <= SHORT and tail.advance(SHORT) and tail.progress.ended:
                return job_object(tail.progress, name, now)
        except OSError:
            pass
        finally:
            tail.close()
        return None

    # ---- reading -------------------------------------------------------------------------------

    def jobs(self, since: int = -1) -> list[dict[str, Any]]:
        """Jobs that have changed since a version, the one updated last first."""
        found = [seen.job for seen in self._seen.values() if seen.changed > since]
        return sorted(found, key=newest_first)

    def numbers(self) -> dict[str, Any]:
        """All jobs in numbers."""
        return in_numbers(seen.job for seen in self._seen.values())

    def numbers_by(self, path: str) -> list[dict[str, Any]]:
        """Jobs in numbers, apart by what stands in their origin at `path` (names with dots between)."""
        keys = path.split(".")
        apart: dict[str | None, list[dict[str, Any]]] = {}
        for seen in self._seen.values():
            value: Any = seen.job["origin"]
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            apart.setdefault(value if isinstance(value, str) else None, []).append(seen.job)
        return [{"value": value, **in_numbers(jobs)} for value, jobs in apart.items()]


def holds(origin: Any, wanted: Any) -> bool:
    """Whether `wanted` is `origin` or, of objects, a part of it."""
    if isinstance(wanted, dict):
        return isinstance(origin, dict) and all(
            key in origin and holds(origin[key], value) for key, value in wanted.items()
        )
    return bool(origin == wanted)


def in_numbers(jobs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """How many jobs are in each state, and what those under way do."""
    counts = dict.fromkeys(STATES, 0)
    running, rate = 0, 0.0
    for job in jobs:
        counts[job["state"]] += 1
        if job["state"] not in ENDED_STATES:
            running += job["running"]
            rate += job["rate_per_s"]
    return {"counts": counts, "running_tasks": running, "rate_per_s": round(rate, 3)}


def newest_first(job: dict[str, Any]) -> tuple[float, str]:
    """The key by which jobs are listed."""
    try:
        at = from_iso(job["updated_at"] or "")
    except ValueError:
        at = 0.0
    return -at, job["name"]


def _fit(entry: os.DirEntry[str]) -> bool:
    """Whether the name can be shown and asked for."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return False
    return entry.name.isprintable()


def from_state(path: str, name: str) -> dict[str, Any]:
    """A job as its `state.json` alone tells it; anybody may have written that."""
    try:
        state = msgspec.json.decode(read_regular(path))
    except (OSError, InvalidInput, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        state = {}
    state = state if isinstance(state, dict) else {}
    progress = state.get("progress")
    progress = progress if isinstance(progress, dict) else {}
    counts = {key: n if type(n := progress.get(key)) is int and n >= 0 else 0 for key in COUNTS}
    texts = {
        key: t if isinstance(t := state.get(key), str) else None for key in ("id", "reason", "error", "stopping")
    }
    created_at, updated_at = _time(state, "created_at"), _time(state, "updated_at")
    elapsed_s = 0.0
    if created_at is not None and updated_at is not None:
        elapsed_s = max(0.0, round(from_iso(updated_at) - from_iso(created_at), 3))
    warnings = state.get("warnings")
    return {
        "name": name,
        "id": texts["id"],
        "state": state["state"] if state.get("state") in STATES else "waiting",
        "reason": texts["reason"],
        "error": texts["error"],
        "created_at": created_at,
        "updated_at": updated_at,
        "total_tasks": sum(counts.values()),
        **counts,
        "skipped": 0,
        "cancelled": 0,
        "open": state.get("open") is True,
        "paused": state.get("paused") is True,
        "stopping": texts["stopping"],
        "warnings": len(warnings) if isinstance(warnings, list) else 0,
        "rate_per_s": 0.0,
        "elapsed_s": elapsed_s,
        "estimate_s": None,
        "origin": origin_in(state),
    }


def origin_in(state: dict[str, Any]) -> dict[str, Any] | None:
    """Who handed a job in, as its `state.json` tells it; None when it does not, or tells too much."""
    origin = state.get("origin")
    if not isinstance(origin, dict) or len(msgspec.json.encode(origin)) > MAX_ORIGIN_BYTES:
        return None
    return origin


def _time(state: dict[str, Any], key: str) -> str | None:
    """A time of a view, if it is one."""
    try:
        from_iso(state[key])
    except (KeyError, TypeError, ValueError):
        return None
    text: str = state[key]
    return text
