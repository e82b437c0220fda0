"""What it costs to import the package, and to queue a task from inside a task."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measure import alternate, environment, median

ROUNDS = 15


def run() -> bool:
    """Print the times; whether the goals are met."""
    with tempfile.TemporaryDirectory() as scratch:
        inside = environment() | {
            "AIR_EXECUTOR_BASE": scratch,
            "AIR_EXECUTOR_JOB": "job",
            "AIR_EXECUTOR_TASK": "task",
            "AIR_EXECUTOR_ATTEMPT": "1",
            "AIR_EXECUTOR_INBOX": str(Path(scratch) / "inbox.jsonl"),
        }

        def python(*args: str) -> None:
            subprocess.run([sys.executable, *args], check=True, env=inside)

        script = str(Path(sys.executable).with_name("air-executor"))
        seconds = alternate(
            ROUNDS,
            nothing=lambda: python("-c", "pass"),
            imported=lambda: python("-c", "import air_executor"),
            queued=lambda: subprocess.run([script, "queue", "--", "true"], check=True, env=inside),
        )
    nothing, imported, queued = (median(seconds[k]) * 1000 for k in ("nothing", "imported", "queued"))
    print(f"  python -c pass {nothing:.0f} ms; import air_executor {imported - nothing:.0f} ms (goal under 60)")
    print(f"  air-executor queue -- true {queued:.0f} ms (goal under 100)")
    return imported - nothing < 60 and queued < 100
