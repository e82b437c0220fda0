"""From `create_job` being called to the task's process running, on an idle manager."""

from __future__ import annotations

import statistics
import time

from air_executor import AirExecutorClient
from bench.measure import manager

JOBS = 200


def run() -> bool:
    """Print the latency; whether the goal is met."""
    with manager() as base:
        client = AirExecutorClient(base)
        latencies_ms = []
        for number in range(JOBS):
            name = f"latency-{number}"
            before = time.time()
            client.create_job(name, [{"id": "t", "command": "date", "args": ["+%s.%N"]}])
            client.wait(name, 30)
            latencies_ms.append((float(client.logs(name, "t")) - before) * 1000)
            time.sleep(0.02)
    middle = statistics.median(latencies_ms)
    p95 = statistics.quantiles(latencies_ms, n=20)[-1]
    print(f"  submitted to running: median {middle:.1f} ms, 95% {p95:.1f} ms (goal: median under 10 ms)")
    return middle < 10
