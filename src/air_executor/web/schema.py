"""The shapes of requests and answers, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from msgspec import UNSET, Struct, UnsetType

from air_executor.model import Reason, State, Status

__all__ = ["describe"]


class Error(Struct):
    error: str


class Health(Struct):
    ok: bool


class ManagerFacts(Struct):
    pid: int
    host: str | None
    version: str | None
    started_at: str | None
    slots: int | None


class Numbers(Struct):
    value: str | None
    counts: dict[State, int]
    running_tasks: int
    rate_per_s: float


class Info(Struct):
    version: str
    base: str
    write: bool
    slots: int | None
    manager: ManagerFacts | None
    counts: dict[State, int]
    running_tasks: int
    rate_per_s: float
    apart: list[Numbers] | UnsetType = UNSET


class Estimate(Struct):
    low: float
    mid: float
    high: float


class JobFacts(Struct):
    name: str
    id: str | None
    state: State
    reason: str | None
    error: str | None
    created_at: str | None
    updated_at: str | None
    total_tasks: int
    pending: int
    running: int
    completed: int
    failed: int
    skipped: int
    cancelled: int
    open: bool
    paused: bool
    stopping: str | None
    rate_per_s: float
    elapsed_s: float
    estimate_s: Estimate | None
    origin: dict[str, Any] | None


class JobOrigin(Struct):
    id: str | None
    origin: dict[str, Any] | None


class Job(JobFacts):
    warnings: int


class Jobs(Struct):
    jobs: list[Job]
    next: str | None


class Times(Struct):
    mean: float
    p50: float
    p90: float
    p99: float
    max: float
    count: int


class Sizes(Struct):
    p50: float
    p90: float
    max: float


class Counts(Struct):
    pending: int
    running: int
    completed: int
    failed: int


class CompletedTask(Struct):
    id: str
    completed_at: str
    run_s: float | None


class RunningTask(Struct):
    id: str
    started_at: str
    attempt: int
    progress: float | None
    text: str | None


class FailedTask(Struct):
    id: str
    reason: str
    error: str | None
    exit_code: int | None
    signal: str | None


class JobDetail(JobFacts):
    warnings: list[str]
    retries: int
    percent: float
    parallelism: float
    run_time_s: Times | None
    queue_time_s: Times | None
    memory_mb: Sizes | None
    cpu_s: Sizes | None
    groups: dict[str, Counts]
    reasons: dict[str, int]
    recently_completed: list[CompletedTask]
    running_tasks: list[RunningTask]
    failed_tasks: list[FailedTask]
    options: dict[str, Any]
    runs: int
    reading: float | None


class Progress(Struct, omit_defaults=True):
    job_name: str
    state: State
    total_tasks: int
    completed: int
    running: int
    failed: int
    pending: int
    tasks: list[dict[str, Any]] = []


class TaskRow(Struct):
    n: int
    id: str
    status: Status
    reason: Reason | None
    group: str | None
    attempt: int
    exit_code: int | None
    error: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    run_s: float | None


class Tasks(Struct):
    tasks: list[TaskRow]
    next: str | None
    total: int


class Attempt(Struct):
    attempt: int
    started_at: str
    ended_at: str | None
    exit_code: int | None
    signal: str | None
    reason: str | None
    error: str | None
    run_s: float | None
    cpu_s: float | None
    memory_mb: float | None
    log: bool


class Task(Struct):
    """And all other keys of `tasks.json`."""

    id: str
    job_name: str
    status: Status
    n: int
    attempts: list[Attempt]
    log_size: int | None


class Timeline(Struct):
    from_: float = msgspec.field(name="from")
    to: float
    began: float | None
    now: float
    lanes: int
    spans: list[list[float | None]]
    truncated: bool


class Series(Struct):
    t: list[float]
    total: list[float]
    completed: list[float]
    running: list[float]
    failed: list[float]


class FailureGroup(Struct):
    line: str
    reason: str
    count: int
    examples: list[str]


class Node(Struct):
    n: int
    id: str
    status: Status
    reason: str | None


class Graph(Struct):
    nodes: list[Node]
    edges: list[tuple[int, int]]


class Run(Struct):
    id: str | None
    state: State
    reason: str | None
    created_at: str | None
    ended_at: str | None
    duration_s: float | None
    total_tasks: int
    completed: int
    failed: int
    origin: dict[str, Any] | None


class Runs(Struct):
    runs: list[Run]


class Results(Struct):
    results: dict[str, Any]


class Look(Struct):
    job: str
    run: str | None
    found: bool
    missing: bool
    ended: bool
    state: dict[str, Any] | None


class Ends(Struct):
    ends: list[Look]


class End(Struct):
    ended: bool
    state: dict[str, Any] | None


class Created(Struct):
    id: str
    name: str


class Queued(Struct):
    ids: list[str]


class Accepted(Struct):
    """Nothing to say: the request is on disk, and the manager carries it out."""


class NewJob(Struct):
    """And all other keys of a job file."""

    name: str
    id: str | None = None
    tasks: list[dict[str, Any]] = []
    cwd: str = ""


class NewTasks(Struct):
    tasks: list[dict[str, Any]]
    reopen: bool = False


class SomeTasks(Struct):
    task: str = ""
    tasks: list[str] = []


class SomeTasksOfOneRun(SomeTasks):
    run: str = ""


class OneRun(Struct):
    run: str = ""


BYTES: Final = {"type": "string", "format": "binary"}
TEXTS: Final = {"type": "string"}
NDJSON: Final = "application/x-ndjson"
EVENTS: Final = "text/event-stream"

Kind = type | tuple[str, dict[str, str]]

ANSWERS: Final[dict[tuple[str, str], tuple[int, Kind]]] = {
    ("get", "/healthz"): (200, Health),
    ("get", "/info"): (200, Info),
    ("get", "/jobs"): (200, Jobs),
    ("get", "/jobs/{name}"): (200, JobDetail),
    ("get", "/jobs/{name}/origin"): (200, JobOrigin),
    ("get", "/jobs/{name}/grid"): (200, ("application/octet-stream", BYTES)),
    ("get", "/jobs/{name}/journal"): (200, (NDJSON, TEXTS)),
    ("get", "/jobs/{name}/end"): (200, End),
    ("get", "/ends"): (200, Ends),
    ("get", "/jobs/{name}/report"): (200, ("text/plain; charset=utf-8", TEXTS)),
    ("get", "/jobs/{name}/progress"): (200, Progress),
    ("get", "/jobs/{name}/results"): (200, Results),
    ("get", "/jobs/{name}/tasks"): (200, Tasks),
    ("get", "/jobs/{name}/tasks/{id}"): (200, Task),
    ("get", "/jobs/{name}/tasks/{id}/log"): (200, ("text/plain; charset=utf-8", TEXTS)),
    ("get", "/jobs/{name}/timeline"): (200, Timeline),
    ("get", "/jobs/{name}/series"): (200, Series),
    ("get", "/jobs/{name}/failures"): (200, list[FailureGroup]),
    ("get", "/jobs/{name}/graph"): (200, Graph),
    ("get", "/jobs/{name}/history"): (200, Runs),
    ("get", "/jobs/{name}/chart.svg"): (200, ("image/svg+xml", TEXTS)),
    ("get", "/jobs/{name}/chart.png"): (200, ("image/png", BYTES)),
    ("get", "/events"): (200, (EVENTS, TEXTS)),
    ("get", "/metrics"): (200, ("text/plain", TEXTS)),
    ("post", "/jobs"): (201, Created),
    ("post", "/jobs/{name}/tasks"): (202, Queued),
    ("post", "/jobs/{name}/cancel"): (202, Accepted),
    ("post", "/jobs/{name}/retry"): (202, Accepted),
    ("post", "/jobs/{name}/pause"): (202, Accepted),
    ("post", "/jobs/{name}/resume"): (202, Accepted),
    ("post", "/jobs/{name}/close"): (202, Accepted),
    ("post", "/jobs/{name}/renew"): (202, Accepted),
}
BODIES: Final[dict[str, type]] = {
    "/jobs": NewJob,
    "/jobs/{name}/tasks": NewTasks,
    "/jobs/{name}/cancel": SomeTasksOfOneRun,
    "/jobs/{name}/retry": SomeTasks,
    "/jobs/{name}/renew": OneRun,
}
BODY_MAY_MISS: Final = frozenset({"/jobs/{name}/retry", "/jobs/{name}/renew"})
MEANINGS: Final = {
    200: "As asked",
    201: "Made; it is on disk",
    202: "Accepted; it is on disk, and the manager carries it out",
    206: "The part asked for",
    400: "The body is no JSON",
    401: "A token is needed",
    403: "This caller may not do that",
    404: "No such job, task or log",
    409: "Not in the job's present state",
    413: "Too large",
    414: "The address is too long",
    416: "The log has no such part",
    422: "Cannot be accepted; the text says why",
    501: "Needs a package that is not installed",
    503: "The base folder cannot be used at the moment",
}
ALWAYS: Final = (401, 403, 413, 414, 422, 503)


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the application."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )  # fmt: skip
    kinds = [kind for _, kind in ANSWERS.values() if not isinstance(kind, tuple)]
    shapes, components = msgspec.json.schema_components(
        [Error, *kinds, *BODIES.values()], ref_template="#/components/schemas/{name}"
    )
    by_kind = dict(zip(map(repr, [Error, *kinds, *BODIES.values()]), shapes, strict=True))
    schema["components"] = {
        "schemas": components,
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    schema["security"] = [{"token": []}, {}]
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            _describe_operation(path, method, operation, by_kind)
    app.openapi_schema = schema
    return schema


def _describe_operation(path: str, method: str, operation: dict[str, Any], by_kind: dict[str, Any]) -> None:
    status, kind = ANSWERS[method, path]
    content = {kind[0]: {"schema": kind[1]}} if isinstance(kind, tuple) else _json(by_kind[repr(kind)])
    answers = {status: content}
    errors = [*ALWAYS]
    if "{name}" in path or path == "/events":
        errors.append(404)
    if method == "post":
        errors += [400, 409]
        operation["parameters"] = [*operation.get("parameters", ()), _GUARD]
        if path in BODIES:
            body = by_kind[repr(BODIES[path])]
            operation["requestBody"] = {"required": path not in BODY_MAY_MISS, "content": _json(body)}
    if path.endswith("/log"):
        answers[200] |= {EVENTS: {"schema": TEXTS}}
        answers[206] = content
        errors.append(416)
    if "/chart." in path:
        errors.append(501)
    answers |= {code: _json(by_kind[repr(Error)]) for code in errors}
    operation["responses"] = {
        str(code): {"description": MEANINGS[code], "content": answers[code]} for code in sorted(answers)
    }


_GUARD: Final = {
    "name": "X-Air-Executor",
    "in": "header",
    "required": True,
    "description": "Always 1: other people's pages cannot send it.",
    "schema": {"type": "string", "enum": ["1"]},
}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
