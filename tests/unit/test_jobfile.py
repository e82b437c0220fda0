"""Job files: JSON and YAML, params, and errors that name file, line and what was expected."""

from __future__ import annotations

import json

import pytest

from air_executor.errors import InvalidInput, InvalidName
from air_executor.jobfile import load_job_file, parse_job


@pytest.fixture
def load(tmp_path):
    def load(text, name="job.yaml", **params):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return load_job_file(path, params)

    return load


@pytest.fixture
def refused(load, tmp_path):
    """The message without the folder, so that it can be compared."""

    def refused(text, name="job.yaml", **params):
        with pytest.raises(InvalidInput) as caught:
            load(text, name, **params)
        message = str(caught.value)
        assert message.startswith(str(tmp_path))
        return message.removeprefix(f"{tmp_path}/")

    return refused


def test_yaml_and_json_say_the_same(load):
    raw = {
        "name": "n",
        "max_parallel": 2,
        "tasks": [{"command": "a", "args": ["1"]}, {"id": "b", "command": "b"}],
    }
    from_json = load(json.dumps(raw), "job.json")
    from_yaml = load("name: n\nmax_parallel: 2\ntasks:\n- command: a\n  args: ['1']\n- {id: b, command: b}\n")
    assert from_json == from_yaml
    assert from_json.options == {"max_parallel": 2}


def test_a_bare_list_and_the_file_name(load):
    job = load("- command: a\n", "nightly.yml")
    assert (job.name, len(job.tasks), job.options) == ("nightly", 1, {})


def test_an_empty_job_is_a_job(load):
    assert load("{}", "a.json").tasks == []
    assert load("tasks: []\n").tasks == []


def test_yaml_dates_stay_text(load):
    job = load("tasks:\n- command: echo\n  args: [2025-10-02, 2025-10-02 07:30:00]\n")
    assert job.tasks[0].args == ["2025-10-02", "2025-10-02 07:30:00"]


@pytest.mark.parametrize("value", ["yes", "no", "on", "true", "1", "1.5", "12:30", "0x1F", "~"])
def test_yaml_values_that_are_no_text_are_told_of(refused, value):
    assert (
        refused(f"tasks:\n- command: echo\n  args: [{value}]\n")
        == "job.yaml: tasks[0].args: expected a list of strings"
    )


def test_yaml_merges_keep_their_meaning(load):
    job = load(
        "defaults: &d {retries: 2}\ntasks:\n- &first {command: a, cwd: /}\n- {<<: *first, id: b, command: b}\n"
    )
    assert [(t.command, t.cwd, t.retries) for t in job.tasks] == [("a", "/", 2), ("b", "/", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks:\n- {command: a\n", "job.yaml, line 3 column 1: expected ',' or '}', but got '<stream end>'"),
        ("a: b: c\n", "job.yaml, line 1 column 5: mapping values are not allowed here"),
        ("tasks:\n- command: a\n  command: b\n", "job.yaml, line 3 column 3: key 'command' stands twice"),
        ("name: a\nname: b\n", "job.yaml, line 2 column 1: key 'name' stands twice"),
        (
            "tasks:\n- command: a\n  env:\n    on: '1'\n",
            "job.yaml, line 4 column 5: key True: expected text (put it in quotes)",
        ),
        (
            "tasks:\n- command: a\n  env: {1: x}\n",
            "job.yaml, line 3 column 9: key 1: expected text (put it in quotes)",
        ),
        ("? [a]\n: b\n", "job.yaml, line 1 column 3: key ['a']: expected text (put it in quotes)"),
        ("\t- a", "job.yaml, line 1 column 1: found character '\\t' that cannot start any token"),
        (
            "- !!python/object/apply:os.system [x]\n",
            "job.yaml, line 1 column 3: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        ("a: *x\n", "job.yaml, line 1 column 4: found undefined alias 'x'"),
        ("--- {}\n--- {}\n", "job.yaml, line 2 column 1: but found another document"),
        ("", "job.yaml: expected an object with `tasks`, or a list of tasks"),
        ("just text", "job.yaml: expected an object with `tasks`, or a list of tasks"),
        (
            "tasks: [{command: a, timeout_s: 1e3}]",
            "job.yaml: tasks[0].timeout_s: expected a number of seconds over 0",
        ),
        (
            "tasks: [{command: a, timeout_s: .inf}]",
            "job.yaml: tasks[0].timeout_s: expected a number of seconds over 0",
        ),
    ],
)
def test_bad_yaml(refused, text, message):
    assert refused(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"tasks": [}', "job.json, line 1 column 12: Expecting value"),
        ('{\n "tasks": [],\n}', "job.json, line 2 column 13: Illegal trailing comma before end of object"),
        ('{"tasks": [', "job.json, line 1 column 12: Expecting value"),
        ("", "job.json, line 1 column 1: Expecting value"),
        ('{"name": "a", "name": "b"}', "job.json: key 'name' stands twice in one object"),
        ('[{"command": "\\ud800"}]', "job.json: holds text that is not valid Unicode (half of a surrogate pair)"),
        ('[{"command": "a", "cpus": NaN}]', "job.json: tasks[0].cpus: expected a number over 0"),
        ("3", "job.json: expected an object with `tasks`, or a list of tasks"),
        ("[3]", "job.json: tasks[0]: expected an object"),
        ('{"tasks": {}}', "job.json: tasks: expected a list of task objects"),
        ('{"tasks": null}', "job.json: tasks: expected a list of task objects"),
        ('{"task": []}', "job.json: unknown key 'task' (did you mean 'tasks'?)"),
        ('{"max_paralel": 1}', "job.json: unknown key 'max_paralel' (did you mean 'max_parallel'?)"),
        ('{"name": 3}', "job.json: job name: expected a string, got int"),
        ('{"max_parallel": "2"}', "job.json: max_parallel: expected a whole number, 1 or more"),
        (
            '[{"command":"a","id":"a","dependencies":["b"]},{"command":"a","id":"b","dependencies":["a"]}]',
            "job.json: tasks: dependency cycle: a -> b -> a",
        ),
        (
            '[{"command":"a","id":"a"},{"command":"b","id":"a"}]',
            "job.json: tasks[1].id: 'a' is tasks[0]'s id too, with other content",
        ),
    ],
)
def test_bad_json(refused, text, message):
    told = refused(text, "job.json")
    if "trailing comma" in message:  # Python 3.11 and 3.12 say it in other words
        assert told.startswith("job.json, line ")
    else:
        assert told == message


def test_an_unknown_key_far_from_all_known_ones_lists_those(refused):
    assert refused('{"zzz": 1}', "job.json").startswith("job.json: unknown key 'zzz' (known: allow_failures, ")


def test_deep_nesting_is_an_error_and_no_crash(refused):
    assert "nested too deeply" in refused("[" * 100_000, "job.json")
    assert refused("[" * 2_000 + "]" * 2_000).startswith("job.yaml")


def test_a_bad_name_stays_a_bad_name(load):
    with pytest.raises(InvalidName, match="'/' is not allowed"):
        load("name: a/b\n")
    with pytest.raises(InvalidName, match=r"leading '\.'"):
        load("tasks: []\n", ".hidden.yaml")


def test_files_that_cannot_be_read(tmp_path, refused):
    with pytest.raises(InvalidInput, match="No such file or directory"):
        load_job_file(tmp_path / "none.json")
    with pytest.raises(InvalidInput, match="Is a directory"):
        load_job_file(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'["\xe9"]')
    with pytest.raises(InvalidInput, match="can't decode byte 0xe9"):
        load_job_file(tmp_path / "latin.json")


# ---- params --------------------------------------------------------------------------------------

PARAMS = """
params: {count: 3, rate: 0.5, deep: true, where: /data}
tasks:
- id: a
  command: copy
  args: ["${where}", "n=${count}", "${count}", "${deep}", "${rate}"]
  retries: ${count}
  env: {DEEP: "${deep}"}
"""


def test_params_keep_their_type_where_numbers_belong_and_are_text_where_text_does(load):
    job = load(PARAMS)
    assert job.tasks[0].args == ["/data", "n=3", "3", "true", "0.5"]
    assert job.tasks[0].retries == 3
    assert job.tasks[0].env == {"DEEP": "true"}
    assert job.options["params"] == {"count": 3, "rate": 0.5, "deep": True, "where": "/data"}


def test_given_params_become_what_the_file_has(load):
    job = load(PARAMS, count="7", deep="False", where="3", rate="2")
    assert job.options["params"] == {"count": 7, "rate": 2.0, "deep": False, "where": "3"}
    assert job.tasks[0].args == ["3", "n=7", "7", "false", "2.0"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", "many", "param 'count': expected a whole number, got 'many'"),
        ("count", "1.5", "param 'count': expected a whole number, got '1.5'"),
        ("rate", "fast", "param 'rate': expected a number, got 'fast'"),
        ("deep", "yes", "param 'deep': expected true or false, got 'yes'"),
        ("depth", "1", "no param 'depth' in the job file (declared: count, deep, rate, where)"),
    ],
)
def test_given_params_that_do_not_fit(refused, name, value, message):
    assert refused(PARAMS, **{name: value}) == f"job.yaml: {message}"


def test_a_file_without_params_takes_none(refused):
    assert refused("tasks: []", x="1") == "job.yaml: no param 'x' in the job file (declared: none)"


def test_shell_variables_and_escaped_params_are_left_alone():
    raw = {
        "params": {"x": "1"},
        "tasks": [
            {
                "command": "sh",
                "args": ["$${x}", "a $${x} ${x}", "${HOME}", "$x", "$$", "${x:-2}", "${1}", "${ x }"],
            }
        ],
    }
    job = parse_job(raw, "j", {})
    assert job.tasks[0].args == ["${x}", "a ${x} 1", "${HOME}", "$x", "$$", "${x:-2}", "${1}", "${ x }"]


def test_params_are_filled_in_once():
    job = parse_job({"params": {"a": "${b}", "b": "2"}, "tasks": [{"command": "${a}", "args": ["${b}"]}]}, "j", {})
    assert (job.tasks[0].command, job.tasks[0].args) == ("${b}", ["2"])


def test_options_and_unknown_task_keys_take_params():
    raw = {
        "params": {"n": 2},
        "max_parallel": "${n}",
        "name": "run-${n}",
        "tasks": [{"command": "a", "note": "${n}"}],
    }
    job = parse_job(raw, "j", {})
    assert (job.name, job.options["max_parallel"], job.tasks[0].extra) == ("run-2", 2, {"note": 2})


def test_the_folder_of_the_file_can_be_named(load, tmp_path):
    job = load('tasks: [{command: "${job_dir}/run.sh"}]')
    assert job.tasks[0].command == f"{tmp_path}/run.sh"
    assert "params" not in job.options


def test_defaults_are_checked_with_the_tasks(refused):
    message = refused("defaults: {retries: x}\ntasks: [{command: a}]")
    assert message == "job.yaml: tasks[0].retries: expected a whole number, 0 or more"


@pytest.mark.parametrize("depth", [600, 5_000, 100_000])
@pytest.mark.parametrize("name", ["deep.json", "deep.yaml"])
def test_too_deep(refused, name, depth):
    if name == "deep.yaml":
        depth = min(depth, 5_000)  # its reader takes a second for each 100,000
    text = '[{"command": "true", "x": ' + "[" * depth + "]" * depth + "}]"
    assert refused(text, name) == f"{name}: its lists and objects are nested too deeply"


def test_aliases_that_stand_for_more_than_any_memory(refused, load):
    lines = ["tasks:", "- command: a", "  x:", "  - &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"  - &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "its aliases stand for more than 10,000,000 characters" in refused("\n".join(lines))
    assert len(load("\n".join(lines[:6])).tasks) == 1


def test_merges_that_stand_for_more_than_any_memory(refused, load):
    lines = ["defaults: &a0 {env: {A: b}, retries: 1}"]
    lines += [f"k{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "merges too many keys" in refused("\n".join(lines))
    job = load("tasks:\n- &one {id: a, command: b, env: {A: b}}\n- {<<: *one, id: c}\n")
    assert [(spec.id, spec.env) for spec in job.tasks] == [("a", {"A": "b"}), ("c", {"A": "b"})]


def test_params_that_no_variable_and_no_file_can_hold(refused):
    text = "params: {n: 1.5, t: a}\ntasks: []\n"
    for value in ("nan", "inf", "1e999"):
        assert "param 'n': expected a number, got" in refused(text, n=value)
    assert refused(text, t="a\0b") == "job.yaml: params.t: a NUL character cannot be passed to a process"
    assert "NUL" in refused('{"params": {"t": "a\\u0000b"}}', "job.json")
