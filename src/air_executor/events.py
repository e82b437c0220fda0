"""What can happen to a job: one class an event, one line of the journal each.

The journal's first line is `RunCreated` and carries the schema version. Events are facts: replaying
them never decides anything anew, so a later version may decide otherwise and still read old journals.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from air_executor.model import JobOptions, Reason, State, TaskSpec, Usage

__all__ = [
    "SCHEMA_VERSION",
    "AttemptExited",
    "AttemptStarted",
    "CancelRequested",
    "DefectFound",
    "Event",
    "RequestDone",
    "RunClosed",
    "RunCreated",
    "RunEnded",
    "RunPaused",
    "RunReopened",
    "RunResumed",
    "TaskCancelled",
    "TaskImported",
    "TaskQueued",
    "TaskRetried",
    "TaskSkipped",
    "WarningRaised",
    "decode_event",
    "encode_events",
]

SCHEMA_VERSION: Final = 1


class Event(Struct, kw_only=True, omit_defaults=True, tag_field="type", tag=True, gc=False):
    """Something that happened, and when (ISO 8601, UTC)."""

    at: str


class RunCreated(Event, kw_only=True):
    """A run of a job began: always the first line."""

    version: int = 0
    id: str
    name: str
    created_at: str
    options: JobOptions
    cwd: str
    environment: dict[str, str] = {}
    """PATH and virtual environment of whoever submitted it."""
    tasks_file: tuple[int, int, int] | None = None
    """Inode, size and time (ns) of the hand-written `tasks.json` it began from: never taken for another run's."""
    extra: dict[str, Any] = {}
    """Keys of `state.json` we do not know, kept as they came."""


class TaskQueued(Event, kw_only=True):
    """A task was accepted. `parent` is the task that queued it, where known."""

    task: TaskSpec
    parent: str | None = None


class TaskImported(Event, kw_only=True):
    """A task was taken over from views without a journal, with the end those say it had."""

    task: TaskSpec
    status: Literal["completed", "failed"]
    reason: Reason | None = None
    error: str | None = None
    attempt: int = 0
    exit_code: int | None = None
    result: Any = None
    usage: Usage | None = None
    created_at: str
    started_at: str | None = None
    completed_at: str | None = None


class AttemptStarted(Event, kw_only=True):
    """An attempt was handed to a launcher (before the process exists)."""

    task: str
    attempt: int
    launcher: str


class AttemptExited(Event, kw_only=True):
    """An attempt ended. No `reason`: it succeeded. `retry_at` (epoch seconds): another attempt follows."""

    task: str
    attempt: int
    exit_code: int | None = None
    signal: str | None = None
    reason: Reason | None = None
    error: str | None = None
    run_s: float | None = None
    usage: Usage | None = None
    result: Any = None
    retry_at: float | None = None


class TaskSkipped(Event, kw_only=True):
    """A task will not run because of what it depends on."""

    task: str
    error: str


class TaskCancelled(Event, kw_only=True):
    """A task that had not started was cancelled."""

    task: str
    error: str


class TaskRetried(Event, kw_only=True):
    """Somebody asked for another go at a failed task, or a skipped one came back with it."""

    task: str


class CancelRequested(Event, kw_only=True):
    """A running task (or with no task, the whole job) is to be stopped."""

    task: str | None = None
    cause: Literal["cancelled", "deadline", "max_failures"] = "cancelled"
    error: str | None = None
    """What the job's error is to be, where the cause alone does not tell."""


class RunPaused(Event, kw_only=True):
    """No new task starts until the job is resumed."""


class RunResumed(Event, kw_only=True):
    """A paused job goes on."""


class RunClosed(Event, kw_only=True):
    """An open job was closed: it ends when nothing of it is left."""


class RunReopened(Event, kw_only=True):
    """An ended job takes tasks again."""


class DefectFound(Event, kw_only=True):
    """Part of the job can never run (a cycle, an unknown dependency, bad input); it will end failed."""

    reason: str
    error: str


class RunEnded(Event, kw_only=True):
    """The job ended and is sealed."""

    state: State
    reason: str | None = None
    error: str | None = None


class WarningRaised(Event, kw_only=True):
    """Something the user should know that did not stop the job."""

    text: str


class RequestDone(Event, kw_only=True):
    """A dropped request was carried out; it is not carried out again if it is read again."""

    request: str


AnyEvent = (
    RunCreated
    | TaskQueued
    | TaskImported
    | AttemptStarted
    | AttemptExited
    | TaskSkipped
    | TaskCancelled
    | TaskRetried
    | CancelRequested
    | RunPaused
    | RunResumed
    | RunClosed
    | RunReopened
    | DefectFound
    | RunEnded
    | WarningRaised
    | RequestDone
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)


def encode_events(events: list[Event]) -> bytes:
    """The journal lines of `events`, in order, each ended by a newline."""
    return _encoder.encode_lines(events)


def decode_event(line: bytes) -> Event:
    """The event of one journal line; `msgspec.DecodeError` when it is none."""
    event: Event = _decoder.decode(line)
    return event
