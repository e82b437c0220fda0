"""Putting files into a DAGs folder: all in one moment, only our own, and mended after any crash."""

from __future__ import annotations

import os
import py_compile
import shutil
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from air_executor.dags.deployment import FORMER_KEPT, HIDDEN, DagsFolder
from air_executor.dags.sync import Conflict, Options
from air_executor.errors import BaseUnusable, Refused
from tests.acceptance.dags_folder import bring, dangling, seen, write

OLD = {"a.py": "import pkg.x  # 1", "gone.py": "1", "pkg/x.py": "1", "data/q.sql": "1", "old/only.txt": "1"}
NEW = {"a.py": "import pkg.x, pkg.y  # 2", "b.py": "2", "pkg/x.py": "2", "pkg/y.py": "2", "more/in/it.sql": "2"}
OTHERS = {"theirs.py": "theirs", "pkg/theirs.py": "theirs"}
COPY, LINK = Options(cleanup=True), Options(cleanup=True, mode="symlink")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return write(folder, OLD)


@pytest.fixture
def target(tmp_path: Path) -> DagsFolder:
    (tmp_path / "dags").mkdir()
    return DagsFolder(tmp_path / "dags")


@pytest.fixture(autouse=True)
def _no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncing is for power cuts; a kill takes nothing from the kernel."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def whats(changes: dict[str, object]) -> dict[str, str]:
    return {name: change.what for name, change in changes.items()}  # type: ignore[attr-defined]


# ---- what is there afterwards --------------------------------------------------------------------


@pytest.mark.parametrize("options", [COPY, LINK], ids=["copy", "symlink"])
def test_from_one_set_to_the_next(source: Path, target: DagsFolder, options: Options) -> None:
    write(target.path, OTHERS)
    assert set(whats(bring(source, target, options)).values()) == {"new"}
    assert seen(target.path) == OLD | OTHERS
    write(source, NEW)
    assert whats(bring(source, target, options)) == {
        "a.py": "changed",
        "b.py": "new",
        "data/q.sql": "removed",
        "gone.py": "removed",
        "more/in/it.sql": "new",
        "old/only.txt": "removed",
        "pkg/x.py": "changed",
        "pkg/y.py": "new",
    }
    assert seen(target.path) == NEW | OTHERS
    assert dangling(target.path) == []
    assert {path.name for path in target.path.iterdir()} == {"a.py", "b.py", "more", "pkg", "theirs.py", HIDDEN}
    manifest = target.manifest()
    assert set(manifest.files) == set(NEW)
    assert manifest.dags == {"a": "a.py", "b": "b.py"}
    assert manifest.stale_dags == ("gone",)


def test_copies_do_not_follow_the_folder_and_links_do(source: Path, target: DagsFolder) -> None:
    bring(source, target, COPY)
    (source / "gone.py").write_text("edited")
    assert (target.path / "gone.py").read_text() == "1"
    bring(source, target, LINK)
    (source / "gone.py").write_text("edited again")
    assert (target.path / "gone.py").read_text() == "edited again"
    assert (target.path / "gone.py").resolve() == source / "gone.py"
    assert os.path.isabs(os.readlink(target.current / "dags" / "gone.py"))


def test_without_cleanup_files_stay(source: Path, target: DagsFolder) -> None:
    bring(source, target)
    write(source, {"a.py": "2"})
    kept = whats(bring(source, target, Options()))
    assert kept == dict.fromkeys(OLD, "kept") | {"a.py": "changed"}
    assert whats(bring(source, target, Options())) == kept | {"a.py": "unchanged"}
    assert seen(target.path) == OLD | {"a.py": "2"}
    bring(source, target)
    assert seen(target.path) == {"a.py": "2"}


def test_nothing_to_do_does_nothing(source: Path, target: DagsFolder) -> None:
    bring(source, target)
    before = target.current_release()
    assert set(whats(bring(source, target)).values()) == {"unchanged"}
    assert target.current_release() == before


def test_some_releases_stay_for_those_who_still_read_them(source: Path, target: DagsFolder) -> None:
    bring(source, target)
    real = (target.path / "gone.py").resolve()
    for number in range(FORMER_KEPT):
        assert real.read_text() == "1"
        bring(write(source, OLD | {"gone.py": f"2 + {number}"}), target)
    bring(write(source, NEW), target)
    bring(source, target)
    assert not real.exists()
    assert len(list(target.releases.iterdir())) == FORMER_KEPT + 1


def test_sets_do_not_know_each_other(source: Path, target: DagsFolder) -> None:
    other = DagsFolder(target.path, "other")
    bring(source, target)
    with pytest.raises(Conflict):
        bring(source, other)
    write(source, {"b.py": "2"})
    bring(source, other)
    assert seen(target.path) == OLD | {"b.py": "2"}
    write(source, {"c.py": "3"})
    bring(source, other)
    assert seen(target.path) == OLD | {"c.py": "3"}


def test_whoever_airflow_runs_as_can_read_it(source: Path, target: DagsFolder) -> None:
    (source / "a.py").chmod(0o600)
    (source / "gone.py").chmod(0o700)
    before = os.umask(0o077)
    try:
        bring(source, target)
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in target.hidden.rglob("*") if path.name != "lock"}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o755}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o644, 0o755}
    assert modes[target.releases / "000001" / "dags" / "gone.py"] == 0o755


def test_airflow_sees_which_files_have_changed(source: Path, target: DagsFolder) -> None:
    """It reads a DAG file anew when that is newer; Python compiles a module anew when its time in seconds differs."""
    bring(source, target)
    times = {name: (target.path / name).stat().st_mtime for name in OLD}
    (source / "pkg" / "x.py").write_text("2")
    bring(source, target)
    later = {name: (target.path / name).stat().st_mtime for name in OLD}
    assert {name for name in OLD if later[name] != times[name]} == {"a.py", "pkg/x.py"}
    assert int(later["pkg/x.py"]) > int(times["pkg/x.py"])


def test_compiled_files_go_with_their_source(source: Path, target: DagsFolder) -> None:
    write(target.path, {"pkg/theirs.py": ""})
    write(source, OLD | {"a.py": "import pkg.x, alone.z", "alone/z.py": ""})
    bring(source, target)
    for name in ("pkg/x.py", "pkg/theirs.py", "alone/z.py"):
        py_compile.compile(str(target.path / name), doraise=True)
    write(source, {"a.py": ""})
    bring(source, target)
    assert not (target.path / "alone").exists()
    assert [path.name.split(".")[0] for path in (target.path / "pkg" / "__pycache__").iterdir()] == ["theirs"]


# ---- what must not be overwritten ----------------------------------------------------------------


def test_files_of_others_are_never_touched(source: Path, target: DagsFolder) -> None:
    write(target.path, {"a.py": "theirs", "data": "a file, where we need a folder"})
    (target.path / "pkg").symlink_to(source)
    with pytest.raises(Conflict) as refused:
        bring(source, target, Options(force=True))
    assert [text.split(" is there and was not deployed")[0] for text in refused.value.problems] == [
        str(target.path / name) for name in ("a.py", "data/q.sql", "pkg/x.py")
    ]
    assert target.current_release() is None
    assert (target.path / "a.py").read_text() == "theirs"


def edit(place: Path) -> None:
    place.write_text("# by hand")


def replace(place: Path) -> None:
    place.unlink()
    place.write_text("# by hand")


@pytest.mark.parametrize("how", [edit, replace])
@pytest.mark.parametrize("folder_has", ["the same", "another", "it no longer"])
def test_what_was_changed_by_hand_needs_force(source: Path, target: DagsFolder, how: object, folder_has: str) -> None:
    bring(source, target)
    how(target.path / "gone.py")  # type: ignore[operator]
    new = {"the same": OLD, "another": OLD | {"gone.py": "2"}, "it no longer": OLD.keys() - {"gone.py"}}[folder_has]
    write(source, new if isinstance(new, dict) else {name: OLD[name] for name in new})
    if how is replace and folder_has == "it no longer":
        assert bring(source, target)["gone.py"].what == "left"  # it is theirs now
        assert (target.path / "gone.py").read_text() == "# by hand"
        return
    with pytest.raises(Conflict) as refused:
        bring(source, target)
    (problem,) = refused.value.problems
    assert problem.startswith(f"{target.path}/gone.py was changed by hand")
    assert "--force" in problem
    assert (target.path / "gone.py").read_text() == "# by hand"
    change = bring(source, target, Options(cleanup=True, force=True))["gone.py"]
    assert change.what == ("removed" if folder_has == "it no longer" else "overwritten")
    assert seen(target.path) == {path: (source / path).read_text() for path in new}


def test_the_same_change_in_both_places_is_none(source: Path, target: DagsFolder) -> None:
    bring(source, target)
    for how, name in ((edit, "gone.py"), (replace, "data/q.sql")):
        how(target.path / name)
        (source / name).write_text("# by hand")
    assert {name for name, what in whats(bring(source, target)).items() if what == "changed"} == {
        "gone.py",
        "data/q.sql",
    }
    assert set(whats(bring(source, target)).values()) == {"unchanged"}


def test_what_was_removed_by_hand_comes_back(source: Path, target: DagsFolder) -> None:
    bring(source, target)
    (target.path / "gone.py").unlink()
    (target.current / "dags" / "data" / "q.sql").unlink()
    changes = whats(bring(source, target))
    assert (changes["gone.py"], changes["data/q.sql"], changes["a.py"]) == ("restored", "restored", "unchanged")
    assert seen(target.path) == OLD


def test_a_folder_in_the_place_of_a_file(source: Path, target: DagsFolder) -> None:
    bring(source, target)
    (target.path / "gone.py").unlink()
    write(target.path / "gone.py", {})
    (target.path / "gone.py").mkdir()
    with pytest.raises(Conflict, match=r"1 file in .* would be overwritten"):
        bring(source, target, Options(force=True))


def test_a_folder_that_cannot_be_written_to(source: Path) -> None:
    with pytest.raises(BaseUnusable, match="cannot write to the DAGs folder /proc/dags: No such file"):
        bring(source, DagsFolder(Path("/proc/dags")))


def test_one_sync_at_a_time(source: Path, target: DagsFolder) -> None:
    with target.locked(), pytest.raises(Refused, match="another sync is at work"):
        bring(source, target)


def test_a_manifest_that_cannot_be_understood(source: Path, target: DagsFolder) -> None:
    bring(source, target)
    manifest = target.current / "manifest.json"
    for text, why in (
        ('{"format": 2}', "another version"),
        ("[", "is damaged"),
        ('{"format":1,"files":3}', "damaged"),
    ):
        manifest.write_text(text)
        with pytest.raises(BaseUnusable, match=why):
            bring(source, target)
    shutil.rmtree(target.releases)
    with pytest.raises(BaseUnusable, match="leads to nothing"):
        bring(source, target)


# ---- one moment, whatever happens ----------------------------------------------------------------


def killed_at(step: int, source: Path, target: DagsFolder, options: Options) -> bool:
    """Deploy in a process that dies by KILL before its `step`th change of the DAGs folder."""
    pid = os.fork()
    if pid == 0:
        left = step

        def count(event: str, details: tuple[object, ...]) -> None:
            nonlocal left
            changes = event.startswith("os.") and event not in ("os.listdir", "os.scandir")
            if changes or (event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR)):  # type: ignore[operator]
                # Descriptors and names relative to them (`rmtree`) can only be of the DAGs folder.
                inside = [
                    str(target.path) in str(detail) or not str(detail).startswith("/") for detail in details[:2]
                ]
                left -= any(inside)
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            sys.addaudithook(count)
            bring(source, target, options)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize(
    ("first", "options"),
    [(OLD, COPY), (OLD, LINK), ({}, COPY), (OLD, Options(cleanup=True, force=True))],
    ids=["copy", "symlink", "first", "force"],
)
def test_killed_at_every_step(source: Path, tmp_path: Path, first: dict[str, str], options: Options) -> None:
    start = DagsFolder(tmp_path / "start")
    start.path.mkdir()
    write(start.path, OTHERS)
    if first:
        bring(source, start, options)
    if options.force:
        replace(start.path / "a.py")
    before = seen(start.path)
    sources = write(tmp_path / "source", NEW)
    if options.mode == "symlink":  # what is linked changes by itself; only which files there are is ours
        before = {name: NEW.get(name, text) for name, text in before.items() if name in NEW or name in OTHERS}
    after, outcomes, step = NEW | OTHERS, set(), 0
    while True:
        step += 1
        target = DagsFolder(tmp_path / "dags")
        shutil.rmtree(target.path, ignore_errors=True)
        shutil.copytree(start.path, target.path, symlinks=True)
        killed = killed_at(step, sources, target, options)
        found = seen(target.path)
        if options.force and found not in (before, after):  # what was changed by hand is back as it was deployed
            found = before if found == before | {"a.py": OLD["a.py"]} else found
        assert found in (before, after), f"step {step}"
        manifest = target.manifest()
        assert {name for name in found if name not in OTHERS} <= set(manifest.files)
        outcomes.add("new" if found == after else "old")
        bring(sources, target, options)
        assert seen(target.path) == after, f"step {step}"
        assert dangling(target.path) == []
        assert {path.name for path in target.path.iterdir()} == {"a.py", "b.py", "more", "pkg", "theirs.py", HIDDEN}
        assert len(list(target.releases.iterdir())) <= 3
        assert {path.name for path in target.home.iterdir()} == {"current", "lock", "releases"}
        if not killed:
            break
    assert outcomes == {"old", "new"}
    assert step > 30


def test_a_reader_never_sees_half(source: Path, target: DagsFolder) -> None:
    """Two files that always say the same number, one of them now and then missing together with a third."""

    def version(number: int) -> dict[str, str]:
        text = f"# {number}"
        return {"a.py": text, "pkg/b.txt": text} | ({"odd.py": text} if number % 2 else {})

    bring(write(source, version(0)), target)
    done, seen_numbers, wrong = threading.Event(), set(), []

    def read(name: str) -> str:
        try:
            return (target.path / name).read_text()
        except FileNotFoundError:
            return ""

    def look() -> None:
        while not done.is_set():
            first = read("a.py")
            others = [read("pkg/b.txt"), read("odd.py")]
            if read("a.py") == first:  # nothing changed meanwhile, since numbers only grow
                seen_numbers.add(first)
                if others != [first, first if int(first[1:]) % 2 else ""]:
                    wrong.append((first, others))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        until = time.monotonic() + 2.0
        number = 0
        while time.monotonic() < until or len(seen_numbers) < 5:
            number += 1
            bring(write(source, version(number)), target)
    finally:
        done.set()
        reader.join()
    assert wrong == []
