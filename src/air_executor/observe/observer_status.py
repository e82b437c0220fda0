"""What the observer of a base says of itself, in a file that anybody may read."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from air_executor.store.layout import Base

__all__ = ["FOLDER", "STATUS", "observer_report"]

FOLDER: Final = "observer"
STATUS: Final = "status.json"
FRESH_S: Final = 10.0
"""It is written every second; an older one was left behind."""


def observer_report(base: Base) -> dict[str, Any] | None:
    """What `observer/status.json` holds; None when no observer is at work."""
    path = base.path / FOLDER / STATUS
    try:
        if time.time() - path.stat().st_mtime > FRESH_S:
            return None
        report = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) else None
