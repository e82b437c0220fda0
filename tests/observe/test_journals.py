"""Reading all journals of a base as they grow."""

from __future__ import annotations

import shutil

from air_executor.observe.journals import Journals, RunJournal, journals_of
from air_executor.store.layout import Base
from tests.observe.journal import START, Journal


class Reader:
    """Counts the events of each run, however they come."""

    def __init__(self, base: Base) -> None:
        self.known: dict[str, int | None] = {}
        self.begun: list[tuple[str, str]] = []
        self.events: dict[str, int] = {}
        self.ended: set[str] = set()
        self.journals = Journals(base, self.begin, at_rest=self.at_rest)

    def begin(self, job: str, journal: RunJournal) -> int | None:
        self.begun.append((job, journal.created.id))
        return self.known.get(journal.created.id, 0)

    def at_rest(self, job: str, journal: RunJournal) -> bool:
        return journal.ended()

    def look(self) -> dict[str, int]:
        """New events of each run since the last look."""
        found: dict[str, int] = {}
        self.journals._list_at = 0.0  # at once, not in a second
        for chunk in self.journals.look():
            if not chunk.known:
                name = chunk.run.created.id
                found[name] = found.get(name, 0) + len(chunk.events)
        return found


def test_events_come_once_and_torn_ends_later(base: Base) -> None:
    journal = Journal(base, "job", "r1").run_task("a")
    reader = Reader(base)
    assert reader.look() == {"r1": 4}
    assert reader.look() == {}
    whole = journal.run_task("b").path.read_bytes()
    journal.path.write_bytes(whole[:-10])
    assert reader.look() == {"r1": 2}
    journal.path.write_bytes(whole)
    assert reader.look() == {"r1": 1}
    assert reader.journals.unread() == 0
    reader.journals.close()


def test_lines_of_a_later_version_are_passed_over(base: Base) -> None:
    journal = Journal(base, "job", "r1")
    with journal.path.open("ab") as file:
        file.write(b'{"type":"SomethingNew","at":"2030-01-01T00:00:00Z"}\n')
    journal.run_task("a").end()
    reader = Reader(base)
    assert reader.look() == {"r1": 5}
    reader.journals.close()


def test_a_last_line_that_is_none_may_be_cut_off_again(base: Base) -> None:
    journal = Journal(base, "job", "r1").run_task("a")
    good = journal.path.read_bytes()
    journal.path.write_bytes(good + b'{"type":"AttemptSta\n')
    reader = Reader(base)
    assert reader.look() == {"r1": 4}
    journal.path.write_bytes(good)
    journal.run_task("b")
    assert reader.look() == {"r1": 3}
    reader.journals.close()


def test_runs_end_rest_wake_and_follow_each_other(base: Base) -> None:
    first = Journal(base, "job", "r1").run_task("a").end()
    reader = Reader(base)
    assert reader.look() == {"r1": 5}
    assert reader.look() == {}
    assert reader.begun == [("job", "r1")]  # it rests, and is not opened again
    reader.known = {"r1": first.path.stat().st_size}
    first.run_task("late")
    assert reader.look() == {"r1": 3}
    reader.known = {"r1": first.path.stat().st_size}
    first.end().archive()
    Journal(base, "job", "r2", START + 10).run_task("a").end().archive()
    Journal(base, "job", "r3", START + 20).run_task("a")
    assert reader.look() == {"r1": 1, "r2": 5, "r3": 4}
    reader.journals.close()


def test_jobs_come_and_go(base: Base) -> None:
    reader = Reader(base)
    assert reader.look() == {}
    Journal(base, "one", "r1").run_task("a")
    (base.jobs / ".new-1-2").mkdir()
    (base.jobs / "no journal").mkdir()
    (base.jobs / "half").mkdir()
    (base.jobs / "half" / "journal.jsonl").write_bytes(b'{"type":"RunCre')
    (base.jobs / "a file").touch()
    assert reader.look() == {"r1": 4}
    shutil.rmtree(base.job("one").path)
    assert reader.look() == {}
    Journal(base, "one", "r2").run_task("a")
    assert reader.look() == {"r2": 4}
    reader.journals.close()


def test_the_journals_of_a_job(base: Base) -> None:
    first = Journal(base, "job", "r/1").end().archive()
    now = Journal(base, "job", "r2")
    assert journals_of(base.job("job")) == [first, now.path]
    assert journals_of(base.job("job"), "r/1") == [first]
    assert journals_of(base.job("job"), "r2") == [now.path]
    assert journals_of(base.job("job"), "r3") == []
