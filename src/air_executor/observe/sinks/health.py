"""How a sink is doing, for metrics, for `observer.json`, and for the log."""

from __future__ import annotations

import logging
import time
from typing import Any

from air_executor.observe.metrics import Metrics

__all__ = ["Health"]

log = logging.getLogger("air_executor.observe")


class Health:
    """Written by the thread of one sink, read by others."""

    def __init__(self, name: str, metrics: Metrics | None = None) -> None:
        self.name = name
        self.up = False
        """Whether it took what it was given last; False before anything was."""
        self.error: str | None = None
        self._as_of: float | None = None
        """Everything that was written before this moment has been taken; None where that is not asked for."""
        self._metrics = metrics

    def took(self) -> None:
        if self.error is not None:
            log.info("%s: works again", self.name)
        self.up, self.error = True, None

    def failed(self, why: str) -> None:
        if self.error is None:  # the first time only, or the log would fill while it is down
            log.warning("%s: %s; tried again until it works", self.name, why)
        self.up, self.error = False, why
        if self._metrics is not None:
            self._metrics.increase("air_executor_sink_errors_total", sink=self.name)

    def up_to_date(self, as_of: float) -> None:
        """All that was written before `as_of` (epoch seconds) has been taken."""
        self._as_of = as_of

    def lag_s(self, now: float) -> float:
        """For how long it may not have heard of anything: about a second when all is well."""
        return 0.0 if self._as_of is None else max(0.0, now - self._as_of)

    def report(self, now: float | None = None) -> dict[str, Any]:
        """What `observer.json` says of it."""
        now = time.time() if now is None else now
        lag_s = round(self.lag_s(now), 3)
        if self._metrics is not None:
            self._metrics.put("air_executor_sink_up", int(self.error is None), sink=self.name)
            self._metrics.put("air_executor_sink_lag_seconds", lag_s, sink=self.name)
        return {"up": self.error is None, "error": self.error, "lag_s": lag_s}
