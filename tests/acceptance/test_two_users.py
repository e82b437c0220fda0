"""A base folder shared by a group: one user runs the manager, another works with it, a third has no part in it."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import air_executor

NEEDED = ("useradd", "userdel", "groupadd", "groupdel")
PACKAGES = ("click", "msgspec", "yaml")
SECRET = "only-for-the-group"

os.environ["PATH"] += ":/usr/sbin:/sbin"  # where they are, and where a short PATH does not look

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, NEEDED)),
    reason="making users needs root, useradd and groupadd",
)


class User(NamedTuple):
    """A real user, with the narrowest usual umask, and a folder of their own."""

    name: str
    uid: int
    gid: int
    groups: list[int]
    home: Path
    python: str
    site: Path

    def run(self, *command: str, code: int | None = 0, umask: int = 0o077) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.home,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home), "PYTHONPATH": str(self.site), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            timeout=60,
            user=self.uid,
            group=self.gid,
            extra_groups=self.groups,
            umask=umask,
        )
        assert code in (None, done.returncode), f"{self.name}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def air(self, *arguments: str, code: int | None = 0) -> str:
        done = self.run(self.python, "-m", "air_executor", *arguments, code=code)
        return done.stdout + done.stderr

    def shown(self, *arguments: str) -> Any:
        return json.loads(self.run(self.python, "-m", "air_executor", *arguments, "--json").stdout)

    def sh(self, line: str, code: int | None = 0, umask: int = 0o077) -> str:
        return self.run("/bin/sh", "-c", line, code=code, umask=umask).stdout

    def write(self, name: str, *tasks: dict[str, Any], **options: Any) -> str:
        path = self.home / name
        path.write_text(json.dumps({**options, "tasks": list(tasks)}))
        path.chmod(0o644)
        return str(path)


class Users(NamedTuple):
    group: int
    group_name: str
    alice: User
    """Runs the manager."""
    bob: User
    """Works with it."""
    eve: User
    """Is not in the group."""
    base: str


def python_for_others(site: Path) -> str:
    """A Python of this version that a user without rights can run, with our packages from `site`."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    program = (
        f"import sys, air_executor.cli.app, msgspec, yaml; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    )
    for python in (sys.executable, os.path.realpath(sys.executable), *(
        f"{folder}/python{version}" for folder in ("/usr/bin", "/usr/local/bin")
    )):  # fmt: skip
        try:
            done = subprocess.run(
                [python, "-c", program], check=False, capture_output=True, cwd="/", env={"PYTHONPATH": str(site)},
                user=65534, group=65534, extra_groups=[],
            )  # fmt: skip
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip("no Python that other users may run")


def copy_packages(site: Path) -> None:
    """Ours and what it needs, readable for everybody wherever they came from."""
    shutil.copytree(
        Path(air_executor.__file__).parent, site / "air_executor", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in PACKAGES:
        spec = find_spec(name)
        assert spec is not None
        assert spec.submodule_search_locations
        folder = spec.submodule_search_locations[0]
        shutil.copytree(folder, site / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    subprocess.run(["chmod", "-R", "a+rX", str(site)], check=True)


def end_processes_of(names: list[str]) -> None:
    """What a failed test has left of these users, who are ours; nobody with processes can be removed."""
    uids = {entry.pw_uid for entry in pwd.getpwall() if entry.pw_name in names}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid in uids:
                os.kill(int(pid), signal.SIGKILL)


@pytest.fixture(scope="module")
def users() -> Iterator[Users]:
    """Three users and a group, made for this module and removed after it."""
    top = Path(tempfile.mkdtemp(prefix="air-executor-users-"))
    top.chmod(0o755)
    group_name = f"aeg{os.getpid()}"
    names = [f"aeu{os.getpid()}{letter}" for letter in "abe"]
    try:
        (top / "site").mkdir(mode=0o755)
        copy_packages(top / "site")
        python = python_for_others(top / "site")
        subprocess.run([python, "-m", "compileall", "-q", str(top / "site")], check=True)
        subprocess.run(["groupadd", group_name], check=True)
        made = []
        for name, member in zip(names, (True, True, False), strict=True):
            home = top / name
            options = ["-G", group_name] if member else []
            subprocess.run(["useradd", "-M", "-U", "-d", str(home), *options, name], check=True, capture_output=True)
            entry = pwd.getpwnam(name)
            groups = [grp.getgrnam(group_name).gr_gid] if member else []
            home.mkdir(mode=0o755)
            home.chmod(0o755)
            os.chown(home, entry.pw_uid, entry.pw_gid)
            made.append(User(name, entry.pw_uid, entry.pw_gid, groups, home, python, top / "site"))
        yield Users(grp.getgrnam(group_name).gr_gid, group_name, *made, base=str(made[0].home / "base"))
    finally:
        end_processes_of(names)
        for name in names:
            subprocess.run(["userdel", "-f", name], check=False, capture_output=True)
        subprocess.run(["groupdel", group_name], check=False, capture_output=True)
        shutil.rmtree(top)


@pytest.fixture
def start(users: Users) -> Iterator[Callable[[User], None]]:
    """A fresh shared base; gives what starts a manager on it. Whoever's it is, it is ended."""
    users.alice.air("init", "--base", users.base, "--group", users.group_name)
    started: list[User] = []

    def start_for(user: User) -> None:
        started.append(user)
        user.air("start", "--base", users.base, "--slots", "3")

    yield start_for
    for user in started:
        user.air("stop", "--kill", "--base", users.base, code=None)
    shutil.rmtree(users.base)


def sh(task_id: str, line: str, **more: Any) -> dict[str, Any]:
    return {"id": task_id, "command": line, "shell": True, **more}


def wait_for(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.05)


def test_one_runs_the_manager_and_another_works_with_it(users: Users, start: Callable[[User], None]) -> None:
    alice, bob, at = users.alice, users.bob, ("--base", users.base)
    start(alice)
    job = bob.write("job.json", sh("who", "id -un; echo to stderr >&2"), sh("more", "sleep 0.3; pwd"))
    assert "completed" in bob.air("submit", job, "--wait", *at)
    assert bob.air("logs", "job", "who", *at) == f"{alice.name}\nto stderr\n"  # it runs as who runs the manager
    assert bob.air("logs", "job", "more", *at) == f"{bob.home}\n"
    assert {task["status"] for task in bob.shown("tasks", "job", *at)} == {"completed"}
    assert bob.shown("status", *at)["manager"]["pid"] == alice.shown("status", *at)["manager"]["pid"]
    assert "belongs to another user" in bob.air("stop", *at, code=4)
    assert bob.air("events", "job", "--json", *at).count("AttemptExited") == 2
    assert bob.shown("doctor", *at)["worst"] != "problem"

    # an open job of bob's: both queue, bob cancels one task and closes
    bob.air("submit", bob.write("open.json", sh("first", "true")), "--open", *at)
    bob.air("queue", "--job", "open", "--id", "of-bob", *at, "--", "sleep", "600")
    alice.air("queue", "--job", "open", "--id", "of-alice", *at, "--", "echo", "alice")
    wait_for(lambda: bob.shown("status", "open", *at)["running"] == 1, "bob's task")
    bob.air("cancel", "open", "of-bob", *at)
    bob.air("close", "open", *at)
    bob.air("watch", "open", *at, code=1)
    assert {t["id"]: t["status"] for t in alice.shown("tasks", "open", *at)} == {
        "first": "completed", "of-bob": "failed", "of-alice": "completed",
    }  # fmt: skip

    # an ended job is woken by either of them, whoever knocked first
    for number, user in enumerate((bob, alice, bob)):
        user.air("queue", "--job", "job", "--reopen", "--id", f"again-{number}", *at, "--", "true")
        wait_for(
            lambda number=number: any(t["id"] == f"again-{number}" for t in bob.shown("tasks", "job", *at)),
            "the reopened job",
        )
        bob.air("watch", "job", *at)

    # bob cancels a job of alice's
    alice.air("submit", alice.write("long.json", sh("long", "sleep 600")), *at)
    wait_for(lambda: bob.shown("status", "long", *at)["running"] == 1, "alice's task")
    bob.air("cancel", "long", *at)
    bob.air("watch", "long", *at, code=1)
    assert alice.shown("status", "long", *at)["reason"] == "cancelled"
    bob.air("prune", "long", *at)
    assert not (Path(users.base) / "jobs" / "long").exists()


def test_files_by_hand_from_another_user(users: Users, start: Callable[[User], None]) -> None:
    """Whoever writes by hand has to let the group write and read (umask 002 or 007)."""
    bob, at = users.bob, ("--base", users.base)
    start(users.alice)
    folder = f"{users.base}/jobs/hand"
    bob.sh(
        f'mkdir {folder} && cd {folder} && echo \'[{{"id": "a", "command": "sleep 600", "shell": true}}]\' >t'
        f' && mv t tasks.json && echo \'{{"id": "hand-1"}}\' >state.json',
        umask=0o007,
    )
    wait_for(lambda: bob.shown("status", "hand", *at)["running"] == 1, "the task")
    bob.run(
        users.bob.python,
        "-c",
        "import json, os, sys; os.chdir(sys.argv[1]); tasks = json.load(open('tasks.json'))\n"
        "with open('new', 'w') as file: json.dump([*tasks, {'id': 'b', 'command': 'true'}], file)\n"
        "os.rename('new', 'tasks.json')",
        folder,
        umask=0o007,
    )
    wait_for(lambda: bob.shown("status", "hand", *at)["completed"] == 1, "what was added")
    bob.air("cancel", "hand", *at)
    bob.air("watch", "hand", *at, code=1)


def test_doctor_sees_a_folder_that_was_made_for_its_owner_alone(users: Users, start: Callable[[User], None]) -> None:
    start(users.alice)
    users.bob.sh(f"mkdir {users.base}/jobs/mine", umask=0o022)
    found = users.bob.shown("doctor", "--base", users.base)["findings"]
    assert any(f["check"] == "jobs" and "mine" in f["found"] and "chmod" in f["advice"] for f in found)


def test_a_third_user_sees_and_does_nothing(users: Users, start: Callable[[User], None]) -> None:
    eve, at = users.eve, ("--base", users.base)
    start(users.alice)
    users.bob.air("submit", users.bob.write("job.json", sh("a", f"echo {SECRET}")), "--wait", *at)
    job = eve.write("eve.json", sh("a", "true"))
    for arguments in (
        ["list"],
        ["status", "job"],
        ["logs", "job", "a"],
        ["cancel", "job"],
        ["submit", job],
        ["prune", "job"],
    ):
        said = eve.air(*arguments, *at, code=6)
        assert SECRET not in said
        assert said.startswith("air-executor: error: ")
    eve.air("start", *at, code=6)
    eve.air("stop", *at, code=6)
    eve.air("doctor", *at, code=1)
    assert eve.sh(f"ls {users.base}; cat {users.base}/manager.log; echo x >{users.base}/jobs/x", code=2) == ""
    assert sorted(os.listdir(Path(users.base) / "jobs")) == ["job"]


def test_every_file_is_of_the_group_and_of_nobody_else(users: Users, start: Callable[[User], None]) -> None:
    bob, at = users.bob, ("--base", users.base)
    start(users.alice)
    for _ in range(2):  # the second run archives the first
        bob.air("submit", bob.write("job.json", sh("a", "echo hi; sleep 0.2"), sh("bad", "exit 1", retries=1)), *at)
        bob.air("watch", "job", *at, code=1)
    wrong = []
    for path in Path(users.base).rglob("*"):
        info = path.lstat()
        if info.st_gid != users.group:
            wrong.append(f"{path}: group {info.st_gid}")
        if info.st_mode & stat.S_IRWXO:
            wrong.append(f"{path}: {stat.filemode(info.st_mode)}, open to others")
        if path.is_dir() and info.st_mode & 0o2070 != 0o2070:
            wrong.append(f"{path}: {stat.filemode(info.st_mode)}, not shared")
        if path.is_file() and path.parent.name != "runtime" and info.st_mode & 0o060 != 0o060:
            wrong.append(f"{path}: {stat.filemode(info.st_mode)}, not shared")
    assert not wrong, "\n".join(wrong)


def test_the_manager_of_another_member_goes_on(users: Users, start: Callable[[User], None]) -> None:
    alice, bob, at = users.alice, users.bob, ("--base", users.base)
    start(alice)
    job = alice.write("job.json", sh("a", "id -un"), sh("late", "id -un", dependencies=["a"]), open=True)
    alice.air("submit", job, *at)
    wait_for(lambda: alice.shown("status", "job", *at)["completed"] == 2, "the tasks")
    alice.air("stop", *at)
    start(bob)
    bob.air("queue", "--job", "job", "--id", "by-bob", *at, "--", "id", "-un")
    bob.air("close", "job", *at)
    alice.air("watch", "job", *at)
    assert alice.air("logs", "job", "by-bob", *at) == f"{bob.name}\n"


def test_what_one_members_launchers_run_is_not_run_again_by_another(
    users: Users, start: Callable[[User], None]
) -> None:
    alice, bob, at = users.alice, users.bob, ("--base", users.base)
    start(alice)
    ran = alice.home / "ran"
    ran.touch()
    ran.chmod(0o666)
    alice.air("submit", alice.write("job.json", sh("a", f"echo ran >>{ran}; sleep 600")), *at)
    wait_for(ran.read_text, "the task")
    alice.air("stop", *at)
    said = bob.air("start", *at, code=6)
    assert alice.name in said
    assert ran.read_text() == "ran\n"
    start(alice)
    wait_for(lambda: alice.shown("status", "job", *at)["running"] == 1, "the task that went on")
    assert ran.read_text() == "ran\n"


SLOWLY = """
import json, os, sys, time
path = sys.argv[1]
for n in range(4):
    if n == 2:  # from here on the file is one of this user's, of which the manager gets no lease
        with open(path + ".new", "w") as new, open(path) as old:
            json.dump([*json.load(old), {"id": "renamed", "command": "true"}], new)
        os.rename(path + ".new", path)
    with open(path, "r+") as file:
        text = json.dumps([*json.load(file), {"id": f"slow-{n}", "command": "true"}])
        time.sleep(1.0)
        file.seek(0)
        file.truncate()
        file.write(text[: len(text) // 2])
        file.flush()
        time.sleep(1.0)
        file.write(text[len(text) // 2 :])
"""


def test_a_list_that_another_member_writes_in_place_and_slowly(users: Users, start: Callable[[User], None]) -> None:
    """It is neither read by halves nor replaced under the pen, while the manager has a view to write all the time."""
    alice, bob, at = users.alice, users.bob, ("--base", users.base)
    start(alice)
    ticking = [sh(f"tick{n}", "sleep 0.2") for n in range(150)]
    bob.air("submit", bob.write("slow.json", *ticking, open=True), *at)
    folder = f"{users.base}/jobs/slow"
    wait_for(lambda: bob.shown("status", "slow", *at)["running"] > 0, "the first task")
    bob.run(bob.python, "-c", SLOWLY, f"{folder}/tasks.json", umask=0o007)
    bob.air("close", "slow", *at)
    names = ["renamed", *(f"slow-{n}" for n in range(4))]
    wait_for(
        lambda: (
            {t["id"]: t["status"] for t in alice.shown("tasks", "slow", *at) if t["id"] in names}
            == dict.fromkeys(names, "completed")
        ),
        "what was written",
    )
    bob.air("watch", "slow", *at)
    state = alice.shown("status", "slow", *at)
    assert (state["state"], state["total_tasks"], state["warnings"]) == ("completed", 155, [])
    wait_for(lambda: not [name for name in os.listdir(folder) if "displaced" in name], "the last to be removed")
    assert not [name for name in os.listdir(folder) if ".bad" in name]
