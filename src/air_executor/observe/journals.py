"""All journals of a base folder, read as they grow: every run of every job, from its first event to its last.

Whoever reads keeps up at its own speed: what is not read yet waits in the journals, never in memory.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from air_executor import events as ev
from air_executor.errors import InvalidName
from air_executor.names import check_job_name, file_stem
from air_executor.store.files import open_regular
from air_executor.store.layout import Base, JobFolder
from air_executor.times import from_iso

__all__ = ["Chunk", "Journals", "RunJournal", "journals_of", "rests_ended"]

CHUNK: Final = 262_144
SLEEPERS_A_LOOK: Final = 250
LIST_EVERY_S: Final = 1.0
TAIL_BYTES: Final = 65_536
_NO_EVENT: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RunJournal:
    """The journal of one run, which goes on being read when it is moved to `runs/`."""

    def __init__(self, path: Path) -> None:
        """Raises `OSError` when it cannot be opened, `ValueError` while it has no first line of ours."""
        self._fd = open_regular(path)
        try:
            info = os.fstat(self._fd)
            self.inode = info.st_ino
            self.written_at = info.st_mtime
            self.created = self._first()
        except BaseException:
            os.close(self._fd)
            raise
        self.offset = 0
        """Where the next whole line begins."""
        self.seen = info.st_size
        """How long it was when it was last read to its end."""

    def _first(self) -> ev.RunCreated:
        data = b""
        while b"\n" not in data:
            more = os.pread(self._fd, 65_536, len(data))
            if not more:
                raise ValueError("no whole line")
            data += more
        try:
            event = ev.decode_event(data[: data.index(b"\n")])
        except _NO_EVENT as error:
            raise ValueError(str(error)) from None
        if not isinstance(event, ev.RunCreated):
            raise ValueError("not a RunCreated event")
        from_iso(event.at)
        return event

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, until: int | None = None) -> list[ev.Event]:
        """The next events, about `CHUNK` bytes of them, none beyond the offset `until`; [] when there are none.

        Lines this version does not know are passed over. A last line that is none is read again, since a
        restarted manager may cut it off.
        """
        want = CHUNK if until is None else min(CHUNK, until - self.offset)
        data = os.pread(self._fd, want, self.offset) if want > 0 else b""
        while data and b"\n" not in data:
            more = os.pread(self._fd, CHUNK, self.offset + len(data))
            if not more:
                return []
            data += more
        end = data.rfind(b"\n") + 1
        lines = data[:end].split(b"\n")[:-1]
        found: list[ev.Event] = []
        for number, line in enumerate(lines, 1):
            try:
                found.append(ev.decode_event(line))
            except _NO_EVENT:
                if number == len(lines) and self.offset + end >= self.size:
                    end -= len(line) + 1
        self.offset += end
        return found

    def on_a_line(self, offset: int) -> bool:
        """Whether a line begins at `offset`: an older state of this journal cannot have been cut off before it."""
        return offset <= self.size and (offset == 0 or os.pread(self._fd, 1, offset - 1) == b"\n")

    def ended(self) -> bool:
        """Whether its last words are that the run has ended."""
        at = max(0, self.size - TAIL_BYTES)
        data = os.pread(self._fd, TAIL_BYTES, at)
        return data.rfind(b'{"type":"RunEnded"') > data.rfind(b'{"type":"RunReopened"')

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Chunk(NamedTuple):
    """Events of one run, in order, and where in its journal they end."""

    run: RunJournal
    events: list[ev.Event]
    offset: int
    known: bool
    """Whether the reader said that it has taken these in before; they only bring back what it remembered."""


Begin = Callable[[str, RunJournal], int | None]
"""Told of a run: the offset up to which its events are known (0: none), or None to pass it over."""


class _Job:
    """What is remembered of a job folder: the run being read, or what its journal looked like at rest."""

    __slots__ = ("known_until", "rest", "run", "runs_seen")

    def __init__(self) -> None:
        self.run: RunJournal | None = None
        self.known_until = 0
        self.rest: tuple[int, int] | None = None
        self.runs_seen = False


class Journals:
    """Reads what is new in all journals of a base, also in those of runs that began and ended unseen."""

    def __init__(self, base: Base, begin: Begin, *, at_rest: Callable[[str, RunJournal], bool]) -> None:
        """`at_rest`: asked when a run was read to its present end; True to close it until it grows again."""
        self.base = base
        self._begin = begin
        self._at_rest = at_rest
        self._jobs: dict[str, _Job] = {}
        self._active: dict[str, None] = {}
        self._asleep: dict[str, None] = {}
        self._list_at = 0.0
        self.polls = 0

    def look(self) -> Iterator[Chunk]:
        """What was written since the last look, as far as it went when this began; the caller takes its time."""
        self.polls += 1
        self._list()
        for name in [*self._active, *self._sleepers()]:
            with contextlib.suppress(OSError):  # gone, or not ours to read
                yield from self._look_at(name)

    def unread(self) -> int:
        """Bytes in the journals at work that were not read yet."""
        total = 0
        for name in self._active:
            if (run := self._jobs[name].run) is not None:
                total += max(0, run.size - run.offset)
        return total

    def again(self, name: str) -> None:
        """Read the journals of this job from their beginnings; what is known is asked for anew."""
        job = self._jobs.get(name)
        if job is not None:
            if job.run is not None:
                job.run.close()
                job.run = None
            self._jobs[name] = _Job()
            self._active[name] = None
            self._asleep.pop(name, None)

    def close(self) -> None:
        for job in self._jobs.values():
            if job.run is not None:
                job.run.close()
        self._jobs.clear()

    def _list(self) -> None:
        now = time.monotonic()
        if now < self._list_at:
            return
        self._list_at = now + LIST_EVERY_S
        try:
            names = {entry.name for entry in os.scandir(self.base.jobs) if entry.is_dir(follow_symlinks=False)}
        except OSError:
            names = set()
        for name in names - self._jobs.keys():
            with contextlib.suppress(InvalidName):
                self._jobs[check_job_name(name)] = _Job()
                self._active[name] = None
        for name in self._jobs.keys() - names:
            job = self._jobs.pop(name)
            self._active.pop(name, None)
            self._asleep.pop(name, None)
            if job.run is not None:
                job.run.close()

    def _sleepers(self) -> list[str]:
        """The next few of those at rest, in turn."""
        names = []
        for name in self._asleep:
            names.append(name)
            if len(names) == SLEEPERS_A_LOOK:
                break
        for name in names:
            self._asleep[name] = self._asleep.pop(name)
        return names

    def _look_at(self, name: str) -> Iterator[Chunk]:
        job, folder = self._jobs[name], self.base.job(name)
        try:
            info = os.stat(folder.journal, follow_symlinks=False)
        except FileNotFoundError:
            info = None
        if info is not None and job.rest == (info.st_ino, info.st_size):
            return
        if job.run is not None and (info is None or info.st_ino != job.run.inode):
            yield from self._finish(name, job)  # the end of the run that was moved away
        if info is not None and job.rest is not None and job.rest[0] != info.st_ino:
            job.runs_seen = False  # others may have come and gone between the two
        if not job.runs_seen:
            job.runs_seen = True
            yield from self._earlier(name, folder)
        if info is None or self._jobs.get(name) is not job or not self._open(name, job, folder, info.st_size):
            return
        assert job.run is not None
        self._active[name] = None
        self._asleep.pop(name, None)
        yield from self._read(job)
        if self._jobs.get(name) is job and self._at_rest(name, job.run):
            self._sleep(name, job)

    def _finish(self, name: str, job: _Job) -> Iterator[Chunk]:
        yield from self._read(job)
        if job.run is not None:
            self._at_rest(name, job.run)
            job.run.close()
            job.run, job.runs_seen = None, False

    def _open(self, name: str, job: _Job, folder: JobFolder, size: int) -> bool:
        """Whether there is a run to read, opened where it was not; False where it is passed over."""
        if job.run is not None and size >= job.run.offset:
            return True
        if job.run is None:
            try:
                job.run = RunJournal(folder.journal)
            except ValueError:
                return False  # its first line is being written
            job.rest = None
        job.run.offset = 0  # also where it was cut off, by a power failure, say
        return self._start(name, job)

    def _start(self, name: str, job: _Job) -> bool:
        assert job.run is not None
        known = self._begin(name, job.run)
        if known is None:
            self._sleep(name, job)
            return False
        job.known_until = known
        return True

    def _sleep(self, name: str, job: _Job) -> None:
        assert job.run is not None
        job.rest = (job.run.inode, job.run.seen)
        job.run.close()
        job.run = None
        self._active.pop(name, None)
        self._asleep[name] = None

    def _read(self, job: _Job) -> Iterator[Chunk]:
        run = job.run
        assert run is not None
        end = run.seen = run.size
        while run.offset < end:
            known = run.offset < job.known_until
            before = run.offset
            events = run.read(job.known_until if known else None)
            if run.offset == before:
                return
            yield Chunk(run, events, run.offset, known)
            if run is not job.run:
                return  # the caller wants it from the beginning

    def _earlier(self, name: str, folder: JobFolder) -> Iterator[Chunk]:
        for path in _archived(folder):
            job = _Job()
            try:
                job.run = RunJournal(path)
            except (OSError, ValueError):
                continue
            try:
                if (known := self._begin(name, job.run)) is not None:
                    job.known_until = known
                    yield from self._read(job)
                    self._at_rest(name, job.run)
            finally:
                job.run.close()


def _archived(folder: JobFolder) -> list[Path]:
    """The journals in `runs/`, oldest first."""
    if folder.runs.is_symlink():
        return []
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder.runs):
            path = Path(entry.path) / "journal.jsonl"
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    found.append((os.lstat(path).st_mtime_ns, path))
    return [path for _, path in sorted(found)]


def journals_of(folder: JobFolder, run_id: str | None = None) -> list[Path]:
    """The journals of a job that are there now, oldest first, the present one last; or that of one run."""
    paths = _archived(folder)
    if run_id is not None:
        paths = [path for path in paths if path.parent.name == file_stem(run_id)]
    if folder.journal.exists():
        with contextlib.suppress(OSError, ValueError):
            present = RunJournal(folder.journal)
            present.close()
            if run_id in (None, present.created.id):
                paths.append(folder.journal)
    return paths


def rests_ended(path: Path) -> bool:
    """Whether the journal at `path` says last that its run has ended."""
    run = RunJournal(path)
    try:
        return run.ended()
    finally:
        run.close()
