"""The base folder: its rights, and what its file system can do."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from air_executor.observe.doctor import processes as ps
from air_executor.observe.doctor.scene import Answer, Scene
from air_executor.store.files import being_written, exchange, place_new

__all__ = ["check_base", "check_files", "check_parents", "check_room"]

NETWORK: Final = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "lustre", "gluster", "afs", "vboxsf", "virtiofs")


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def check_base(scene: Scene) -> Iterator[Answer]:
    base = scene.base
    try:
        info = base.path.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            yield "ok", f"no base folder at {base} yet", "`air-executor init` makes one; `submit` and `run` too"
        else:
            yield "problem", f"{base}: {error.strerror}", "you have no right to look there; name another with --base"
        return
    groups = {os.getegid(), *os.getgroups()}
    yield judge_base(str(base), info, os.geteuid(), groups, _owner(info.st_uid))
    if not scene.exists:
        if os.access(base.path, os.X_OK):
            yield "problem", f"{base} has no jobs folder", "`air-executor init` makes it"
        return
    for folder in (base.jobs, base.runtime):
        if not folder.exists():
            continue
        mode = folder.stat().st_mode
        if folder.is_symlink():
            yield "problem", f"{folder} is a symbolic link", "put a folder in its place"
        elif mode & stat.S_IWOTH:
            yield "problem", f"{folder} can be written by everybody", f"chmod o-w {folder}"
        elif base.shared and mode & 0o2070 != 0o2070:
            yield "warning", f"{folder} is not shared like the base (mode {mode & 0o7777:o})", f"chmod 2770 {folder}"


def judge_base(path: str, info: os.stat_result, uid: int, groups: set[int], owner: str) -> Answer:
    mode = info.st_mode
    group = str(info.st_gid)
    with contextlib.suppress(KeyError):
        group = grp.getgrgid(info.st_gid).gr_name
    shared = bool(mode & stat.S_IWGRP)
    found = f"{path}: mode {mode & 0o7777:o}, owner {owner}" + (f", group {group}" if shared else "")
    if mode & stat.S_IWOTH:
        return "problem", f"{found}: everybody can write to it", f"chmod o-rwx {path}; others could run tasks as you"
    if shared and not mode & stat.S_ISGID:
        advice = f"chmod g-rwx {path}, or share it with `air-executor init --group`"
        return "problem", f"{found}: its group can write to it, but it was not made for that", advice
    if info.st_uid != uid:
        if uid == 0:
            return "warning", found, f"you are root, and no manager is run for {owner} by root: be {owner}"
        if not shared or info.st_gid not in groups:
            return "problem", found, f"it is not shared with you; {owner} can do so with `air-executor init --group`"
    if mode & stat.S_IRWXO or (mode & stat.S_IRWXG and not shared):
        who = "everybody" if mode & stat.S_IRWXO else f"group {group}"
        return "warning", f"{found}: {who} can look into it", f"chmod {'2770' if shared else '700'} {path}"
    return "ok", found, None


def check_parents(scene: Scene) -> Iterator[Answer]:
    path = scene.base.path.resolve()
    owners = {0, os.geteuid()}
    if path.exists():
        owners.add(path.stat().st_uid)
    parents = [(str(parent), parent.stat()) for parent in path.parents if parent.exists()]
    yield judge_parents(parents, owners)


def judge_parents(parents: list[tuple[str, os.stat_result]], owners: set[int]) -> Answer:
    for path, info in parents:
        if info.st_mode & stat.S_IWOTH and not info.st_mode & stat.S_ISVTX:
            advice = f"chmod o-w {path}; whoever can rename the base folder can put another in its place"
            return "problem", f"{path} can be written by everybody", advice
        if info.st_uid not in owners:
            advice = "whoever owns a folder above the base can put another in its place"
            return "warning", f"{path} belongs to {_owner(info.st_uid)}", advice
    return "ok", "no one else can replace the base folder", None


class Trial(NamedTuple):
    """What the file system can do."""

    kind: str
    exchanges: bool
    links: bool
    leases: bool
    sync_s: float
    ahead_s: float
    """How far the times of new files are ahead of our clock."""


def check_files(scene: Scene) -> Iterator[Answer]:
    folder = scene.base.runtime if scene.base.runtime.is_dir() else scene.base.path
    if not scene.exists:
        yield "ok", "not tried: there is no base folder yet", None
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield "problem", f"{folder} cannot be written by you", "see `base` above"
    else:
        try:
            yield from judge_trial(try_files(folder))
        except OSError as error:
            advice = "make room, or mount it for writing; no job can be accepted now"
            yield "problem", f"{folder} cannot be written: {error.strerror}", advice


def try_files(folder: Path) -> Trial:
    """Try with files of our own, which are gone afterwards, what the views rest on."""
    names = [folder / f".doctor-{os.getpid()}-{number}" for number in range(3)]
    try:
        began = time.time()
        for path, text in zip(names, (b"a", b"b"), strict=False):
            path.write_bytes(text)
        ahead_s = names[0].stat().st_mtime - began
        exchanges = exchange(names[0], names[1]) and names[0].read_bytes() == b"b"
        try:
            links = place_new(names[1], names[2])
        except OSError:
            links = False
        with names[0].open("rb+") as writer, names[0].open("rb") as reader:
            busy = being_written(reader.fileno())
            writer.write(b"c")
            writer.flush()
            began = time.monotonic()
            os.fdatasync(writer.fileno())
            sync_s = time.monotonic() - began
        with names[0].open("rb") as reader:
            leases = (busy, being_written(reader.fileno())) == (True, False)
        return Trial(file_system_of(folder), exchanges, links, leases, sync_s, ahead_s)
    finally:
        for path in names:
            path.unlink(missing_ok=True)


def file_system_of(path: Path) -> str:
    """The kind of file system a folder is on (`ext4`)."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in reversed((ps.PROC / "self/mountinfo").read_text(errors="replace").splitlines()):
        before, _, after = line.partition(" - ")
        if before.split()[2] == number:
            return after.split()[0]
    return "unknown file system"


def judge_trial(trial: Trial) -> Iterator[Answer]:
    can = {"exchange": trial.exchanges, "links": trial.links, "leases": trial.leases}
    works = ", ".join(name for name, works in can.items() if works) or "none of exchange, links, leases"
    found = f"{trial.kind}; {works} work; a sync takes {1000 * trial.sync_s:.1f} ms"
    if not (trial.exchanges or trial.links):
        yield "problem", found, "views cannot be replaced safely here; use ext4, xfs, btrfs or tmpfs"
    elif not trial.exchanges:
        advice = "views are replaced in two steps; ext4, xfs, btrfs and tmpfs need one"
        yield "warning", f"{found}; no exchange of two names", advice
    elif not trial.leases:
        advice = "a writer that keeps a view open is noticed only by its writing; write to a new file and rename it"
        yield "warning", f"{found}; no leases", advice
    else:
        yield "ok", found, None
    if trial.kind.startswith(NETWORK):
        advice = "run manager and clients on one machine, or expect polling; tasks should drop files, not append"
        yield "warning", f"{trial.kind} may be shared with other machines, whose writing is not notified", advice
    if abs(trial.ahead_s) > 2:
        yield "warning", f"files are dated {trial.ahead_s:+.0f} s from our clock", "use NTP on the file server too"


def check_room(scene: Scene) -> Iterator[Answer]:
    place = scene.base.path
    while not place.exists():
        place = place.parent
    room = os.statvfs(place)
    yield judge_room(room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize)
    if room.f_files:
        yield judge_inodes(room.f_favail, room.f_files)


def judge_room(free: int, total: int) -> Answer:
    found = f"{free / 1e9:.1f} GB free of {total / 1e9:.1f} GB"
    if free < 50_000_000:
        return (
            "problem",
            found,
            "make room; `air-executor prune` removes ended jobs. Nothing new starts on a full disk",
        )
    if free < min(1_000_000_000, total // 20):
        return "warning", found, "make room; `air-executor prune` removes ended jobs"
    return "ok", found, None


def judge_inodes(free: int, total: int) -> Answer:
    found = f"{free:,} of {total:,} files can still be made"
    if free < 1_000:
        return "problem", found, "remove files; `air-executor prune` removes ended jobs with all their logs"
    if free < min(50_000, total // 20):
        return "warning", found, "`air-executor prune` removes ended jobs with all their logs"
    return "ok", found, None
