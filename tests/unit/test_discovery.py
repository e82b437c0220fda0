"""What of a function goes along, and what is refused because it would not find what it names."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from air_executor import discovery
from air_executor.discovery import function as running
from air_executor.discovery.shipping import MAX_PAYLOAD_BYTES, PAYLOAD, ship
from air_executor.errors import InvalidInput

CONSTANT = 7
a_lambda = lambda task: "id " + task["command"]  # noqa: E731
pair = (lambda task: "one", lambda task: "two")


def plain(folder: str, *more: Path, limit: int = 3, **others: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Annotations are not evaluated where it runs."""
    import os
    from json import dumps as as_text

    def inner(name: str) -> str:
        return f"{name}{limit}{as_text(None)}{os.sep}"

    class Local:
        size = 2
        twice = size * 2

    yield from ({"command": inner(name), "args": [str(Local.twice + len(more))]} for name in sorted([folder]))
    yield {"command": __name__, "args": [plain.__name__, __file__], "extra": others}


def uses_globals() -> Iterator[dict[str, Any]]:
    yield {"command": str(CONSTANT)}
    yield {"command": json.dumps([CONSTANT]), "args": [Path("/")]}


def uses_a_global_default(number: int = CONSTANT) -> Iterator[dict[str, Any]]:
    yield {"command": str(number)}


def makes_its_global() -> list[dict[str, Any]]:
    global MADE  # noqa: PLW0603
    MADE = 1
    return [{"command": str(MADE)}]


def enclosing() -> Any:
    outside = "x"

    def inner() -> Iterator[dict[str, Any]]:
        yield {"command": outside, "args": [CONSTANT]}

    return inner


async def asynchronous() -> None:
    pass


if CONSTANT:

    @pytest.mark.parametrize("n", [CONSTANT])
    @staticmethod
    def decorated_and_indented(n: int) -> Iterator[dict[str, Any]]:
        yield {"command": """
not indented
    indented"""}  # fmt: skip


def loaded(function: Any) -> Any:
    """It, as if it had come from elsewhere."""
    return running.load(json.loads(json.dumps(ship(function))))


def test_a_function_means_the_same_elsewhere() -> None:
    found = list(loaded(plain)("b", Path("x"), limit=4, key={"a": 1}))
    assert found == [
        {"command": "b4null/", "args": ["5"]},
        {"command": "discovery", "args": ["plain", __file__], "extra": {"key": {"a": 1}}},
    ]
    assert loaded(makes_its_global)() == [{"command": "1"}]


def test_decorators_stay_behind_and_texts_stay_as_they_are() -> None:
    function = decorated_and_indented.__func__
    shipped = ship(function)
    assert "@" not in shipped["source"]
    assert next(loaded(function)(1)) == next(function(1)) == {"command": "\nnot indented\n    indented"}
    assert loaded(function).__code__.co_firstlineno == shipped["line"] == function.__code__.co_firstlineno + 2


def test_lambdas_go_along() -> None:
    assert loaded(a_lambda)({"command": "x"}) == "id x"
    assert [loaded(one)({}) for one in pair] == ["one", "two"]
    assert loaded(lambda task: task["n"])({"n": 5}) == 5


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (uses_globals, "there is no CONSTANT (line {0}), json (line {1}), Path (line {1});"),
        (uses_a_global_default, "there is no CONSTANT (line {-1});"),
        (enclosing(), "there is no outside (line {0}, of the function around it), CONSTANT (line {0});"),
    ],
)
def test_names_that_would_not_be_there_are_refused(function: Any, names: str) -> None:
    line = function.__code__.co_firstlineno
    for number in (-1, 0, 1):
        names = names.replace(f"{{{number}}}", str(line + number + 1))
    with pytest.raises(InvalidInput) as refused:
        ship(function)
    assert str(refused.value) == (
        f"{function.__name__} ({__file__}, line {line}): it runs somewhere else, where {names} "
        "import it inside the function, or pass it as an argument"
    )


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (asynchronous, "expected an ordinary function or generator, not an async one"),
        (print, "expected a function written in Python, or 'package.module:function'"),
        (7, "expected a function written in Python, or 'package.module:function'"),
        ("no reference", "expected a function, or a text like 'package.module:function'"),
        ("module:", "expected a function, or a text like 'package.module:function'"),
        (eval("lambda: 1"), "its source cannot be read"),
    ],
)
def test_what_is_no_function(function: Any, error: str) -> None:
    with pytest.raises(InvalidInput, match=error):
        discovery.Discovery(function)


def test_a_task_is_made_of_it() -> None:
    task = discovery.task(plain, "/data", limit=5)
    assert task["args"] == ["plain"]
    assert task["idempotent"] is True
    payload = json.loads(task["env"][PAYLOAD])
    assert (payload["args"], payload["kwargs"]) == (["/data"], {"limit": 5})
    assert "python" not in payload
    more = discovery.Discovery("package.module:name", key=a_lambda, python="/py", paths=["/dags"]).task()
    payload = json.loads(more["env"][PAYLOAD])
    assert payload["function"] == {"call": "package.module:name"}
    assert (payload["python"], payload["paths"]) == ("/py", ["/dags"])
    assert running.load(payload["key"])({"command": "c"}) == "id c"


@pytest.mark.parametrize(
    ("args", "kwargs", "error"),
    [
        ((1, {2}), {}, "plain: argument number 2: expected what JSON can hold: Object of type set"),
        ((), {"folder": Path("/")}, "plain: argument folder: expected what JSON can hold: Object of type PosixPath"),
        ((float("nan"),), {}, "plain: argument number 1: expected what JSON can hold: Out of range float"),
        (("\ud800",), {}, "plain: its arguments hold text that is not valid Unicode"),
        (("x" * MAX_PAYLOAD_BYTES,), {}, "bytes, the limit is 100,000; write large arguments to a file"),
    ],
)
def test_what_cannot_be_sent(args: tuple[Any, ...], kwargs: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidInput, match=error):
        discovery.task(plain, *args, **kwargs)


def test_functions_of_every_shape_come_out_as_they_were(tmp_path: Path) -> None:
    """Written into a file and loaded from text, they give the same."""
    text = textwrap.dedent("""
        x = 1
        class Holder:
            def method(self, n=2):
                return [{"n": n, "text": '''a
        b'''}]

        def nested():
            def made(n):  # a comment
                total = 0
                for i in range(n):
                    total += i
                return [{"n": total}]
            return made

        def one_line(n): return [{"n": n}]

        def walrus(n):
            return [{"n": m} for i in range(n) if (m := i * 2)]

        def matching(n):
            match n:
                case [first, *rest]: return [first, rest]
                case {"a": inner}: return [inner]
                case _: return []

        def last(n):
            try:
                return [1 / n]
            except ZeroDivisionError as error:
                return [str(error)]""")
    file = tmp_path / "shapes.py"
    file.write_text(text)
    module = types.ModuleType("shapes")
    exec(compile(text, str(file), "exec"), vars(module))
    holder = module.Holder()
    assert loaded(module.Holder.method)(holder, 3) == holder.method(3)
    assert loaded(module.nested())(5) == module.nested()(5)
    for name in ("one_line", "walrus"):
        assert loaded(vars(module)[name])(4) == vars(module)[name](4)
    for value in ([1, 2, 3], {"a": 4}, 5):
        assert loaded(module.matching)(value) == module.matching(value)
    assert loaded(module.last)(0) == ["division by zero"]


def test_the_part_that_other_interpreters_run_needs_nothing_of_ours() -> None:
    tree = ast.parse(Path(running.__file__).read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
    done = subprocess.run([sys.executable, "-I", "-S", running.__file__], capture_output=True, text=True, check=False)
    assert "IndexError" in done.stderr  # it wants its socket, and got as far as that
