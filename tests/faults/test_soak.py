"""Full load for an hour (`AIR_EXECUTOR_SOAK_S` seconds), with managers and launchers killed all the time.

A third of the time with kills, a third without (so that growing memory shows), a third with kills again. The report
goes to the terminal, and to the file that `AIR_EXECUTOR_SOAK_REPORT` names.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.killing import Faulty, kill_some
from tests.faults.test_random_instants import may_repeat_half
from tests.faults.workload import Workload, check, mixed
from tests.support import ended

SOAK_S = float(os.environ.get("AIR_EXECUTOR_SOAK_S", "3600"))
REPORT = os.environ.get("AIR_EXECUTOR_SOAK_REPORT")
JOBS_AT_ONCE = 3
TASKS = 400
SLOTS = 8
DEADLINE_S = 300.0


@dataclass
class Soak:
    """What happened so far."""

    faulty: Faulty
    root: Path
    chance: random.Random
    under_way: dict[str, tuple[Workload, str]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    memory: list[tuple[float, str, float]] = field(default_factory=list)
    """Seconds since the beginning, "manager" or "launcher", resident MB."""
    began: float = field(default_factory=time.monotonic)
    manager: subprocess.Popen[bytes] | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def submit(self) -> None:
        number = self.done["submitted"]
        self.done["submitted"] += 1
        root = self.root / f"work-{number}"
        root.mkdir()
        work = mixed(root, TASKS, number, raw=4, name=f"job-{number}")
        may_repeat_half(work)
        self.under_way[work.name] = (work, work.submit(self.faulty.base))

    def collect(self) -> None:
        """Check the jobs that have ended, and clear them away."""
        for name, (work, job_id) in list(self.under_way.items()):
            folder = self.faulty.base / "jobs" / name
            if not ended(folder, job_id):
                continue
            findings = check(work, folder, lost_allowed=True)
            self.problems += [f"{name}: {problem}" for problem in findings.problems]
            self.done["jobs"] += 1
            self.done["tasks"] += len(work.expected)
            self.done["attempts"] += findings.attempts
            self.done["lost"] += len(findings.lost)
            del self.under_way[name]
            if not findings.problems:
                shutil.rmtree(folder)
                shutil.rmtree(work.root)

    def measure(self) -> None:
        assert self.manager is not None
        for kind, pids in (("manager", [self.manager.pid]), ("launcher", self.faulty.launchers())):
            for pid in pids:
                try:
                    status = Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue
                for line in status.splitlines():
                    if line.startswith("VmRSS:"):
                        self.memory.append((self.seconds, kind, int(line.split()[1]) * 1024 / 1e6))

    def keep_alive(self) -> None:
        if self.manager is None:
            self.manager = self.faulty.start(settings={"slots": SLOTS})
        assert self.faulty.runs(self.manager)

    def kill(self, *, manager: bool, launchers: int) -> None:
        assert self.manager is not None
        pids = self.faulty.launchers() if launchers else []
        if manager:
            self.manager.kill()
            self.done["managers killed"] += 1
        self.done["launchers killed"] += len(kill_some(pids, self.chance, launchers))
        if manager:
            self.manager.wait()
            self.manager = None

    def quiet(self) -> bool:
        return SOAK_S / 3 <= self.seconds < 2 * SOAK_S / 3

    def growth(self, kind: str) -> tuple[float, float]:
        """Median memory in the second and the last quarter of the quiet third, in MB."""
        begin, span = SOAK_S / 3, SOAK_S / 3
        quarters = []
        for first, last in ((0.25, 0.5), (0.75, 1.0)):
            values = [
                mb
                for at, what, mb in self.memory
                if what == kind and begin + first * span <= at < begin + last * span
            ]
            quarters.append(statistics.median(values) if values else 0.0)
        return quarters[0], quarters[1]

    def report(self) -> str:
        lines = [f"soak of {self.seconds:.0f} s: {self.done['tasks'] / self.seconds:.0f} tasks a second"]
        lines += [f"  {name:18} {count}" for name, count in sorted(self.done.items())]
        lines.append(f"  unexplained        {len(self.problems)}")
        for kind in ("manager", "launcher"):
            before, after = self.growth(kind)
            lines.append(f"  {kind} memory without kills: {before:.1f} MB, then {after:.1f} MB; over time (median):")
            for part in range(12):
                first, last = SOAK_S * part / 12, SOAK_S * (part + 1) / 12
                values = [mb for at, what, mb in self.memory if what == kind and first <= at < last]
                if values:
                    lines.append(
                        f"    {first:6.0f} s  {statistics.median(values):6.1f} MB  at most {max(values):6.1f}"
                    )
        return "\n".join([*lines, *(f"  {problem}" for problem in self.problems[:50])])


@pytest.mark.soak
@pytest.mark.timeout(SOAK_S + DEADLINE_S + 120)
def test_full_load_with_kills(faulty: Faulty, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soak = Soak(faulty, tmp_path, random.Random(2025))
    chance = soak.chance
    next_kill = chance.uniform(0.5, 3.0)
    next_measure = 0.0
    while soak.seconds < SOAK_S or soak.under_way:
        assert soak.seconds < SOAK_S + DEADLINE_S, f"these do not end: {list(soak.under_way)}"
        soak.keep_alive()
        while len(soak.under_way) < JOBS_AT_ONCE and soak.seconds < SOAK_S:
            soak.submit()
        if soak.seconds >= next_kill and soak.seconds < SOAK_S and not soak.quiet():
            next_kill = soak.seconds + chance.uniform(0.5, 6.0)
            what = chance.random()
            if what < 0.6:
                soak.kill(manager=True, launchers=0)
            elif what < 0.9:
                soak.kill(manager=False, launchers=1)
            else:
                soak.kill(manager=True, launchers=2)
            soak.keep_alive()
        soak.collect()
        if soak.seconds >= next_measure:
            next_measure = soak.seconds + SOAK_S / 600
            soak.measure()
        time.sleep(0.05)
    assert soak.manager is not None
    faulty.stop(soak.manager)
    text = soak.report()
    with capsys.disabled():
        print(f"\n{text}")
    if REPORT:
        Path(REPORT).write_text(f"{text}\n")
    assert not soak.problems, text
    assert not faulty.complaints(), faulty.complaints()
    assert soak.done["lost"] <= (SLOTS + 2) * soak.done["launchers killed"]
    for kind in ("manager", "launcher"):
        before, after = soak.growth(kind)
        assert after <= 1.15 * before + 3.0, f"the {kind}'s memory grows: {before:.1f} MB, then {after:.1f} MB"
