"""Discoveries: a function that runs inside a job, and whose every `yield` becomes a task of it at that moment.

from air_executor import AirExecutorClient, discovery

def files(folder):
    from pathlib import Path

    for path in sorted(Path(folder).rglob("*.csv")):
        yield {"command": "gzip", "args": [str(path)]}

AirExecutorClient().create_job("pack", [{"id": "discover", **discovery.task(files, "/data")}])

The function goes along as text, so it may use builtins, its arguments, and what it imports itself. It may yield
discoveries in their turn: `yield discovery.task(files, folder)`.
"""

from __future__ import annotations

from air_executor.discovery.shipping import Discovery, task

__all__ = ["Discovery", "task"]
