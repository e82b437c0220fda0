"""`prune`: what has ended goes, whatever else may be needed stays, at whatever moment."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from air_executor.cli import main
from air_executor.cli.prune import PRUNED
from air_executor.client import AirExecutorClient
from air_executor.errors import BaseUnusable
from air_executor.store import prune as store
from air_executor.store.inbox import drop_records
from air_executor.store.layout import Base
from air_executor.times import to_iso
from tests.acceptance.command_line import (
    air_executor,
    end_manager,
    manager,
    sh,
    shown,
    state_of,
    wait_for,
    write_job,
)

HOUR = 3_600.0
DAY = 24 * HOUR


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    if (tmp_path / ".air-executor").exists():
        end_manager(tmp_path)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    made = Base(tmp_path / ".air-executor")
    made.create()
    monkeypatch.chdir(tmp_path)
    return made


def lines(*events: dict[str, Any]) -> str:
    return "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)


def journal(run: str, state: str, ended_at: float) -> str:
    at = to_iso(ended_at)
    return lines(
        {
            "type": "RunCreated",
            "at": at,
            "version": 1,
            "id": run,
            "name": "x",
            "created_at": at,
            "options": {},
            "cwd": "/",
        },
        {"type": "RunEnded", "at": at, "state": state},
        {"type": "RequestDone", "at": at, "request": "x" * 70_000},
    )


def make(base: Base, name: str, state: str = "completed", age_s: float = 0.0, run: str = "r-1") -> Path:
    """A job that ended `age_s` ago, as a manager leaves it."""
    folder = base.job(name)
    folder.create()
    fill(folder.path, state, age_s, run)
    (folder.logs / "a.log").write_text("hello")
    return folder.path


def fill(path: Path, state: str, age_s: float, run: str) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "tasks.json").write_text("[]")
    (path / "journal.jsonl").write_text(journal(run, state, time.time() - age_s))
    (path / "state.json").write_text(json.dumps({"id": run, "name": path.name, "state": state}))


def names(base: Base) -> set[str]:
    return set(os.listdir(base.jobs))


def pruned(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert main(["prune", *arguments, "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert set(found) == set(PRUNED.keys)
    return found


# ---- what goes -----------------------------------------------------------------------------------


def test_one_has_to_say_what(base: Base, capsys: pytest.CaptureFixture[str]) -> None:
    make(base, "job")
    assert main(["prune"]) == 2
    assert "say what to remove" in capsys.readouterr().err
    assert main(["prune", "--older-than", "30"]) == 2
    assert "like 30d, got '30'" in capsys.readouterr().err
    assert main(["prune", "nope"]) == 3
    assert names(base) == {"job"}


@pytest.mark.parametrize(
    ("options", "stay"),
    [
        (["--older-than", "2d"], {"new", "newer", "newest", "at-work"}),
        (["--older-than", "90min"], {"newest", "at-work"}),
        (["--state", "failed"], {"oldest", "newer", "newest", "at-work"}),
        (["--keep", "2"], {"newer", "newest", "at-work"}),
        (["--keep", "2", "--older-than", "4h"], {"newer", "newest", "at-work"}),
        (["--keep", "1", "--state", "completed"], {"old", "new", "newest", "at-work"}),
        (["--keep", "9"], {"oldest", "old", "new", "newer", "newest", "at-work"}),
        (["oldest", "newest"], {"old", "new", "newer", "at-work"}),
        (["oldest", "newest", "--older-than", "1d"], {"old", "new", "newer", "newest", "at-work"}),
        (["--runs-only"], {"oldest", "old", "new", "newer", "newest", "at-work"}),
    ],
)
def test_by_age_count_state_and_name(
    options: list[str], stay: set[str], base: Base, capsys: pytest.CaptureFixture[str]
) -> None:
    make(base, "oldest", "completed", 30 * DAY)
    make(base, "old", "failed", 3 * DAY)
    make(base, "new", "failed", 5 * HOUR)
    make(base, "newer", "completed", 2 * HOUR)
    make(base, "newest", "completed", 60)
    at_work = make(base, "at-work", "completed", 90 * DAY)
    (at_work / "state.json").write_text('{"id": "r-1", "state": "working"}')
    everything = names(base)
    dry = pruned(capsys, *options, "--dry-run")
    assert names(base) == everything
    assert {one["job"] for one in dry["removed"]} == everything - stay
    done = pruned(capsys, *options)
    assert names(base) == stay
    assert (done["removed"], done["refused"]) == (dry["removed"], [])
    assert done["files"] == 4 * len(done["removed"])
    assert (done["bytes"] > 0) == bool(done["removed"])


def test_earlier_runs(base: Base, capsys: pytest.CaptureFixture[str]) -> None:
    for job in ("ended", "at-work"):
        folder = make(base, job, age_s=DAY)
        for number, age_s in enumerate((9 * DAY, 5 * DAY, 3 * DAY)):
            fill(folder / "runs" / f"r-{number}", "completed", age_s, f"r-{number}")
        fill(folder / "runs" / "r-being-moved", "completed", 9 * DAY, "r-being-moved")
        (folder / "runs" / "r-being-moved" / "journal.jsonl").unlink()
        (folder / "runs" / "r-elsewhere").symlink_to(folder / "runs" / "r-0")
    (base.jobs / "at-work" / "state.json").write_text('{"id": "r-1", "state": "working"}')

    def runs(job: str) -> set[str]:
        return set(os.listdir(base.jobs / job / "runs")) - {"r-being-moved", "r-elsewhere"}

    done = pruned(capsys, "--older-than", "4d", "--keep", "2")["removed"]
    assert [(one["job"], one["run"], one["earlier"]) for one in done] == [
        ("at-work", "r-0", True),
        ("ended", "r-0", True),
    ]
    assert runs("ended") == runs("at-work") == {"r-1", "r-2"}
    pruned(capsys, "at-work", "--runs-only", "--keep", "1")
    assert (runs("ended"), runs("at-work")) == ({"r-1", "r-2"}, {"r-2"})
    done = pruned(capsys, "--keep", "0")["removed"]
    assert [(one["job"], one["earlier"]) for one in done] == [("at-work", True), ("ended", False)]
    assert (names(base), runs("at-work")) == ({"at-work"}, set())


def test_what_is_told(base: Base, capsys: pytest.CaptureFixture[str]) -> None:
    make(base, "job", age_s=3 * DAY)
    assert main(["prune", "job", "--dry-run"]) == 0
    assert "job  completed 3 d ago, " in (told := capsys.readouterr().out)
    assert "1 job would be removed: 4 files, " in told
    assert main(["prune", "job"]) == 0
    assert "1 job removed: 4 files, " in capsys.readouterr().out
    assert main(["prune", "--keep", "0"]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"


# ---- what never goes -----------------------------------------------------------------------------


def _reopened(job: Path) -> None:
    with (job / "journal.jsonl").open("a") as file:
        file.write(lines({"type": "RunReopened", "at": to_iso(time.time())}))


def _of_another_run(job: Path) -> None:
    (job / "state.json").write_text('{"id": "r-2", "state": "completed"}')


def _never_ended(job: Path) -> None:
    text = (job / "journal.jsonl").read_text()
    (job / "journal.jsonl").write_text("".join(x for x in text.splitlines(True) if "RunEnded" not in x))


UNFINISHED = {
    "it is working": lambda job: (job / "state.json").write_text('{"id": "r-1", "state": "working"}'),
    "its state is not known": lambda job: (job / "state.json").write_text('{"id": "r-1", "state": 7}'),
    "its state.json cannot be read": lambda job: (job / "state.json").write_text('{"id": '),
    "its journal does not say": _reopened,
    "its journal does not say that it has ended": _never_ended,
    "different runs": _of_another_run,
    "it has no journal.jsonl": lambda job: (job / "journal.jsonl").unlink(),
    "it has no state.json": lambda job: (job / "state.json").unlink(),
    "its journal cannot be read": lambda job: (job / "journal.jsonl").write_text("\n"),
    "requests wait in its inbox": lambda job: drop_records(job / "inbox", [{"request": "retry"}]),
    "requests wait": lambda job: (job / ".next-state.json").write_text("{}"),
    "tasks.json was written after": lambda job: os.utime(job / "tasks.json", (time.time() + 9, time.time() + 9)),
}


@pytest.mark.parametrize("why", UNFINISHED)
def test_what_has_not_ended_stays(why: str, base: Base, capsys: pytest.CaptureFixture[str]) -> None:
    job = make(base, "job", age_s=90 * DAY)
    UNFINISHED[why](job)
    before = sorted(path.name for path in job.rglob("*"))
    assert pruned(capsys, "--keep", "0")["removed"] == []
    refused = pruned(capsys, "job", code=4)["refused"]
    assert [one["job"] for one in refused] == ["job"]
    assert why in refused[0]["why"]
    assert main(["prune", "job"]) == 4
    assert "job job stays: " in capsys.readouterr().err
    assert sorted(path.name for path in job.rglob("*")) == before
    assert names(base) == {"job"}


def test_links_are_not_followed(base: Base, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = tmp_path / "outside"
    fill(outside, "completed", 90 * DAY, "r-1")
    (base.jobs / "linked").symlink_to(outside)
    job = make(base, "job", age_s=90 * DAY)
    (job / "runs").symlink_to(tmp_path)
    (job / "logs" / "out").symlink_to(outside)
    assert [one["job"] for one in pruned(capsys, "--keep", "0")["removed"]] == ["job"]
    assert names(base) == {"linked"}
    assert len(os.listdir(outside)) == 3


def test_used_at_the_last_moment(base: Base) -> None:
    job = make(base, "job", age_s=DAY)
    for change in (
        lambda: drop_records(job / "inbox", [{"request": "retry"}]),
        lambda: _reopened(job),
        lambda: (job / "tasks.json").write_text('[{"command": "true"}]'),
    ):
        (one,) = [found for found in store.ended(base) if isinstance(found, store.Ended)]
        change()
        with pytest.raises(store.NotEnded, match="used again"):
            store.remove(base, one)
        assert names(base) == {"job"}
        for drop in (job / "inbox").glob("*.jsonl"):
            drop.unlink()
        fill(job, "completed", DAY, "r-1")


def test_a_request_goes_to_the_job_that_took_the_name(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make(base, "job", age_s=DAY)
    (one,) = [found for found in store.ended(base) if isinstance(found, store.Ended)]
    dropped = drop_records(job / "inbox", [{"request": "retry"}])
    put_back = store._put_back

    def taken(*arguments: Any) -> None:
        make(base, "job", run="r-2")
        put_back(*arguments)

    monkeypatch.setattr(store, "_put_back", taken)
    with pytest.raises(store.NotEnded):
        store.remove(base, one)
    assert (job / "inbox" / dropped).exists()
    assert json.loads((job / "state.json").read_text())["id"] == "r-2"
    monkeypatch.undo()
    with store.pruning(base):
        store.remove_leftovers(base)
    assert names(base) == {"job"}


def test_a_run_that_began_when_its_name_was_taken_is_kept(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make(base, "job", age_s=DAY)
    (one,) = [found for found in store.ended(base) if isinstance(found, store.Ended)]
    _reopened(job)
    put_back = store._put_back

    def taken(*arguments: Any) -> None:
        make(base, "job", run="r-2")
        put_back(*arguments)

    monkeypatch.setattr(store, "_put_back", taken)
    with pytest.raises(store.NotEnded):
        store.remove(base, one)
    (aside,) = names(base) - {"job"}
    assert aside.startswith("put-aside-")
    assert "RunReopened" in (base.jobs / aside / "journal.jsonl").read_text()


def test_leftovers_of_an_interrupted_prune(base: Base, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (".pruned-1-a", ".pruned-1-b"):
        fill(base.jobs / name, "completed", DAY, "r-1")
        (base.jobs / name / "inbox").mkdir()
    drop_records(base.jobs / ".pruned-1-b" / "inbox", [{"request": "retry"}])
    make(base, "job", age_s=DAY)
    pruned(capsys, "job")
    assert names(base) == {".pruned-1-b"}


# ---- beside a manager ----------------------------------------------------------------------------


def test_beside_a_manager(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job.json", sh("a", "echo hi"))
    with manager(tmp_path):
        air_executor("submit", write_job(tmp_path / "long.json", sh("a", "sleep 600")), cwd=tmp_path)
        for _ in range(2):
            for _ in range(2):
                air_executor("submit", job, "--wait", cwd=tmp_path)
            found = shown("prune", "--keep", "0", cwd=tmp_path)
            assert {(one["job"], one["earlier"]) for one in found["removed"]} == {("job", False)}
            assert air_executor("prune", "long", cwd=tmp_path, code=4).stderr.count("\n") == 1
            assert set(os.listdir(tmp_path / ".air-executor" / "jobs")) == {"long"}
        assert state_of(tmp_path, "long") in ("waiting", "working")


def test_nothing_accepted_is_lost_while_jobs_are_pruned(tmp_path: Path) -> None:
    """Clients submit new runs of the same few names, a manager runs them, and prune takes whatever has ended."""
    base, ran = tmp_path / ".air-executor", tmp_path / "ran"
    client, rounds, done = AirExecutorClient(base), 40, threading.Event()
    accepted: list[str] = []

    def submit() -> None:
        for number in range(rounds):
            task = sh("a", f"echo {number} >>{ran}")
            while True:
                try:
                    client.create_job(f"job-{number % 3}", [task], cwd=tmp_path)
                except BaseUnusable:
                    continue  # the folder went at this moment; it was not accepted, and says so
                accepted.append(str(number))
                break
            time.sleep(0.01)
        done.set()

    removed = 0
    with manager(tmp_path, "--slots", "2", "--sync", "off"):
        thread = threading.Thread(target=submit)
        thread.start()
        while not done.is_set():
            with store.pruning(Base(base)):
                for one in store.choose(
                    [x for x in store.ended(Base(base)) if isinstance(x, store.Ended)], time.time()
                ):
                    try:
                        store.remove(Base(base), one)
                        removed += 1
                    except store.NotEnded:
                        continue
        thread.join()
        wait_for(lambda: len(ran.read_text().split()) >= rounds, "every accepted job")
        wait_for(lambda: all(job["state"] in ("completed", "failed") for job in client.jobs()), "their ends")
    assert sorted(ran.read_text().split(), key=int) == accepted
    assert removed


def test_a_manager_prunes_by_itself(tmp_path: Path) -> None:
    base = Base(tmp_path / ".air-executor")
    base.create()
    base.config.write_text("prune_after_days = 1\nprune_keep = 1\n")
    for number in range(4):
        make(base, f"job-{number}", age_s=number * DAY + 60)
    with manager(tmp_path):
        wait_for(lambda: names(base) == {"job-0"}, "the others to go")
        wait_for(lambda: "pruned 3 ended runs" in base.manager_log.read_text(), "the log")


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90min", 5400), ("1.5h", 5400), ("30d", 30 * DAY), ("2w", 14 * DAY)]
)
def test_ages(text: str, seconds: float) -> None:
    from air_executor.cli.prune import parse_age

    assert parse_age(text) == seconds
