"""The machine: system, limits, notification, cgroups, clock."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from air_executor import __version__
from air_executor.observe.doctor import processes as ps
from air_executor.observe.doctor.scene import Answer, Scene
from air_executor.store.notify import Notifier

__all__ = ["check_cgroup", "check_clock", "check_limits", "check_notification", "check_settings", "check_system"]

KERNEL: Final = (5, 10)
PYTHON: Final = (3, 11)
EARLIEST_CLOCK: Final = 1_735_689_600  # 2025; this version is younger
LATEST_CLOCK: Final = 4_102_444_800  # 2100


def check_system(_: Scene) -> Iterator[Answer]:
    yield judge_system(sys.platform, platform.release(), sys.version_info[:2])


def judge_system(system: str, kernel: str, python: tuple[int, ...]) -> Answer:
    found = f"{system}, kernel {kernel}, Python {'.'.join(map(str, python))}, Air-Executor {__version__}"
    digits = [part for part in kernel.replace("-", ".").split(".") if part.isdigit()]
    if not system.startswith("linux"):
        return "problem", found, "use Linux; nothing else works"
    if tuple(map(int, digits[:2])) < KERNEL:
        return "problem", found, "use kernel 5.10 or later"
    if python < PYTHON:
        return "problem", found, "use Python 3.11 or later"
    return "ok", found, None


def check_settings(scene: Scene) -> Iterator[Answer]:
    if scene.settings_error is not None:
        yield "problem", scene.settings_error, "mend it; until then no manager starts"
    else:
        yield "ok", f"{scene.number('slots')} slots, {scene.number('launchers')} launchers", None


def check_limits(scene: Scene) -> Iterator[Answer]:
    limits = ps.limits_of(scene.of_process("limits"))
    slots, launchers = scene.number("slots"), scene.number("launchers")
    unlimited = (float("inf"), float("inf"))
    files = limits.get("Max open files", unlimited)
    yield judge_files(*files, slots=slots, launchers=launchers, jobs=len(scene.jobs.unfinished))
    limit = limits.get("Max processes", unlimited)[0]
    uid = os.geteuid()
    with contextlib.suppress(OSError):
        uid = os.stat(ps.PROC / str(scene.pid)).st_uid
    used = ps.threads_of_user(uid)
    yield judge_processes(float("inf") if uid == 0 else limit, used, slots + launchers, "ulimit -u")
    folder = ps.cgroup2_of(scene.of_process("cgroup"), scene.of_process("mountinfo"))
    with contextlib.suppress(OSError, ValueError, TypeError):
        assert folder is not None
        most, now = (folder / "pids.max").read_text().strip(), int((folder / "pids.current").read_text())
        if most != "max":
            yield judge_processes(int(most), now, slots + launchers, f"pids.max of {folder}")


def judge_files(soft: float, hard: float, *, slots: int, launchers: int, jobs: int) -> Answer:
    """A launcher keeps a log open for each task it runs, the manager a journal for each unfinished job."""
    for_launcher, for_manager = 40 + 2 * -(-slots // launchers), 60 + launchers + jobs
    found = f"open files: {soft:g}, at most {hard:g}"
    if soft < for_launcher:
        need = f"{slots} slots on {launchers} launchers need about {for_launcher}"
        return "warning", f"{found}; {need}", f"`ulimit -n {for_launcher}` before the manager starts, or fewer slots"
    if hard < for_manager:
        need = f"{jobs} unfinished jobs need about {for_manager}"
        return "warning", f"{found}; {need}", "raise the hard limit (limits.conf, LimitNOFILE= of the unit)"
    return "ok", found, None


def judge_processes(limit: float, used: int, need: int, name: str) -> Answer:
    found = f"processes: {name} is {limit:g}, {used:,} are used"
    if limit - used < need:
        advice = "raise it, or set fewer slots; what cannot start now is tried again"
        return "warning", f"{found}, {need:,} may be needed", advice
    return "ok", found if limit != float("inf") else "processes: no limit", None


def check_notification(scene: Scene) -> Iterator[Answer]:
    try:
        Notifier().close()
    except OSError as error:
        advice = "raise fs.inotify.max_user_instances (sysctl); until then folders are looked at every second"
        yield "warning", f"no inotify instance can be made: {error.strerror}", advice
        return
    try:
        watches = int((ps.PROC / "sys/fs/inotify/max_user_watches").read_text())
    except (OSError, ValueError):
        return
    yield judge_watches(watches, scene.jobs.count, len(scene.jobs.unfinished))


def judge_watches(watches: int, jobs: int, unfinished: int) -> Answer:
    need = 1 + jobs + unfinished
    found = f"{watches:,} inotify watches a user, {need:,} needed for {jobs:,} job folders"
    if need > watches:
        advice = f"`sysctl fs.inotify.max_user_watches={2 * need}`, or `prune` old jobs; the others are polled"
        return "warning", found, advice
    return "ok", found, None


def check_cgroup(scene: Scene) -> Iterator[Answer]:
    folder = ps.cgroup2_of(scene.of_process("cgroup"), scene.of_process("mountinfo"))
    controllers: list[str] = []
    writable = False
    if folder is not None:
        with contextlib.suppress(OSError):
            controllers = (folder / "cgroup.controllers").read_text().split()
        writable = os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)
    yield judge_cgroup(folder, controllers, writable=writable)


def judge_cgroup(folder: Path | None, controllers: list[str], *, writable: bool) -> Answer:
    without = "memory limits are kept by sampling, processes found by group and environment"
    if folder is None:
        return "ok", f"no cgroup v2 here: {without}", None
    if not writable or "memory" not in controllers:
        what = "cannot be written" if not writable else "has no memory controller"
        return "ok", f"{folder} {what}: {without}", "a systemd unit with Delegate=yes gives one"
    return "ok", f"{folder} is delegated, with {', '.join(controllers)}", None


def check_clock(scene: Scene) -> Iterator[Answer]:
    asleep_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    newest_s = 0.0
    for path in (scene.base.manager_log, scene.base.manager_json, scene.base.jobs):
        with contextlib.suppress(OSError):
            newest_s = max(newest_s, path.stat().st_mtime)
    yield judge_clock(time.time(), newest_s, asleep_s)


def judge_clock(now_s: float, newest_s: float, asleep_s: float) -> Answer:
    """`newest_s`: when files were written last; `asleep_s`: how long the machine slept since its start."""
    found = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now_s))
    if not EARLIEST_CLOCK < now_s < LATEST_CLOCK:
        return "problem", f"{found}: that cannot be", "set the clock (NTP)"
    if newest_s > now_s + 5:
        found = f"{found}: files of the base folder are {newest_s - now_s:.0f} s in the future"
        return "warning", found, "the clock was set back, or differs from the file server's; use NTP on both"
    if asleep_s > 60:
        return "ok", f"{found}; the machine has slept {asleep_s / 60:.0f} min since its start", None
    return "ok", found, None
