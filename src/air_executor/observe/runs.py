"""The runs of a job: the present one and those in `runs/`, from what their views say."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Final

import msgspec

from air_executor.model import STATES
from air_executor.observe.overview import origin_in
from air_executor.observe.tail import JournalTail
from air_executor.store.files import Identity, identity, read_regular
from air_executor.times import from_iso, to_iso

__all__ = ["EarlierRuns", "present_run"]

COUNTS: Final = ("pending", "running", "completed", "failed")


class EarlierRuns:
    """Reads each earlier run's `state.json` once; it does not change any more."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Identity, dict[str, Any]]] = {}

    def runs(self, tail: JournalTail) -> list[dict[str, Any]]:
        """The earlier runs, newest first."""
        found = []
        names: list[str] = []
        if not tail.folder.runs.is_symlink():
            with contextlib.suppress(OSError):
                names = os.listdir(tail.folder.runs)
        known = {}
        for name in names:
            path = f"{tail.folder.runs}/{name}/state.json"
            seen = identity(path)
            if seen is None or os.path.islink(f"{tail.folder.runs}/{name}"):
                continue
            before = self._known.get(name)
            known[name] = before if before is not None and before[0] == seen else (seen, _run(path, name))
            found.append(known[name][1])
        self._known = known
        return sorted(found, key=lambda run: (run["created_at"] or "", run["id"]), reverse=True)


def present_run(tail: JournalTail, now: float) -> dict[str, Any]:
    progress = tail.progress
    return {
        "id": progress.run_id or None,
        "state": progress.state,
        "reason": progress.reason,
        "created_at": progress.created_at or None,
        "ended_at": None if progress.ended_at is None else to_iso(progress.ended_at),
        "duration_s": round(progress.elapsed_s(now), 3),
        "total_tasks": progress.total,
        "completed": progress.counts["completed"],
        "failed": progress.counts["failed"],
        "origin": progress.options.origin,
    }


def _run(path: str, name: str) -> dict[str, Any]:
    try:
        state = msgspec.json.decode(read_regular(path))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        state = {}
    state = state if isinstance(state, dict) else {}
    progress = state.get("progress")
    progress = progress if isinstance(progress, dict) else {}
    counts = {key: n if type(n := progress.get(key)) is int and n >= 0 else 0 for key in COUNTS}
    times: dict[str, str | None] = {}
    for key in ("created_at", "updated_at"):
        try:
            from_iso(state[key])
            times[key] = state[key]
        except (KeyError, TypeError, ValueError):
            times[key] = None
    began, ended = times["created_at"], times["updated_at"]
    return {
        "id": state["id"] if isinstance(state.get("id"), str) else name,
        "state": state["state"] if state.get("state") in STATES else "failed",
        "reason": state["reason"] if isinstance(state.get("reason"), str) else None,
        "created_at": began,
        "ended_at": ended,
        "duration_s": round(from_iso(ended) - from_iso(began), 3) if began and ended else None,
        "total_tasks": sum(counts.values()),
        "completed": counts["completed"],
        "failed": counts["failed"],
        "origin": origin_in(state),
    }
