"""Following the journal of one job: its progress, the roll of its tasks, and any event read again by its place."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from air_executor import events as ev
from air_executor.errors import InvalidInput
from air_executor.model import STATES, JobOptions, Reason, TaskSpec, Usage, parse_options, parse_task
from air_executor.observe.progress import Progress
from air_executor.store.files import Identity, identity, read_regular
from air_executor.store.journal import JournalFollower
from air_executor.store.layout import JobFolder
from air_executor.times import to_iso

__all__ = ["JournalTail", "ViewsTail"]

SLICE: Final = 262_144
"""Bytes read in one go where others wait: some milliseconds."""


class JournalTail:
    """A job as its journal tells it. `advance` reads on; nothing here waits or blocks for long."""

    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self.name = folder.name
        self.progress = Progress()
        self.version = 0
        """Moves on with every event."""
        self._journal = JournalFollower(folder.journal)

    @property
    def position(self) -> int:
        """How many bytes of the journal are told by `progress`."""
        return self._journal.position

    @property
    def begun(self) -> bool:
        """Whether a manager has taken the job up."""
        return bool(self.progress.run_id)

    def behind(self) -> int:
        """Bytes that have not been read."""
        return self._journal.behind()

    def restore(self, progress: Progress, position: int) -> None:
        """Go on where `progress` was left: at a position of the file that is there now."""
        self.progress = progress
        self.version += 1
        self._journal = JournalFollower(self.folder.journal, position)
        self._journal.open()

    @property
    def inode(self) -> int:
        """Of the journal that is followed."""
        return self._journal.inode

    def advance(self, at_most: int = SLICE) -> bool:
        """Read about `at_most` bytes; whether there was anything new."""
        before = self.version
        progress = self.progress
        follower = self._journal
        for fresh, event in follower.read(at_most):
            if fresh and isinstance(event, ev.RunCreated):
                progress = self.progress = Progress()
            progress.add(event, follower.at)
            self.version += 1
        return self.version != before

    def event_at(self, position: int) -> ev.Event | None:
        """The event whose line begins at `position` of the journal of the present run."""
        try:
            return ev.decode_event(self._journal.line_at(position))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def prepare(self) -> None:
        """Make ready what would otherwise be made when it is needed first; for a thread."""
        _ = self.progress.roll.places

    def frozen(self) -> JournalTail:
        """What is known now, for whoever needs a while to tell it; to be closed."""
        tail = copy.copy(self)
        tail.progress = copy.copy(self.progress)
        tail.progress.roll = self.progress.roll.frozen()
        tail._journal = self._journal.reader()
        return tail

    def places_between(self, begin: int, end: int) -> Iterator[set[int] | None]:
        """The places of the tasks that the events between two positions are about, in portions.

        None, and no more, when `begin` is not where a line begins.
        """
        if self._journal.bytes_at(begin - 1, 1) != b"\n":
            yield None
            return
        places = self.progress.roll.places
        while begin < end:
            data = self.lines_from(begin, end)
            begin += len(data)
            found = (places.get(_task_of(line)) for line in data.split(b"\n")[:-1])
            yield {place for place in found if place is not None}

    def lines_from(self, begin: int, end: int) -> bytes:
        """Some whole lines of the journal, from the one that begins at `begin`, not beyond `end`."""
        data = self._journal.bytes_at(begin, min(SLICE, end - begin))
        whole = data.rfind(b"\n") + 1
        return data[:whole] if whole else self._journal.line_at(begin) + b"\n"

    def close(self) -> None:
        self._journal.close()


def _task_of(line: bytes) -> str:
    """The id of the task that an event is about; empty for none."""
    try:
        task = _about.decode(line).task
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return task if isinstance(task, str) else "" if task is None else task.id


class _Named(msgspec.Struct):
    id: str = ""


class _About(msgspec.Struct):
    task: str | _Named | None = None


_about: Final = msgspec.json.Decoder(_About)


class ViewsTail(JournalTail):
    """A job that no manager has taken up, as its two views tell it; its events are what a manager would say."""

    def __init__(self, folder: JobFolder) -> None:
        super().__init__(folder)
        self._events: list[ev.Event] = []
        self._seen: tuple[Identity | None, Identity | None] | None = None

    @property
    def position(self) -> int:
        return 0

    @property
    def taken_up(self) -> bool:
        """Whether there is a journal now, which tells more."""
        return identity(self.folder.journal) is not None

    def behind(self) -> int:
        return 0

    def advance(self, at_most: int = SLICE) -> bool:
        seen = (identity(self.folder.state), identity(self.folder.tasks))
        if seen == self._seen:
            return False
        self._seen = seen
        self.version += 1
        self._events = []
        progress = self.progress = Progress()
        state = _decoded(self.folder.state, dict)
        at = _text(state, "created_at") or to_iso(time.time())
        self._tell(
            ev.RunCreated(
                at=at, id=_text(state, "id"), name=self.name, created_at=at, options=_options(state), cwd=""
            )
        )
        tasks = _decoded(self.folder.tasks, list) if _size(seen[1]) <= MOST_OF_A_VIEW else []
        for index, raw in enumerate(tasks):
            if isinstance(raw, dict):
                self._tell_task(raw, index, at)
        progress.state = state["state"] if state.get("state") in STATES else "waiting"
        progress.reason, progress.error = _text(state, "reason") or None, _text(state, "error") or None
        progress.updated_at = _text(state, "updated_at") or at
        return True

    def event_at(self, position: int) -> ev.Event | None:
        return self._events[position] if position < len(self._events) else None

    def _tell(self, event: ev.Event) -> None:
        self.progress.add(event, len(self._events))
        self._events.append(event)

    def _tell_task(self, raw: dict[str, Any], index: int, at: str) -> None:
        try:
            spec = parse_task(raw)
        except InvalidInput:
            spec = TaskSpec()
        if not spec.id:
            spec.id = f"tasks[{index}]"
        if spec.id in self.progress.roll.places:
            return
        status = raw.get("status")
        if status not in ("completed", "failed"):
            self._tell(ev.TaskQueued(at=at, task=spec))
            return
        try:
            told = msgspec.convert(
                {key: raw[key] for key in _OF_AN_END if raw.get(key) is not None} | {"created_at": at, "at": at},
                _End,
            )
        except msgspec.ValidationError:
            told = _End(at=at, created_at=at)
        self._tell(ev.TaskImported(task=spec, status=status, **msgspec.structs.asdict(told)))


class _End(msgspec.Struct, kw_only=True):
    at: str
    created_at: str
    reason: Reason | None = None
    error: str | None = None
    attempt: int = 0
    exit_code: int | None = None
    result: Any = None
    usage: Usage | None = None
    started_at: str | None = None
    completed_at: str | None = None


_OF_AN_END: Final = frozenset(_End.__struct_fields__) - {"at", "created_at"}
MOST_OF_A_VIEW: Final = 64_000_000
"""Of a list larger than this only the counts in `state.json` are shown until a manager takes it up."""


def _size(seen: Identity | None) -> int:
    return 0 if seen is None else seen.size


def _decoded(path: Any, kind: type) -> Any:
    try:
        value = msgspec.json.decode(read_regular(path))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return kind()
    return value if isinstance(value, kind) else kind()


def _text(state: dict[str, Any], key: str) -> str:
    value = state.get(key)
    return value if isinstance(value, str) else ""


def _options(state: dict[str, Any]) -> JobOptions:
    try:
        return parse_options(state)
    except InvalidInput:
        return JobOptions()
