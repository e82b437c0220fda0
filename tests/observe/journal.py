"""Journals made by hand, event by event, at times a test chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from air_executor import events as ev
from air_executor.model import JobOptions, TaskSpec, Usage
from air_executor.names import file_stem
from air_executor.store.layout import Base
from air_executor.times import to_iso

START = 1_790_000_000.0


class Journal:
    """The journal of one run; `at` is the time of the next event, in seconds since its beginning."""

    def __init__(self, base: Base, job: str, run: str = "r1", began: float = START, **options: Any) -> None:
        self.folder = base.job(job)
        self.folder.create()
        self.path = self.folder.journal
        self.run, self.began, self.at = run, began, 0.0
        self.path.write_bytes(b"")
        self.put(
            ev.RunCreated, version=1, id=run, name=job, created_at=self.time, options=JobOptions(**options), cwd="/"
        )

    @property
    def time(self) -> str:
        return to_iso(self.began + self.at)

    def put(self, kind: type[ev.Event], **keys: Any) -> Journal:
        with self.path.open("ab") as file:
            file.write(ev.encode_events([kind(at=self.time, **keys)]))
        return self

    def wait(self, seconds: float) -> Journal:
        self.at += seconds
        return self

    def queue(self, *tasks: str, group: str | None = None) -> Journal:
        for task in tasks:
            self.put(ev.TaskQueued, task=TaskSpec(id=task, command="true", group=group))
        return self

    def start(self, task: str, attempt: int = 1) -> Journal:
        return self.put(ev.AttemptStarted, task=task, attempt=attempt, launcher="l")

    def exit(self, task: str, attempt: int = 1, run_s: float = 1.0, **keys: Any) -> Journal:
        usage = keys.pop("usage", Usage(cpu_s=0.5, memory_mb=20.0))
        return self.put(ev.AttemptExited, task=task, attempt=attempt, run_s=run_s, usage=usage, **keys)

    def run_task(self, task: str, run_s: float = 1.0, group: str | None = None, **keys: Any) -> Journal:
        return self.queue(task, group=group).start(task).wait(run_s).exit(task, run_s=run_s, **keys)

    def end(self, state: Any = "completed", **keys: Any) -> Journal:
        return self.put(ev.RunEnded, state=state, **keys)

    def archive(self) -> Path:
        """Move it to `runs/`, as a manager does when the next run begins."""
        target = self.folder.runs / file_stem(self.run)
        target.mkdir(parents=True)
        self.path = self.path.rename(target / "journal.jsonl")
        return self.path
