"""A job that grows, fails and retries, what it must come to, and the check that it came to exactly that."""

from __future__ import annotations

import json
import os
import random
import sys
import sysconfig
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import air_executor
from air_executor import AirExecutorClient
from air_executor import events as ev
from air_executor.lifecycle import Run
from air_executor.names import file_stem
from air_executor.store.journal import read_journal
from tests.support import read

SCRIPT = str(Path(__file__).with_name("task.sh"))
PRINTED = 400

Outcome = tuple[str, str | None, int | None]
"""Status, reason, exit code."""
DONE: Outcome = ("completed", None, 0)


@dataclass
class Workload:
    """Tasks to hand in, and for every task there will be: its outcome and its number of attempts."""

    root: Path
    name: str = "work"
    tasks: list[dict[str, Any]] = field(default_factory=list)
    expected: dict[str, Outcome] = field(default_factory=dict)
    """By id; tasks without an id are named by their last argument, with `~` before it."""
    attempts: dict[str, int] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    effects: Path = field(init=False)

    def __post_init__(self) -> None:
        self.effects = self.root / "effects"
        self.effects.mkdir(exist_ok=True)

    def add(self, task_id: str, *args: object, outcome: Outcome = DONE, attempts: int = 1, **fields: Any) -> str:
        task = {"id": task_id, "command": "/bin/sh", "args": [SCRIPT, *map(str, args)], **fields}
        self.tasks.append(task)
        self.expect(task_id, outcome, attempts)
        return task_id

    def expect(self, task_id: str, outcome: Outcome = DONE, attempts: int = 1, parent: str = "") -> None:
        self.expected[task_id] = outcome
        self.attempts[task_id] = attempts
        if parent:
            self.parents[task_id] = parent

    def growing(self, task_id: str, way: str, count: int, **fields: Any) -> None:
        """A task that queues more, half of them without an id."""
        self.add(task_id, way, count, sys.executable, **fields)
        with_id, without = {"printf": "pq", "python": "t ", "raw": "rs"}[way]
        for n in range(count):
            self.expect(f"{task_id}-{with_id}{n}", parent=task_id)
            if without != " ":
                self.expect(f"~{task_id}-{without}{n}", parent=task_id)

    def submit(self, base: Path, **options: Any) -> str:
        return AirExecutorClient(base).create_job(
            self.name, self.tasks, cwd=self.root, params=self.params(), **options
        )

    def params(self) -> dict[str, str]:
        """What the tasks find in their environment."""
        return {
            "EFFECTS": str(self.effects),
            "SOURCES": str(Path(air_executor.__file__).parents[1]),
            "PACKAGES": os.pathsep.join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}),
        }


def mixed(root: Path, count: int, seed: int, *, raw: int = 4, python: int = 2, name: str = "work") -> Workload:
    """About `count` tasks of every kind, the same for the same seed."""
    chance = random.Random(seed)
    work = Workload(root, name)
    grown = 0
    for n in range(raw):
        work.growing(f"raw{n}", "raw", 3)
        grown += 6
    for n in range(python):
        work.growing(f"py{n}", "python", 4)
        grown += 4
    printf = max(2, count // 25)
    for n in range(printf):
        work.growing(f"pf{n}", "printf", 2)
        grown += 4
    work.add("fails", "exit", 9, outcome=("failed", "exit", 9))
    work.add("skipped", "ok", outcome=("failed", "skipped", None), attempts=0, dependencies=["fails"])
    work.add("skipped-too", "ok", outcome=("failed", "skipped", None), attempts=0, dependencies=["skipped"])
    work.add("after-all", "ok", dependencies=["fails", "skipped-too"], trigger_rule="all_done")
    work.add("merge", "ok", final=True)
    for n in range(max(0, count - grown - len(work.tasks))):
        what = chance.choice(["ok", "ok", "ok", "sleep", "print", "exit", "flaky", "never", "die", "after"])
        task_id = f"{what}{n}"
        code = chance.randrange(1, 120)
        if what == "ok":
            work.add(task_id, "ok")
        elif what == "sleep":
            work.add(task_id, "sleep", round(chance.uniform(0.01, 0.25), 3))
        elif what == "print":
            work.add(task_id, "print", PRINTED)
        elif what == "exit":
            work.add(task_id, "exit", code, outcome=("failed", "exit", code))
        elif what == "flaky":
            work.add(task_id, "flaky", 3, code, attempts=3, retries=4, retry_delay_s=0.05)
        elif what == "never":
            work.add(
                task_id, "exit", code, outcome=("failed", "exit", code), attempts=2, retries=1, retry_delay_s=0.02
            )
        elif what == "die":
            work.add(task_id, "die", outcome=("failed", "signal", None))
        else:
            before = chance.choice([t for t in work.tasks if work.expected[t["id"]] == DONE and not t.get("final")])
            work.add(task_id, "ok", dependencies=[before["id"]])
    chance.shuffle(work.tasks)
    return work


@dataclass
class Findings:
    """What the check saw: problems, and the attempts whose end nobody saw."""

    problems: list[str]
    lost: list[tuple[str, int]]
    attempts: int


def key_of(spec: Any) -> str:
    """How `Workload.expected` names a task."""
    if len(spec.args) == 3 and spec.args[1] == "ok" and spec.command == "/bin/sh":
        return f"~{spec.args[2]}"
    return str(spec.id)


def check(work: Workload, folder: Path, *, lost_allowed: bool = False, journal: Path | None = None) -> Findings:
    """Hold a job that has ended against what it must have come to."""
    problems: list[str] = []
    path = journal or folder / "journal.jsonl"
    events, end = read_journal(path)
    if end != path.stat().st_size:
        problems.append("the journal has a torn end")
    run = Run(events)
    run.check_invariants()
    if not run.ended:
        problems.append("the run has not ended")
    exits, lost = _explained(events, problems)
    if lost and not lost_allowed:
        problems.append(f"lost though only the manager was killed: {lost}")
    touched = {task for task, _ in lost}
    _compare_tasks(work, run, touched, problems)
    _compare_effects(work, run, exits, problems)
    _compare_views(run, folder, problems)
    _check_logs(run, folder, touched, problems)
    return Findings(problems, lost, len(exits))


def _explained(events: list[ev.Event], problems: list[str]) -> tuple[dict[tuple[str, int], ev.AttemptExited], Any]:
    """Every attempt has one end, and every attempt after the first a cause that stands before it."""
    started: Counter[tuple[str, int]] = Counter()
    exits: dict[tuple[str, int], ev.AttemptExited] = {}
    again: set[str] = set()
    for event in events:
        if isinstance(event, ev.AttemptStarted):
            started[event.task, event.attempt] += 1
            if event.attempt > 1 and event.task not in again:
                problems.append(f"{event.task}: attempt {event.attempt} is not explained")
            again.discard(event.task)
        elif isinstance(event, ev.AttemptExited):
            if (event.task, event.attempt) in exits:
                problems.append(f"{event.task}: attempt {event.attempt} ended twice")
            exits[event.task, event.attempt] = event
            if event.retry_at is not None:
                again.add(event.task)
        elif isinstance(event, ev.TaskRetried):
            again.add(event.task)
    for key, times in started.items():
        if times != 1:
            problems.append(f"{key}: started {times} times")
        if key not in exits:
            problems.append(f"{key}: no end")
    lost = [key for key, event in exits.items() if event.reason == "lost"]
    return exits, lost


def _compare_tasks(work: Workload, run: Run, lost: set[str], problems: list[str]) -> None:
    found: dict[str, Any] = {}
    for task in run.in_order:
        key = key_of(task.spec)
        if key in found:
            problems.append(f"{key}: there twice")
        found[key] = task
    gone_parents = {task_id for task_id in lost if run.tasks[task_id].reason == "lost" and not _effect(work, task_id)}
    for key, outcome in work.expected.items():
        task = found.get(key)
        if task is None:
            if work.parents.get(key) not in gone_parents:
                problems.append(f"{key}: missing (its parent: {work.parents.get(key)})")
            continue
        real = (task.status, task.reason, task.exit_code)
        if task.reason == "lost" and not task.spec.idempotent and task.attempt > task.spec.retries:
            continue
        if task.reason == "skipped" and any(
            run.tasks[d].reason in ("lost", "skipped") for d in task.spec.dependencies
        ):
            continue
        if real != outcome:
            problems.append(f"{key}: {real}, expected {outcome} ({task.error})")
        if task.attempt != work.attempts[key] and task.spec.id not in lost:
            problems.append(f"{key}: {task.attempt} attempts, expected {work.attempts[key]}")
    problems += [f"{key}: nobody queued it" for key in found.keys() - work.expected.keys()]


def _effect(work: Workload, task_id: str) -> list[str]:
    try:
        return (work.effects / task_id).read_text().split()
    except FileNotFoundError:
        return []


def _compare_effects(
    work: Workload, run: Run, exits: dict[tuple[str, int], ev.AttemptExited], problems: list[str]
) -> None:
    attempts: dict[str, dict[int, ev.AttemptExited]] = {}
    for (task, attempt), event in exits.items():
        attempts.setdefault(task, {})[attempt] = event
    for task in run.in_order:
        lines = Counter(_effect(work, task.spec.id))
        for attempt, event in attempts.get(task.spec.id, {}).items():
            times = lines.pop(str(attempt), 0)
            if times > 1 or (times == 0 and event.reason != "lost"):
                problems.append(f"{task.spec.id}: attempt {attempt} ({event.reason}) had its effect {times} times")
        if lines:
            problems.append(f"{task.spec.id}: effects of attempts nobody journalled: {dict(lines)}")
    strangers = [name for name in os.listdir(work.effects) if name not in run.tasks and not name.startswith(".")]
    problems += [f"{name}: had effects but is no task" for name in strangers]


def _compare_views(run: Run, folder: Path, problems: list[str]) -> None:
    state, tasks = read(folder / "state.json"), read(folder / "tasks.json")
    if (state["id"], state["state"], state["reason"]) != (run.id, run.state, run.reason):
        problems.append(f"state.json says {state['state']}, {state['reason']}; the journal {run.state}, {run.reason}")
    if state["progress"] != {"total": run.total, **run.counts}:
        problems.append(f"state.json counts {state['progress']}")
    shown = [(t["id"], t["status"], t.get("reason"), t.get("exit_code")) for t in tasks]
    real = [(t.spec.id, t.status, t.reason, t.exit_code) for t in run.in_order]
    if shown != real:
        problems.append(f"tasks.json differs: {set(shown) ^ set(real)}")


def _check_logs(run: Run, folder: Path, lost: set[str], problems: list[str]) -> None:
    for task in run.in_order:
        for attempt in range(1, task.attempt + 1):
            stem = file_stem(task.spec.id)
            last = attempt == task.attempt
            log = folder / "logs" / (f"{stem}.log" if last else f"{stem}@{attempt}.log")
            try:
                text = log.read_text()
            except FileNotFoundError:
                text = ""
            want = _log_text(task.spec, attempt)
            if task.spec.id in lost:
                # A lost attempt may have been cut short, or have left the number of its log to the one before it.
                want = [text for n in range(1, attempt + 1) for text in _log_text(task.spec, n)]
                if not text or any(whole.startswith(text) for whole in want):
                    continue
            if text not in want:
                problems.append(f"{log.name}: {text[:80]!r}… ({len(text)} characters), expected {want[0][:80]!r}…")


def _log_text(spec: Any, attempt: int) -> list[str]:
    begin, end = f"begin {spec.id} {attempt}\n", f"end {spec.id} {attempt}\n"
    what, *rest = spec.args[1:]
    if what in ("exit", "die"):
        return [begin]
    if what == "flaky" and attempt < int(rest[0]):
        return [begin]
    if what == "print":
        return [begin + "".join(f"{n}\n" for n in range(1, int(rest[0]) + 1)) + end]
    return [begin + end]


def summary(findings: Findings) -> str:
    shown = "\n  ".join(findings.problems[:20])
    return f"{len(findings.problems)} problems, {len(findings.lost)} lost:\n  {shown}"


def story(folder: Path, task_id: str) -> str:
    """The journal's lines about one task, for looking into a failure."""
    lines = (folder / "journal.jsonl").read_text().splitlines()
    return "\n".join(line for line in lines if json.dumps(task_id) in line)
