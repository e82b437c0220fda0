"""Alerts to webhooks: what waits stands in a file, is tried again until it is taken, and is signed."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from threading import Condition
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from air_executor.observe.sinks.health import Health
from air_executor.observe.sinks.posting import post, shown_url
from air_executor.store.files import write_atomically

__all__ = ["Alert", "Outbox", "alert_body", "signature"]

log = logging.getLogger("air_executor.observe")

FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 300.0
GIVE_UP_S: Final = 86_400.0
FORGET_S: Final = 2 * 86_400.0
MOST_WAITING: Final = 1_000
Form = Literal["json", "slack"]
_COLOURS: Final = {"job_ended": "#2eb67d", "deadline_missed": "#e01e5a", "no_progress": "#ecb22e"}


class Alert(Struct, kw_only=True):
    """What somebody is told. `id` stays the same however often it is tried."""

    id: str
    kind: Literal["job_ended", "deadline_missed", "no_progress"]
    text: str
    at: str
    base: str
    host: str
    job_name: str
    run_id: str
    state: str
    reason: str | None
    error: str | None
    total_tasks: int
    completed: int
    running: int
    failed: int
    pending: int
    duration_s: float


class _Waiting(Struct):
    url: str
    form: Form
    alert: Alert
    since: float
    tries: int = 0
    next_at: float = 0.0


class _Kept(Struct):
    """The file: when journals were last looked at, what was raised when, and what waits."""

    looked_at: float = 0.0
    raised: dict[str, float] = {}
    waiting: list[_Waiting] = []


def alert_body(alert: Alert, form: Form) -> bytes:
    """What is posted."""
    if form == "json":
        return msgspec.json.encode(alert)
    good = alert.kind == "job_ended" and alert.state == "completed"
    colour = _COLOURS[alert.kind] if good or alert.kind != "job_ended" else "#e01e5a"
    fields = [("Tasks", alert.total_tasks), ("Completed", alert.completed), ("Failed", alert.failed)]
    attachment: dict[str, Any] = {
        "color": colour,
        "fields": [{"title": title, "value": f"{value:,}", "short": True} for title, value in fields],
    }
    if alert.error:
        attachment["text"] = _slack_text(alert.error)
    return json.dumps({"text": _slack_text(alert.text), "attachments": [attachment]}).encode()


def _slack_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def signature(secret: bytes, body: bytes) -> str:
    """What `X-Air-Executor-Signature` holds."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


class Outbox:
    """Alerts on their way. Raising one returns when it is on the disk; a thread of its own delivers."""

    def __init__(self, path: Path, health: Health, secret: bytes | None, mode: int = 0o600) -> None:
        self._path = path
        self._health = health
        self._secret = secret
        self._mode = mode
        self._changed = Condition()
        self._stopping = False
        self._kept = _Kept()
        with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            self._kept = msgspec.json.decode(path.read_bytes(), type=_Kept)

    @property
    def looked_at(self) -> float:
        """Up to when an observer has seen everything that was interrupted since then; 0 when none was."""
        at = self._kept.looked_at
        return at if time.time() - at < GIVE_UP_S else 0.0

    @property
    def waiting(self) -> int:
        return len(self._kept.waiting)

    def looked(self, now: float, *, last: bool = False) -> None:
        """All that was written before `now` has been seen. `last`: and nothing that comes is to be made up for."""
        with self._changed:
            self._kept.looked_at = 0.0 if last else now
            self._kept.raised = {k: at for k, at in self._kept.raised.items() if now - at < FORGET_S}
            self._save()

    def put(self, url: str, form: Form, make: Callable[[], Alert], key: str) -> None:
        """Raise an alert, unless one of this key was raised before."""
        now = time.time()
        with self._changed:
            if key in self._kept.raised:
                return
            self._kept.raised[key] = now
            self._kept.waiting.append(_Waiting(url, form, make(), now))
            if len(self._kept.waiting) > MOST_WAITING:
                gone = self._kept.waiting.pop(0)
                log.error("alert %s: given up, too many wait: %s", gone.alert.id, shown_url(gone.url))
            self._save()
            self._changed.notify()

    def _save(self) -> None:
        try:
            write_atomically(self._path, msgspec.json.encode(self._kept), mode=self._mode)
        except OSError as error:
            log.warning("%s: %s; alerts are remembered in memory only", self._path, error.strerror)

    def run(self) -> None:
        """Deliver until `stop`."""
        while True:
            with self._changed:
                while not self._stopping and self._due() is None:
                    self._changed.wait(self._pause())
                if self._stopping:
                    return
                one = self._due()
            if one is not None:
                self._deliver(one)

    def stop(self) -> None:
        """Let `run` return, after what it is just delivering."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def flush(self, limit_s: float) -> None:
        """After `run` has returned: try what was never tried, no longer than `limit_s`. The rest keeps waiting."""
        until = time.monotonic() + limit_s
        for one in [w for w in self._kept.waiting if not w.tries]:
            if (left := until - time.monotonic()) > 0:
                self._deliver(one, left)

    def _due(self) -> _Waiting | None:
        now = time.time()
        return next((one for one in self._kept.waiting if one.next_at <= now), None)

    def _pause(self) -> float | None:
        nearest = min((one.next_at for one in self._kept.waiting), default=None)
        return None if nearest is None else max(0.01, nearest - time.time())

    def _deliver(self, one: _Waiting, limit_s: float = 10.0) -> None:
        body = alert_body(one.alert, one.form)
        headers = {"X-Air-Executor-Alert": one.alert.kind, "X-Air-Executor-Delivery": one.alert.id}
        if self._secret is not None:
            headers["X-Air-Executor-Signature"] = signature(self._secret, body)
        wrong = post(one.url, body, headers, timeout_s=limit_s)
        now = time.time()
        with self._changed:
            if wrong is None:
                self._health.took()
                self._forget(one)
            else:
                self._health.failed(wrong)
                one.tries += 1
                again_at = now + min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(one.tries - 1, 20))
                for other in self._kept.waiting:
                    if other.url == one.url:  # or each of them would keep those for others waiting
                        other.next_at = max(other.next_at, again_at)
                if now - one.since > GIVE_UP_S:
                    log.error("alert %s: given up after a day: %s", one.alert.id, shown_url(one.url))
                    self._forget(one)
            self._save()

    def _forget(self, one: _Waiting) -> None:
        self._kept.waiting = [other for other in self._kept.waiting if other is not one]
