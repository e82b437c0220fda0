"""The observer: a process that reads the journals of a base and tells others, far from those who do the work."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

from air_executor import __version__
from air_executor.errors import AirExecutorError, BaseUnusable, InvalidInput, Refused
from air_executor.observe.alerts import Alerts
from air_executor.observe.live import LiveFeed
from air_executor.observe.metrics import CONTENT_TYPE, Metrics
from air_executor.observe.observer_status import FOLDER, STATUS
from air_executor.observe.sinks.health import Health
from air_executor.observe.sinks.otlp import Otlp
from air_executor.observe.sinks.posting import check_url
from air_executor.observe.sinks.statsd import StatsD
from air_executor.observe.sinks.webhook import Outbox
from air_executor.settings import Settings
from air_executor.store.files import write_atomically
from air_executor.store.layout import Base
from air_executor.store.lock import manager_pid
from air_executor.times import to_iso

__all__ = ["Observer"]

log = logging.getLogger("air_executor.observe")

NICENESS: Final = 10
"""Tasks come first: where there is no CPU to spare the observer falls behind, and catches up later."""
REPORT_S: Final = 1.0
RESTART_S: Final = 10.0
FLUSH_S: Final = 5.0


class Observer:
    """Feeds all sinks of the settings. There is one a base."""

    def __init__(self, base: Base, settings: Settings, since: float) -> None:
        """Raises `InvalidInput` and `BaseUnusable` for what cannot work, before anything is begun."""
        self._base = base
        self._settings = settings
        self._since = since
        self._folder = base.path / FOLDER
        self._metrics = Metrics(max_jobs=settings.metrics_jobs, counting_since=since)
        self._healths: list[Health] = []
        self._stop = Event()
        base.make_folder(self._folder)
        ignore = self._folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        self._webhooks = self._health("webhook")
        if settings.webhook is not None:
            check_url(settings.webhook, "webhook")
        self._outbox = Outbox(self._folder / "alerts.json", self._webhooks, self._secret(), base.file_mode)
        self._statsd = None
        if settings.statsd is not None:
            self._statsd = StatsD(settings.statsd, settings.statsd_form, self._health("statsd"))
        self._otlp = None
        if settings.otlp is not None:
            self._otlp = Otlp(settings.otlp, str(base), self._metrics, self._health("otlp"), settings.otlp_interval_s)
        self._history: Health | None = None
        if settings.history is not None:
            from air_executor.observe.history.database import open_database

            open_database(settings.history, base).dispose()  # a bad URL is told at once
            self._history = self._health("history")
        alerts = Alerts(
            str(base),
            self._outbox,
            self._metrics,
            url=settings.webhook,
            form=settings.webhook_form,
            no_progress_s=None if settings.no_progress_min is None else 60.0 * settings.no_progress_min,
        )
        self._live = LiveFeed(base, self._metrics, self._outbox, alerts, self._statsd, since)

    def _health(self, name: str) -> Health:
        self._healths.append(Health(name, self._metrics))
        return self._healths[-1]

    def _secret(self) -> bytes | None:
        path = self._settings.webhook_secret_file
        if path is None:
            return None
        try:
            secret = Path(path).expanduser().read_bytes().strip()
        except OSError as error:
            raise BaseUnusable(f"webhook_secret_file {path}: {error.strerror}") from None
        if not secret:
            raise InvalidInput(f"webhook_secret_file {path}: is empty")
        return secret

    def stop(self) -> None:
        """Let `run` bring everything up to the present and return. May be called from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Observe until `stop`. Raises `Refused` when another observer is at work on this base."""
        with self._alone(), self._server() as port:
            with contextlib.suppress(OSError):
                os.nice(NICENESS)
            log.info("pid %d tells %s of %s", os.getpid(), ", ".join(self._telling(port)), self._base)
            threads = [
                self._begin("report", lambda: self._report(port)),
                self._begin("webhook", self._outbox.run),
            ]
            if self._history is not None:
                threads.append(self._begin("history", self._follow_history))
            if self._otlp is not None:
                otlp = self._otlp
                threads.append(self._begin("otlp", lambda: otlp.run(self._stop)))
            try:
                self._live.run(self._stop)
            finally:
                self._stop.set()
                self._outbox.stop()
                for thread in threads:
                    thread.join()
                self._outbox.flush(FLUSH_S)
                (self._folder / STATUS).unlink(missing_ok=True)

    def _begin(self, name: str, action: Callable[[], None]) -> Thread:
        thread = Thread(target=action, name=name, daemon=True)
        thread.start()
        return thread

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        path = self._folder / "lock"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, self._base.file_mode)
        try:
            with contextlib.suppress(PermissionError):  # made by another member of the group
                os.fchmod(fd, self._base.file_mode)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Refused(f"an observer already works on {self._base}; a manager may have started it") from None
            yield
        finally:
            os.close(fd)

    def _telling(self, port: int | None) -> list[str]:
        told = [health.name for health in self._healths]
        return told if port is None else [*told, f"http://{self._settings.metrics_host}:{port}/metrics"]

    def _follow_history(self) -> None:
        from air_executor.observe.history.feed import HistoryFeed

        assert self._history is not None
        assert self._settings.history is not None
        while True:
            try:
                HistoryFeed(self._base, self._settings.history, self._history).run(self._stop)
                return
            except AirExecutorError as error:
                self._history.failed(str(error))
            except Exception as error:
                log.exception("history: begun anew because of a bug")
                self._history.failed(f"{type(error).__name__}: {error}")
            if self._stop.wait(RESTART_S):
                return

    def _report(self, port: int | None) -> None:
        """Say every second how the sinks do, in `status.json` and in the metrics."""
        began = to_iso(time.time())
        while True:
            sinks = {health.name: health.report() for health in self._healths}
            pid = manager_pid(self._base)
            self._metrics.put("air_executor_manager_up", int(pid is not None))
            if pid is not None:
                self._metrics.put("air_executor_slots", self._slots())
            status = {
                "pid": os.getpid(),
                "version": __version__,
                "started_at": began,
                "at": to_iso(time.time()),
                "metrics_port": port,
                "alerts_waiting": self._outbox.waiting,
                "sinks": sinks,
            }
            with contextlib.suppress(OSError):
                data = json.dumps(status, indent=2).encode() + b"\n"
                write_atomically(self._folder / STATUS, data, mode=self._base.file_mode)
            if self._stop.wait(REPORT_S):
                return

    def _slots(self) -> int:
        try:
            slots = json.loads(self._base.manager_json.read_bytes())["slots"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return slots if isinstance(slots, int) else 0

    @contextlib.contextmanager
    def _server(self) -> Iterator[int | None]:
        """`/metrics` and `/healthz` over HTTP, where a port is set."""
        port = self._settings.metrics_port
        if port is None:
            yield None
            return
        host = self._settings.metrics_host
        metrics = self._metrics

        class Answers(BaseHTTPRequestHandler):
            server_version, sys_version = f"air-executor/{__version__}", ""
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, CONTENT_TYPE, metrics.exposition())
                elif path == "/healthz":
                    self._answer(200, "application/json", b'{"ok": true}\n')
                else:
                    self._answer(404, "text/plain; charset=utf-8", b"see /metrics\n")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Content-Type-Options", "nosniff")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nobody wants a line a scrape."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = 10 if ":" in host else 2  # IPv6, IPv4

            def handle_error(self, *_: Any) -> None:
                """A scraper that hangs up is no news."""

        try:
            server = Server((host, port), Answers)
        except OSError as error:
            raise BaseUnusable(f"metrics_port: cannot listen on {host}:{port}: {error.strerror}") from None
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="metrics", daemon=True)
        thread.start()
        try:
            yield port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
