"""What is known of every task and attempt of a run, in a few bytes each: the roll of its tasks.

Tasks stand in columns by their place in the list (from 0), attempts by the order in which they started.
A million tasks that ran once take about 200 MB, ids included.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from copy import copy
from heapq import heappop, heappush
from threading import Lock
from typing import Final

from air_executor.model import Reason, Status

__all__ = ["BLOCK", "CODES", "GRID", "REASONS", "RUNNING", "STATUSES", "Roll"]

PENDING: Final = 0
RUNNING: Final = 1
COMPLETED: Final = 2

REASONS: Final[tuple[Reason | None, ...]] = (
    *(None, None, None),
    *("exit", "skipped", "cancelled", "signal", "timeout", "memory", "not_started", "lost"),
)  # fmt: skip
"""Code of a task or attempt -> why it failed. The codes 0 to 2 are pending, running and completed."""
CODES: Final[dict[str, int]] = {reason: code for code, reason in enumerate(REASONS) if reason is not None}
_FAILED: Final[tuple[Status, ...]] = ("failed",)
STATUSES: Final[tuple[Status, ...]] = ("pending", "running", "completed", *_FAILED * (len(REASONS) - 3))
GRID: Final = bytes(code if code <= CODES["cancelled"] else CODES["exit"] for code in range(256))
"""Translates codes to those of the grid: all tasks that ran and failed look alike, whatever the reason."""

MAX_GROUPS: Final = 65_535
KEPT_CHANGES: Final = 400_000
NEVER: Final = 0.0
BLOCK: Final = 4_096


class _Places:
    """Makes `Roll.places` from the ids where it is missing, whichever thread asks for it first.

    A roll that is put together from the index has none at first: half of the time that takes is spared then.
    """

    def __init__(self) -> None:
        self._making = Lock()

    def __get__(self, roll: Roll, _: type[Roll]) -> dict[str, int]:
        with self._making:
            places: dict[str, int] | None = vars(roll).get("places")
            if places is None:
                places = dict(zip(roll.ids, range(len(roll.ids)), strict=True))
                vars(roll)["places"] = places
            return places


class Roll:
    """Columns. Times are epoch seconds, 0 for "not yet"; offsets are those of lines in the journal."""

    places = _Places()
    """Id -> place in the list."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        vars(self)["places"] = {}
        self.codes = bytearray()
        self.groups = array("H")
        """The number of the task's group in `group_names`; 0 is none."""
        self.queued_at = array("d")
        self.queued = array("Q")
        """Where its `TaskQueued` or `TaskImported` stands."""
        self.told = array("Q")
        """Where the event stands that tells its present end; 0 while it has none."""
        self.last = array("i")
        """The task's last attempt, -1 for none."""

        self.tasks = array("I")
        """Attempt -> task."""
        self.numbers = array("H")
        self.started = array("d")
        self.ended = array("d")
        self.ends = bytearray()
        """Attempt -> code; its end may differ from the task's, which may have been retried."""
        self.exits = array("Q")
        """Where its `AttemptExited` stands; 0 while it runs."""
        self.before = array("i")
        """The task's attempt before this one, -1 for none."""
        self.lanes = array("H")
        self._open = array("H")
        """How many attempts of each block still run."""
        self._reach = array("d")
        """When the last attempt of each block ended that has."""

        self.group_names: list[str] = [""]
        self._group_numbers: dict[str, int] = {"": 0}
        self._free_lanes: list[int] = []
        self.lane_count = 0

        self.changes = array("I")
        """Tasks whose code has changed, in order; the oldest are forgotten."""
        self.forgotten = 0
        """How many changes there were before those in `changes`."""

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def changed(self) -> int:
        """How many changes there have been so far."""
        return self.forgotten + len(self.changes)

    def add(self, task: str, group: str | None, at: float, position: int) -> int:
        """A task was queued; gives its place."""
        place = self.places[task] = len(self.ids)
        self.ids.append(task)
        self.codes.append(PENDING)
        self.groups.append(0 if group is None else self._group(group))
        self.queued_at.append(at)
        self.queued.append(position)
        self.told.append(0)
        self.last.append(-1)
        self._note(place)
        return place

    def _group(self, name: str) -> int:
        number = self._group_numbers.get(name)
        if number is None:
            if len(self.group_names) >= MAX_GROUPS:
                return 0
            number = self._group_numbers[name] = len(self.group_names)
            self.group_names.append(name)
        return number

    def group_number(self, name: str) -> int | None:
        """The number of a group; None when no task is in it."""
        return self._group_numbers.get(name)

    def mark(self, place: int, code: int, position: int = 0) -> None:
        """The task at `place` has this code now; `position` tells where its end stands."""
        self.codes[place] = code
        self.told[place] = position
        self._note(place)

    def _note(self, place: int) -> None:
        changes = self.changes
        changes.append(place)
        if len(changes) > KEPT_CHANGES:
            self.forgotten += KEPT_CHANGES // 2
            del changes[: KEPT_CHANGES // 2]

    def start(self, place: int, number: int, at: float) -> int:
        """An attempt of the task at `place` started; gives the attempt."""
        attempt = len(self.tasks)
        self.tasks.append(place)
        self.numbers.append(min(number, 65_535))
        self.started.append(at)
        self.ended.append(NEVER)
        self.ends.append(RUNNING)
        self.exits.append(0)
        self.before.append(self.last[place])
        self.last[place] = attempt
        if self._free_lanes:
            lane = heappop(self._free_lanes)
        else:
            lane = min(self.lane_count, 65_535)
            self.lane_count += 1
        self.lanes.append(lane)
        block = attempt // BLOCK
        if block == len(self._open):
            self._open.append(0)
            self._reach.append(NEVER)
        self._open[block] += 1
        return attempt

    def end(self, place: int, code: int, at: float, position: int) -> None:
        """The last attempt of the task at `place` ended."""
        attempt = self.last[place]
        if attempt < 0 or self.ends[attempt] != RUNNING:
            return
        self.ended[attempt] = at
        self.ends[attempt] = code
        self.exits[attempt] = position
        heappush(self._free_lanes, self.lanes[attempt])
        block = attempt // BLOCK
        self._open[block] -= 1
        self._reach[block] = max(self._reach[block], at)

    def put_together(self) -> None:
        """Find out, after the columns were filled, what is not kept in them."""
        del vars(self)["places"]
        self._open = array("H")
        self._reach = array("d")
        for first in range(0, len(self.ends), BLOCK):
            self._open.append(self.ends.count(RUNNING, first, first + BLOCK))
            self._reach.append(max(self.ended[first : first + BLOCK]))

    def reaches(self, block: int, at: float) -> bool:
        """Whether an attempt of a block (of `BLOCK` attempts each) ran at the moment `at` or later."""
        return self._open[block] > 0 or self._reach[block] >= at

    def frozen(self) -> Roll:
        """The roll as it is now; columns that only grow are shared with the one that goes on."""
        roll = copy(self)
        roll.codes, roll.told, roll.last = self.codes[:], self.told[:], self.last[:]
        roll.ended, roll.ends, roll.exits = self.ended[:], self.ends[:], self.exits[:]
        roll.changes, roll.forgotten = array("I"), self.changed
        return roll

    def attempts(self, place: int) -> Iterator[int]:
        """The attempts of a task, the last first."""
        attempt = self.last[place]
        while attempt >= 0:
            yield attempt
            attempt = self.before[attempt]
