"""Tasks of hand-written views: those still to do, and those that a copied folder says have ended."""

from __future__ import annotations

from typing import Any

import msgspec

from air_executor import events as ev
from air_executor.errors import InvalidInput
from air_executor.model import TaskSpec, Usage, content_key, parse_task
from air_executor.names import automatic_id

__all__ = ["import_tasks"]

_KEPT = ("reason", "error", "attempt", "exit_code", "result", "created_at", "started_at", "completed_at")


def import_tasks(raw: list[Any], defaults: dict[str, Any], at: str) -> list[ev.TaskImported | TaskSpec]:
    """Check the objects of a `tasks.json` that has no journal. Raises `InvalidInput` naming the bad one."""
    return [_import(item, index, defaults, at) for index, item in enumerate(raw)]


def _import(raw: Any, index: int, defaults: dict[str, Any], at: str) -> ev.TaskImported | TaskSpec:
    where = f"tasks[{index}]"
    spec = parse_task(raw, where, defaults)
    if not spec.id:
        spec.id = automatic_id(spec.command or "", content_key(spec), index)
    status = raw.get("status")
    fields: dict[str, Any] = {name: raw[name] for name in _KEPT if raw.get(name) is not None}
    if status == "running" and not (spec.idempotent or spec.retries):
        # What became of it nobody knows, and it may have had effects.
        status = "failed"
        fields |= {"reason": "lost", "error": "lost: it was running when the folder was copied"}
    if status not in ("completed", "failed"):
        return spec
    defaults_of_end = {"created_at": at, "completed_at": at, "reason": "exit" if status == "failed" else None}
    try:
        usage = msgspec.convert(raw["usage"], Usage) if raw.get("usage") else None
        end = {"at": at, "task": {}, "status": status, **defaults_of_end, **fields}
        event = msgspec.convert({"type": "TaskImported", **end, "task": {"id": spec.id}}, ev.TaskImported)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{where}: {error}") from None
    event.task = spec
    event.usage = usage
    return event
