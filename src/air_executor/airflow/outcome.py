"""What came of a job: its summary, why it failed in words, and what goes to XCom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

import msgspec

from air_executor.airflow._compat import AirflowException, AirflowFailException
from air_executor.errors import AirExecutorError, NotFound, WaitTimeout
from air_executor.names import file_stem
from air_executor.times import from_iso

if TYPE_CHECKING:
    from air_executor.client import AirExecutorClient
    from air_executor.client_http import HttpClient
    from air_executor.store.layout import JobFolder

__all__ = ["MOST_BYTES", "bounded", "failure_text", "gone_text", "push", "raise_if_failed", "summary"]

MOST_BYTES: Final = 48_000
"""The most one XCom key holds, as JSON."""
SHOWN: Final = 10
OTHERS_FAULT: Final = frozenset({"skipped", "cancelled"})
"""Tasks that failed so say nothing about why the job did."""
LEASE_LOST: Final = "not heard of"
"""Part of the error of a job that was cancelled because nobody renewed its lease."""


class _Row(msgspec.Struct):
    """As much of a task as is told of it here."""

    id: str = ""
    status: str = "pending"
    reason: str | None = None
    error: str | None = None


# ---- summary -------------------------------------------------------------------------------------


def summary(
    client: AirExecutorClient, job_name: str, job_id: str | None = None, *, results: bool = True
) -> dict[str, Any]:
    """A job that has ended, as JSON for XCom; `job_id`: of that run, also when another has followed.

    `job_name, job_id, state, total_tasks, completed, failed, skipped, cancelled, duration_s`, and `results`: what
    tasks have reported, by task id, or where that is too much for an XCom `{"path", "count", "sha256"}`. `skipped`
    and `cancelled` tasks are among the failed.
    """
    state = _ended(client, job_name, job_id)
    progress = state.get("progress") or {}
    failed = progress.get("failed", 0)
    reasons = _reasons(client, state) if failed else {}
    found = {
        "job_name": job_name,
        "job_id": state.get("id"),
        "state": state["state"],
        "total_tasks": progress.get("total", 0),
        "completed": progress.get("completed", 0),
        "failed": failed,
        "skipped": reasons.get("skipped", 0),
        "cancelled": reasons.get("cancelled", 0),
        "duration_s": _duration_s(state),
    }
    return {**found, "results": _results(client, state)} if results else found


def _ended(client: AirExecutorClient, job_name: str, job_id: str | None) -> dict[str, Any]:
    try:
        state = client.wait(job_name, 0, job_id=job_id)
    except WaitTimeout:
        return client.get_job(job_name)
    return {**state, "name": job_name}


def _duration_s(state: Mapping[str, Any]) -> float | None:
    try:
        return round(from_iso(state["updated_at"]) - from_iso(state["created_at"]), 3)
    except (KeyError, TypeError, ValueError):
        return None


def bounded(value: Any, where: str, count: int) -> Any:
    """`value` if an XCom can hold it, else where it is to be found, of how many, and the digest of its JSON."""
    data = _encoded(value)
    if len(data) <= MOST_BYTES:
        return value
    return {"path": where, "count": count, "sha256": hashlib.sha256(data).hexdigest()}


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _results(client: AirExecutorClient, state: Mapping[str, Any]) -> Any:
    """The results of a run, or where they are; a folder gets a file with them then."""
    name = state["name"]
    if _is_remote(client):
        found = client.results(name) if client.get_job(name).get("id") == state.get("id") else {}
        return bounded(found, f"{cast('HttpClient', client).url}/jobs/{quote(name, safe='')}/results", len(found))
    from air_executor.store.files import write_atomically
    from air_executor.store.results import completed_results

    folder, archive = _where(client, state)
    found = completed_results(archive / "journal.jsonl") if (archive / "journal.jsonl").exists() else {}
    path = archive / f"results-{file_stem(str(state.get('id')))}.json"
    told = bounded(found, str(path), len(found))
    if told is not found:
        write_atomically(path, _encoded(found), mode=folder.base.file_mode)
    return told


def _where(client: AirExecutorClient, state: Mapping[str, Any]) -> tuple[JobFolder, Any]:
    """The job's folder, and the one the run's files are in: that, or one of `runs/`."""
    folder = client.base.job(str(state["name"]))
    earlier = folder.runs / file_stem(str(state.get("id")))
    return folder, earlier if (earlier / "journal.jsonl").exists() else folder.path


# ---- failure -------------------------------------------------------------------------------------


def raise_if_failed(client: AirExecutorClient, state: Mapping[str, Any], *, final: bool = True) -> None:
    """`AirflowException` with `failure_text` when the job failed.

    Where somebody cancelled it that is `final` (`AirflowFailException`): a retry would undo what he meant.
    """
    if state["state"] != "failed":
        return
    text = failure_text(client, state)
    if state.get("reason") != "cancelled" or LEASE_LOST in str(state.get("error")):
        raise AirflowException(text)
    if not final:
        raise AirflowException(f"{text}\nsomebody cancelled it")
    raise AirflowFailException(
        f"{text}\nsomebody cancelled it, so it is not tried again; clear the task to run it anew"
    )


def failure_text(client: AirExecutorClient, state: Mapping[str, Any]) -> str:
    """Why a job failed: its reason, up to ten failed tasks with the last line each wrote, and where to see more."""
    name = str(state["name"])
    lines = [f"job {name!r} failed: {state.get('error') or 'it does not say why'}"]
    try:
        shown, more = _failed_tasks(client, state)
    except (AirExecutorError, OSError, msgspec.DecodeError) as problem:
        return f"{lines[0]} (its tasks cannot be shown: {problem})"
    lines += [f"  {task}: {line}" for task, line in shown]
    if more:
        lines.append(f"  and {more:,} more")
    if shown:
        lines.append(_how_to_see(client, name, shown[0][0]))
    return "\n".join(lines)


def _how_to_see(client: AirExecutorClient, name: str, task: str) -> str:
    if _is_remote(client):
        return f"see {cast('HttpClient', client).url}"
    from shlex import quote as quoted

    base, job = quoted(str(client.base)), quoted(name)
    return (
        f"see `air-executor tasks {job} --status failed --base {base}` "
        f"and `air-executor logs {job} {quoted(task)} --base {base}`"
    )


def _failed_tasks(client: AirExecutorClient, state: Mapping[str, Any]) -> tuple[list[tuple[str, str]], int]:
    """Ids and last lines of failed tasks, those first that failed by themselves; and how many are left out."""
    if _is_remote(client):
        return _failed_at_server(cast("HttpClient", client), str(state["name"]), str(state.get("id")))
    from air_executor.observe.failures import last_line
    from air_executor.store.layout import JobFolder

    folder, archive = _where(client, state)
    there = JobFolder(folder.base, folder.name)
    there.logs = archive / "logs"
    failed = sorted(_failed_rows(archive / "tasks.json"), key=lambda row: row.reason in OTHERS_FAULT)
    shown = [(row.id, _line_of(row, last_line(there, row.id))) for row in failed[:SHOWN]]
    return shown, len(failed) - len(shown)


def _failed_rows(path: Any) -> list[_Row]:
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=list[_Row])
    except FileNotFoundError:
        return []
    return [row for row in rows if row.status == "failed"]


def _line_of(row: _Row, written: str) -> str:
    """Why a task failed, and its last words where it had any."""
    why = row.error or row.reason or "failed"
    return f"{why}: {written}" if written and row.reason not in OTHERS_FAULT else why


def _failed_at_server(client: HttpClient, name: str, job_id: str) -> tuple[list[tuple[str, str]], int]:
    job = client.get_job(name)
    if job.get("id") != job_id:
        return [], 0
    groups = client.read(f"/jobs/{quote(name, safe='')}/failures")
    groups.sort(key=lambda group: group["reason"] in OTHERS_FAULT)
    shown = [(task, f"{group['reason']}: {group['line']}") for group in groups for task in group["examples"]][:SHOWN]
    return shown, job["progress"]["failed"] - len(shown)


def _reasons(client: AirExecutorClient, state: Mapping[str, Any]) -> dict[str, int]:
    """How many tasks failed for each reason."""
    counts: dict[str, int] = {}
    if _is_remote(client):
        job = client.get_job(str(state["name"]))
        return job["reasons"] if job.get("id") == state.get("id") else counts
    for row in _failed_rows(_where(client, state)[1] / "tasks.json"):
        counts[row.reason or ""] = counts.get(row.reason or "", 0) + 1
    return counts


def _is_remote(client: AirExecutorClient) -> bool:
    return hasattr(client, "url")


# ---- XCom ----------------------------------------------------------------------------------------


def push(context: Mapping[str, Any], told: Mapping[str, Any], history: list[dict[str, Any]] | None = None) -> None:
    """Set the XComs of a job that has ended; `told` is its `summary`."""
    total, completed = told["total_tasks"], told["completed"]
    values = {
        "job_name": told["job_name"],
        "job_id": told["job_id"],
        "total_tasks": total,
        "completed_tasks": completed,
        "failed_tasks": told["failed"],
        "progress_percent": round(100.0 * completed / total, 2) if total else 0.0,
    }
    if "results" in told:
        values["results"] = told["results"]
    if history is not None:
        values["progress_history"] = history
    for key, value in values.items():
        context["ti"].xcom_push(key=key, value=value)


def gone_text(job_name: str, error: AirExecutorError) -> str:
    """What a task says whose job's folder was removed under it."""
    if isinstance(error, NotFound):
        return f"job {job_name!r} is gone: somebody removed its folder; nothing can be said of its end"
    return str(error)
