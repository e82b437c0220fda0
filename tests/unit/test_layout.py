"""Where things are in a base folder, and whom it lets in."""

from __future__ import annotations

import os
import stat

import pytest

from air_executor.errors import BaseUnusable, InvalidName, NotFound
from air_executor.store.layout import Base, log_name


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_base_is_found_in_its_parent_in_the_environment_and_here(tmp_path, monkeypatch):
    base = Base(tmp_path / ".air-executor")
    base.create()
    assert Base(tmp_path).path == base.path
    monkeypatch.setenv("AIR_EXECUTOR_BASE", str(tmp_path))
    assert Base().path == base.path
    monkeypatch.delenv("AIR_EXECUTOR_BASE")
    monkeypatch.chdir(tmp_path)
    assert Base().path == base.path
    assert base.parent == tmp_path
    assert Base(tmp_path / "new").path == tmp_path / "new"


def test_a_base_is_private_or_shared_with_a_group(tmp_path):
    private = Base(tmp_path / "p")
    private.create()
    assert (mode(private.path), mode(private.jobs), private.file_mode, private.shared) == (
        0o700,
        0o700,
        0o600,
        False,
    )
    shared = Base(tmp_path / "s")
    shared.create(group=os.getgid())
    assert (mode(shared.path), mode(shared.jobs), shared.file_mode, shared.shared) == (
        0o2770,
        0o2770,
        0o660,
        True,
    )
    shared.create()
    assert mode(shared.path) == 0o2770, "made again, it keeps its rights"
    folder = shared.job("a")
    folder.create()
    assert mode(folder.inbox) == 0o2770


def test_git_keeps_views_and_leaves_the_rest(tmp_path):
    base = Base(tmp_path / "b")
    base.create()
    lines = (base.path / ".gitignore").read_text().split()
    assert {"manager.*", "runtime/", "jobs/*/inbox/", "jobs/*/logs/"} <= set(lines)


def test_a_base_that_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(BaseUnusable, match=r"no base folder at .*; make one with `air-executor init`"):
        Base(tmp_path / "none").require()
    (tmp_path / "file").write_text("")
    with pytest.raises(BaseUnusable, match="cannot make the base folder"):
        Base(tmp_path / "file").create()


def test_jobs_are_folders_with_checked_names(tmp_path):
    base = Base(tmp_path / "b")
    base.create()
    folder = base.job("a b")
    with pytest.raises(NotFound, match="no job 'a b'"):
        base.existing_job("a b")
    folder.create()
    folder.create()
    assert base.existing_job("a b").path == base.jobs / "a b"
    for name in ("..", "a/b", ""):
        with pytest.raises(InvalidName):
            base.job(name)


def test_files_of_tasks_stay_in_their_folders(tmp_path):
    folder = Base(tmp_path).job("j")
    assert folder.log("../x").name == "..%2Fx.log"
    assert folder.log("..").name == "%2E%2E.log"
    assert folder.log("a", 2).name == log_name("a", 2) == "a@2.log"
    assert folder.task_inbox("a/b", 1) == folder.inbox / "a%2Fb@1.jsonl"
    assert folder.task_result("a/b", 1) == folder.results / "a%2Fb@1.json"
    assert len(folder.log("x" * 1_000, 1_000_000).name) <= 255
