"""The manager, and who supervises it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from typing import Any, Final

from air_executor import __version__
from air_executor.observe.doctor import processes as ps
from air_executor.observe.doctor.scene import Answer, Scene

__all__ = ["check_manager", "check_supervisor"]

SMALL_INITS: Final = ("tini", "docker-init", "dumb-init", "catatonit", "s6-svscan", "bash", "sh")


def check_manager(scene: Scene) -> Iterator[Answer]:
    yield judge_manager(scene.manager, scene.facts, os.uname().nodename, stale=scene.base.manager_json.exists())


def judge_manager(pid: int | None, facts: dict[str, Any], host: str, *, stale: bool) -> Answer:
    """`stale`: a `manager.json` is there."""
    written, version, where = facts.get("pid"), facts.get("version"), facts.get("host")
    if pid is None:
        if not stale:
            return "ok", "none is running", None
        if where not in (None, host):
            found = f"manager.json names one on host {where!r} (pid {written})"
            return "warning", found, f"look there; if it is gone, `air-executor start` replaces {'manager.json'}"
        found = f"none is running; manager.json is of one (pid {written}) that was killed"
        return "warning", found, "`air-executor start`: the next one takes up what it left"
    if pid <= 0:
        return "warning", "one is running in another container or on another machine", "ask it there"
    if written != pid:
        return "warning", f"pid {pid} holds the folder but has not written manager.json", "it may be starting; wait"
    if version != __version__:
        advice = "`air-executor stop` and `start`; running tasks go on meanwhile"
        return "warning", f"pid {pid} is version {version}, this is {__version__}", advice
    return "ok", f"pid {pid} is running, version {version}", None


def check_supervisor(scene: Scene) -> Iterator[Answer]:
    if scene.manager is None or scene.manager <= 0:
        return
    unit = ps.unit_of(scene.of_process("cgroup"))
    if unit is not None:
        yield judge_unit(*unit, ask_systemd(*unit))
        return
    first = ""
    with contextlib.suppress(OSError):
        first = (ps.PROC / "1/comm").read_text().strip()
    parent = next((p.parent for p in scene.processes if p.pid == scene.manager), 0)
    yield judge_container(scene.manager, parent, first, contained=in_container())


def ask_systemd(unit: str, own: bool) -> dict[str, str]:
    """What systemd says of a unit; empty when it cannot be asked."""
    command = ["systemctl", *(["--user"] if own else []), "show", unit, "-p", "KillMode,Delegate,OOMPolicy"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return {}
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {name: value for name, _, value in pairs if value}


def judge_unit(unit: str, own: bool, says: dict[str, str]) -> Answer:
    edit = f"systemctl {'--user ' if own else ''}edit {unit}"
    mode = says.get("KillMode")
    if mode is None:
        advice = "it needs KillMode=process, or tasks end with the manager; see docs/operations.md"
        return "warning", f"the manager belongs to {unit}; systemd could not be asked about it", advice
    if mode not in ("process", "none"):
        found = f"{unit} has KillMode={mode}: stopping or restarting it ends all tasks"
        return "problem", found, f"`{edit}`: KillMode=process (see ops/systemd/air-executor@.service)"
    if says.get("OOMPolicy") in ("stop", "kill"):
        found = f"{unit} has OOMPolicy={says['OOMPolicy']}: a task that needs too much memory ends the manager"
        return "warning", found, f"`{edit}`: OOMPolicy=continue"
    if says.get("Delegate") == "no":
        return "ok", f"{unit} leaves tasks running (KillMode={mode})", "Delegate=yes would allow for cgroups"
    return "ok", f"{unit} leaves tasks running (KillMode={mode})", None


def in_container() -> bool:
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        return True
    with contextlib.suppress(OSError):
        return any(v.startswith(b"container=") for v in (ps.PROC / "1/environ").read_bytes().split(b"\0"))
    return False


def judge_container(pid: int, parent: int, first: str, *, contained: bool) -> Answer:
    """`first`: the name of process 1."""
    if pid == 1 or (contained and parent == 1 and first in SMALL_INITS):
        advice = (
            "`air-executor stop --drain` before the container is stopped, or keep a shell or service as process 1"
        )
        return "warning", "the container ends with the manager, and running tasks with it", advice
    if contained:
        return "ok", "in a container: what runs ends with it", "`air-executor stop --drain` before it is stopped"
    return "ok", "no supervisor that would end tasks with the manager", None
