"""Views: how they read, and that replacing them loses nothing that somebody else wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from air_executor.lifecycle import Run
from air_executor.model import parse_task
from air_executor.store import views
from air_executor.store.files import being_written, identity
from air_executor.store.views import TASKS_PER_CHUNK, ViewFile, render_state, render_tasks
from tests.unit.world import World, created, spec

# ---- how they read -------------------------------------------------------------------------------

ALWAYS = [
    "id",
    "job_name",
    "command",
    "args",
    "dependencies",
    "status",
    "created_at",
    "started_at",
    "completed_at",
    "error",
]


def rendered(run: Run) -> str:
    return b"".join(render_tasks(run)).decode()


def test_a_task_always_has_its_keys_in_their_order():
    world = World()
    run = world.add([spec("a"), spec("b", "a", retries=2, group="g")])
    tasks = json.loads(rendered(run))
    assert list(tasks[0]) == ALWAYS
    assert list(tasks[1]) == [*ALWAYS, "retries", "group"]
    assert tasks[1]["dependencies"] == ["a"]
    assert tasks[0] | {"created_at": ""} == {
        "id": "a",
        "job_name": "job0",
        "command": "true",
        "args": [],
        "dependencies": [],
        "status": "pending",
        "created_at": "",
        "started_at": None,
        "completed_at": None,
        "error": None,
    }


def test_a_task_shows_what_happened_to_it():
    world = World()
    run = world.add([spec("a"), spec("b", "a")])
    world.turn()
    run.progress["a"] = (0.5, "half")
    assert json.loads(rendered(run))[0]["progress"] == {"fraction": 0.5, "text": "half"}
    world.end(run, "a", reason="exit", exit_code=3, error="exit code 3", run_s=1.5, result={"n": 1})
    first, second = json.loads(rendered(run))
    assert (first["status"], first["reason"], first["exit_code"], first["attempt"]) == (
        "failed",
        "exit",
        3,
        1,
    )
    assert (first["error"], first["run_s"], first["result"]) == ("exit code 3", 1.5, {"n": 1})
    assert "progress" not in first
    assert (second["status"], second["reason"], second["started_at"]) == ("failed", "skipped", None)


def test_keys_we_do_not_know_are_kept_and_secrets_are_not_there_to_show():
    run = World().add(
        [
            parse_task(
                {
                    "id": "a",
                    "command": "x",
                    "owner": {"team": "ä"},
                    "env_from": {"S": {"environment": "SECRET"}},
                }
            )
        ]
    )
    (task,) = json.loads(rendered(run))
    assert task["owner"] == {"team": "ä"}
    assert task["env_from"] == {"S": {"environment": "SECRET"}}
    assert list(task)[-1] == "owner"


def test_tasks_are_indented_by_two_one_block_a_task():
    run = World().add([spec("a"), spec("ü", "a")])
    text = rendered(run)
    assert text.startswith('[\n  {\n    "id": "a",\n    "job_name": "job0",\n')
    assert '\n  },\n  {\n    "id": "ü",' in text
    assert text.endswith("\n  }\n]\n")
    assert json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n" == text


@pytest.mark.parametrize(
    "count", [0, 1, TASKS_PER_CHUNK - 1, TASKS_PER_CHUNK, TASKS_PER_CHUNK + 1, 3 * TASKS_PER_CHUNK]
)
def test_pieces_join_to_one_list_in_order(count):
    run = World().add([spec(f"t{i}") for i in range(count)])
    pieces = list(render_tasks(run))
    text = b"".join(pieces).decode()
    assert [task["id"] for task in json.loads(text)] == [f"t{i}" for i in range(count)]
    assert json.dumps(json.loads(text), indent=2) + "\n" == text
    assert len(pieces) <= count // TASKS_PER_CHUNK + 2


def test_a_view_written_back_changes_nothing():
    run = World().add(
        [parse_task({"id": "a", "command": "x", "args": ["1"], "owner": 1, "retries": 2, "env": {"A": "b"}})]
    )
    (again,) = json.loads(rendered(run))
    assert parse_task(again) == run.tasks["a"].spec


def test_a_state_has_its_keys_and_the_options_that_were_given():
    run = Run([created(max_parallel=2, open=True, params={"n": 1})])
    state = json.loads(render_state(run))
    assert list(state) == [
        *["id", "name", "state", "created_at", "updated_at", "progress", "error", "reason", "warnings"],
        "max_parallel",
        "open",
        "params",
    ]
    assert state["progress"] == {"total": 0, "pending": 0, "running": 0, "completed": 0, "failed": 0}
    assert (state["state"], state["error"], state["reason"], state["warnings"]) == ("waiting", None, None, [])


def test_a_state_tells_what_holds_a_run_up():
    world = World()
    run = world.add([spec("a")], open=True)
    world.turn()
    run.pause(world.now)
    run.close(world.now)
    run.warn("careful", world.now)
    run.cancel(world.now)
    state = json.loads(render_state(run))
    assert (state["paused"], state["open"], state["stopping"], state["warnings"]) == (
        True,
        False,
        "cancelled",
        ["careful"],
    )
    world.end(run, "a", reason="signal")
    world.turn()
    state = json.loads(render_state(run))
    assert "stopping" not in state
    assert (state["state"], state["reason"]) == ("failed", "cancelled")


def test_foreign_keys_of_a_state_are_kept_but_do_not_hide_ours():
    begin = created()
    begin.extra = {"owner": "me", "state": "completed"}
    state = json.loads(render_state(Run([begin])))
    assert (state["owner"], state["state"]) == ("me", "waiting")


# ---- how they are put in place -------------------------------------------------------------------


@pytest.fixture(params=["exchange", "no exchange"])
def view(request, tmp_path, monkeypatch):
    """A view file, on a file system that can swap names and on one that cannot."""
    if request.param == "no exchange":
        real = views.exchange

        def cannot(first: Path, second: Path) -> bool:
            if not second.exists():
                return real(first, second)  # raises FileNotFoundError
            return False

        monkeypatch.setattr(views, "exchange", cannot)
    return ViewFile(tmp_path, "tasks.json", 0o600)


def publish(view: ViewFile, data: bytes):
    view.begin()
    view.write(data[:3])
    view.write(data[3:])
    return view.publish()


def others(view: ViewFile) -> set[str]:
    return {path.name for path in view.path.parent.iterdir()} - {"tasks.json"}


def replace(path: Path, data: bytes) -> None:
    part = path.with_name("editor.tmp")
    part.write_bytes(data)
    part.rename(path)


def test_our_own_views_replace_each_other_without_a_trace(view):
    for n in range(5):
        assert publish(view, b"view %d" % n) is None
        assert view.path.read_bytes() == b"view %d" % n
        assert not view.changed()
        assert others(view) == set()
    assert view.path.stat().st_mode & 0o777 == 0o600


def test_a_foreign_view_by_rename_comes_out_and_is_handed_over(view):
    publish(view, b"ours 1")
    replace(view.path, b"theirs")
    assert view.changed()
    displaced = publish(view, b"ours 2")
    assert displaced is not None
    assert displaced.path.read_bytes() == b"theirs"
    assert view.path.read_bytes() == b"ours 2"
    assert not view.changed()


def test_a_view_written_in_place_comes_out_too(view):
    publish(view, b"ours 1")
    with view.path.open("ab") as file:
        file.write(b" and theirs")
    assert view.changed()
    displaced = publish(view, b"ours 2")
    assert displaced is not None
    assert displaced.path.read_bytes() == b"ours 1 and theirs"


def test_a_foreign_view_that_was_read_is_replaced(view):
    publish(view, b"ours 1")
    replace(view.path, b"theirs")
    view.known = identity(view.path)
    assert not view.changed()
    assert publish(view, b"ours 2") is None
    assert others(view) == set()


def test_a_foreign_view_read_and_then_changed_again_is_not_lost(view):
    publish(view, b"ours 1")
    replace(view.path, b"theirs")
    view.known = identity(view.path)
    replace(view.path, b"theirs again")
    displaced = publish(view, b"ours 2")
    assert displaced is not None
    assert displaced.path.read_bytes() == b"theirs again"


def test_a_writer_who_still_has_our_old_view_open_keeps_it(view):
    publish(view, b"ours 1")
    with view.path.open("r+b") as writer:
        fd = os.open(view.path, os.O_RDONLY)
        known = being_written(fd)
        os.close(fd)
        if known is None:
            pytest.skip("this file system has no leases")
        displaced = publish(view, b"ours 2")
        assert displaced is not None
        writer.write(b"THEIRS")
    assert displaced.path.read_bytes() == b"THEIRS"
    assert view.path.read_bytes() == b"ours 2"
    assert not view.changed()


def test_a_deleted_view_is_put_back(view):
    publish(view, b"ours 1")
    view.path.unlink()
    assert not view.changed()
    assert publish(view, b"ours 2") is None
    assert view.path.read_bytes() == b"ours 2"
    assert others(view) == set()


def test_a_first_view_takes_nothing_for_its_own(view):
    replace(view.path, b"theirs")
    displaced = publish(view, b"ours")
    assert displaced is not None
    assert displaced.path.read_bytes() == b"theirs"


def test_a_link_in_place_of_a_view_is_set_aside_unread(view, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    publish(view, b"ours 1")
    view.path.unlink()
    view.path.symlink_to(secret)
    displaced = publish(view, b"ours 2")
    assert displaced is not None
    assert displaced.path.is_symlink()
    assert not view.path.is_symlink()
    assert secret.read_bytes() == b"secret"


def test_several_displaced_views_are_all_kept(view):
    kept = []
    for n in range(4):
        replace(view.path, b"theirs %d" % n)
        kept.append(publish(view, b"ours"))
    assert [d.path.read_bytes() for d in kept] == [b"theirs %d" % n for n in range(4)]
    assert view.leftovers() == sorted(d.path for d in kept)
    again = ViewFile(view.path.parent, "tasks.json", 0o600)
    replace(view.path, b"theirs 5")
    assert publish(again, b"ours").path not in {d.path for d in kept}


def test_an_abandoned_view_leaves_nothing(view):
    publish(view, b"ours 1")
    view.begin()
    view.write(b"half")
    view.abandon()
    view.abandon()
    assert view.path.read_bytes() == b"ours 1"
    assert others(view) == set()
    assert publish(view, b"ours 2") is None


@pytest.mark.parametrize("left", [".tasks.json.swap", ".tasks.json.taken", ".tasks.json.displaced-3"])
def test_what_an_interrupted_swap_left_is_found_and_outlives_the_next_one(tmp_path, left):
    (tmp_path / left).write_bytes(b"theirs")
    view = ViewFile(tmp_path, "tasks.json", 0o600)
    (found,) = view.leftovers()
    publish(view, b"ours 1")
    publish(view, b"ours 2")
    assert found.read_bytes() == b"theirs"
    assert view.leftovers() == [found]


def test_a_view_that_was_replaced_the_moment_it_stood_counts_as_changed(tmp_path, monkeypatch):
    view = ViewFile(tmp_path, "tasks.json", 0o600)
    publish(view, b"ours 1")
    real = views.exchange

    def faster(first: Path, second: Path) -> bool:
        done = real(first, second)
        replace(view.path, b"theirs")
        return done

    monkeypatch.setattr(views, "exchange", faster)
    assert publish(view, b"ours 2") is None
    assert view.path.read_bytes() == b"theirs"
    assert view.changed()


def test_without_exchange_somebody_faster_is_not_overwritten(tmp_path, monkeypatch):
    view = ViewFile(tmp_path, "tasks.json", 0o600)
    publish(view, b"ours 1")
    real, times = views.place_new, []

    def slower(source: Path, target: Path) -> bool:
        if not times:
            times.append(1)
            replace(view.path, b"theirs")
        return real(source, target)

    monkeypatch.setattr(views, "exchange", lambda *_: False)
    monkeypatch.setattr(views, "place_new", slower)
    displaced = publish(view, b"ours 2")
    found = [path.read_bytes() for path in view.path.parent.iterdir()]
    assert b"theirs" in found
    assert displaced is not None or view.changed()


# ---- racing writers ------------------------------------------------------------------------------

APPEND = """
import json, os, sys
path, how, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for n in range(count):
    while True:
        try:
            tasks = json.load(open(path))
            break
        except (FileNotFoundError, ValueError):
            continue
    tasks.append(n)
    if how == "rename":
        with open(path + ".new", "w") as file:
            json.dump(tasks, file)
        os.rename(path + ".new", path)
    else:
        with open(path, "w") as file:
            json.dump(tasks, file)
"""


class Reader:
    """Does with a list of numbers what the manager does with `tasks.json`."""

    def __init__(self, view: ViewFile) -> None:
        self.view = view
        self.known: set[int] = set()
        self.displaced: list[Path] = []
        publish(view, b"[]")

    def turn(self) -> None:
        if self.view.changed() and (found := self.read(self.view.path)) is not None:
            self.view.known = found
        for path in list(self.displaced):
            if self.read(path) is not None:
                self.displaced.remove(path)
                path.unlink()
        displaced = publish(self.view, json.dumps(sorted(self.known)).encode())
        if displaced is not None:
            self.displaced.append(displaced.path)

    def read(self, path: Path):
        """Take a list in; None while it is still being written."""
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            before = identity(fd)
            if being_written(fd):
                return None
            data = os.pread(fd, 1 << 20, 0)
            if identity(fd) != before or being_written(fd):
                return None
        finally:
            os.close(fd)
        try:
            self.known |= set(json.loads(data))
        except ValueError:
            return None
        return before


@pytest.mark.parametrize("how", ["rename", "in place"])
def test_300_appends_by_another_process_while_the_view_is_replaced_all_arrive(view, how):
    reader = Reader(view)
    writer = subprocess.Popen([sys.executable, "-c", APPEND, str(view.path), how, "300"])
    deadline = time.monotonic() + 60
    try:
        while writer.poll() is None:
            assert time.monotonic() < deadline
            reader.turn()
    finally:
        writer.kill()
        writer.wait()
    assert writer.returncode == 0
    for _ in range(5):
        reader.turn()
    assert reader.displaced == []
    assert sorted(reader.known) == list(range(300))
    assert json.loads(view.path.read_bytes()) == list(range(300))
