"""What a request to the page inside Airflow asks for, and which right that needs. Pure: no Airflow, no I/O.

A request is taken apart and put together anew: what is handed on is what was decided about, and nothing else of it.
Whatever is not listed here is not there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode

__all__ = ["Asked", "Denied", "Right", "asked", "dag_of"]

Right = Literal["see", "logs", "change"]
Kind = Literal["page", "file", "info", "jobs", "overview", "job"]

SEEING: Final = frozenset(
    [
        "origin",
        "grid",
        "progress",
        "timeline",
        "series",
        "graph",
        "history",
        "end",
        "chart.svg",
        "chart.png",
        "tasks",
        "tasks/{id}",
    ]
)
READING_LOGS: Final = frozenset({"failures", "journal", "tasks/{id}/log"})
CHANGING: Final = frozenset(["cancel", "retry", "pause", "resume", "close"])
_FILE: Final = re.compile(r"/(?:assets/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")
_OF_LISTS: Final = frozenset({"state", "q", "limit", "after", "origin"})


class Denied(Exception):
    """A request that is not even asked about: status and text of the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Asked:
    """One request."""

    kind: Kind
    method: str
    path: str
    """As it is handed on, percent-encoded."""
    query: str = ""
    job: str | None = None
    rights: frozenset[Right] = frozenset({"see"})
    streamed: bool = False
    """Whether the answer goes on until something ends it."""


def asked(method: str, raw_path: str, query: str) -> Asked:
    """`raw_path`: below where the page stands, with its percent signs; `Denied` for what there is not."""
    if method not in ("GET", "HEAD", "POST"):
        raise Denied(405, "this is neither read nor changed in this way")
    if method == "POST":
        return _change(raw_path)
    given = _query(query)
    if raw_path in ("/", "/index.html"):
        return Asked("page", method, "/")
    if raw_path == "/info":
        return Asked("info", method, "/info", job=given.get("job"))
    if raw_path == "/jobs":
        wanted = {key: value for key, value in given.items() if key in _OF_LISTS}
        return Asked("jobs", method, "/jobs", urlencode(wanted))
    if raw_path == "/events":
        return _events(method, given)
    if raw_path.startswith("/jobs/"):
        return _of_job(method, raw_path, given)
    if _FILE.fullmatch(raw_path):
        return Asked("file", method, raw_path)
    raise Denied(404, "there is no such page")


def _query(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=50
        )
    except (ValueError, UnicodeDecodeError):
        raise Denied(400, "the question after `?` cannot be read") from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise Denied(400, "a name stands twice after `?`")
    return given


def _events(method: str, given: dict[str, str]) -> Asked:
    job = given.get("job")
    if job is None:
        wanted = {"origin": given["origin"]} if "origin" in given else {}
        return Asked("overview", method, "/events", urlencode(wanted), streamed=True)
    wanted = {"job": job, **({"cells": given["cells"]} if "cells" in given else {})}
    return Asked("job", method, "/events", urlencode(wanted, errors="strict"), job, streamed=True)


def _parts(raw_path: str) -> tuple[str, str, str]:
    """Name of the job, what of it (tasks by `{id}`), and the path anew."""
    segments = raw_path.split("/")[2:]
    name = _decoded(segments[0])
    rest = segments[1:]
    if rest[:1] == ["tasks"] and len(rest) > 1:
        task = _decoded(rest[1])
        pattern = "/".join(["tasks", "{id}", *rest[2:]])
        rest = ["tasks", quote(task, safe=""), *rest[2:]]
    else:
        pattern = "/".join(rest)
    return name, pattern, "/".join(["/jobs", quote(name, safe=""), *rest])


def _decoded(segment: str) -> str:
    try:
        text = unquote_to_bytes(segment.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise Denied(404, "there is no such page") from None
    if text in ("", ".", ".."):
        raise Denied(404, "there is no such page")
    return text


def _of_job(method: str, raw_path: str, given: dict[str, str]) -> Asked:
    name, what, path = _parts(raw_path)
    rights: set[Right] = {"see"}
    if what in READING_LOGS or (what == "tasks" and "line" in given):
        rights.add("logs")
    elif what and what not in SEEING:
        raise Denied(404, "there is no such page")
    streamed = "follow" in given and what in READING_LOGS
    return Asked("job", method, path, urlencode(given), name, frozenset(rights), streamed)


def _change(raw_path: str) -> Asked:
    if raw_path.startswith("/jobs/"):
        name, what, path = _parts(raw_path)
        if what in CHANGING:
            return Asked("job", "POST", path, "", name, frozenset({"see", "change"}))
    if raw_path == "/jobs" or raw_path.startswith("/jobs/"):
        raise Denied(403, "jobs are handed in by DAGs; from here they can be cancelled, retried, paused and resumed")
    raise Denied(404, "there is no such page")


def dag_of(origin: Any) -> str | None:
    """The DAG that handed a job in, by the job's own record; None for a job that no DAG handed in."""
    airflow = origin.get("airflow") if isinstance(origin, dict) else None
    dag_id = airflow.get("dag_id") if isinstance(airflow, dict) else None
    return dag_id if isinstance(dag_id, str) and dag_id else None
