"""10,000 × /bin/true with journal and logs, against a bare C loop and xargs, as many at once."""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
from pathlib import Path

from air_executor import AirExecutorClient
from bench.measure import alternate, manager, median

TASKS = 10_000
AT_ONCE = 8
ROUNDS = 5


def run() -> bool:
    """Print the rates and ratios; whether the goals are met."""
    with tempfile.TemporaryDirectory() as scratch, manager("--slots", str(AT_ONCE)) as base:
        yardstick = Path(scratch) / "spawn"
        source = Path(__file__).with_name("spawn.c")
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", str(yardstick), str(source)], check=True)
        client = AirExecutorClient(base)
        numbers = itertools.count()
        tasks = [{"id": f"t{n}", "command": "/bin/true"} for n in range(TASKS)]

        def ours() -> None:
            name = f"bench-{next(numbers)}"
            client.create_job(name, tasks)
            state = client.wait(name, 120)
            assert state["progress"]["completed"] == TASKS, state

        def c_loop() -> None:
            subprocess.run([str(yardstick), str(TASKS), str(AT_ONCE)], check=True)

        def xargs() -> None:
            numbers = "\n".join(map(str, range(TASKS))).encode()
            subprocess.run(["xargs", "-P", str(AT_ONCE), "-n", "1", "/bin/true"], input=numbers, check=True)

        seconds = alternate(ROUNDS, c=c_loop, ours=ours, xargs=xargs)
    for name, times in seconds.items():
        print(f"  {name:<6} {TASKS / median(times):>7.0f} tasks/s   ({min(times):.2f}–{max(times):.2f} s)")
    of_c = median(c / o for c, o in zip(seconds["c"], seconds["ours"], strict=True))
    of_xargs = median(x / o for x, o in zip(seconds["xargs"], seconds["ours"], strict=True))
    print(f"  ours/C {of_c:.2f} (goal 0.75)   ours/xargs {of_xargs:.2f} (goal over 1)")
    return of_c >= 0.75 and of_xargs > 1.0
