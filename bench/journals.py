"""Journals of jobs that nobody had to run: many tasks, with times and ends like those of real ones."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec

from air_executor import events as ev
from air_executor.model import JobOptions, TaskSpec, Usage
from air_executor.times import to_iso

__all__ = ["write_job"]

BEGAN = 1_790_000_000.0
STEP = 5_000
WORDS = ["connection reset", "no such page", "bad row 17", "out of cheese", "checksum differs"]


def write_job(base: Path, name: str, tasks: int, *, ended: bool = True) -> Path:
    """A job folder with a journal and `state.json`; a fiftieth of the tasks has failed. Gives the folder."""
    folder = base / "jobs" / name
    (folder / "logs").mkdir(parents=True)
    (folder / "inbox").mkdir()
    chance = random.Random(1)
    now = BEGAN
    run = "20260921T133320-0000000a"
    counts = {"pending": 0, "running": 0, "completed": 0, "failed": 0}
    with (folder / "journal.jsonl").open("wb") as file:

        def write(*events: ev.Event) -> None:
            file.write(ev.encode_events(list(events)))

        at = to_iso(now)
        write(
            ev.RunCreated(
                at=at, version=1, id=run, name=name, created_at=at, options=JobOptions(), cwd="/", environment={}
            )
        )
        for first in range(0, tasks, STEP):
            numbers = range(first, min(tasks, first + STEP))
            at = to_iso(now)
            write(*(_queued(at, number) for number in numbers))
            for number in numbers:
                now += 0.0001 + chance.random() * 0.001
                task = f"page-{number:07d}"
                run_s = chance.expovariate(20.0)
                write(ev.AttemptStarted(at=to_iso(now - run_s), task=task, attempt=1, launcher="launcher-1-1-ab12"))
                fails = chance.random() < 0.02
                counts["failed" if fails else "completed"] += 1
                write(_exited(to_iso(now), task, run_s, chance, fails=fails))
        at = to_iso(now)
        if ended:
            write(ev.RunEnded(at=at, state="failed", reason="failures", error=f"{counts['failed']} tasks failed"))
    state = {"id": run, "name": name, "state": "failed" if ended else "working", "created_at": to_iso(BEGAN)}
    state |= {"updated_at": at, "progress": {"total": tasks, **counts}, "error": None, "reason": None, "warnings": []}
    (folder / "state.json").write_bytes(msgspec.json.encode(state))
    return folder


def _queued(at: str, number: int) -> ev.Event:
    spec = TaskSpec(
        id=f"page-{number:07d}",
        command="python3",
        args=["fetch.py", f"https://example.org/pages/{number}"],
        group="pages" if number % 3 else "images",
    )
    return ev.TaskQueued(at=at, task=spec)


def _exited(at: str, task: str, run_s: float, chance: random.Random, *, fails: bool) -> ev.Event:
    usage = Usage(cpu_s=round(run_s / 2, 4), memory_mb=round(20 + 30 * chance.random(), 3))
    if fails:
        error = f"{chance.choice(WORDS)}"
        return ev.AttemptExited(
            at=at, task=task, attempt=1, exit_code=1, reason="exit", error=error, run_s=run_s, usage=usage
        )
    return ev.AttemptExited(at=at, task=task, attempt=1, exit_code=0, run_s=round(run_s, 6), usage=usage)
