"""Timing whole commands, and a manager to time them against."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["alternate", "manager", "median", "timed"]

median = statistics.median


def timed(action: Callable[[], object]) -> float:
    """Seconds of wall time that `action` takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def alternate(rounds: int, **actions: Callable[[], object]) -> dict[str, list[float]]:
    """Time each action in turn, A B A B …, so that a machine that slows down slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            seconds[name].append(timed(action))
    return seconds


@contextlib.contextmanager
def manager(*options: str) -> Iterator[Path]:
    """A running manager on a base folder of its own; gives the folder."""
    with tempfile.TemporaryDirectory(prefix="air-executor-bench-") as scratch:
        base = Path(scratch) / "base"
        process = subprocess.Popen(
            [sys.executable, "-m", "air_executor", "manager", "--base", str(base), *options],
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        try:
            while not _is_up(base, process.pid):
                if process.poll() is not None:
                    raise RuntimeError(f"the manager ended with {process.returncode}")
                time.sleep(0.01)
            time.sleep(0.3)
            yield base
        finally:
            process.terminate()
            process.wait()


def _is_up(base: Path, pid: int) -> bool:
    try:
        return bool(json.loads((base / "manager.json").read_text())["pid"] == pid)
    except (OSError, ValueError):
        return False


def environment() -> dict[str, str]:
    """This process's environment without anything of Air-Executor's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AIR_EXECUTOR_")}
