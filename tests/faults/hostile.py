"""Hypothesis strategies for what nobody should write into a job folder, and somebody will."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from air_executor.model import OPTION_FIELDS, STATE_FIELDS, TASK_FIELDS

TEXT = st.one_of(
    st.sampled_from(["", "a", "t0", "true", "/", "../..", "\0", "\ud800", "💥", "a\nb", "-", "${x}", "x" * 1_001]),
    st.text(max_size=8),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**31, 2**63, 2**64, 10**40, -(2**70), 1e308, 1e-320, float("inf"), float("nan"), -0.0]),
    TEXT,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
IDS = st.sampled_from(["t0", "t1", "t2", "t3", "unknown"])
SOUND = {
    "id": IDS,
    "command": st.sampled_from(["true", "/bin/sh", "no-such-command"]),
    "args": st.lists(TEXT, max_size=2),
    "dependencies": st.lists(IDS, max_size=3),
    "retries": st.integers(0, 3),
    "final": st.booleans(),
    "idempotent": st.booleans(),
    "priority": st.integers(-2, 2),
    "group": st.sampled_from(["g", None]),
    "timeout_s": st.sampled_from([0.1, 5, None]),
    "trigger_rule": st.sampled_from(["all_success", "all_done"]),
}


def _objects(fields: list[str], sound: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.one_of(st.sampled_from(fields), TEXT)
    return st.builds(
        lambda good, bad: {**good, **bad},
        st.fixed_dictionaries({}, optional=sound),
        st.dictionaries(keys, VALUES, max_size=2),
    )


TASKS = st.one_of(
    st.fixed_dictionaries(
        {"command": st.just("true")}, optional={key: value for key, value in SOUND.items() if key != "command"}
    ),
    _objects(sorted(TASK_FIELDS | STATE_FIELDS), SOUND),
    VALUES,
)
REQUESTS = st.builds(
    lambda name, bad: {"request": name, **bad},
    st.sampled_from(["cancel", "pause", "resume", "close", "retry", "queue", "submit", "?", 7]),
    st.dictionaries(
        st.sampled_from(["task", "tasks", "state", "reopen", "progress", "text", "command"]), VALUES, max_size=2
    ),
)
STATES = _objects(
    [*sorted(OPTION_FIELDS), "id", "name", "state", "created_at", "cwd", "environment", "warnings", "progress"],
    {
        "id": st.sampled_from(["r1", "r2"]),
        "name": st.just("job"),
        "state": st.sampled_from(["waiting", "working", "completed", "failed"]),
        "max_parallel": st.integers(1, 2),
        "allow_failures": st.sampled_from([1, "50%", "150 %"]),
        "max_failures": st.integers(1, 2),
        "deadline_s": st.sampled_from([0.5, 1e9]),
        "open": st.booleans(),
        "defaults": st.dictionaries(st.sampled_from(["retries", "cwd", "env", "command", "id"]), VALUES, max_size=2),
        "groups": st.just({"g": {"limit": 1, "rate": 2.0}}),
    },
)


def _spoilt(data: bytes, how: tuple[str, int, bytes]) -> bytes:
    what, place, noise = how
    place %= len(data) + 1
    if what == "cut":
        return data[:place]
    if what == "noise":
        return data[:place] + noise + data[place + len(noise) :]
    if what == "insert":
        return data[:place] + noise + data[place:]
    if what == "deep":
        return b"[" * 3_000 + data
    return data


SPOILING = st.tuples(
    st.sampled_from(["no", "no", "no", "cut", "noise", "insert", "deep"]),
    st.integers(0, 5_000),
    st.one_of(
        st.binary(min_size=1, max_size=4), st.sampled_from([b"\xff", b"\0", b"\xef\xbb\xbf", b"NaN", b"1e999"])
    ),
)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def files(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """JSON of `values`, mostly whole, sometimes spoilt."""
    return st.builds(_spoilt, values.map(as_json), SPOILING)


def lines(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """JSON lines of `values`, with and without a last newline, mostly whole."""
    return st.builds(
        lambda items, end: b"\n".join(items) + end,
        st.lists(files(values).map(lambda data: data.replace(b"\n", b" ")), max_size=4),
        st.sampled_from([b"\n", b"", b"\n\n"]),
    )
