"""What the workload comes to when nothing is killed: the measure for all other tests here."""

from __future__ import annotations

from pathlib import Path

from tests.faults.killing import Faulty
from tests.faults.workload import check, mixed, summary


def test_the_workload_comes_to_what_is_expected(faulty: Faulty, tmp_path: Path) -> None:
    work = mixed(tmp_path, 150, seed=1)
    job_id = work.submit(faulty.base)
    folder = faulty.base / "jobs" / work.name
    state = faulty.finish(folder, job_id)
    assert (state["state"], state["reason"]) == ("failed", "failures")
    findings = check(work, folder)
    assert not findings.problems, summary(findings)
    assert state["progress"]["total"] == len(work.expected)
    assert not faulty.complaints()
