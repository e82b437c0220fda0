"""One manager per base folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from air_executor.errors import BaseUnusable, ManagerRunning
from air_executor.store.layout import Base
from air_executor.store.lock import ManagerLock, manager_pid

HOLD = """
import sys
from air_executor.store.layout import Base
from air_executor.store.lock import ManagerLock
with ManagerLock(Base(sys.argv[1])):
    {inside}
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def base(tmp_path):
    base = Base(tmp_path / "base")
    base.create()
    return base


@contextmanager
def holder(base, inside="pass"):
    """Another process that has the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(inside=inside), str(base.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_manager_is_refused_naming_the_first(base):
    with holder(base) as process:
        assert manager_pid(base) == process.pid
        with pytest.raises(ManagerRunning) as caught:
            ManagerLock(base).acquire()
        assert caught.value.pid == process.pid
        assert str(caught.value) == (
            f"a manager (pid {process.pid}) already works on {base.path}; stop it with `air-executor stop`"
        )
        with pytest.raises(ManagerRunning):
            ManagerLock(base).acquire()


def test_an_orderly_end_frees_the_lock(base):
    with holder(base) as process:
        process.communicate("")
        assert process.returncode == 0
        assert manager_pid(base) is None
    with ManagerLock(base):
        pass


def test_kill_9_frees_the_lock_though_children_live_on(base):
    fork = "import os; r, w = os.pipe(); child = os.fork(); child or (os.read(0, 1), os._exit(0))"
    with holder(base, fork) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert manager_pid(base) is None
        with ManagerLock(base):
            pass
        process.stdin.close()
        process.stdin = None


def test_the_lock_is_not_given_to_children(base):
    with ManagerLock(base) as lock:
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if manager_pid(base) == os.getppid() else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not os.get_inheritable(lock._fd)


def test_nobody_holds_a_lock_that_is_not_there(base):
    assert manager_pid(base) is None
    lock = ManagerLock(base)
    lock.release()
    lock.acquire()
    lock.release()
    lock.release()
    assert manager_pid(base) is None


def test_a_lock_that_cannot_be_opened_is_told(base, tmp_path):
    base.lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BaseUnusable, match=r"cannot open .*manager\.lock"):
        ManagerLock(base).acquire()
    with pytest.raises(BaseUnusable, match="No such file or directory"):
        ManagerLock(Base(tmp_path / "none")).acquire()
