"""What runs and what is left: launchers, tasks, spools, jobs, journals, files."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator

from air_executor.errors import InvalidInput
from air_executor.observe.doctor import processes as ps
from air_executor.observe.doctor.scene import SHOWN, Answer, Scene, some
from air_executor.store.layout import Base

__all__ = ["check_jobs", "check_journals", "check_launchers", "check_leftovers", "check_spools", "check_tasks"]


def check_launchers(scene: Scene) -> Iterator[Answer]:
    names = [f"{name} (pid {pid})" for name, pid in sorted(scene.launchers.items())]
    yield judge_launchers(names, managed=scene.manager is not None)


def judge_launchers(names: list[str], *, managed: bool) -> Answer:
    if not names:
        return "ok", "none is running", None
    if managed:
        return "ok", f"{len(names)} running", None
    advice = "`air-executor start`: a manager connects to them; without tasks they end by themselves"
    return "warning", f"{len(names)} without a manager: {some(names)}", advice


def check_tasks(scene: Scene) -> Iterator[Answer]:
    base = str(scene.base)
    parents = {p.pid: p.parent for p in scene.processes}
    tops = [*scene.launchers.values(), *([scene.manager] if scene.manager else [])]
    watched, strays = 0, defaultdict(list)
    for process in scene.processes:
        attempt = ps.task_of(process, base)
        if attempt is None:
            continue
        if ps.under(process.pid, parents, tops):
            watched += 1
        else:
            strays[attempt].append(process.pid)
    running = {attempt for attempt in strays if _runs(scene.base, attempt)}
    yield from judge_tasks(watched, strays, running, managed=scene.manager is not None)


def _runs(base: Base, attempt: ps.Attempt) -> bool:
    """Whether the job's view shows an attempt as running."""
    with contextlib.suppress(InvalidInput, OSError, ValueError):
        tasks = json.loads(base.job(attempt.job).tasks.read_bytes())
        return isinstance(tasks, list) and any(
            isinstance(t, dict)
            and (t.get("id"), t.get("attempt"), t.get("status")) == (attempt.task, attempt.attempt, "running")
            for t in tasks
        )
    return False


def judge_tasks(
    watched: int, strays: dict[ps.Attempt, list[int]], running: set[ps.Attempt], *, managed: bool
) -> Iterator[Answer]:
    """`strays`: processes of tasks without launcher or manager above them; `running`: those whose view says so."""

    def listed(attempts: Iterable[ps.Attempt]) -> str:
        return some(
            f"job {a.job}, task {a.task} (pid {', '.join(map(str, sorted(strays[a])))})" for a in sorted(attempts)
        )

    adopted, left = strays.keys() & running, strays.keys() - running
    if adopted and managed:
        yield "ok", f"watched by the manager, since their launcher is gone: {listed(adopted)}", None
    elif adopted:
        advice = "`air-executor start`: a manager takes them up and records their ends"
        yield "warning", f"tasks run with neither launcher nor manager: {listed(adopted)}", advice
    if left:
        pids = " ".join(str(pid) for attempt in sorted(left) for pid in sorted(strays[attempt]))
        yield (
            "warning",
            f"processes of tasks that have ended: {listed(left)}",
            f"end them if they should: kill {pids}",
        )
    if not strays:
        yield "ok", f"{watched:,} processes of tasks, all with a launcher" if watched else "no process runs", None


def check_spools(scene: Scene) -> Iterator[Answer]:
    files = list(scene.base.runtime.glob("*.spool")) if scene.exists else []
    left = [path.name for path in files if path.name.split(".")[0] not in scene.launchers and path.stat().st_size]
    yield judge_spools(len(files), left, scene.jobs.running, managed=scene.manager is not None)


def judge_spools(count: int, left: list[str], running: int, *, managed: bool) -> Answer:
    """`left`: spools of launchers that have ended; `running`: tasks that run, or have ended unseen."""
    if left and running and not managed:
        advice = "`air-executor start`: a manager reads them and goes on"
        return "warning", f"ends of tasks wait in {some(left)}", advice
    if left and not managed:
        return "ok", f"{len(left)} of launchers that have ended; the next manager removes them", None
    return "ok", f"{count} in use" if managed and count else "none waits", None


def check_jobs(scene: Scene) -> Iterator[Answer]:
    found = scene.jobs
    if not scene.exists:
        return
    if found.unfinished and scene.manager is None:
        advice = "`air-executor start`: a manager carries them on; `prune` never touches them"
        yield (
            "warning",
            f"{len(found.unfinished):,} have not ended, and no manager runs: {some(found.unfinished)}",
            advice,
        )
    else:
        yield "ok", f"{found.count:,} jobs, {len(found.unfinished):,} not ended", None
    if found.passed_over:
        why = some(f"{name!r} ({why})" for name, why in found.passed_over.items())
        yield "warning", f"passed over: {why}", "rename or remove them"
    if found.unshared:
        advice = f"chmod -R g+rwX {scene.base.jobs}/…; umask 002 where folders are made by hand"
        yield "warning", f"the group has no part in {some(found.unshared)}", advice
    if found.untrusted:
        advice = "they belong to users without a part in this folder; remove them"
        yield "warning", f"not carried out: {some(found.untrusted)}", advice


def check_journals(scene: Scene) -> Iterator[Answer]:
    if not scene.exists:
        return
    found = scene.jobs
    for job, why in list(found.unreadable.items())[:SHOWN]:
        yield "problem", f"job {job!r}: {why}", "upgrade, or move the job's folder away; the others are not affected"
    if len(found.unreadable) > SHOWN:
        yield "problem", f"{len(found.unreadable):,} jobs cannot be read", None
    if found.torn and scene.manager is None:
        advice = "a power cut does that; the next manager cuts it off, keeps it as journal.torn-… and goes on"
        yield "warning", f"a torn end: {some(found.torn)}", advice
    if not found.unreadable:
        yield "ok", "all can be read", None


def check_leftovers(scene: Scene) -> Iterator[Answer]:
    if not scene.exists:
        return
    found, base = scene.jobs, scene.base
    if found.unfinished_folders:
        advice = f"a client was killed before its job was accepted; rm -r {base.jobs}/.new-…, and submit again"
        yield "warning", f"half-made jobs: {some(found.unfinished_folders)}", advice
    if found.pruned:
        yield (
            "warning",
            f"of an interrupted prune: {some(found.pruned)}",
            "the next `air-executor prune` removes them",
        )
    if found.unread and scene.manager is None:
        yield "warning", f"written by others, not read yet: {some(found.unread)}", "`air-executor start` reads them"
    if found.set_aside:
        advice = "what could not be accepted; `state.json` says why. Look at them, then remove them"
        yield "warning", f"set aside: {some(found.set_aside)}", advice
    if not (found.unfinished_folders or found.pruned or found.set_aside):
        yield "ok", "none", None
