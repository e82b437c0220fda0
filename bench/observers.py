"""10,000 × /bin/true beside an observer with every sink that is of use, against the same without one."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from air_executor import AirExecutorClient
from air_executor.observe.observer_status import observer_report
from air_executor.store.layout import Base
from air_executor.times import from_iso
from bench.measure import manager, median, timed

TASKS = 10_000
AT_ONCE = 8
ROUNDS = 5
GOAL = 0.95


def run() -> bool:
    """Print the rates and their ratio; whether the goal is met."""
    plain_s, observed_s, late_s = [], [], []
    with told() as (webhook, statsd), contextlib.ExitStack() as stack:
        slots = ("--slots", str(AT_ONCE))
        port = str(free_port())
        sinks = ("--history", "sqlite", "--metrics-port", port, "--statsd", statsd, "--webhook", webhook)
        plain = AirExecutorClient(stack.enter_context(manager(*slots)))
        observed = AirExecutorClient(stack.enter_context(manager(*slots, *sinks)))
        numbers = itertools.count()
        tasks = [{"id": f"t{n}", "command": "/bin/true"} for n in range(TASKS)]

        def work(client: AirExecutorClient) -> None:
            name = f"bench-{next(numbers)}"
            client.create_job(name, tasks)
            state = client.wait(name, 120)
            assert state["progress"]["completed"] == TASKS, state

        for timed_round in [False] + [True] * ROUNDS:  # in the first whatever is done once is done
            without, beside = timed(lambda: work(plain)), timed(lambda: work(observed))
            late = timed(lambda: catch_up(observed.base))  # or it would do so at the cost of the other
            if timed_round:
                plain_s.append(without)
                observed_s.append(beside)
                late_s.append(late)
    for name, times in (("without", plain_s), ("beside", observed_s)):
        print(f"  {name:<8} {TASKS / median(times):>7.0f} tasks/s   ({min(times):.2f}–{max(times):.2f} s)")
    ratio = median(w / b for w, b in zip(plain_s, observed_s, strict=True))
    print(f"  beside/without {ratio:.3f} (goal {GOAL}); the history was complete {median(late_s):.1f} s later")
    return ratio >= GOAL


def catch_up(base: Base) -> None:
    """Return when the history has taken in all there is now."""
    now, pause = time.time(), threading.Event()
    while True:
        report = observer_report(base)
        if report is not None and from_iso(report["at"]) - report["sinks"]["history"]["lag_s"] >= now:
            return
        pause.wait(0.05)


@contextlib.contextmanager
def told() -> Iterator[tuple[str, str]]:
    """Somebody who takes webhooks, and somebody who takes datagrams."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        try:
            yield f"http://127.0.0.1:{server.server_port}/", f"127.0.0.1:{udp.getsockname()[1]}"
        finally:
            server.shutdown()
            server.server_close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
