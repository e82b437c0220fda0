"""A running Airflow as its users meet it: files in the DAGs folder, the command line, and the public API."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request

from air_executor import AirExecutorClient
from tests.airflow import versions
from tests.airflow.configuration import ASK_S
from tests.airflow.supervisor import direct, tail
from tests.support import ManagerProcess, wait_for

ENDED = ("success", "failed")
PAGE = 100
LOCKED, LOCKED_S = "Database error", 15.0
"""What Airflow 3 answers when somebody else is writing to its SQLite; nothing was done then."""
END_S = 60.0
NOT_SHOWN = {
    *("event", "timestamp", "level", "logger", "error_detail", "filename", "lineno", "loc"),
    *("dag_id", "run_id", "task_id", "map_index", "try_number", "ti_id"),
}
NOISE = re.compile(r"Refreshing bundle|Searching for files|Found \d+ files|http\.access")
"""What components log each second."""


class ApiError(AssertionError):
    """An answer of the API that is not one of success."""

    def __init__(self, status: int, body: str, asked: str) -> None:
        super().__init__(f"{asked}: {status} {body[:2000]}")
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


class AirflowSite:
    """One Airflow with its own home, database, DAGs folder and job folder. Users: admin, viewer, guest."""

    def __init__(self, folder: Path) -> None:
        site = json.loads((folder / "site.json").read_text())
        self.folder = folder
        self.installed = versions.ALL[site["version"]]
        self.version = self.installed.version
        self.series = self.installed.series
        self.python = self.installed.python
        self.home = Path(site["home"])
        self.dags = self.home / "dags"
        self.base = Path(site["base"])
        self.logs = Path(site["logs"])
        self.port = int(site["port"])
        self.url = f"http://127.0.0.1:{self.port}"
        self.env: dict[str, str] = site["env"]
        self.tokens: dict[str, str] = {}

    @property
    def is_3(self) -> bool:
        return self.series >= (3, 0)

    # --- command line and API ---

    def airflow(self, *args: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """The `airflow` command in this site's environment; with `check` an exit code other than 0 fails."""
        done = self.installed.run("airflow", *args, env=self.env, timeout=timeout)
        assert not check or done.returncode == 0, f"airflow {' '.join(args)}: {done.stdout}\n{done.stderr}"
        return done

    def request(
        self,
        method: str,
        path: str,
        json: Any = None,
        user: str | None = "admin",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Any request to the server, with whatever answer; `user` None is anonymous."""
        return self._send(method, path, json, self._credentials(user) | (headers or {}))

    def api(self, method: str, path: str, json: Any = None, user: str | None = "admin") -> Any:
        """A request to the public API: `/dags/x` is `/api/v2/dags/x` (or v1). Its answer, or ApiError."""
        path = path if path.startswith("/api/") else f"{'/api/v2' if self.is_3 else '/api/v1'}{path}"
        deadline = time.monotonic() + LOCKED_S
        while True:
            answer = self.request(method, path, json, user, {"Accept": "application/json"})
            text = answer.body.decode(errors="replace")
            if answer.status < 400:
                return answer.json()
            if answer.status != 500 or LOCKED not in text or time.monotonic() > deadline:
                raise ApiError(answer.status, text, f"{method} {path}")
            time.sleep(0.2)

    def _credentials(self, user: str | None) -> dict[str, str]:
        if user is None:
            return {}
        if not self.is_3:
            return {"Authorization": f"Basic {b64encode(f'{user}:{user}'.encode()).decode()}"}
        if user not in self.tokens:
            answer = self._send("POST", "/auth/token", {"username": user, "password": user}, {})
            assert answer.status == 201, answer
            self.tokens[user] = answer.json()["access_token"]
        return {"Authorization": f"Bearer {self.tokens[user]}"}

    def _send(self, method: str, path: str, content: Any, headers: dict[str, str]) -> Answer:
        body = None if content is None else json.dumps(content).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        request = Request(self.url + path, body, kind | headers, method=method)
        try:
            with direct.open(request, timeout=60) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    # --- DAGs ---

    def add_dag(self, filename: str, text: str, deadline_s: float = 60) -> list[str]:
        """Put a file into the DAGs folder and wait until Airflow has it; the ids of its DAGs."""
        path = self.dags / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(text)
        began = time.time()
        part.rename(path)
        return wait_for(lambda: self._parsed(path, began), f"Airflow to read {filename}", deadline_s, every_s=ASK_S)

    def _parsed(self, path: Path, since: float) -> list[str]:
        for error in self.import_errors():
            named = error["filename"] in (str(path), str(path.relative_to(self.dags)))
            if named and _seconds(error["timestamp"]) >= since:
                raise AssertionError(f"{path.name} cannot be imported: {error['stack_trace']}")
        return [
            dag["dag_id"]
            for dag in self.all_of("/dags", "dags")
            if dag["fileloc"] == str(path) and _seconds(dag["last_parsed_time"]) >= since
        ]

    def import_errors(self) -> list[dict[str, Any]]:
        return self.all_of("/importErrors", "import_errors")

    def all_of(self, path: str, key: str) -> list[dict[str, Any]]:
        """Every page of a list of the API."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.api("GET", f"{path}?{urlencode({'limit': PAGE, 'offset': len(found)})}")
            found += page[key]
            if len(found) >= page["total_entries"] or not page[key]:
                return found

    # --- runs ---

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a DAG run through the API; its id."""
        content: dict[str, Any] = {"conf": conf or {}}
        if self.is_3:
            content["logical_date"] = None
        if run_id is not None:
            content["dag_run_id"] = run_id
        return str(self.api("POST", f"/dags/{_q(dag_id)}/dagRuns", content)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self.api("GET", f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}")["state"])

    def wait_run(self, dag_id: str, run_id: str, deadline_s: float = 120) -> str:
        """Wait for the end of a DAG run; `success` or `failed`."""
        deadline = time.monotonic() + deadline_s
        while (state := self._calmly(lambda: self.run_state(dag_id, run_id))) not in ENDED:
            if time.monotonic() > deadline:
                states = self.tasks(dag_id, run_id)
                raise AssertionError(f"{dag_id} {run_id} is {state} after {deadline_s} s: {states}")
            time.sleep(ASK_S)
        return str(state)

    def succeed(self, dag_id: str, run_id: str, deadline_s: float = 120) -> None:
        """Wait for the success of a DAG run; the logs of the tasks that failed where there is none."""
        if self.wait_run(dag_id, run_id, deadline_s) == "success":
            return
        told = [f"{dag_id} {run_id} failed: {self.tasks(dag_id, run_id)}"]
        for one in self.instances(dag_id, run_id):
            if one["state"] == "failed":
                log = self.task_log(dag_id, run_id, one["task_id"], one["try_number"], one["map_index"])
                told.append(f"{one['task_id']}[{one['map_index']}]: {log[-4000:]}")
        raise AssertionError("\n".join(told))

    def _calmly(self, ask: Any) -> Any:
        """Asked again later, where a test has just killed who should answer."""
        try:
            return ask()
        except (URLError, OSError):
            return None

    def instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run, as the API shows them."""
        return self.all_of(f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/taskInstances", "task_instances")

    def tasks(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """The state of each task; of mapped ones by `task_id[map index]`."""
        return {
            one["task_id"] if one["map_index"] < 0 else f"{one['task_id']}[{one['map_index']}]": one["state"]
            for one in self.instances(dag_id, run_id)
        }

    def wait_task(self, dag_id: str, run_id: str, task: str, *states: str, deadline_s: float = 60) -> str:
        """Wait until a task is in one of these states; one that is deferred, until the scheduler knows that too."""

        def there() -> str | None:
            state = (self._calmly(lambda: self.tasks(dag_id, run_id)) or {}).get(task)
            heard = state != "deferred" or self._heard_of(dag_id, run_id, task)
            return state if state in states and heard else None

        return str(wait_for(there, f"{task} of {run_id} to be {' or '.join(states)}", deadline_s, every_s=ASK_S))

    def _heard_of(self, dag_id: str, run_id: str, task: str) -> bool:
        """Whether the scheduler has heard from the executor how a task's process ended. Airflow 3.3 fails a task
        whose trigger fires before."""
        name, _, index = task.rstrip("]").partition("[")
        key = f"TaskInstanceKey(dag_id={dag_id!r}, task_id={name!r}, run_id={run_id!r}, try_number="
        lines = (self.logs / "scheduler.log").read_text(errors="replace").splitlines()
        ours = [line for line in lines if "Received executor event with state success" in line and key in line]
        return any(f"map_index={index or -1})" in line for line in ours)

    def _instance(self, dag_id: str, run_id: str, task_id: str) -> str:
        return f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/taskInstances/{_q(task_id)}"

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """The log as the UI has it: one line an event (3.x: text, `key=value`, exceptions)."""
        where = f"{self._instance(dag_id, run_id, task_id)}/logs/{try_number}?map_index={map_index}&full_content=true"
        if self.is_3:
            return "\n".join(_line(event) for event in self.api("GET", where)["content"])
        answer = self.request("GET", f"/api/v1{where}", headers={"Accept": "text/plain"})
        if answer.status >= 400:
            raise ApiError(answer.status, answer.body.decode(errors="replace"), where)
        return answer.body.decode(errors="replace")

    def wait_log(
        self, dag_id: str, run_id: str, task_id: str, text: str, try_number: int = 1, deadline_s: float = 60
    ) -> str:
        """Wait until a text is in the log of a try, which need not have begun; that log."""

        def there() -> str | None:
            try:
                log = self.task_log(dag_id, run_id, task_id, try_number)
            except ApiError:
                return None
            return log if text in log else None

        what = f"{text!r} in the log of {task_id}, try {try_number}"
        return str(wait_for(there, what, deadline_s, every_s=ASK_S))

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """A value, or ApiError 404."""
        where = f"{self._instance(dag_id, run_id, task_id)}/xcomEntries/{_q(key)}"
        return self.api("GET", f"{where}?map_index={map_index}&stringify=false")["value"]

    # --- components ---

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """kill -9 (or another signal) of a component: scheduler, triggerer, dag-processor, api-server."""
        return int(self.ask(do="signal", name=name, number=int(number)))

    def start(self, name: str, deadline_s: float = 60) -> int:
        """Start a component again and wait until Airflow calls it healthy; its pid."""
        began = time.time()
        pid = int(self.ask(do="start", name=name))

        def healthy() -> bool:
            health = self._calmly(lambda: self.request("GET", self._health, user=None).json())
            if not isinstance(health, dict):
                return False
            if name == "api-server":
                return True
            part = health[name.replace("-", "_")]
            heartbeat = part[f"latest_{name.replace('-', '_')}_heartbeat"]
            return bool(part["status"] == "healthy" and heartbeat and _seconds(heartbeat) >= began)

        wait_for(healthy, f"{name} to work again", deadline_s, every_s=ASK_S)
        return pid

    @property
    def _health(self) -> str:
        return "/api/v2/monitor/health" if self.is_3 else "/api/v1/health"

    def pids(self) -> dict[str, int]:
        """The components that run."""
        return dict(self.ask(do="pids"))

    def end(self) -> None:
        """End all of it; a test session does so by itself."""
        end(self.folder)

    def ask(self, **request: Any) -> Any:
        """A request to the supervisor (`Supervisor.answer`)."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(self.folder / "control"))
            with connection.makefile("rw") as stream:
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                said = json.loads(stream.readline())
        assert "error" not in said, said["error"]
        return said["answer"]

    def log_sizes(self) -> dict[Path, int]:
        return {path: path.stat().st_size for path in self.logs.glob("*.log")}

    def logs_since(self, sizes: dict[Path, int], lines: int = 25) -> dict[str, str]:
        """The last lines of what each component has logged since `log_sizes`."""
        found = {}
        for path in sorted(self.logs.glob("*.log")):
            with open(path, "rb") as file:
                file.seek(sizes.get(path, 0))
                text = file.read().decode(errors="replace")
            told = [line for line in text.splitlines() if not NOISE.search(line)]
            found[path.stem] = "\n".join(told[-lines:])
        return found


def connect(folder: Path, deadline_s: float = 240) -> AirflowSite:
    """The site in `folder`, as soon as it works."""

    def there() -> bool:
        if (folder / "failed").exists():
            raise AssertionError(
                f"Airflow did not start: {tail(folder / 'failed')}\n{tail(folder / 'logs' / 'prepare.log')}"
            )
        return (folder / "site.json").exists()

    wait_for(there, f"Airflow in {folder}: {os.listdir(folder)}", deadline_s)
    return AirflowSite(folder)


def ask_to_end(folder: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((folder / "supervisor.pid").read_text()), signal.SIGTERM)


def end(folder: Path) -> None:
    """End the site in `folder` and wait until nothing of it is left."""
    ask_to_end(folder)
    with contextlib.suppress(OSError, ValueError):
        process = Path("/proc") / (folder / "supervisor.pid").read_text().strip()
        wait_for(lambda: not process.exists(), f"the end of the Airflow in {folder}", END_S)


def _q(text: str) -> str:
    return quote(text, safe="")


def _seconds(timestamp: str | None) -> float:
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else 0.0


def _line(event: dict[str, Any] | str) -> str:
    if isinstance(event, str):
        return event
    told = [str(event.get("event", ""))]
    told += (f"{key}={value}" for key, value in event.items() if key not in NOT_SHOWN)
    told += (f"\n{error['exc_type']}: {error['exc_value']}" for error in event.get("error_detail") or ())
    return " ".join(told)


def take_over(base: Path, *options: str) -> ManagerProcess:
    """A manager of the test's own, in place of one that an operator started and that has not gone yet."""
    client = AirExecutorClient(base)
    if (pid := client.manager_pid) is not None:
        os.kill(pid, signal.SIGUSR2)
        wait_for(lambda: client.manager_pid is None, f"manager {pid} to go")
    return ManagerProcess(base, *options).start()
