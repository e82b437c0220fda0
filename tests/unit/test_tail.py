"""Following a journal, the roll of its tasks, and the index that keeps what was read."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air_executor import events as ev
from air_executor.errors import InvalidInput, NotFound
from air_executor.lifecycle import Run
from air_executor.model import JobOptions, TaskSpec, Usage
from air_executor.observe import saved
from air_executor.observe.index import Draft, Index
from air_executor.observe.objects import attempt_objects, task_object, task_row
from air_executor.observe.progress import Progress
from air_executor.observe.roll import CODES, GRID, REASONS, STATUSES, Roll
from air_executor.observe.select import Selection
from air_executor.observe.series import Series
from air_executor.observe.tail import JournalTail
from air_executor.observe.tails import Tails
from air_executor.observe.timeline import timeline
from air_executor.store.layout import Base, JobFolder
from air_executor.store.views import render_tasks
from air_executor.times import to_iso

BEGAN = 1_790_000_000.0


class Story:
    """A job that goes on by steps, decided by the machine that decides in earnest, and written to a journal."""

    def __init__(self, folder: JobFolder, seed: int, run_id: str = "run-1") -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.now = BEGAN
        self.events: list[ev.Event] = []
        self.made = 0
        self.attempts: dict[str, int] = {}
        at = to_iso(self.now)
        folder.path.mkdir(parents=True, exist_ok=True)
        self.write(
            ev.RunCreated(at=at, version=1, id=run_id, name="job", created_at=at, options=JobOptions(), cwd="/")
        )

    def write(self, event: ev.Event) -> None:
        self.events.append(event)
        with self.folder.journal.open("ab") as file:
            file.write(ev.encode_events([event]))

    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.now += self.chance.choice([0.0, 0.001, 0.1, 3.0])
            self._step()

    def _step(self) -> None:
        run = Run(list(self.events))
        pending = [t for t in run.in_order if t.status == "pending" and not t.unmet and not t.retry_at]
        running = list(run.running_tasks())
        at = to_iso(self.now)
        step = self.chance.random()
        if step < 0.35 or not run.in_order:
            needs = [f"t{self.chance.randrange(self.made)}"] if self.made and self.chance.random() < 0.2 else []
            group = self.chance.choice([None, "a", "b"])
            task = TaskSpec(id=f"t{self.made}", command="true", group=group, dependencies=needs, env={"KEY": "x"})
            self.made += 1
            self.write(ev.TaskQueued(at=at, task=task))
        elif step < 0.65 and pending:
            task_ = self.chance.choice(list(pending))
            self.write(ev.AttemptStarted(at=at, task=task_.spec.id, attempt=task_.attempt + 1, launcher="l"))
        elif step < 0.9 and running:
            self._end(self.chance.choice([t.spec.id for t in running]), run, at)
        elif step < 0.95 and pending:
            self.write(ev.TaskCancelled(at=at, task=self.chance.choice(list(pending)).spec.id, error="not wanted"))
        elif ended := [t for t in run.in_order if t.status == "failed"]:
            self.write(ev.TaskRetried(at=at, task=self.chance.choice(ended).spec.id))

    def _end(self, task: str, run: Run, at: str) -> None:
        reason: Any = self.chance.choice([None, None, "exit", "timeout", "lost", "cancelled"])
        self.write(
            ev.AttemptExited(
                at=at,
                task=task,
                attempt=run.tasks[task].attempt,
                exit_code=None if reason else 0,
                reason=reason,
                error=None if reason is None else f"it was {reason}",
                run_s=0.25,
                usage=Usage(cpu_s=0.1, memory_mb=20.0),
                retry_at=self.now if reason == "exit" and self.chance.random() < 0.5 else None,
            )
        )

    def view(self) -> Any:
        """The tasks as `tasks.json` would show them."""
        import json

        run = Run(list(self.events))
        run.name = "job"
        return json.loads(b"".join(render_tasks(run)))


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    base = Base(tmp_path / "base")
    base.create()
    return base.job("job")


def fresh(path: Path, seed: int) -> JobFolder:
    base = Base(path / f"base-{seed}-{os.urandom(4).hex()}")
    base.create()
    return base.job("job")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_tasks_read_from_the_journal_are_those_of_the_view(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = fresh(tmp_path_factory.mktemp("tail"), seed)
    story = Story(folder, seed)
    tail = JournalTail(folder)
    for _ in range(4):
        story.go_on(15)
        tail.advance()
        check(tail, story)
    tail.close()


def check(tail: JournalTail, story: Story) -> None:
    view = story.view()
    progress = tail.progress
    roll = progress.roll
    assert tail.position == story.folder.journal.stat().st_size
    assert [STATUSES[code] for code in roll.codes] == [task["status"] for task in view]
    assert roll.ids == [task["id"] for task in view]
    for place, task in enumerate(view):
        mine = task_object(tail, place)
        for key in ("id", "status", "started_at", "completed_at", "error", "attempt", "dependencies", "group", "env"):
            assert mine.get(key) == task.get(key), key
        row = task_row(tail, place)
        assert (row["status"], row["attempt"]) == (task["status"], task.get("attempt", 0))
        assert len(attempt_objects(tail, place)) == task.get("attempt", 0)
        if task["status"] == "failed":
            assert REASONS[roll.codes[place]] == task["reason"]
    assert progress.by_code == [roll.codes.count(code) for code in range(len(REASONS))]
    for name, counts in progress.groups.items():
        statuses = [task["status"] for task in view if task.get("group") == name]
        assert counts == {status: statuses.count(status) for status in counts}
    spans = timeline(progress, story.now, 10_000)["spans"]
    assert len(spans) == sum(task.get("attempt", 0) for task in view)
    open_lanes = [lane for lane, _, _, ended, _, _ in spans if ended is None]
    assert len(open_lanes) == len(set(open_lanes)) == progress.counts["running"]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), first=st.integers(1, 80), then=st.integers(0, 80), piece=st.integers(1, 9))
def test_what_was_saved_goes_on_as_if_it_had_not_been(
    seed: int, first: int, then: int, piece: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = fresh(tmp_path_factory.mktemp("saved"), seed)
    index = Index(folder.path.parent / "index")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved, "CHUNK", piece)  # so that a few tasks make many pieces
        story = Story(folder, seed)
        story.go_on(first)
        tail = JournalTail(folder)
        tail.advance()
        draft = Draft.of(tail, None)
        story.go_on(then)
        tail.advance()  # while it is being written
        assert index.save(draft)
        draft.frozen.close()
        restored = JournalTail(folder)
        assert index.load(restored) == draft.version._replace(changed=0)
        restored.advance()
        same(tail, restored, story)
        again = Draft.of(tail, draft.version)
        assert index.save(again)
        again.frozen.close()
        once_more = JournalTail(folder)
        assert index.load(once_more) is not None
        assert once_more.position == tail.position
        same(tail, once_more, story)
    assert index.trouble is None
    index.close()
    for each in (tail, restored, once_more):
        each.close()


def same(tail: JournalTail, other: JournalTail, story: Story) -> None:
    check(other, story)
    mine, theirs = tail.progress, other.progress
    now = story.now + 0.5
    assert mine.counts == theirs.counts
    assert mine.rate(now) == theirs.rate(now)
    assert mine.estimate(now) == theirs.estimate(now)
    assert mine.running == theirs.running
    assert list(mine.recent) == list(theirs.recent)
    assert mine.last_failures(9) == theirs.last_failures(9)
    assert mine.series_columns(now) == theirs.series_columns(now)
    assert timeline(mine, now, 99) == timeline(theirs, now, 99)
    window = (BEGAN + 1.0, BEGAN + 20.0)
    assert timeline(mine, now, 99, *window) == timeline(theirs, now, 99, *window)
    assert vars(mine.queue_times) == vars(theirs.queue_times)


def test_an_index_of_another_journal_is_not_believed(folder: JobFolder, tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    story = Story(folder, 1)
    story.go_on(30)
    tail = JournalTail(folder)
    tail.advance()
    index.save(Draft.of(tail, None))
    whole = folder.journal.read_bytes()

    def refuses(change: Callable[[], None]) -> None:
        change()
        assert index.load(JournalTail(folder)) is None

    assert index.load(JournalTail(folder)) is not None
    refuses(lambda: os.truncate(folder.journal, len(whole) - 1))

    def replaced() -> None:
        folder.journal.rename(folder.path / "old")
        folder.journal.write_bytes(whole)

    refuses(replaced)
    (folder.path / "old").rename(folder.journal)
    refuses(lambda: folder.journal.write_bytes(whole.replace(b'"run-1"', b'"run-2"')))
    index.close()
    tail.close()


def test_a_spoilt_index_is_made_anew(folder: JobFolder, tmp_path: Path) -> None:
    story = Story(folder, 1)
    story.go_on(30)
    tail = JournalTail(folder)
    tail.advance()
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "index.sqlite").write_bytes(b"this is no database at all" * 100)
    spoilt = Index(tmp_path / "index")
    assert spoilt.load(JournalTail(folder)) is None
    assert spoilt.trouble
    assert not spoilt.save(Draft.of(tail, None))
    index = Index(tmp_path / "index")
    assert index.save(Draft.of(tail, None))
    assert index.load(JournalTail(folder)) is not None
    index.close()
    with sqlite3.connect(index.path) as connection:
        connection.execute("UPDATE chunks SET data = x'c1'")
    connection.close()
    assert Index(tmp_path / "index").load(JournalTail(folder)) is None
    nowhere = Index(Path("/proc/nowhere"))
    assert nowhere.load(JournalTail(folder)) is None
    assert nowhere.trouble
    tail.close()


def test_two_servers_share_an_index(folder: JobFolder, tmp_path: Path) -> None:
    story = Story(folder, 5)
    story.go_on(40)
    mine, theirs = Index(tmp_path / "index"), Index(tmp_path / "index")
    tail = JournalTail(folder)
    tail.advance()
    early = Draft.of(tail, None)
    story.go_on(40)
    other = JournalTail(folder)
    other.advance()
    assert theirs.save(Draft.of(other, None))
    assert mine.save(early), "somebody knows more: nothing is to be done"
    found = JournalTail(folder)
    version = mine.load(found)
    assert version is not None
    assert version.position == other.position
    same(other, found, story)
    story.go_on(40)
    for each in (tail, other):
        each.advance()
    assert mine.save(Draft.of(tail, early.version))
    found = JournalTail(folder)
    assert theirs.load(found) is not None
    same(tail, found, story)
    for index in (mine, theirs):
        index.close()


def test_the_index_forgets_jobs_that_are_gone(folder: JobFolder, tmp_path: Path) -> None:
    story = Story(folder, 5)
    story.go_on(10)
    tail = JournalTail(folder)
    tail.advance()
    index = Index(tmp_path / "index")
    index.save(Draft.of(tail, None))
    index.forget(folder.base)
    assert index.load(JournalTail(folder)) is not None
    folder.path.rename(tmp_path / "away")
    index.forget(folder.base)
    (tmp_path / "away").rename(folder.path)
    assert index.load(JournalTail(folder)) is not None, "it looks only once"
    folder.path.rename(tmp_path / "away")
    Index(tmp_path / "index").forget(folder.base)
    (tmp_path / "away").rename(folder.path)
    assert index.load(JournalTail(folder)) is None
    index.close()


def test_changes_between_two_positions(folder: JobFolder) -> None:
    story = Story(folder, 3)
    story.go_on(60)
    tail = JournalTail(folder)
    tail.advance()
    offsets = [0]
    for line in folder.journal.read_bytes().splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    for begin in (1, 7, len(offsets) // 2, len(offsets) - 1):
        found = set().union(*tail.places_between(offsets[begin], tail.position))  # type: ignore[arg-type]
        told = {e.task.id if isinstance(e, ev.TaskQueued) else e.task for e in story.events[begin:]}  # type: ignore[attr-defined]
        assert {tail.progress.roll.ids[place] for place in found} == told
    assert list(tail.places_between(offsets[5] + 3, tail.position)) == [None]
    tail.close()


def test_a_next_run_takes_the_place_of_the_one_before(folder: JobFolder) -> None:
    Story(folder, 1).go_on(20)
    tail = JournalTail(folder)
    tail.advance()
    frozen = tail.frozen()
    before = [task_object(frozen, place) for place in range(len(frozen.progress.roll))]
    folder.journal.rename(folder.path / "old")
    other = Story(folder, 2, "run-2")
    other.go_on(20)
    tail.advance()
    assert tail.progress.run_id == "run-2"
    check(tail, other)
    assert [task_object(frozen, place) for place in range(len(frozen.progress.roll))] == before
    frozen.close()
    tail.close()


# ---- the roll and choosing from it ---------------------------------------------------------------


def test_a_roll_forgets_old_changes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("air_executor.observe.roll.KEPT_CHANGES", 10)
    roll = Roll()
    for n in range(25):
        roll.add(f"t{n}", None, 0.0, 1)
    assert roll.changed == 25
    assert len(roll.changes) <= 10
    assert list(roll.changes) == list(range(roll.forgotten, 25))


def test_codes_of_the_grid() -> None:
    assert [GRID[code] for code in range(len(REASONS))] == [0, 1, 2, 3, 4, 5, 3, 3, 3, 3, 3]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_selection_is_what_its_words_say(data: st.DataObject) -> None:
    roll = Roll()
    groups = [None, "a", "b"]
    told = []
    for n in range(data.draw(st.integers(0, 60))):
        code = data.draw(st.integers(0, len(REASONS) - 1))
        group = data.draw(st.sampled_from(groups))
        roll.mark(roll.add(f"Task-{n}", group, 0.0, 1), code)
        told.append((code, group, f"Task-{n}"))
    status = data.draw(st.sampled_from([None, "pending", "failed", "running,completed"]))
    reason = data.draw(st.sampled_from([None, "exit", "skipped,lost"]))
    group = data.draw(st.sampled_from([None, "a", "nobody"]))
    text = data.draw(st.sampled_from([None, "1", "TASK-2", "x"]))
    expected = [
        place
        for place, (code, its_group, name) in enumerate(told)
        if (status is None or STATUSES[code] in status.split(","))
        and (reason is None or REASONS[code] in reason.split(","))
        and (group is None or group == its_group)
        and (text is None or text.casefold() in name.casefold())
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("air_executor.observe.select.STEP", data.draw(st.integers(1, 30)))
        selection = Selection(roll, status, reason, group, text)
        first, limit = data.draw(st.integers(0, 60)), data.draw(st.integers(1, 20))
        places, more = asyncio.run(selection.page(first, limit))
        wanted = [place for place in expected if place >= first]
        assert (places, more) == (wanted[:limit], len(wanted) > limit)
        assert asyncio.run(selection.count()) == len(expected)


def test_unknown_words_are_refused() -> None:
    for criteria in (("odd", None), (None, "odd"), ("failed,", None)):
        with pytest.raises(InvalidInput, match="expected some of"):
            Selection(Roll(), *criteria)
    assert set(CODES) == {reason for reason in REASONS if reason}


def test_a_series_stays_short_and_ends_with_the_present() -> None:
    series = Series()
    counts = {"pending": 0, "running": 0, "completed": 0, "failed": 0}
    for n in range(100_000):
        counts["completed"] = n
        if n >= series.next_at:
            series.add(float(n), counts, n - 0.01)
    columns = series.columns(100_000.0, {**counts, "failed": 3}, 99_999.9)
    assert 250 < len(columns["t"]) <= 601
    assert columns["completed"][0] == 0
    assert (columns["t"][-1], columns["failed"][-1]) == (100_000.0, 3)
    steps = [b - a for a, b in zip(columns["t"], columns["t"][1:], strict=False)]
    assert max(steps) < 4 * min(steps[:-1])


def test_what_holds_for_long_is_no_slope() -> None:
    series = Series()
    counts = {"pending": 0, "running": 0, "completed": 0, "failed": 0}
    series.add(0.0, counts, 0.0)
    running = {**counts, "running": 4}
    series.add(60.0, running, 0.05)
    columns = series.columns(90.0, {**running, "failed": 1}, 60.5)
    assert columns["t"] == [0.0, 0.05, 60.0, 60.5, 90.0]
    assert columns["running"] == [0, 4, 4, 4, 4]
    assert columns["failed"] == [0, 0, 0, 1, 1]


def test_memory_is_bounded_by_the_roll() -> None:
    progress = Progress()
    at = to_iso(BEGAN)
    progress.add(ev.RunCreated(at=at, id="r", name="n", created_at=at, options=JobOptions(), cwd="/"))
    for n in range(2_000):
        progress.add(ev.TaskQueued(at=at, task=TaskSpec(id=f"t{n}", command="x", group=f"g{n}")))
        progress.add(ev.TaskCancelled(at=at, task=f"t{n}", error="no"))
    assert len(progress.not_run) == 500
    assert progress.not_run_count == 2_000
    assert [failure.task for failure in progress.last_failures(2)] == ["t1999", "t1998"]
    failures = list(progress.failures())
    assert len(failures) == 2_000
    assert (failures[0].task, failures[0].reason, failures[0].error) == ("t0", "cancelled", None)


# ---- all jobs that are looked at -----------------------------------------------------------------


def test_jobs_nobody_looks_at_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("air_executor.observe.tails.MEMORY", 2_000)
    monkeypatch.setattr("air_executor.observe.tails.GRACE_S", 0.0)
    base = Base(tmp_path / "base")
    base.create()
    for name in "abcd":
        Story(base.job(name), 1).go_on(40)

    async def look() -> None:
        tails = Tails(base)
        async with tails.listening("a"):
            for name in "bcd":
                assert (await tails.look(name)).progress.total
            assert tails.peek("a") is not None
            assert tails.peek("b") is None
            assert tails.peek("d") is not None
            with pytest.raises(NotFound):
                await tails.look("nobody")
        tails.close()

    asyncio.run(look())


def test_a_long_journal_is_read_beside_the_loop_and_then_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("air_executor.observe.tails.AT_ONCE", 1_000)
    monkeypatch.setattr("air_executor.observe.tails.KEEP_EVERY", 1_000)
    base = Base(tmp_path / "base")
    base.create()
    story = Story(base.job("long"), 9)
    story.go_on(80)

    async def look(index: Index) -> None:
        tails = Tails(base, index)
        assert tails.peek("long") is None
        check(await tails.look("long"), story)
        await asyncio.to_thread(lambda: None)
        tails.close()

    index = Index(tmp_path / "index")
    asyncio.run(look(index))
    again = Index(tmp_path / "index")
    tail = JournalTail(base.job("long"))
    assert again.load(tail) is not None
    check(tail, story)
    again.close()
    tail.close()
    asyncio.run(look(Index(tmp_path / "index")))
