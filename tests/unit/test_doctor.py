"""What `doctor` decides from what it sees."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from air_executor import __version__
from air_executor.observe.doctor import CHECKS, Finding, folder, machine, manager, remains, worst
from air_executor.observe.doctor import processes as ps

DIRECTORY = stat.S_IFDIR


def info(mode: int, uid: int = 1000, gid: int = 1000) -> os.stat_result:
    return os.stat_result((DIRECTORY | mode, 1, 1, 2, uid, gid, 0, 0, 0, 0))


def test_the_worst_counts() -> None:
    levels = {"ok": [], "warning": ["warning"], "problem": ["problem", "warning"]}
    for expected, more in levels.items():
        assert worst([Finding("x", "ok", ""), *(Finding("x", one, "") for one in more)]) == expected  # type: ignore[arg-type]
    assert worst([]) == "ok"


# ---- rights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "uid", "me", "groups", "level", "text"),
    [
        (0o700, 1000, 1000, {1000}, "ok", "owner alice"),
        (0o2770, 1000, 1000, {1000}, "ok", "group"),
        (0o2770, 1000, 1001, {1000}, "ok", "owner alice"),
        (0o755, 1000, 1000, {1000}, "warning", "chmod 700"),
        (0o750, 1000, 1000, {1000}, "warning", "chmod 700"),
        (0o2775, 1000, 1000, {1000}, "warning", "chmod 2770"),
        (0o777, 1000, 1000, {1000}, "problem", "everybody can write"),
        (0o702, 1000, 1000, {1000}, "problem", "chmod o-rwx"),
        (0o770, 1000, 1000, {1000}, "problem", "init --group"),
        (0o2770, 1000, 1001, {1001}, "problem", "not shared with you"),
        (0o700, 1000, 1001, {1000}, "problem", "not shared with you"),
        (0o700, 1000, 0, {0}, "warning", "be alice"),
    ],
)
def test_rights_of_the_base(mode: int, uid: int, me: int, groups: set[int], level: str, text: str) -> None:
    found = folder.judge_base("/b", info(mode, uid), me, groups, "alice")
    assert found[0] == level, found
    assert text in " ".join(filter(None, found))


@pytest.mark.parametrize(
    ("mode", "uid", "level"),
    [(0o755, 0, "ok"), (0o1777, 0, "ok"), (0o777, 0, "problem"), (0o755, 1000, "ok"), (0o755, 1001, "warning")],
)
def test_rights_of_its_parents(mode: int, uid: int, level: str) -> None:
    parents = [("/srv/x", info(mode, uid)), ("/", info(0o755, 0))]
    assert folder.judge_parents(parents, {0, 1000})[0] == level


# ---- what there is of everything -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [(40e6, 1e12, "problem"), (900e6, 1e12, "warning"), (900e6, 10e9, "ok"), (100e6, 1e9, "ok"), (5e9, 1e12, "ok")],
)
def test_room(free: float, total: float, level: str) -> None:
    assert folder.judge_room(int(free), int(total))[0] == level


@pytest.mark.parametrize(("free", "level"), [(999, "problem"), (40_000, "warning"), (60_000, "ok")])
def test_inodes(free: int, level: str) -> None:
    assert folder.judge_inodes(free, 10_000_000)[0] == level


@pytest.mark.parametrize(
    ("trial", "levels"),
    [
        (folder.Trial("ext4", True, True, True, 0.001, 0.0), ["ok"]),
        (folder.Trial("ext4", True, True, False, 0.001, 0.0), ["warning"]),
        (folder.Trial("9p", False, True, True, 0.001, 0.0), ["warning", "warning"]),
        (folder.Trial("vfat", False, False, True, 0.001, 0.0), ["problem"]),
        (folder.Trial("nfs4", True, True, True, 0.1, -30.0), ["ok", "warning", "warning"]),
    ],
)
def test_the_file_system(trial: folder.Trial, levels: list[str]) -> None:
    assert [answer[0] for answer in folder.judge_trial(trial)] == levels


def test_the_file_system_is_tried_and_left_clean(tmp_path: Path) -> None:
    trial = folder.try_files(tmp_path)
    assert trial.kind
    assert trial.links
    assert abs(trial.ahead_s) < 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("soft", "hard", "slots", "jobs", "level"),
    [
        (1024, 4096, 8, 10, "ok"),
        (256, 4096, 2000, 10, "warning"),
        (1024, 1024, 8, 2000, "warning"),
        (float("inf"), float("inf"), 2000, 2000, "ok"),
    ],
)
def test_open_files(soft: float, hard: float, slots: int, jobs: int, level: str) -> None:
    assert machine.judge_files(soft, hard, slots=slots, launchers=8, jobs=jobs)[0] == level


def test_processes_and_watches() -> None:
    assert machine.judge_processes(float("inf"), 100, 50, "ulimit -u") == ("ok", "processes: no limit", None)
    assert machine.judge_processes(1000, 100, 50, "ulimit -u")[0] == "ok"
    assert machine.judge_processes(140, 100, 50, "ulimit -u")[0] == "warning"
    assert machine.judge_watches(8192, 100, 10)[0] == "ok"
    level, found, advice = machine.judge_watches(8192, 100_000, 10)
    assert (level, "100,011 needed" in found, "max_user_watches=200022" in (advice or "")) == ("warning", True, True)


@pytest.mark.parametrize(
    ("system", "kernel", "level"),
    [
        ("linux", "6.1.0-18-amd64", "ok"),
        ("linux", "5.10.0", "ok"),
        ("linux", "5.4.0-150-generic", "problem"),
        ("darwin", "23.1.0", "problem"),
    ],
)
def test_system(system: str, kernel: str, level: str) -> None:
    assert machine.judge_system(system, kernel, (3, 11))[0] == level


@pytest.mark.parametrize(
    ("now", "newest", "level", "text"),
    [
        (1.8e9, 1.8e9 - 5, "ok", "2027"),
        (86_400.0, 0.0, "problem", "1970"),
        (5e9, 0.0, "problem", "2128"),
        (1.8e9, 1.8e9 + 3600, "warning", "3600 s in the future"),
    ],
)
def test_clock(now: float, newest: float, level: str, text: str) -> None:
    found = machine.judge_clock(now, newest, 0.0)
    assert found[0] == level
    assert text in found[1]


def test_cgroup() -> None:
    delegated = machine.judge_cgroup(Path("/sys/fs/cgroup/x"), ["cpu", "memory"], writable=True)
    assert "delegated" in delegated[1]
    for controllers, writable in (([], True), (["memory"], False)):
        assert "sampling" in machine.judge_cgroup(Path("/x"), controllers, writable=writable)[1]
    assert "sampling" in machine.judge_cgroup(None, [], writable=False)[1]


# ---- the manager ---------------------------------------------------------------------------------

RUNNING: dict[str, Any] = {"pid": 7, "host": "here", "version": __version__}


@pytest.mark.parametrize(
    ("pid", "facts", "stale", "level", "text"),
    [
        (None, {}, False, "ok", "none is running"),
        (None, RUNNING, True, "warning", "(pid 7) that was killed"),
        (None, RUNNING | {"host": "there"}, True, "warning", "on host 'there'"),
        (7, RUNNING, True, "ok", "pid 7 is running"),
        (7, RUNNING | {"version": "0.0.1"}, True, "warning", "is version 0.0.1"),
        (8, RUNNING, True, "warning", "has not written manager.json"),
        (0, {}, False, "warning", "in another container"),
    ],
)
def test_manager(pid: int | None, facts: dict[str, Any], stale: bool, level: str, text: str) -> None:
    found = manager.judge_manager(pid, facts, "here", stale=stale)
    assert found[0] == level
    assert text in found[1]


@pytest.mark.parametrize(
    ("says", "level"),
    [
        ({"KillMode": "process", "Delegate": "yes", "OOMPolicy": "continue"}, "ok"),
        ({"KillMode": "process", "Delegate": "no", "OOMPolicy": "continue"}, "ok"),
        ({"KillMode": "process", "OOMPolicy": "stop"}, "warning"),
        ({"KillMode": "control-group"}, "problem"),
        ({"KillMode": "mixed"}, "problem"),
        ({}, "warning"),
    ],
)
def test_the_unit(says: dict[str, str], level: str) -> None:
    found = manager.judge_unit("etl.service", True, says)
    assert found[0] == level
    assert level == "ok" or "KillMode=process" in (found[2] or "") or "systemctl --user edit" in (found[2] or "")


@pytest.mark.parametrize(
    ("pid", "parent", "first", "contained", "level"),
    [
        (900, 1, "systemd", False, "ok"),
        (1, 0, "python3", False, "warning"),
        (7, 1, "tini", True, "warning"),
        (7, 6, "tini", True, "ok"),
        (7, 1, "supervisord", True, "ok"),
    ],
)
def test_containers(pid: int, parent: int, first: str, contained: bool, level: str) -> None:
    assert manager.judge_container(pid, parent, first, contained=contained)[0] == level


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/system-air\\x2dexecutor.slice/air-executor@srv-etl.service\n",
         ("air-executor@srv-etl.service", False)),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service/launchers\n", ("x.service", True)),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-term.scope\n", None),
        ("0::/user.slice/user-1000.slice/user@1000.service\n", None),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
        ("9:name=systemd:/system.slice/cron.service\n4:memory:/x.service\n0::/\n", ("cron.service", False)),
        ("4:memory:/x.service\n0::/\n", None),
        ("", None),
    ],
)  # fmt: skip
def test_unit_of(cgroup: str, unit: tuple[str, bool] | None) -> None:
    assert ps.unit_of(cgroup) == unit


def test_cgroup2_of() -> None:
    mounts = (
        "30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "30 22 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "30 22 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    )
    assert ps.cgroup2_of("1:cpu:/y\n0::/a/b\n", mounts[0]) == Path("/sys/fs/cgroup/a/b")
    assert ps.cgroup2_of("0::/docker/abc/x\n", mounts[1]) == Path("/sys/fs/cgroup/x")
    assert ps.cgroup2_of("0::/a\n", mounts[2]) is None
    assert ps.cgroup2_of("", mounts[0]) is None


# ---- processes -----------------------------------------------------------------------------------


def test_limits_of() -> None:
    text = (
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max cpu time              unlimited            unlimited            seconds   \n"
        "Max processes             127                  256                  processes \n"
        "Max open files            1024                 unlimited            files     \n"
    )
    found = ps.limits_of(text)
    assert found["Max processes"] == (127, 256)
    assert found["Max open files"] == (1024, float("inf"))
    assert ps.limits_of("") == {}


def test_launchers_and_tasks_are_known_by_what_they_were_started_with() -> None:
    launcher = ["python3", "-I", "-S", "/x/runners/launcher.py", "launcher-1-1-ab", "3", "/b/runtime"]
    assert ps.name_of(ps.Process(5, 1, launcher, {}), "/b/runtime") == "launcher-1-1-ab"
    assert ps.name_of(ps.Process(5, 1, launcher, {}), "/c/runtime") is None
    assert ps.name_of(ps.Process(5, 1, ["vi", "/x/launcher.py"], {}), "/b/runtime") is None
    marks = {"BASE": "/b", "JOB": "j", "TASK": "t", "ATTEMPT": "2"}
    assert ps.task_of(ps.Process(6, 5, [], marks), "/b") == ("j", "t", 2)
    assert ps.task_of(ps.Process(6, 5, [], marks), "/c") is None
    assert ps.task_of(ps.Process(6, 5, [], {"BASE": "/b"}), "/b") is None
    assert ps.task_of(ps.Process(6, 5, [], marks | {"ATTEMPT": "x"}), "/b") is None


def test_this_process_is_seen() -> None:
    me = next(p for p in ps.processes() if p.pid == os.getpid())
    assert me.parent == os.getppid()
    assert ps.threads_of_user(os.geteuid()) >= 1


def test_under() -> None:
    parents = {10: 5, 5: 1, 1: 0, 20: 21, 21: 20}
    assert ps.under(10, parents, [5])
    assert ps.under(5, parents, [5])
    assert not ps.under(10, parents, [7])
    assert not ps.under(20, parents, [5])  # a loop, of numbers that were used again


@pytest.mark.parametrize(
    ("managed", "running", "levels"),
    [(False, True, ["warning"]), (True, True, ["ok"]), (False, False, ["warning"]), (True, False, ["warning"])],
)
def test_stray_tasks(managed: bool, running: bool, levels: list[str]) -> None:
    attempt = ps.Attempt("job", "a", 1)
    answers = list(remains.judge_tasks(3, {attempt: [12, 11]}, {attempt} if running else set(), managed=managed))
    assert [answer[0] for answer in answers] == levels
    assert "job job, task a (pid 11, 12)" in answers[0][1]
    if not running:
        assert (answers[0][2] or "").endswith("kill 11 12")


def test_spools_and_launchers() -> None:
    assert remains.judge_spools(2, ["x.spool"], 3, managed=False)[0] == "warning"
    assert remains.judge_spools(2, ["x.spool"], 0, managed=False)[0] == "ok"
    assert remains.judge_spools(2, ["x.spool"], 3, managed=True)[0] == "ok"
    assert remains.judge_launchers(["l (pid 4)"], managed=True)[0] == "ok"
    assert remains.judge_launchers(["l (pid 4)"], managed=False)[0] == "warning"
    assert remains.judge_launchers([], managed=False)[0] == "ok"


def test_every_check_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    section = text.partition("## What `doctor` says")[2]
    assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == list(CHECKS)
