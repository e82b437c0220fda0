"""What dies, is removed or refused while a DAG of a running Airflow waits for jobs."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from air_executor import AirExecutorClient
from tests.acceptance.web_server import Server
from tests.airflow.configuration import ASK_S
from tests.airflow.site import AirflowSite, take_over
from tests.support import ManagerProcess, read, wait_end, wait_for

DAGS = Path(__file__).with_name("dags")
ONCE = ["begun", "ended"]


@pytest.fixture(scope="module")
def manager(airflow: AirflowSite) -> Iterator[ManagerProcess]:
    process = take_over(airflow.base, "--slots", "20")
    yield process
    process.stop()


@pytest.fixture(scope="module")
def dags(airflow: AirflowSite, manager: ManagerProcess) -> AirflowSite:
    found = airflow.add_dag("faults.py", (DAGS / "faults.py").read_text())
    assert set(found) == {"killed", "server", "ended", "refused"}
    return airflow


def said(folder: Path, mark: str) -> list[str]:
    """What the work of a job has written: `begun` and `ended` once each, if it was done once."""
    try:
        return (folder / mark).read_text().split()
    except FileNotFoundError:
        return []


def wait_begun(folder: Path, *marks: str) -> None:
    wait_for(lambda: all(said(folder, mark) for mark in marks), f"the jobs of {marks}", 120)


def wait_watched(site: AirflowSite, dag_id: str, run_id: str, *tasks: str) -> None:
    """Until each task, or its trigger, has looked at its job: it reports then."""
    for task in tasks:
        site.wait_task(dag_id, run_id, task, "deferred" if "defers" in task else "running", deadline_s=120)
        site.wait_log(dag_id, run_id, task, "Progress Report", deadline_s=120)


def fired(site: AirflowSite, dag_id: str, run_id: str, task_id: str) -> int:
    """How many events triggers of a task have fired; which log says so depends on the version."""
    logs = (site.logs / "triggerer.log").read_text(errors="replace") + site.task_log(dag_id, run_id, task_id)
    return sum(" fired" in line and run_id in line and "TriggerEvent" in line for line in logs.splitlines())


def test_a_killed_task_and_a_killed_triggerer_double_no_work(dags: AirflowSite, folder: Path) -> None:
    run_id = dags.trigger("killed", {"folder": str(folder)})
    wait_begun(folder, "killed_waits", "killed_defers")
    wait_watched(dags, "killed", run_id, "killed_waits", "killed_defers")

    (waiting,) = (one for one in dags.instances("killed", run_id) if one["task_id"] == "killed_waits")
    os.kill(waiting["pid"], signal.SIGKILL)
    dags.kill("triggerer")

    def second_try() -> bool:
        states = {one["task_id"]: (one["try_number"], one["state"]) for one in dags.instances("killed", run_id)}
        return states["killed_waits"] == (2, "running")

    wait_for(second_try, "another try of the killed task", 120, every_s=ASK_S)
    dags.wait_log("killed", run_id, "killed_waits", "under way", try_number=2)
    # the job of the deferred task ends while nobody looks
    (folder / "go").touch()
    wait_end(dags.base / "jobs" / f"{run_id}-killed_defers")
    dags.start("triggerer")
    dags.succeed("killed", run_id)

    tries = {one["task_id"]: one["try_number"] for one in dags.instances("killed", run_id)}
    assert tries == {"killed_waits": 2, "killed_defers": 1}
    assert said(folder, "killed_waits") == ONCE
    assert said(folder, "killed_defers") == ONCE
    assert fired(dags, "killed", run_id, "killed_defers") == 1
    for task in tries:
        assert not (dags.base / "jobs" / f"{run_id}-{task}" / "runs").exists(), "there was one run of the job"
        assert dags.xcom("killed", run_id, task)["state"] == "completed"


def test_a_triggerer_that_is_stopped_and_started_again_cancels_nothing(dags: AirflowSite, folder: Path) -> None:
    run_id = dags.trigger("killed", {"folder": str(folder)})
    wait_begun(folder, "killed_waits", "killed_defers")
    wait_watched(dags, "killed", run_id, "killed_defers")
    dags.kill("triggerer", signal.SIGTERM)
    dags.start("triggerer")
    (folder / "go").touch()
    dags.succeed("killed", run_id)
    assert said(folder, "killed_defers") == ONCE


def test_clearing_cancels_the_job_and_makes_another_run(dags: AirflowSite, folder: Path) -> None:
    run_id = dags.trigger("killed", {"folder": str(folder)})
    # 2.10's API answers that it has cleared a running task, and now and then leaves it as it was
    tasks = ["killed_waits", "killed_defers"] if dags.is_3 else ["killed_defers"]
    wait_begun(folder, "killed_waits", *tasks)
    wait_watched(dags, "killed", run_id, *tasks)
    first = {task: read(dags.base / "jobs" / f"{run_id}-{task}" / "state.json")["id"] for task in tasks}
    clear = {"dry_run": False, "only_failed": False, "dag_run_id": run_id, "task_ids": tasks, "reset_dag_runs": True}
    dags.api("POST", "/dags/killed/clearTaskInstances", clear)
    client = AirExecutorClient(dags.base)
    for task in tasks:
        name = f"{run_id}-{task}"
        assert client.wait(name, 120, job_id=first[task])["reason"] == "cancelled"
        wait_for(lambda task=task: said(folder, task) == ["begun", "begun"], f"another run of {name}", 120)
        wait_for(lambda name=name, task=task: client.get_job(name)["id"] != first[task], "its view", 30)
    (folder / "go").touch()
    dags.succeed("killed", run_id)
    assert {task: said(folder, task) for task in tasks} == {task: ["begun", "begun", "ended"] for task in tasks}


@pytest.fixture
def far(dags: AirflowSite, tmp_path: Path) -> Iterator[Server]:
    """A server of its own with a manager, and the connections `far` to it, and `stranger` with a wrong token."""
    base = tmp_path / "far"
    token = tmp_path / "token"
    token.write_text(secrets.token_urlsafe(24))
    token.chmod(0o600)
    there = ManagerProcess(base).start()
    server = Server(base, "--token-file", str(token))
    names = {"far": token.read_text(), "stranger": "not-the-token"}
    for name, password in names.items():
        connection = {"connection_id": name, "conn_type": "air_executor", "host": server.url, "password": password}
        dags.api("POST", "/connections", connection)
    yield server
    for name in names:
        dags.api("DELETE", f"/connections/{name}")
    if server.process.poll() is None:
        server.stop()
    there.stop()


def test_a_server_that_is_down_for_a_while_is_waited_for(
    dags: AirflowSite, far: Server, folder: Path, tmp_path: Path
) -> None:
    (folder / "empty").mkdir(mode=0o700)
    refused = dags.trigger("refused", {"folder": str(folder)})
    run_id = dags.trigger("server", {"folder": str(folder)})
    wait_begun(folder, "server_waits", "server_defers")
    wait_watched(dags, "server", run_id, "server_waits", "server_defers")
    look_at_refused(dags, refused, folder, far)
    far.process.kill()
    far.stop()
    (folder / "go").touch()
    for way in ("waits", "defers"):
        wait_end(tmp_path / "far" / "jobs" / f"{run_id}-server_{way}")
    dags.wait_log("server", run_id, "server_waits", "asked again")
    assert set(dags.tasks("server", run_id).values()) <= {"running", "deferred"}
    again = Server(tmp_path / "far", "--token-file", str(tmp_path / "token"), "--port", str(far.port))
    try:
        dags.succeed("server", run_id)
    finally:
        again.stop()
    for way in ("waits", "defers"):
        assert said(folder, f"server_{way}") == ONCE
        assert dags.xcom("server", run_id, f"server_{way}")["state"] == "completed"


def look_at_refused(site: AirflowSite, run_id: str, folder: Path, far: Server) -> None:
    """Each task of `refused` failed at once, with a line that says what and where, and what to do."""
    assert site.wait_run("refused", run_id) == "failed"
    assert set(site.tasks("refused", run_id).values()) == {"failed"}
    log = {task: site.task_log("refused", run_id, task) for task in site.tasks("refused", run_id)}
    assert f"air-executor start --base {folder / 'empty'}" in log["no_manager"]
    assert "/proc/nobody/shares/this" in log["no_folder"]
    assert "token" in log["wrong_token"]
    assert "not-the-token" not in log["wrong_token"]
    assert "there is no connection 'nowhere'" in log["no_connection"]


def test_jobs_that_are_cancelled_or_removed_by_hand(dags: AirflowSite, folder: Path) -> None:
    run_id = dags.trigger("ended", {"folder": str(folder)})
    tasks = [f"{mark}_{way}" for mark in ("cancelled", "removed") for way in ("waits", "defers")]
    wait_begun(folder, *tasks)
    wait_watched(dags, "ended", run_id, *tasks)
    client = AirExecutorClient(dags.base)
    for way in ("waits", "defers"):
        client.cancel(f"{run_id}-cancelled_{way}")
        shutil.rmtree(dags.base / "jobs" / f"{run_id}-removed_{way}")

    # what was cancelled is not tried again; what was removed is handed over anew
    for way in ("waits", "defers"):
        dags.wait_task("ended", run_id, f"cancelled_{way}", "failed", deadline_s=120)
        wait_for(lambda way=way: said(folder, f"removed_{way}") == ["begun"] * 2, f"removed_{way} again", 240)
    (folder / "go").touch()
    assert dags.wait_run("ended", run_id) == "failed"
    told = {one["task_id"]: (one["try_number"], one["state"]) for one in dags.instances("ended", run_id)}
    assert told == {
        "cancelled_waits": (1, "failed"),
        "cancelled_defers": (1, "failed"),
        "removed_waits": (2, "success"),
        "removed_defers": (2, "success"),
    }
    for way in ("waits", "defers"):
        assert "somebody cancelled it" in dags.task_log("ended", run_id, f"cancelled_{way}", 1)
        assert "is gone" in dags.task_log("ended", run_id, f"removed_{way}", 1)
        assert said(folder, f"removed_{way}") == ["begun", "begun", "ended"]
