"""The words of the product as types: tasks, job options, their allowed values, and how bad input is told.

No I/O here. A `TaskSpec` is what somebody handed in and never changes; a `Task` is a spec and what
happened to it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from air_executor.errors import InvalidInput
from air_executor.names import automatic_id, check_task_id

__all__ = [
    "ENDED_STATES",
    "EnvRef",
    "Group",
    "JobOptions",
    "Reason",
    "State",
    "Status",
    "Task",
    "TaskSpec",
    "TriggerRule",
    "Usage",
    "check_graph",
    "find_cycle",
    "param_text",
    "parse_options",
    "parse_task",
    "parse_tasks",
]

State = Literal["waiting", "working", "completed", "failed"]
Status = Literal["pending", "running", "completed", "failed"]
Reason = Literal["exit", "signal", "timeout", "memory", "not_started", "lost", "skipped", "cancelled"]
TriggerRule = Literal["all_success", "all_done"]

RESERVED_VARIABLES: Final = frozenset(
    f"AIR_EXECUTOR_{name}" for name in ("BASE", "JOB", "RUN", "BEGAN", "PYTHON", "TASK", "ATTEMPT", "RESULT", "INBOX")
)
STATES: Final = ("waiting", "working", "completed", "failed")
STATUSES: Final = ("pending", "running", "completed", "failed")
ENDED_STATES: Final = frozenset({"completed", "failed"})

NotNegative = Annotated[int, Meta(ge=0)]
AtLeastOne = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0, le=1e15)]  # the upper bound refuses infinity, which JSON cannot hold
Seconds = Annotated[float, Meta(ge=0, le=1e15)]


DEFAULT_RETRY_DELAY_S: Final = 1.0
MAX_ORIGIN_BYTES: Final = 4_096


class EnvRef(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a secret comes from when its task starts; the value itself is stored nowhere."""

    environment: str | None = None
    file: str | None = None
    command: list[str] | None = None
    """A program and its arguments: what it prints is the value."""
    timeout_s: Positive | None = None
    """How long the program may take; None: 30 s."""


class Group(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How many tasks of a group run at once, and how many start per second."""

    limit: AtLeastOne | None = None
    rate: Positive | None = None


class TaskSpec(Struct, kw_only=True, omit_defaults=True, gc=False):
    """A task as it was handed in. Times in seconds, memory in MB (10^6 bytes)."""

    id: str = ""
    command: str | None = None
    args: list[str] = []
    shell: bool = False
    python: str | None = None
    kwargs: dict[str, Any] | None = None
    dependencies: list[str] = []
    cwd: str | None = None
    env: dict[str, str] | None = None
    env_from: dict[str, EnvRef] | None = None
    timeout_s: Positive | None = None
    retries: NotNegative = 0
    retry_delay_s: Seconds = DEFAULT_RETRY_DELAY_S
    priority: int = 0
    cpus: Positive | None = None
    memory_mb: Positive | None = None
    group: str | None = None
    trigger_rule: TriggerRule = "all_success"
    final: bool = False
    idempotent: bool = False
    keep_children: bool = False
    enforce_memory: bool = False
    extra: dict[str, Any] | None = None
    """Keys we do not know, kept as they came."""


class Usage(Struct, frozen=True, gc=False):
    """What an attempt cost: CPU seconds (user and system) and the peak of its resident memory in MB."""

    cpu_s: float
    memory_mb: float


class Task(Struct, kw_only=True):
    """A spec and what has happened to it so far."""

    spec: TaskSpec
    order: int
    created_at: str
    status: Status = "pending"
    reason: Reason | None = None
    error: str | None = None
    attempt: int = 0
    budget: int = 0
    """The attempt number up to which failures are retried; moved on by a user's retry."""
    exit_code: int | None = None
    signal: str | None = None
    result: Any = None
    usage: Usage | None = None
    run_s: float | None = None
    started_at: str | None = None
    completed_at: str | None = None
    retry_at: float | None = None
    """Epoch seconds before which the next attempt does not start."""
    unmet: int = 0
    """Dependencies that have not ended yet."""
    launcher: str | None = None


class JobOptions(Struct, kw_only=True, omit_defaults=True):
    """How a job as a whole is run."""

    max_parallel: AtLeastOne | None = None
    groups: dict[str, Group] = {}
    allow_failures: NotNegative | str | None = None
    max_failures: AtLeastOne | None = None
    deadline_s: Positive | None = None
    open: bool = False
    params: dict[str, str | int | float | bool] = {}
    on_end: str | None = None
    """A webhook that is told when the job has ended."""
    origin: dict[str, Any] | None = None
    """Who handed the job in, in that program's own terms."""
    lease_s: Positive | None = None
    """The job is cancelled when nobody has renewed it for so long."""
    defaults: dict[str, Any] = {}
    """Keys of tasks that do not give them themselves."""

    def failures_allowed(self, total: int) -> int:
        """How many of `total` tasks may fail in a job that still counts as completed."""
        allowed = self.allow_failures
        if allowed is None:
            return 0
        if isinstance(allowed, str):
            return int(total * float(allowed.rstrip("% ")) / 100)
        return allowed


TASK_FIELDS: Final = frozenset(TaskSpec.__struct_fields__) - {"extra"}
STATE_FIELDS: Final = frozenset(
    [
        "job_name",
        "status",
        "created_at",
        "started_at",
        "completed_at",
        "error",
        "reason",
        "exit_code",
        "signal",
        "attempt",
        "result",
        "usage",
        "run_s",
        "progress",
        "retry_at",
    ]
)
"""What the manager writes about a task; whoever hands a task in with these is not believed."""
OPTION_FIELDS: Final = frozenset(JobOptions.__struct_fields__)

_EXPECTED: Final = {
    "id": "a string",
    "command": "a string",
    "args": "a list of strings",
    "shell": "true or false",
    "python": "a string 'package.module:function' or a script",
    "kwargs": "an object",
    "dependencies": "a list of task ids (strings)",
    "cwd": "a string",
    "env": "an object of strings",
    "env_from": 'an object like {"NAME": {"environment": "OTHER"}}, {"NAME": {"file": "/path"}} '
    'or {"NAME": {"command": ["program", "argument"]}}',
    "timeout_s": "a number of seconds over 0",
    "retries": "a whole number, 0 or more",
    "retry_delay_s": "a number of seconds, 0 or more",
    "priority": "a whole number",
    "cpus": "a number over 0",
    "memory_mb": "a number over 0",
    "group": "a string",
    "trigger_rule": "'all_success' or 'all_done'",
    "final": "true or false",
    "idempotent": "true or false",
    "keep_children": "true or false",
    "enforce_memory": "true or false",
    "max_parallel": "a whole number, 1 or more",
    "groups": 'an object like {"name": {"limit": 2, "rate": 5.0}}',
    "allow_failures": "a whole number, or a percentage like '10%'",
    "max_failures": "a whole number, 1 or more",
    "deadline_s": "a number of seconds over 0",
    "open": "true or false",
    "on_end": "an http:// or https:// URL",
    "origin": "an object of at most 4,096 bytes of JSON",
    "lease_s": "a number of seconds over 0",
    "defaults": "an object of task keys",
    "params": "an object of strings, numbers or booleans",
}

_FIELD_IN_PATH = re.compile(r"at `\$\.?(?:\[\.\.\.\])?([A-Za-z_]*)")


def _explain(error: msgspec.ValidationError, where: str) -> InvalidInput:
    found = _FIELD_IN_PATH.search(str(error))
    field = found.group(1) if found else ""
    if field in _EXPECTED:
        return InvalidInput(f"{where}.{field}: expected {_EXPECTED[field]}".lstrip("."))
    return InvalidInput(f"{where}: {error}")


def _no_nul(value: str, where: str) -> None:
    if "\0" in value:
        raise InvalidInput(f"{where}: a NUL character cannot be passed to a process")


def _check_process_words(spec: TaskSpec, where: str) -> None:
    """Refuse what no process could be given; costs little, since almost every task passes at once."""
    if spec.command is not None:
        _no_nul(spec.command, f"{where}.command")
    if "\0" in "".join(spec.args):
        raise InvalidInput(f"{where}.args: a NUL character cannot be passed to a process")
    if spec.cwd is not None:
        _no_nul(spec.cwd, f"{where}.cwd")
    if spec.env:
        _check_variables(spec.env, f"{where}.env")
        for name, value in spec.env.items():
            _no_nul(value, f"{where}.env.{name}")
    if spec.env_from:
        _check_variables(spec.env_from, f"{where}.env_from")
        for name, ref in spec.env_from.items():
            _check_reference(ref, f"{where}.env_from.{name}")


def _check_variables(names: Iterable[str], where: str) -> None:
    for name in names:
        if not name or "=" in name or "\0" in name:
            raise InvalidInput(f"{where}: {name!r} cannot be the name of an environment variable")
        if name in RESERVED_VARIABLES:
            raise InvalidInput(f"{where}: {name} is set by Air-Executor itself")


def _check_reference(ref: EnvRef, where: str) -> None:
    if sum(one is not None for one in (ref.environment, ref.file, ref.command)) != 1:
        raise InvalidInput(f"{where}: expected exactly one of 'environment', 'file' and 'command'")
    if ref.command is not None:
        if not ref.command or not ref.command[0]:
            raise InvalidInput(f"{where}.command: expected a program and its arguments")
        _no_nul("".join(ref.command), f"{where}.command")
    elif ref.timeout_s is not None:
        raise InvalidInput(f"{where}.timeout_s: goes with 'command' only")


def parse_task(raw: object, where: str = "task", defaults: dict[str, Any] | None = None) -> TaskSpec:
    """Turn one handed-in object into a `TaskSpec`, or raise `InvalidInput` naming path and expectation.

    `where` is the object's place in its file, such as `tasks[3]`. What only the manager may write
    (status, times, results) is left out; keys we do not know are kept in `extra`.
    """
    if type(raw) is not dict:
        raise InvalidInput(f"{where}: expected an object")
    if defaults:
        raw = {**defaults, **raw}
    unknown = raw.keys() - TASK_FIELDS
    if unknown:
        extra = {key: raw[key] for key in raw if key in unknown and key not in STATE_FIELDS}
        raw = {key: value for key, value in raw.items() if key in TASK_FIELDS}
        if extra:
            raw["extra"] = extra
    if None in raw.values():  # null stands for "not given"
        raw = {key: value for key, value in raw.items() if value is not None}
    try:
        spec = msgspec.convert(raw, TaskSpec)
    except msgspec.ValidationError as error:
        raise _explain(error, where) from None
    if spec.id:
        check_task_id(spec.id)
    elif "id" in raw:
        raise InvalidInput(f"{where}.id: expected at least one character")
    if spec.python is not None:
        raise InvalidInput(f"{where}.python: Python tasks are not in this version; use command and args")
    if not spec.command:
        raise InvalidInput(f"{where}.command: expected a command (a string)")
    _check_process_words(spec, where)
    return spec


def parse_tasks(raw: object, where: str = "tasks", defaults: dict[str, Any] | None = None) -> list[TaskSpec]:
    """Turn a list of handed-in objects into specs; tasks without an id get one from content and position."""
    if type(raw) is not list:
        raise InvalidInput(f"{where}: expected a list of task objects")
    specs = []
    for index, item in enumerate(raw):
        spec = parse_task(item, f"{where}[{index}]", defaults)
        if not spec.id:
            spec.id = automatic_id(spec.command or "", content_key(spec), index)
        specs.append(spec)
    return specs


_content_encoder = msgspec.json.Encoder(order="sorted")


def content_key(spec: TaskSpec) -> str:
    """The content of a spec that has no id yet: equal for equal tasks."""
    try:
        return _content_encoder.encode(spec).decode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{spec.command!a}: holds text that is not valid Unicode") from None


def check_graph(specs: list[TaskSpec], where: str = "tasks") -> None:
    """Refuse, with `InvalidInput`, an id used twice for different tasks, and a dependency cycle."""
    seen: dict[str, int] = {}
    for index, spec in enumerate(specs):
        first = seen.setdefault(spec.id, index)
        if first != index and specs[first] != spec:
            raise InvalidInput(f"{where}[{index}].id: {spec.id!r} is {where}[{first}]'s id too, with other content")
    if cycle := find_cycle({spec.id: spec.dependencies for spec in specs}):
        raise InvalidInput(f"{where}: dependency cycle: {' -> '.join(cycle)}")


def param_text(value: str | float | bool) -> str:
    """A param as text: in `${name}` and in the environment alike."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def unlikely_keys(spec: TaskSpec) -> list[str]:
    """A hint for each unknown key that looks like a misspelt known one."""
    hints = []
    for key in spec.extra or ():
        near = difflib.get_close_matches(key, TASK_FIELDS, n=1, cutoff=0.8)
        if near:
            hints.append(f"unknown key {key!r} is kept but has no effect (did you mean {near[0]!r}?)")
    return hints


def parse_options(raw: dict[str, Any], where: str = "") -> JobOptions:
    """Turn the option keys of a job file or of `state.json` into `JobOptions`; other keys are not looked at."""
    known = {key: value for key, value in raw.items() if key in OPTION_FIELDS and value is not None}
    try:
        options = msgspec.convert(known, JobOptions)
    except msgspec.ValidationError as error:
        raise _explain(error, where) from None
    allowed = options.allow_failures
    if isinstance(allowed, str) and not re.fullmatch(r"\d+(\.\d+)?\s*%", allowed.strip()):
        raise InvalidInput(f"{where}.allow_failures: expected {_EXPECTED['allow_failures']}".lstrip("."))
    if options.on_end is not None and not re.fullmatch(r"https?://[!-~]+", options.on_end):
        raise InvalidInput(f"{where}.on_end: expected {_EXPECTED['on_end']}".lstrip("."))
    if options.origin is not None and not _is_short(options.origin):
        raise InvalidInput(f"{where}.origin: expected {_EXPECTED['origin']}".lstrip("."))
    for name, value in options.params.items():
        if isinstance(value, str):
            _no_nul(value, f"{where}.params.{name}".lstrip("."))
        if not name.isidentifier() or name.upper().startswith("AIR_EXECUTOR_"):
            raise InvalidInput(
                f"{where}.params.{name}: expected a name of letters, digits and '_' "
                "that does not begin with AIR_EXECUTOR_".lstrip(".")
            )
    return options


def _is_short(origin: dict[str, Any]) -> bool:
    """Whether it is JSON of a size that may stand in every view of its job."""
    try:
        return len(msgspec.json.encode(origin)) <= MAX_ORIGIN_BYTES
    except (TypeError, ValueError, RecursionError):  # what Python holds and JSON cannot, lone surrogates
        return False


def find_cycle(edges: dict[str, list[str]]) -> list[str] | None:
    """A cycle in `edges` (task id -> ids it depends on) as `[a, b, a]`, or None. Unknown ids are leaves."""
    done: set[str] = set()
    for root, dependencies in edges.items():
        if root in done:
            continue
        path: list[str] = [root]
        on_path = {root}
        stack = [iter(dependencies)]
        while stack:
            for dependency in stack[-1]:
                if dependency in on_path:
                    return [*path[path.index(dependency) :], dependency]
                if dependency in edges and dependency not in done:
                    path.append(dependency)
                    on_path.add(dependency)
                    stack.append(iter(edges[dependency]))
                    break
            else:
                stack.pop()
                finished = path.pop()
                on_path.discard(finished)
                done.add(finished)
    return None
