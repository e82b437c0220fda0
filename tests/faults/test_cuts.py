"""Journals and spools that end anywhere, or hold bytes nobody wrote: the start succeeds and nothing whole is lost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from air_executor import events as ev
from air_executor.errors import JournalUnreadable
from air_executor.lifecycle import IllegalTransition, Run
from air_executor.manager.job import ManagedJob
from air_executor.runners.base import AttemptKey
from air_executor.runners.local import LocalRunner
from air_executor.store.journal import read_journal
from air_executor.store.layout import Base
from tests.faults.histories import journal_events, keys, spool_text
from tests.faults.killing import Faulty
from tests.faults.workload import Workload, check, summary
from tests.support import ended, read, wait_for
from tests.unit.world import T0

TAIL = 4_096
NOW = T0 + 10_000


@pytest.fixture
def base(tmp_path: Path) -> Base:
    base = Base(tmp_path / "base")
    base.create()
    return base


@contextlib.contextmanager
def loaded(base: Base, journal: bytes, name: str = "job") -> Iterator[ManagedJob]:
    """A job whose journal is `journal`, as a starting manager takes it up."""
    folder = base.job(name)
    folder.path.mkdir(exist_ok=True)
    folder.journal.write_bytes(journal)
    after: list[Callable[[], None]] = []
    job = ManagedJob(folder, after.append)
    try:
        job.load(NOW)
        yield job
    finally:
        if job.journal is not None:
            job.journal.close()
        for torn in folder.path.glob("journal.torn-*"):
            torn.unlink()
        folder.journal.unlink(missing_ok=True)


def tasks_of(run: Run) -> list[Any]:
    return [(t.spec, t.status, t.reason, t.attempt, t.exit_code, t.result, t.error) for t in run.in_order]


def test_a_journal_cut_at_every_byte_of_its_last_4_kib(base: Base) -> None:
    events = journal_events(tasks=60)
    data = ev.encode_events(events)
    assert len(data) > TAIL + 1_000
    ends = [0]
    for line in data.splitlines(keepends=True):
        ends.append(ends[-1] + len(line))
    for cut in range(len(data) - TAIL, len(data) + 1):
        whole = max(n for n, end in enumerate(ends) if end <= cut)
        with loaded(base, data[:cut]) as job:
            assert job.run is not None
            job.run.check_invariants()
            made, job.run.new_events = job.run.new_events, []
            expected = Run([*events[:whole], *made])
            assert tasks_of(job.run) == tasks_of(expected), cut
            torn = data[ends[whole] : cut]
            kept = [path.read_bytes() for path in job.folder.path.glob("journal.torn-*")]
            assert kept == ([torn] if torn else []), cut
            assert any("torn" in warning for warning in job.run.warnings) == bool(torn)
            if cut % 50 == 0:  # what comes after goes on from a whole line
                job.run.new_events = made
                job.flush()
                assert tasks_of(Run(read_journal(job.folder.journal)[0])) == tasks_of(job.run)


def test_a_journal_cut_within_its_first_line_is_kept_aside(base: Base) -> None:
    data = ev.encode_events(journal_events(tasks=3))
    first = data.index(b"\n") + 1
    for cut in (1, first // 2, first - 1):
        with loaded(base, data[:cut]) as job:
            assert job.run is None
            assert [path.read_bytes() for path in job.folder.path.glob("journal.torn-*")] == [data[:cut]]


def damaged(data: bytes, chance: random.Random) -> tuple[bytes, int]:
    """`data` with some random bytes in its last 4 kB; also where they begin."""
    place = chance.randrange(len(data) - TAIL, len(data))
    size = min(chance.choice([1, 1, 2, 8, 64, 512]), len(data) - place)
    noise = chance.choice([chance.randbytes(size), b"\0" * size, b"\n" * size, b"}" * size, b'"' * size])
    return data[:place] + noise + data[place + size :], place


def test_random_bytes_in_a_journal(base: Base) -> None:
    events = journal_events(tasks=60)
    data = ev.encode_events(events)
    chance = random.Random(7)
    refused = 0
    for _ in range(600):
        journal, place = damaged(data, chance)
        before = data[:place].count(b"\n")
        folder = base.job("job")
        try:
            with loaded(base, journal) as job:
                assert job.run is not None
                job.run.check_invariants()
                found, _ = read_journal(folder.journal)
                assert found[:before] == events[:before]
                cut_off = b"".join(path.read_bytes() for path in job.folder.path.glob("journal.torn-*"))
                assert folder.journal.read_bytes() + cut_off == journal
                assert any("torn" in warning for warning in job.run.warnings) == bool(cut_off)
        except (JournalUnreadable, IllegalTransition):
            refused += 1
    assert refused


# ---- spools -------------------------------------------------------------------------------------


@pytest.fixture
def no_such_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pids in the sample spool are nobody's, and `/proc` is not searched 4,096 times."""
    monkeypatch.setattr(LocalRunner, "_find_by_mark", lambda self, attempt: False, raising=False)


def recovered(base: Base, spool: bytes) -> tuple[dict[AttemptKey, Any], set[AttemptKey]]:
    """What a starting manager makes of one dead launcher's spool: ends, and what it would start again."""
    path = base.runtime / "launcher-1-1-abcd.000000.spool"
    path.write_bytes(spool)
    poller = select.epoll()
    runner = LocalRunner(base, poller, 1)
    try:
        unknown = runner.recover(keys())
        ends = dict(runner.collect([]))
        runner.close()
    finally:
        poller.close()
        path.unlink(missing_ok=True)
    return ends, unknown


def whole_ends(spool: bytes) -> dict[str, Any]:
    """Task -> exit code, of the ends that whole lines tell."""
    found = {}
    for line in spool.split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, list) and record[:1] == ["x"]:
            found[f"t{record[1]}"] = record[2]
    return found


@pytest.mark.usefixtures("no_such_process")
def test_a_spool_cut_at_every_byte_of_its_last_4_kib(base: Base) -> None:
    spool = spool_text(attempts=80)
    assert len(spool) > TAIL
    for cut in range(len(spool) - TAIL, len(spool) + 1):
        text = spool[:cut]
        ends, unknown = recovered(base, text)
        told = whole_ends(text)
        for key, end in ends.items():
            if key.task in told:
                assert (end.exit_code, end.reason) == (told[key.task], None if not told[key.task] else "exit")
            else:
                assert end.reason == "lost"
        assert not {key.task for key in unknown} & told.keys()
        assert {key.task for key in ends} >= told.keys() & {key.task for key in keys()}
        # Whatever was written down as started is never started again.
        started = {f"t{json.loads(line)[1]}" for line in text.split(b"\n")[:-1] if line.startswith(b'["s"')}
        assert not {key.task for key in unknown} & started, cut


@pytest.mark.usefixtures("no_such_process")
def test_random_bytes_in_a_spool(base: Base) -> None:
    spool = spool_text(attempts=80)
    chance = random.Random(11)
    was_started = {f"t{json.loads(line)[1]}" for line in spool.split(b"\n")[:-1] if line.startswith(b'["s"')}
    for _ in range(600):
        text, place = damaged(spool, chance)
        ends, unknown = recovered(base, text)
        told = whole_ends(spool[: spool.rindex(b"\n", 0, place) + 1])
        assert {key.task: end.exit_code for key, end in ends.items() if key.task in told} == {
            task: code for task, code in told.items() if task in {key.task for key in keys()}
        }
        # What was accepted and is damaged may be lost; it is not started a second time.
        accepted = {
            f"t{json.loads(line)[2][2][1:]}" for line in spool[:place].split(b"\n")[:-1] if line.startswith(b'["a"')
        }
        assert not {key.task for key in unknown} & was_started & accepted


HOSTILE_LINES = [
    b"{}", b"[]", b"null", b"1", b'""', b"[" * 5_000, b'["a"]', b'["a",1]', b'["a",[],[]]', b'["a",1,["job"]]',
    b'["a",1,["job","r1",["t1"],1]]', b'["s",1,-1,5,""]', b'["s",1,99999999999999999999,5,""]',
    b'["s",1,4000001,5,"../../../etc"]', b'["x",1,0,null,null,null,null,null,null,1e300]',
    b'["x",1,"0",null,null,null,null,null,null,1]', b'["x",1,0,null,"odd",null,null,null,null,1]',
    b'["x",{},0,null,null,null,null,null,null,1]', b"\xff\xfe", b'["x",1,0,null,null,"\xff",null,null,null,1]',
    b'["s",1e99,1,1,""]', b'["a",1,["job","r1","t1",1e400]]',
]  # fmt: skip


@pytest.mark.usefixtures("no_such_process")
def test_lines_of_another_shape_in_a_spool(base: Base) -> None:
    good = spool_text(attempts=8)
    for line in HOSTILE_LINES:
        ends, _ = recovered(base, line + b"\n" + good + line + b"\n")
        told = whole_ends(good)
        assert {key.task: end.exit_code for key, end in ends.items() if key.task in told} == told, line


# ---- with a real manager -------------------------------------------------------------------------


def after_a_power_cut(faulty: Faulty, root: Path, cut: int, spool_cut: int | None) -> None:
    """Everything dies at once, and the journal has lost its last bytes."""
    work = Workload(root)
    for n in range(30):
        work.add(f"t{n}", "sleep", 0.02, idempotent=True)
    work.add("fails", "exit", 5, outcome=("failed", "exit", 5), idempotent=True)
    work.add("merge", "ok", final=True)
    job_id = work.submit(faulty.base)
    folder = faulty.base / "jobs" / work.name
    manager = faulty.start()
    wait_for(lambda: len(list(work.effects.iterdir())) >= 15, "half of the tasks")
    launchers = faulty.launchers()
    faulty.kill(manager)
    victims = [*launchers, *faulty.tasks()]
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in victims), "the end of everything")
    journal = folder / "journal.jsonl"
    data = journal.read_bytes()
    first = data.index(b"\n") + 1
    journal.write_bytes(data[: max(first, len(data) - cut)])
    for spool in (faulty.base / "runtime").glob("*.spool"):
        if spool_cut is not None:
            text = spool.read_bytes()
            spool.write_bytes(text[: max(0, len(text) - spool_cut)])
    before = journal.read_bytes().split(b"\n")[:-1]
    faulty.finish(folder, job_id)
    assert journal.read_bytes().split(b"\n")[: len(before)] == before
    run = Run(read_journal(journal)[0])
    run.check_invariants()
    queued = {json.loads(line)["task"]["id"] for line in before if b'"TaskQueued"' in line}
    assert queued <= run.tasks.keys()
    assert {t.status for t in run.in_order if t.spec.id != "fails"} == {"completed"}
    assert not faulty.complaints(), faulty.complaints()


@pytest.mark.parametrize(("cut", "spool_cut"), [(0, 0), (1, None), (137, 50), (1_000, 13), (2_500, 400)])
def test_the_machine_gone_and_its_last_window_with_it(
    faulty: Faulty, tmp_path: Path, cut: int, spool_cut: int | None
) -> None:
    after_a_power_cut(faulty, tmp_path, cut, spool_cut)


def test_a_journal_damaged_in_the_middle_stops_that_job_only_and_says_so(faulty: Faulty, tmp_path: Path) -> None:
    jobs = faulty.base / "jobs"
    (jobs / "hurt").mkdir()
    data = bytearray(ev.encode_events(journal_events("hurt")))
    second = data.index(b"\n") + 30
    data[second : second + 5] = b"\xff\0}{,"
    (jobs / "hurt" / "journal.jsonl").write_bytes(data)
    good = Workload(tmp_path, "good")
    good.add("t", "ok")
    job_id = good.submit(faulty.base)
    manager = faulty.start()
    faulty.wait_end(manager, jobs / "good", job_id)
    state = wait_for(lambda: ended(jobs / "hurt"), "the state of the damaged job")
    faulty.stop(manager)
    assert "line 2" in state["error"]
    assert (jobs / "hurt" / "journal.jsonl").read_bytes() == data
    assert not faulty.complaints(), faulty.complaints()


def test_a_journal_of_a_newer_version_is_refused_and_taken_up_by_that_version(faulty: Faulty, tmp_path: Path) -> None:
    work = Workload(tmp_path)
    work.add("sleep", "sleep", 1.0)
    work.add("after", "ok", dependencies=["sleep"])
    work.submit(faulty.base)
    manager = faulty.start()
    wait_for((work.effects / "sleep").exists, "a task")
    faulty.kill(manager)
    journal = faulty.base / "jobs" / work.name / "journal.jsonl"
    data = journal.read_bytes()
    newer = data.replace(b'"version":1', b'"version":99', 1)
    journal.write_bytes(newer)
    other = Workload(tmp_path, "other")
    other.add("t", "ok")
    other_id = other.submit(faulty.base)
    manager = faulty.start()
    faulty.wait_end(manager, faulty.base / "jobs" / "other", other_id)
    state = wait_for(lambda: ended(faulty.base / "jobs" / work.name), "the state of the refused job")
    assert "newer Air-Executor" in state["error"]
    time.sleep(1.2)  # the task ends while only the older version runs
    faulty.stop(manager)
    assert journal.read_bytes() == newer
    journal.write_bytes(data)  # the newer version is back
    manager = faulty.start()
    wait_for(lambda: read(faulty.base / "jobs" / work.name / "state.json")["state"] == "completed", "the end", 20)
    faulty.stop(manager)
    (work.effects / "t").unlink()  # the other job's
    findings = check(work, faulty.base / "jobs" / work.name)
    assert not findings.problems, summary(findings)


@pytest.mark.parametrize("spools", ["gone", "cut", "whole"])
def test_what_ran_when_the_machine_stopped_is_lost_and_not_started_as_if_for_the_first_time(
    faulty: Faulty, tmp_path: Path, spools: str
) -> None:
    """Journals are synced and spools are not: after a power cut a start may be known to the journal alone."""
    work = Workload(tmp_path)
    for n in range(4):
        work.add(f"once{n}", "sleep", 5)
        work.add(f"again{n}", "sleep", 0.3, idempotent=True)
    work.add("merge", "ok", final=True)
    job_id = work.submit(faulty.base)
    folder = faulty.base / "jobs" / work.name
    manager = faulty.start(boot="aaaaaaaa", settings={"slots": 8, "launchers": 1})
    wait_for(lambda: len(list(work.effects.iterdir())) == 8, "eight tasks")
    victims = [*faulty.launchers(), *faulty.tasks()]
    faulty.kill(manager)
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in victims), "the end of everything")
    for spool in (faulty.base / "runtime").glob("*.spool"):
        lines = spool.read_bytes().splitlines(keepends=True)
        if spools == "gone":
            spool.unlink()
        elif spools == "cut":
            spool.write_bytes(b"".join(line for line in lines if line.startswith(b'["a"')))
    faulty.finish(folder, job_id, boot="bbbbbbbb")
    findings = check(work, folder, lost_allowed=True)
    assert not findings.problems, summary(findings)
    assert {("once0", 1), ("once1", 1), ("once2", 1), ("once3", 1)} <= set(findings.lost)
    again = [t for t in Run(read_journal(folder / "journal.jsonl")[0]).in_order if t.spec.idempotent]
    assert {(t.status, t.attempt) for t in again} <= {("completed", 1), ("completed", 2)}
