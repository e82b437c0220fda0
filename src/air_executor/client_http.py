"""The client that speaks to a server: the same methods, by HTTP, with nothing but the standard library."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from air_executor.client import AirExecutorClient
from air_executor.errors import (
    AirExecutorError,
    BaseUnusable,
    InvalidInput,
    JobSealed,
    NotFound,
    Refused,
    WaitTimeout,
)
from air_executor.jobfile import JobFile, load_job_file
from air_executor.names import check_job_name

__all__ = ["HttpClient"]

TIMEOUT_S: Final = 30.0
PAGE: Final = 1_000
QUERY_BYTES: Final = 6_000
"""Of many jobs that are asked about at once."""
_KINDS: Final[dict[int, type[AirExecutorError]]] = {
    400: InvalidInput,
    401: Refused,
    403: Refused,
    404: NotFound,
    409: Refused,
    413: InvalidInput,
    414: InvalidInput,
    422: InvalidInput,
    503: BaseUnusable,
}


class HttpClient(AirExecutorClient):
    """Made by `AirExecutorClient(url=…, token=…)`. Safe to use from several threads; a request is a connection."""

    def __init__(
        self, base: str | os.PathLike[str] | None = None, *, url: str | None = None, token: str | None = None
    ) -> None:
        """`token`: default `AIR_EXECUTOR_TOKEN`; a server on this machine may not need one."""
        if base is not None or url is None:
            raise InvalidInput("expected either a base folder or a url")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"url {url!r}: expected something like http://127.0.0.1:5001")
        self.url = url.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._root = parts.path.rstrip("/")
        self._headers = {"X-Air-Executor": "1", "Accept": "application/json"}
        token = token or os.environ.get("AIR_EXECUTOR_TOKEN")
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def __eq__(self, other: object) -> bool:
        """Whether it is the same server, asked with the same token."""
        return isinstance(other, HttpClient) and (self.url, self._headers) == (other.url, other._headers)

    def __hash__(self) -> int:
        return hash(self.url)

    @property
    def headers(self) -> Mapping[str, str]:
        """What every request carries: the token too, if there is one."""
        return self._headers

    # ---- making and feeding jobs ---------------------------------------------------------------

    def create_job(
        self,
        job_name: str,
        tasks: Iterable[Mapping[str, Any]] = (),
        *,
        cwd: str | os.PathLike[str] | None = None,
        job_id: str | None = None,
        **options: Any,
    ) -> str:
        """Make a job and return its id. Without `cwd` tasks run where the server's base folder lies."""
        body = {"name": job_name, "tasks": [dict(task) for task in tasks], **options}
        if job_id is not None:
            body["id"] = job_id
        if cwd is not None:
            body["cwd"] = os.fspath(cwd)
        made: str = self._post("/jobs", body)["id"]
        return made

    def submit_file(
        self,
        path: str | os.PathLike[str],
        params: Mapping[str, str] | None = None,
        *,
        name: str | None = None,
        open: bool | None = None,
    ) -> tuple[str, str]:
        job: JobFile = load_job_file(Path(path), dict(params or {}))
        if name is not None:
            job.name = check_job_name(name)
        if open is not None:
            job.options["open"] = open
        tasks = [{**raw, "id": spec.id} for raw, spec in zip(job.raw_tasks, job.tasks, strict=True)]
        return job.name, self.create_job(job.name, tasks, **job.options)

    def queue_tasks(self, job_name: str, tasks: Iterable[Mapping[str, Any]], *, reopen: bool = False) -> list[str]:
        body = {"tasks": [dict(task) for task in tasks], "reopen": reopen}
        try:
            ids: list[str] = self._post(f"{_job(job_name)}/tasks", body)["ids"]
        except Refused:
            state = self.get_job(job_name)["state"]
            if state in ("completed", "failed"):
                raise JobSealed(job_name, state) from None
            raise
        return ids

    def close(self, job_name: str) -> None:
        self._post(f"{_job(job_name)}/close")

    # ---- asking ---------------------------------------------------------------------------------

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = None
        while True:
            page = self._get("/jobs", limit=PAGE, after=after)
            found += page["jobs"]
            after = page["next"]
            if after is None:
                return sorted(map(_state, found), key=lambda job: str(job["name"]))

    def get_job(self, job_name: str) -> dict[str, Any]:
        """What is known of a job; the keys of `state.json` and more."""
        return _state(self._get(_job(job_name)))

    def tasks(self, job_name: str, status: str | None = None) -> list[dict[str, Any]]:
        tasks = self.progress(job_name)["tasks"]
        return [task for task in tasks if status is None or task["status"] == status]

    def progress(self, job_name: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._get(f"{_job(job_name)}/progress")
        return answer

    def wait(self, job_name: str, timeout: float | None = None, *, job_id: str | None = None) -> dict[str, Any]:
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.05
        while True:
            end = self._get(f"{_job(job_name)}/end", run=job_id)
            if end["ended"]:
                state: dict[str, Any] = end["state"]
                return state
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(f"job {job_name!r} had not ended after {timeout:g} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def logs(self, job_name: str, task_id: str, attempt: int | None = None) -> str:
        try:
            _, data = self._ask("GET", f"{_task(job_name, task_id)}/log", {"attempt": attempt})
        except NotFound:
            self.find_task(job_name, task_id)
            if attempt is not None:
                raise
            return ""
        return data.decode(errors="replace")

    def log_path(self, job_name: str, task_id: str, attempt: int | None = None) -> Path | None:
        raise Refused(f"{self.url} is a server: what it keeps has no path here; `logs` gives the text")

    def find_task(self, job_name: str, task_id: str) -> dict[str, Any]:
        task: dict[str, Any] = self._get(_task(job_name, task_id))
        return task

    def results(self, job_name: str, group: str | None = None) -> dict[str, Any]:
        results: dict[str, Any] = self._get(f"{_job(job_name)}/results", group=group)["results"]
        return results

    def events(self, job_name: str, *, follow: bool = False) -> Iterator[dict[str, Any]]:
        connection, answer = self._open("GET", f"{_job(job_name)}/journal", {"follow": int(follow)})
        try:
            for line in answer:
                if line.strip():
                    yield json.loads(line)
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error
        finally:
            connection.close()

    @property
    def manager_pid(self) -> int | None:
        manager = self._get("/info")["manager"]
        return None if manager is None else manager["pid"]

    # ---- what only a server tells ---------------------------------------------------------------

    def ends(self, wanted: Iterable[tuple[str, str | None]]) -> list[dict[str, Any]]:
        """How far many jobs are, each with the run that is meant or None, in few requests on one connection.

        As `GET /ends` answers, in the order given: `job, run, found, ended, missing, state`.
        """
        found: list[dict[str, Any]] = []
        connection = self._connection()
        try:
            for query in _portions(wanted):
                found += json.loads(self._on(connection, "GET", f"{self._root}/ends?{query}").read())["ends"]
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error
        finally:
            connection.close()
        return found

    def report(self, job_name: str) -> str:
        """The progress report, as `status` prints it."""
        return self._ask("GET", f"{_job(job_name)}/report", {})[1].decode(errors="replace")

    def series(self, job_name: str) -> dict[str, list[float]]:
        """How the counts of the last run went, by column."""
        columns: dict[str, list[float]] = self._get(f"{_job(job_name)}/series")
        return columns

    def chart(self, job_name: str) -> bytes:
        """The last run drawn, as PNG."""
        return self._ask("GET", f"{_job(job_name)}/chart.png", {})[1]

    def chart_url(self, job_name: str) -> str:
        return f"{self.url}{_job(job_name)}/chart.png"

    def read(self, path: str, **query: Any) -> Any:
        """What the server answers to a question that has no method of its own (docs/http-api.md)."""
        return self._get(path, **query)

    # ---- asking for something -------------------------------------------------------------------

    def cancel(self, job_name: str, task_id: str | None = None, *, job_id: str | None = None) -> None:
        body = {"task": task_id, "run": job_id}
        self._post(f"{_job(job_name)}/cancel", {key: value for key, value in body.items() if value is not None})

    def pause(self, job_name: str) -> None:
        self._post(f"{_job(job_name)}/pause")

    def resume(self, job_name: str) -> None:
        self._post(f"{_job(job_name)}/resume")

    def renew(self, job_name: str, *, job_id: str | None = None) -> None:
        self._post(f"{_job(job_name)}/renew", {} if job_id is None else {"run": job_id})

    def retry(self, job_name: str, tasks: Iterable[str] | None = None) -> None:
        self._post(f"{_job(job_name)}/retry", {} if tasks is None else {"tasks": list(tasks)})

    # ---- HTTP -----------------------------------------------------------------------------------

    def _get(self, path: str, **query: Any) -> Any:
        return json.loads(self._ask("GET", path, query)[1])

    def _post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            data = json.dumps(body or {}, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"expected what JSON can hold: {error}") from None
        return json.loads(self._ask("POST", path, {}, data)[1])

    def _ask(self, method: str, path: str, query: Mapping[str, Any], body: bytes | None = None) -> tuple[int, bytes]:
        connection, answer = self._open(method, path, query, body)
        try:
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error
        finally:
            connection.close()

    def _open(
        self, method: str, path: str, query: Mapping[str, Any], body: bytes | None = None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """An answer that is not an error, to be read."""
        given = {key: value for key, value in query.items() if value is not None}
        target = f"{self._root}{path}" + (f"?{urlencode(given)}" if given else "")
        connection = self._connection()
        try:
            return connection, self._on(connection, method, target, body)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._broken(error) from error
        except AirExecutorError:
            connection.close()
            raise

    def _connection(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)

    def _on(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: bytes | None = None
    ) -> http.client.HTTPResponse:
        """Ask on a connection; raises what an answer that is an error says."""
        connection.request(method, target, body, self._headers)
        answer = connection.getresponse()
        if answer.status < 400:
            return answer
        data = answer.read()
        try:
            text = str(json.loads(data)["error"])
        except (ValueError, KeyError, TypeError):
            text = f"{self.url} answered with status {answer.status}"
        raise _KINDS.get(answer.status, AirExecutorError)(text)

    def _broken(self, error: Exception) -> AirExecutorError:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return AirExecutorError(f"{self.url} cannot be asked: {why}")


def _job(name: str) -> str:
    return f"/jobs/{quote(check_job_name(name), safe='')}"


def _portions(wanted: Iterable[tuple[str, str | None]]) -> Iterator[str]:
    """The queries that ask for these runs, none longer than what proxies let pass."""
    pairs: list[str] = []
    length = 0
    for name, run in wanted:
        pair = urlencode({"job": check_job_name(name), "run": run or ""})
        if pairs and length + len(pair) > QUERY_BYTES:
            yield "&".join(pairs)
            pairs, length = [], 0
        pairs.append(pair)
        length += len(pair) + 1
    if pairs:
        yield "&".join(pairs)


def _task(job: str, task: str) -> str:
    return f"{_job(job)}/tasks/{quote(task, safe='')}"


def _state(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job with its counts and its origin where `state.json` has them."""
    counts = {key: job[key] for key in ("pending", "running", "completed", "failed")}
    state = {**job, "progress": {"total": job["total_tasks"], **counts}}
    origin = job.get("options", {}).get("origin")
    return state if origin is None else {**state, "origin": origin}
