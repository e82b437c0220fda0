"""`make bench-airflow`: tasks that are found while they run, as mapped tasks of Airflow and as one job.

Airflow 3.3, LocalExecutor, SQLite, every interval as Airflow is installed; scheduler, triggerer, DAG processor, API
server and a manager are real processes on this machine. Counted is the CPU time of all of them and of everything they
start, less what they use while nothing happens; wall time is Airflow's own, from queueing a DAG run to its end.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from air_executor import AirExecutorClient
from air_executor.times import from_iso
from bench.measure import median
from tests.airflow import versions
from tests.airflow.site import AirflowSite, connect

PAIRS = 5
TASKS = 1_237
WARM_TASKS = 20
IDLE_S = 15.0
SETTLE_S = 5.0
"""After the end of a DAG run, so that what its tasks leave behind is counted too."""
RUN_LIMIT_S = 1_800.0

CPU_LEAST, CPU_GOAL = 50, 100
WALL_LEAST, WALL_GOAL = 20, 50
OVERHEAD_S = 1.0

DAGS = """
from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, dag, task

from air_executor.airflow import AirExecutorJobOperator

COUNT = "{{ dag_run.conf['tasks'] }}"
COMMON = {"schedule": None, "start_date": datetime(2024, 1, 1), "catchup": False}


@dag(**COMMON)
def bench_mapped():
    @task
    def discover(dag_run):
        return list(range(dag_run.conf["tasks"]))

    @task
    def nothing(number):
        pass

    nothing.expand(number=discover())


@dag(**COMMON)
def bench_job():
    queue = f'seq 1 {COUNT} | "$AIR_EXECUTOR_PYTHON" -m air_executor queue --each -- true'
    discover = {"id": "discover", "command": "sh", "args": ["-c", queue]}
    AirExecutorJobOperator(task_id="job", tasks=[discover], manager="required")


@dag(**COMMON)
def bench_xargs():
    BashOperator(task_id="xargs", bash_command=f"seq 1 {COUNT} | xargs -P $(nproc) -n 1 true")


class Defers(BaseOperator):
    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=1)), method_name="back")

    def back(self, context, event=None):
        pass


@dag(**COMMON)
def bench_overhead():
    second = [{"id": "second", "command": "sleep", "args": ["1"]}]
    plain = BashOperator(task_id="plain", bash_command="sleep 1")
    waits = AirExecutorJobOperator(task_id="waits", tasks=second, manager="required", deferrable=False)
    plain_defers = Defers(task_id="plain_defers")
    defers = AirExecutorJobOperator(task_id="defers", tasks=second, manager="required", deferrable=True)
    plain >> waits >> plain_defers >> defers


bench_mapped(), bench_job(), bench_xargs(), bench_overhead()
"""


@dataclass
class Cost:
    cpu_s: float
    wall_s: float


class Bench:
    """A running Airflow, and what it costs to run DAGs on it."""

    def __init__(self, site: AirflowSite) -> None:
        self.site = site
        self.client = AirExecutorClient(site.base)
        self.database = f"file:{site.home / 'airflow.db'}?mode=ro"
        self.idle_rate = 0.0

    def cpu_s(self) -> float:
        """Of all processes of this Airflow so far."""
        return float(self.site.ask(do="cpu"))

    def rest(self, seconds: float) -> None:
        """Learn what everything costs while nothing happens."""
        before, began = self.cpu_s(), time.monotonic()
        time.sleep(seconds)
        self.idle_rate = (self.cpu_s() - before) / (time.monotonic() - began)

    def run(self, dag_id: str, tasks: int) -> Cost:
        """One DAG run; what it cost beyond what goes on anyhow."""
        before, began = self.cpu_s(), time.monotonic()
        run_id = self.site.trigger(dag_id, {"tasks": tasks})
        state, wall_s = self.wait(dag_id, run_id)
        time.sleep(SETTLE_S)
        cpu_s = self.cpu_s() - before - self.idle_rate * (time.monotonic() - began)
        if state != "success":
            raise SystemExit(f"{dag_id} {run_id}: {state}: {self.site.tasks(dag_id, run_id)}")
        self.check(dag_id, run_id, tasks)
        return Cost(cpu_s, wall_s)

    def check(self, dag_id: str, run_id: str, tasks: int) -> None:
        """That the work was done."""
        if dag_id == "bench_mapped":
            done = self.asked(
                "select count(*) from task_instance where run_id = ? and task_id = 'nothing' and state = 'success'",
                run_id,
            )[0]
        elif dag_id == "bench_job":
            name = self.site.xcom(dag_id, run_id, "job", "job_name")
            done = self.client.get_job(name)["progress"]["completed"] - 1
        else:
            return
        if done != tasks:
            raise SystemExit(f"{dag_id} {run_id}: {done} tasks of {tasks} were done")

    def wait(self, dag_id: str, run_id: str) -> tuple[str, float]:
        """Until a DAG run has ended: its state, and its seconds. Asked of the database: the API would cost CPU."""
        deadline = time.monotonic() + RUN_LIMIT_S
        while time.monotonic() < deadline:
            state, queued, ended = self.asked(
                "select state, queued_at, end_date from dag_run where dag_id = ? and run_id = ?", dag_id, run_id
            )
            if state in ("success", "failed"):
                return state, seconds(ended) - seconds(queued)
            time.sleep(0.1)
        raise SystemExit(f"{dag_id} {run_id} has not ended after {RUN_LIMIT_S:.0f} s")

    def asked(self, query: str, *values: str) -> Any:
        with closing(sqlite3.connect(self.database, uri=True, timeout=30)) as database:
            return database.execute(query, values).fetchone()

    def overhead(self) -> dict[str, tuple[float, float]]:
        """For each way to wait for a job of a second: hand-over and take-back, beyond the job, in seconds.

        What Airflow itself needs around a second of sleep, waited for in the same way, is given as `plain…`.
        """
        run_id = self.site.trigger("bench_overhead")
        state, _ = self.wait("bench_overhead", run_id)
        assert state == "success", self.site.tasks("bench_overhead", run_id)
        times = {}
        for task in ("plain", "waits", "plain_defers", "defers"):
            query = "select start_date, end_date from task_instance where run_id = ? and task_id = ?"
            began, ended = map(seconds, self.asked(query, run_id, task))
            if task.startswith("plain"):
                times[task] = (0.0, ended - began - 1.0)
                continue
            job = self.client.get_job(self.site.xcom("bench_overhead", run_id, task, "job_name"))
            times[task] = (from_iso(job["created_at"]) - began, ended - from_iso(job["updated_at"]))
        return times


def seconds(timestamp: str) -> float:
    """Of SQLite's text, which is UTC."""
    return datetime.fromisoformat(timestamp + "+00:00").timestamp()


@contextmanager
def airflow() -> Iterator[Bench]:
    """Airflow as it is installed, with a manager beside it; ended with us."""
    version = next(one for one in versions.ALL.values() if one.series == (3, 3) and one.name != versions.PRE)
    for problem in (version.unsupported, version.missing):
        if problem:
            raise SystemExit(f"bench: {problem}")
    with tempfile.TemporaryDirectory(prefix="air-bench-", dir="/tmp") as scratch:
        folder = Path(scratch)
        supervisor = [sys.executable, "-m", "tests.airflow.supervisor", version.name, str(folder), str(os.getpid())]
        with open(folder / "supervisor.log", "wb") as log:
            subprocess.run(
                [*supervisor, "as-installed"],
                cwd=versions.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
            )
        site = connect(folder)
        try:
            manager = [sys.executable, "-m", "air_executor", "manager", "--base", str(site.base)]
            site.ask(do="add", name="manager", command=manager)
            (site.dags / "bench.py").write_text(DAGS)
            print(f"  Airflow {version.version}, LocalExecutor, SQLite; {os.cpu_count()} CPUs", flush=True)
            site.airflow("dags", "reserialize")
            yield Bench(site)
        finally:
            site.end()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-airflow ARGS=…", description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--tasks", type=int, default=TASKS)
    options = parser.parse_args()
    mapped, job, xargs = "bench_mapped", "bench_job", "bench_xargs"
    costs: dict[str, list[Cost]] = {mapped: [], job: [], xargs: []}
    overheads = []
    with airflow() as bench:
        for dag_id in costs:
            bench.run(dag_id, WARM_TASKS)
        bench.overhead()
        for pair in range(options.pairs):
            bench.rest(IDLE_S)
            for dag_id, found in costs.items():
                found.append(bench.run(dag_id, options.tasks))
            overheads.append(bench.overhead())
            told = "  ".join(
                f"{name[6:]} {found[-1].cpu_s:.2f} CPU s {found[-1].wall_s:.1f} s" for name, found in costs.items()
            )
            print(f"  pair {pair + 1}: {told}   (idle: {bench.idle_rate:.3f} CPU s a second)", flush=True)
    print(f"  {options.tasks:,} discovered no-ops, medians of {options.pairs}:")
    names = {mapped: "mapped by Airflow", job: "one job", xargs: "BashOperator, xargs -P"}
    for dag_id, found in costs.items():
        cpu, wall = median(one.cpu_s for one in found), median(one.wall_s for one in found)
        print(f"  {names[dag_id]:<24}{cpu:>9.2f} CPU s{wall:>9.1f} s")
    pairs = list(zip(costs[mapped], costs[job], strict=True))
    cpu = median(theirs.cpu_s / ours.cpu_s for theirs, ours in pairs)
    wall = median(theirs.wall_s / ours.wall_s for theirs, ours in pairs)
    print(f"  CPU time: {cpu:.0f} times less (at least {CPU_LEAST}, goal {CPU_GOAL})")
    print(f"  wall time: {wall:.0f} times less (at least {WALL_LEAST}, goal {WALL_GOAL})")
    met = cpu >= CPU_LEAST and wall >= WALL_LEAST
    for way, plain in (("waits", "plain"), ("defers", "plain_defers")):
        over = median(one[way][0] for one in overheads)
        back = median(one[way][1] for one in overheads)
        own = median(one[plain][1] for one in overheads)
        print(
            f"  {way:<7} hand-over {over:.2f} s, take-back {back:.2f} s; Airflow alone, around a second of sleep: "
            f"{own:.2f} s; beyond that {over + back - own:.2f} s (goal: at most {OVERHEAD_S:.0f} s)"
        )
        met = met and over + back - own <= OVERHEAD_S
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
