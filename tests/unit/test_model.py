"""Tasks and options as they are handed in: what is taken, and what is told when it cannot be."""

from __future__ import annotations

import msgspec
import pytest

from air_executor import events as ev
from air_executor.errors import InvalidInput, InvalidName
from air_executor.model import (
    EnvRef,
    Group,
    JobOptions,
    check_graph,
    parse_options,
    parse_task,
    parse_tasks,
    unlikely_keys,
)
from tests.unit.world import spec

INF = float("inf")


def error(call, *args) -> str:
    with pytest.raises(InvalidInput) as caught:
        call(*args)
    return str(caught.value)


def test_a_full_task_is_taken_as_it_is():
    raw = {
        "id": "a",
        "command": "make",
        "args": ["all"],
        "shell": True,
        "dependencies": ["b"],
        "cwd": "/tmp",
        "env": {"A": "1"},
        "env_from": {"S": {"environment": "SECRET"}, "T": {"file": "/run/secret"}},
        "timeout_s": 5,
        "retries": 2,
        "retry_delay_s": 0,
        "priority": -3,
        "cpus": 0.5,
        "memory_mb": 100,
        "group": "web",
        "trigger_rule": "all_done",
        "final": True,
        "idempotent": True,
    }
    task = parse_task(raw)
    assert task.env_from == {"S": EnvRef(environment="SECRET"), "T": EnvRef(file="/run/secret")}
    assert {name: getattr(task, name) for name in raw if name != "env_from"} == {
        name: value for name, value in raw.items() if name != "env_from"
    }


def test_only_a_command_is_needed():
    task = parse_task({"command": "true"})
    assert (task.args, task.retries, task.trigger_rule, task.extra) == ([], 0, "all_success", None)


def test_null_stands_for_not_given():
    assert parse_task({"command": "true", "args": None, "cwd": None, "retries": None}) == parse_task(
        {"command": "true"}
    )


ENV_FROM = (
    'tasks[3].env_from: expected an object like {"NAME": {"environment": "OTHER"}}, {"NAME": {"file": "/path"}} '
    'or {"NAME": {"command": ["program", "argument"]}}'
)
WRONG_TASKS = [
    ({"command": 1}, "tasks[3].command: expected a string"),
    ({"command": ["ls"]}, "tasks[3].command: expected a string"),
    ({}, "tasks[3].command: expected a command (a string)"),
    ({"command": ""}, "tasks[3].command: expected a command (a string)"),
    ({"id": 5}, "tasks[3].id: expected a string"),
    ({"id": ""}, "tasks[3].id: expected at least one character"),
    ({"args": "a b"}, "tasks[3].args: expected a list of strings"),
    ({"args": [1]}, "tasks[3].args: expected a list of strings"),
    ({"args": ["a", None]}, "tasks[3].args: expected a list of strings"),
    ({"shell": "yes"}, "tasks[3].shell: expected true or false"),
    ({"shell": 1}, "tasks[3].shell: expected true or false"),
    ({"kwargs": []}, "tasks[3].kwargs: expected an object"),
    ({"dependencies": "a"}, "tasks[3].dependencies: expected a list of task ids (strings)"),
    ({"dependencies": [1]}, "tasks[3].dependencies: expected a list of task ids (strings)"),
    ({"cwd": 1}, "tasks[3].cwd: expected a string"),
    ({"env": ["A=1"]}, "tasks[3].env: expected an object of strings"),
    ({"env": {"A": 1}}, "tasks[3].env: expected an object of strings"),
    ({"env": {"A": None}}, "tasks[3].env: expected an object of strings"),
    (
        {"env_from": {"A": "B"}},
        ENV_FROM,
    ),
    (
        {"env_from": {"A": {"vault": "B"}}},
        ENV_FROM,
    ),
    ({"env_from": {"A": {}}}, "tasks[3].env_from.A: expected exactly one of 'environment', 'file' and 'command'"),
    ({"env_from": {"A": {"command": "vault"}}}, ENV_FROM),
    ({"env_from": {"A": {"command": ["vault", 1]}}}, ENV_FROM),
    ({"env_from": {"A": {"command": []}}}, "tasks[3].env_from.A.command: expected a program and its arguments"),
    ({"env_from": {"A": {"command": [""]}}}, "tasks[3].env_from.A.command: expected a program and its arguments"),
    (
        {"env_from": {"A": {"command": ["a\0"]}}},
        "tasks[3].env_from.A.command: a NUL character cannot be passed to a process",
    ),
    ({"env_from": {"A": {"file": "a", "timeout_s": 1}}}, "tasks[3].env_from.A.timeout_s: goes with 'command' only"),
    (
        {"env_from": {"A": {"command": ["a"], "file": "c"}}},
        "tasks[3].env_from.A: expected exactly one of 'environment', 'file' and 'command'",
    ),
    (
        {"env": {"AIR_EXECUTOR_PYTHON": "python"}},
        "tasks[3].env: AIR_EXECUTOR_PYTHON is set by Air-Executor itself",
    ),
    (
        {"env_from": {"A": {"environment": "B", "file": "c"}}},
        "tasks[3].env_from.A: expected exactly one of 'environment', 'file' and 'command'",
    ),
    ({"timeout_s": 0}, "tasks[3].timeout_s: expected a number of seconds over 0"),
    ({"timeout_s": "5"}, "tasks[3].timeout_s: expected a number of seconds over 0"),
    ({"timeout_s": INF}, "tasks[3].timeout_s: expected a number of seconds over 0"),
    ({"timeout_s": float("nan")}, "tasks[3].timeout_s: expected a number of seconds over 0"),
    ({"retries": -1}, "tasks[3].retries: expected a whole number, 0 or more"),
    ({"retries": 1.5}, "tasks[3].retries: expected a whole number, 0 or more"),
    ({"retries": True}, "tasks[3].retries: expected a whole number, 0 or more"),
    ({"retry_delay_s": -0.1}, "tasks[3].retry_delay_s: expected a number of seconds, 0 or more"),
    ({"retry_delay_s": INF}, "tasks[3].retry_delay_s: expected a number of seconds, 0 or more"),
    ({"priority": "high"}, "tasks[3].priority: expected a whole number"),
    ({"cpus": 0}, "tasks[3].cpus: expected a number over 0"),
    ({"cpus": "2"}, "tasks[3].cpus: expected a number over 0"),
    ({"memory_mb": -1}, "tasks[3].memory_mb: expected a number over 0"),
    ({"memory_mb": "1G"}, "tasks[3].memory_mb: expected a number over 0"),
    ({"group": ["g"]}, "tasks[3].group: expected a string"),
    ({"trigger_rule": "one_success"}, "tasks[3].trigger_rule: expected 'all_success' or 'all_done'"),
    ({"final": "true"}, "tasks[3].final: expected true or false"),
    ({"idempotent": 0}, "tasks[3].idempotent: expected true or false"),
    ({"python": 3}, "tasks[3].python: expected a string 'package.module:function' or a script"),
    ({"python": "a:b"}, "tasks[3].python: Python tasks are not in this version; use command and args"),
    ({"command": "a\0b"}, "tasks[3].command: a NUL character cannot be passed to a process"),
    ({"args": ["a", "\0"]}, "tasks[3].args: a NUL character cannot be passed to a process"),
    ({"cwd": "\0"}, "tasks[3].cwd: a NUL character cannot be passed to a process"),
    ({"env": {"A": "\0"}}, "tasks[3].env.A: a NUL character cannot be passed to a process"),
    ({"env": {"A=B": "1"}}, "tasks[3].env: 'A=B' cannot be the name of an environment variable"),
    ({"env": {"": "1"}}, "tasks[3].env: '' cannot be the name of an environment variable"),
    (
        {"env_from": {"": {"file": "a"}}},
        "tasks[3].env_from: '' cannot be the name of an environment variable",
    ),
]


@pytest.mark.parametrize(
    ("fields", "message"),
    WRONG_TASKS,
    ids=[f"{i}-{next(iter(f), '')}" for i, (f, _) in enumerate(WRONG_TASKS)],
)
def test_wrong_types_in_a_task(fields, message):
    raw = fields if "command" in fields or not fields else {"command": "true", **fields}
    assert error(parse_task, raw, "tasks[3]") == message


@pytest.mark.parametrize("raw", [None, 1, "true", ["true"]])
def test_a_task_is_an_object(raw):
    assert error(parse_task, raw, "tasks[3]") == "tasks[3]: expected an object"


@pytest.mark.parametrize("raw", [None, {}, "true", 3])
def test_tasks_are_a_list(raw):
    assert error(parse_tasks, raw) == "tasks: expected a list of task objects"


def test_the_place_is_the_one_in_the_list():
    assert (
        error(parse_tasks, [{"command": "a"}, {"command": "b", "args": 1}])
        == "tasks[1].args: expected a list of strings"
    )


def test_a_bad_id_says_which_rule():
    with pytest.raises(InvalidName, match="only printable characters"):
        parse_task({"command": "true", "id": "a\nb"})


def test_text_that_is_no_unicode_is_refused_where_an_id_is_made_of_it():
    assert "not valid Unicode" in error(parse_tasks, [{"command": "\ud800"}])


def test_unknown_keys_are_kept_and_what_only_the_manager_writes_is_not():
    task = parse_task({"command": "a", "owner": {"team": 7}, "status": "completed", "exit_code": 0, "attempt": 9})
    assert task.extra == {"owner": {"team": 7}}
    assert parse_task({"command": "a", "status": "failed"}).extra is None


def test_a_key_like_a_known_one_gets_a_hint():
    task = parse_task({"command": "a", "dependancies": [], "color": "red"})
    assert unlikely_keys(task) == [
        "unknown key 'dependancies' is kept but has no effect (did you mean 'dependencies'?)"
    ]


def test_defaults_fill_what_a_task_does_not_say():
    task = parse_task({"command": "a", "retries": 0}, "t", {"retries": 3, "group": "g", "env": {"A": "1"}})
    assert (task.retries, task.group, task.env) == (0, "g", {"A": "1"})
    assert error(parse_task, {"command": "a"}, "tasks[0]", {"retries": "x"}).startswith("tasks[0].retries")


def test_tasks_without_id_get_one_from_content_and_position():
    once = parse_tasks([{"command": "a"}, {"command": "a"}, {"command": "b"}])
    again = parse_tasks([{"command": "a"}, {"command": "a"}, {"command": "b"}])
    assert [t.id for t in once] == [t.id for t in again]
    assert len({t.id for t in once}) == 3
    assert once[2].id.startswith("b-")


# ---- the graph -----------------------------------------------------------------------------------


def test_the_same_id_twice():
    check_graph([spec("a"), spec("a")])
    assert error(check_graph, [spec("a"), spec("b"), spec("a", retries=1)]) == (
        "tasks[2].id: 'a' is tasks[0]'s id too, with other content"
    )


def test_a_cycle_is_named():
    specs = [spec("a", "c"), spec("b", "a"), spec("c", "b"), spec("d", "ghost")]
    assert error(check_graph, specs) == "tasks: dependency cycle: a -> c -> b -> a"
    assert error(check_graph, [spec("a", "a")]) == "tasks: dependency cycle: a -> a"
    check_graph([spec("a", "b"), spec("b"), spec("c", "a", "b")])


# ---- options -------------------------------------------------------------------------------------


def test_options_are_taken_from_among_other_keys():
    options = parse_options(
        {
            "max_parallel": 3,
            "groups": {"web": {"limit": 2, "rate": 0.5}},
            "allow_failures": "10%",
            "open": True,
            "id": 4,
        }
    )
    assert options == JobOptions(
        max_parallel=3, groups={"web": Group(limit=2, rate=0.5)}, allow_failures="10%", open=True
    )
    assert parse_options({"max_parallel": None}) == JobOptions()


GROUPS = 'groups: expected an object like {"name": {"limit": 2, "rate": 5.0}}'
FAILURES = "allow_failures: expected a whole number, or a percentage like '10%'"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"max_parallel": 0}, "max_parallel: expected a whole number, 1 or more"),
        ({"max_parallel": "2"}, "max_parallel: expected a whole number, 1 or more"),
        ({"groups": ["web"]}, GROUPS),
        ({"groups": {"web": 2}}, GROUPS),
        ({"groups": {"web": {"limit": 0}}}, GROUPS),
        ({"groups": {"web": {"rate": 0}}}, GROUPS),
        ({"groups": {"web": {"rate": INF}}}, GROUPS),
        ({"groups": {"web": {"size": 1}}}, GROUPS),
        ({"allow_failures": -1}, FAILURES),
        ({"allow_failures": 0.1}, FAILURES),
        ({"allow_failures": "ten"}, FAILURES),
        ({"allow_failures": "10"}, FAILURES),
        ({"allow_failures": "-1%"}, FAILURES),
        ({"allow_failures": True}, FAILURES),
        ({"max_failures": 0}, "max_failures: expected a whole number, 1 or more"),
        ({"deadline_s": 0}, "deadline_s: expected a number of seconds over 0"),
        ({"deadline_s": "1h"}, "deadline_s: expected a number of seconds over 0"),
        ({"open": "yes"}, "open: expected true or false"),
        ({"defaults": []}, "defaults: expected an object of task keys"),
        ({"params": ["a"]}, "params: expected an object of strings, numbers or booleans"),
        ({"params": {"a": None}}, "params: expected an object of strings, numbers or booleans"),
        ({"params": {"a": [1]}}, "params: expected an object of strings, numbers or booleans"),
        (
            {"params": {"a-b": 1}},
            "params.a-b: expected a name of letters, digits and '_' that does not begin with AIR_EXECUTOR_",
        ),
        (
            {"params": {"air_executor_x": 1}},
            "params.air_executor_x: expected a name of letters, digits and '_' "
            "that does not begin with AIR_EXECUTOR_",
        ),
    ],
)
def test_wrong_types_in_options(raw, message):
    assert error(parse_options, raw) == message


@pytest.mark.parametrize(
    ("allowed", "total", "count"),
    [
        (None, 10, 0),
        (3, 10, 3),
        ("10%", 10, 1),
        ("10%", 19, 1),
        ("0%", 5, 0),
        ("100%", 5, 5),
        ("12.5 %", 16, 2),
    ],
)
def test_how_many_failures_are_allowed(allowed, total, count):
    assert parse_options({"allow_failures": allowed}).failures_allowed(total) == count


# ---- events --------------------------------------------------------------------------------------


def test_events_are_read_back_as_written():
    at = "2025-10-02T07:30:00.000000Z"
    task = parse_task(
        {
            "id": "ä",
            "command": "a",
            "env_from": {"A": {"file": "b"}},
            "priority": 1 << 70,
            "x": [1, {"y": None}],
        }
    )
    written = [
        ev.RunCreated(
            at=at, version=1, id="r", name="j", created_at=at, options=parse_options({"open": True}), cwd="/"
        ),
        ev.TaskQueued(at=at, task=task, parent="p"),
        ev.AttemptStarted(at=at, task="ä", attempt=1, launcher="l"),
        ev.AttemptExited(at=at, task="ä", attempt=1, exit_code=0, result={"big": 1 << 80, "text": "a\nb\u2028"}),
        ev.RunEnded(at=at, state="completed"),
    ]
    data = ev.encode_events(written)
    assert data.count(b"\n") == len(written)
    assert [ev.decode_event(line) for line in data.splitlines()] == written


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b'{"type":"Nobody"}', b'{"type":"RunPaused"}', b'{"type":"RunPaused","at"']
)
def test_what_is_no_event_is_refused(line):
    with pytest.raises(msgspec.DecodeError):
        ev.decode_event(line)
