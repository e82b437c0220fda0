"""What the manager asks of whatever makes processes, and what it gets back."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple, Protocol

from msgspec import Struct

from air_executor.lifecycle import AttemptEnd
from air_executor.store.layout import JobFolder

__all__ = ["AttemptKey", "Launch", "RunContext", "Runner"]


class AttemptKey(NamedTuple):
    """Names one attempt for ever and everywhere."""

    job: str
    run: str
    task: str
    attempt: int


class RunContext(Struct, frozen=True):
    """What the attempts of one run share."""

    job: JobFolder
    run: str
    cwd: str
    env: dict[str, str]


class Launch(Struct, gc=False):
    """An attempt to start. `env` and `cwd` are the task's own, on top of the run's."""

    key: AttemptKey
    context: RunContext
    argv: list[str]
    cwd: str | None
    env: dict[str, str] | None
    timeout_s: float | None
    grace_s: float
    keep_children: bool = False
    memory_limit_mb: float | None = None


class Runner(Protocol):
    """Makes attempts into processes and tells of their ends. Never blocks."""

    never_started: list[AttemptKey]
    """Attempts that were handed over and of which no process was ever made: to be handed over again."""

    def recover(self, running: set[AttemptKey], unreadable: Container[str] = ()) -> set[AttemptKey]:
        """Find again what an earlier manager had started; gives those of `running` it knows nothing of."""

    def stopped_with_the_machine(self, launcher: str) -> bool:
        """Whether the machine was started again since that launcher lived."""

    @property
    def ready(self) -> bool:
        """Whether anything can be handed over now."""

    def choose(self) -> str:
        """Name the launcher that the next attempt goes to."""

    def reserve(self, launcher: str, key: AttemptKey) -> None:
        """Count an attempt that will be handed over, so that the next one goes elsewhere."""

    def start(self, launcher: str, launch: Launch) -> None:
        """Hand an attempt over; it is sent with the next `flush`."""

    def stop(self, key: AttemptKey, grace_s: float) -> None:
        """End an attempt's process group: TERM, grace, KILL."""

    def disown(self, key: AttemptKey) -> None:
        """Forget whose an attempt was: its name may be given once more while it is still being ended."""

    def flush(self) -> None:
        """Send what was handed over."""

    def collect(self, fds: list[int]) -> list[tuple[AttemptKey, AttemptEnd]]:
        """The ends that came in since the last call; `fds` are the descriptors that became ready."""
