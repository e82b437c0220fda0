"""Control groups (version 2) of single tasks, where such a group is ours to divide: no process gets out of one.

Standard library only, and nothing of this package: the launcher, which runs apart from it, loads this file too.
A task that is to be born in its group costs a `fork` (`posix_spawn` cannot do that), which is about two
milliseconds against a fifth of one; and moving a process into a group makes the kernel wait ten. So only the
tasks get one that ask for it by `enforce_memory`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import struct
from typing import Any

SYS_CLONE3 = 435
CLONE_INTO_CGROUP = 0x2_0000_0000
SYSTEMD = "/run/systemd/system"
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6
DELEGATED = ("user.delegate", "trusted.delegate")
"""What systemd marks a group with that it leaves to the service in it (`Delegate=yes`)."""


def delegated() -> str | None:
    """The folder of a group that we may divide: our own, or the one above it (`DelegateSubgroup=`)."""
    own = own_group()
    if own is None:
        return None
    found = [folder for folder in (own, os.path.dirname(own)) if is_ours(folder, above=folder != own)]
    return next((folder for folder in found if enable_memory(folder)), found[0] if found else None)


def own_group() -> str | None:
    """The folder of the group that this process is in."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            path = next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), None)
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [line.split(" ") for line in file if " - cgroup2 " in line]
    except OSError:
        return None
    for fields in mounts:
        root, place = fields[3].rstrip("/"), fields[4]
        if path is not None and (path + "/").startswith(root + "/"):
            return os.path.normpath(place + path[len(root) :])
    return None


def is_ours(folder: str, *, above: bool = False) -> bool:
    """Whether a group was left to us to divide. `above`: one that our own stands in must say so itself."""
    try:
        if os.stat(folder).st_uid != os.geteuid() or not os.path.exists(f"{folder}/cgroup.procs"):
            return False
    except OSError:
        return False
    if not all(os.access(path, os.W_OK) for path in (folder, f"{folder}/cgroup.procs")):
        return False
    if not above and not os.path.isdir(SYSTEMD):
        return True
    for name in DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def enable_memory(folder: str) -> bool:
    """Have the groups below `folder` limit memory; False where that cannot be (it has processes of its own)."""
    try:
        if "memory" not in _read(f"{folder}/cgroup.controllers").split():
            return False
        if "memory" not in _read(f"{folder}/cgroup.subtree_control").split():
            _write(f"{folder}/cgroup.subtree_control", "+memory")
    except OSError:
        return False
    return True


class Cgroup:
    """One task's group, by its folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.limits_memory = False

    def make(self, memory_mb: float) -> None:
        """Make the group; `OSError` where that cannot be. Look at `limits_memory` then."""
        os.mkdir(self.folder)
        with contextlib.suppress(OSError):
            _write(f"{self.folder}/memory.oom.group", "1")
            _write(f"{self.folder}/memory.max", str(int(memory_mb * 1e6)))
            self.limits_memory = True
        with contextlib.suppress(OSError):
            _write(f"{self.folder}/memory.swap.max", "0")

    def spawn(
        self, program: bytes, argv: list[str], env: dict[bytes, bytes], files: tuple[int, int], signals: list[Any]
    ) -> int:
        """Like `posix_spawn` with a process group of its own, but born in this group.

        `files`: what becomes its standard input, and its output and errors. `signals` are reset. Gives the
        pid; 0 where no process can be born in a group (a container that forbids it).
        """
        told, tell = os.pipe2(os.O_CLOEXEC)
        group = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        libc = ctypes.CDLL(None, use_errno=True)
        request = struct.pack("=11Q", CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, group)
        try:
            pid = int(libc.syscall(SYS_CLONE3, request, len(request)))
            if pid == 0:
                _become(program, argv, env, files, signals, tell)
            if pid < 0:
                code = ctypes.get_errno()
                if code in (errno.EAGAIN, errno.ENOMEM):
                    raise OSError(code, os.strerror(code))
                return 0
            os.close(tell)
            tell = -1
            if failed := os.read(told, 16):
                os.waitpid(pid, 0)
                raise OSError(int(failed), os.strerror(int(failed)))
            return pid
        finally:
            os.close(group)
            os.close(told)
            if tell >= 0:
                os.close(tell)

    def exists(self) -> bool:
        return os.path.isdir(self.folder)

    def populated(self) -> bool:
        """Whether a process lives in it."""
        try:
            return "populated 1" in _read(f"{self.folder}/cgroup.events")
        except OSError:
            return False

    def pids(self) -> list[int]:
        try:
            return [int(pid) for pid in _read(f"{self.folder}/cgroup.procs").split()]
        except OSError:
            return []

    def signal(self, *numbers: int) -> None:
        for pid in self.pids():
            for number in numbers:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)

    def resident_mb(self) -> float:
        """Resident memory of its processes together, as far as they can be looked at."""
        pages = 0
        for pid in self.pids():
            with contextlib.suppress(OSError, IndexError):
                pages += int(_read(f"/proc/{pid}/statm").split()[1])
        return pages * PAGE_MB

    def kill(self) -> None:
        """KILL to all of it, whatever it forks meanwhile; process by process before Linux 5.14."""
        try:
            _write(f"{self.folder}/cgroup.kill", "1")
        except OSError:
            self.signal(signal.SIGKILL)

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel ended it because of its limit."""
        try:
            counts = dict(line.split() for line in _read(f"{self.folder}/memory.events").splitlines())
        except (OSError, ValueError):
            return False
        return counts.get("oom_kill", "0") != "0"

    def remove(self) -> bool:
        """False while a process lives in it."""
        try:
            os.rmdir(self.folder)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True


class Cgroups:
    """The groups of one launcher's tasks, in a group of the launcher's name."""

    def __init__(self, parent: str, launcher: str) -> None:
        self.folder = f"{parent}/{launcher}"

    def open(self) -> None:
        """Make the group that the others are made in; `OSError` where that cannot be."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.folder)
        enable_memory(self.folder)

    def of(self, token: int) -> Cgroup:
        return Cgroup(f"{self.folder}/{token}")

    def remove(self) -> bool:
        """Remove what is empty, when its launcher is gone; False while processes live there."""
        try:
            for name in os.listdir(self.folder):
                if name.isdigit():
                    self.of(int(name)).remove()
            os.rmdir(self.folder)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True


def _become(
    program: bytes, argv: list[str], env: dict[bytes, bytes], files: tuple[int, int], signals: list[Any], tell: int
) -> None:
    """In the new process: never returns."""
    try:
        os.setpgid(0, 0)
        for number in signals:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.dup2(files[0], 0)
        os.dup2(files[1], 1)
        os.dup2(files[1], 2)
        os.execve(program, argv, env)
    except OSError as error:
        os.write(tell, str(error.errno).encode())
    except BaseException:
        os.write(tell, b"22")
    finally:
        os._exit(127)


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
