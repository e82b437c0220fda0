"""What the checks of `doctor` look at more than once."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final, Literal

from air_executor.errors import AirExecutorError
from air_executor.observe.doctor import processes as ps
from air_executor.observe.doctor.jobs_found import JobsFound, look_at_jobs
from air_executor.settings import Settings, load_settings
from air_executor.store.layout import Base
from air_executor.store.lock import manager_pid

__all__ = ["SHOWN", "Answer", "Level", "Scene", "some"]

Level = Literal["ok", "warning", "problem"]
Answer = tuple[Level, str, str | None]
"""How it is, what was found, and what to do, or to know."""

SHOWN: Final = 5


class Scene:
    """The base folder and what is looked at more than once."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.exists = os.path.isdir(base.jobs)
        self.manager: int | None = None
        with contextlib.suppress(AirExecutorError):  # `check_base` tells
            self.manager = manager_pid(base)
        self.settings_error: str | None = None
        try:
            self.settings, _ = load_settings(base.config)
        except AirExecutorError as error:
            self.settings, self.settings_error = Settings(), str(error)

    @cached_property
    def jobs(self) -> JobsFound:
        return look_at_jobs(self.base) if self.exists else JobsFound()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What `manager.json` says, whoever wrote it."""
        try:
            raw = json.loads(self.base.manager_json.read_bytes())
        except (OSError, ValueError):
            return {}
        return raw if isinstance(raw, dict) else {}

    @cached_property
    def processes(self) -> list[ps.Process]:
        return list(ps.processes())

    @cached_property
    def launchers(self) -> dict[str, int]:
        """Name -> pid of the launchers of this base that are alive."""
        runtime = str(self.base.runtime)
        return {name: p.pid for p in self.processes if (name := ps.name_of(p, runtime)) is not None}

    @property
    def pid(self) -> int:
        """The process whose limits count: the manager, or this one, which a manager would inherit from."""
        return self.manager if self.manager is not None and self.manager > 0 else os.getpid()

    def number(self, name: str) -> int:
        """A setting, as the running manager has it."""
        value = self.facts.get(name) if self.manager is not None else None
        return int(value if isinstance(value, int) else getattr(self.settings, name))

    def of_process(self, file: str) -> str:
        """A file of `/proc` about that process; empty when it may not be read."""
        try:
            return (ps.PROC / str(self.pid) / file).read_text(errors="replace")
        except OSError:
            return ""


def some(names: Iterable[str]) -> str:
    """The first of many names, and how many more there are."""
    listed = list(names)
    more = len(listed) - SHOWN
    return ", ".join(listed[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
