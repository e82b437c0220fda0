"""Turning a function into text that can run elsewhere, or saying why it cannot."""

from __future__ import annotations

import ast
import builtins
import contextlib
import dis
import inspect
import json
import linecache
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any, Final

from air_executor.discovery import function as running
from air_executor.errors import InvalidInput

__all__ = ["MAX_PAYLOAD_BYTES", "Discovery", "task"]

MAX_PAYLOAD_BYTES: Final = 100_000
"""The kernel takes no variable over 128 KiB."""
PAYLOAD: Final = "AIR_EXECUTOR_DISCOVERY"
COMMAND: Final = 'exec "$AIR_EXECUTOR_PYTHON" -P -m air_executor.discovery "$@"'
_REFERENCE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_BUILTIN: Final = frozenset(dir(builtins)) | {"__file__", "__name__"}
_READS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_WRITES: Final = frozenset({"STORE_GLOBAL", "STORE_NAME"})

Shipped = dict[str, Any]
"""A function as JSON: its text, or where it can be imported from."""


class Discovery:
    """A function, checked and ready to be sent; `task` makes a task of it that a job may begin with."""

    def __init__(
        self,
        function: Callable[..., Any] | str,
        *,
        key: Callable[[dict[str, Any]], str] | str | None = None,
        python: str | None = None,
        paths: Iterable[str] = (),
    ) -> None:
        """`function`: a function with its source in a file, or `"module:function"`.

        `key` gives a task its id (`key(task) -> str`); without it the n-th task of discovery `d` is `d-000001` and so
        on. `python`: another interpreter to run it in, on the manager's machine. `paths`: folders that modules are
        looked for in. `InvalidInput` when the function uses names that it will not find.
        """
        self.name = function if isinstance(function, str) else getattr(function, "__name__", repr(function))
        self._shipped = ship(function)
        self._key = None if key is None else ship(key)
        self._python = python
        self._paths = list(paths)

    def task(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """A task without id that calls the function so, and queues whatever it yields."""
        payload: dict[str, Any] = {"function": self._shipped, "args": list(args), "kwargs": kwargs}
        if self._key is not None:
            payload["key"] = self._key
        if self._python is not None:
            payload["python"] = self._python
        if self._paths:
            payload["paths"] = self._paths
        return task_of(self.name, payload)


def task(function: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """A task that calls `function(*args, **kwargs)` inside the job and queues whatever it yields.

    Give it an `id` and what else a task may have by adding to the result: `{**task(look, url), "group": "pages"}`.
    Inside a discovery it runs in the same interpreter; and with the same `key` if it is the same function.
    """
    if not running.present:
        return Discovery(function).task(*args, **kwargs)
    [now] = running.present
    if function is now.function:
        return task_of(now.name, {**now.payload, "args": list(args), "kwargs": kwargs})
    where = {key: now.payload[key] for key in ("python", "paths") if key in now.payload}
    return Discovery(_importable(function) or function, **where).task(*args, **kwargs)


def _importable(function: Any) -> str | None:
    """What a function of a module is called; it is imported from there by whatever runs beside this process."""
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is function and module != "__main__" else None


def task_of(name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The task that carries a payload; it may run again, since what it queues is queued once."""
    for place, value in (*enumerate(payload["args"], 1), *payload["kwargs"].items()):
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            which = place if isinstance(place, str) else f"number {place}"
            raise InvalidInput(f"{name}: argument {which}: expected what JSON can hold: {error}") from None
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput(f"{name}: its arguments hold text that is not valid Unicode") from None
    if size > MAX_PAYLOAD_BYTES:
        raise InvalidInput(
            f"{name}: its source and arguments have {size:,} bytes, the limit is {MAX_PAYLOAD_BYTES:,}; "
            "write large arguments to a file and pass its path"
        )
    if "\0" in text:
        raise InvalidInput(f"{name}: its source holds a NUL character, which cannot be passed to a process")
    return {"command": COMMAND, "shell": True, "args": [name], "env": {PAYLOAD: text}, "idempotent": True}


# ---- one function --------------------------------------------------------------------------------


def ship(function: Callable[..., Any] | str) -> Shipped:
    """A function as text that means the same elsewhere, or `InvalidInput` saying why there is none."""
    if isinstance(function, str):
        if not _REFERENCE.fullmatch(function):
            raise InvalidInput(f"{function!r}: expected a function, or a text like 'package.module:function'")
        return {"call": function}
    if not isinstance(function, FunctionType):
        raise InvalidInput(f"{function!r}: expected a function written in Python, or 'package.module:function'")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidInput(f"{_named(function)}: expected an ordinary function or generator, not an async one")
    lines, node = _source_of(function)
    shipped: Shipped = {"name": function.__name__, "file": function.__code__.co_filename}
    if isinstance(node, ast.Lambda):
        segment = ast.get_source_segment("".join(lines), node)
        shipped |= {"lambda": segment, "line": node.lineno}
    else:
        assert isinstance(node, ast.FunctionDef)
        text = "".join(lines[node.lineno - 1 : node.end_lineno])
        shipped |= {"source": text, "line": node.lineno, "indented": node.col_offset > 0}
    _check_names(function, shipped)
    return shipped


def _named(function: FunctionType) -> str:
    code = function.__code__
    return f"{function.__name__} ({code.co_filename}, line {code.co_firstlineno})"


def _source_of(function: FunctionType) -> tuple[list[str], ast.FunctionDef | ast.Lambda]:
    """The lines of its file, and where in them it is."""
    code = function.__code__
    linecache.checkcache(code.co_filename)
    in_file = "".join(linecache.getlines(code.co_filename, function.__globals__))
    for text in (*running.texts.get(code.co_filename, ()), in_file):
        with contextlib.suppress(SyntaxError):
            nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.Lambda)]
            found = [node for node in nodes if _may_be(node, code)]
            if len(found) > 1:  # several lambdas in one line
                found = [node for node in found if _same_code(node, code)]
            if found:
                return [f"{line}\n" for line in text.split("\n")], found[0]
    raise InvalidInput(
        f"{_named(function)}: its source cannot be read; put it into a file, or name it 'package.module:function'"
    )


def _may_be(node: ast.FunctionDef | ast.Lambda, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return code.co_name == node.name and first == code.co_firstlineno


def _same_code(node: ast.FunctionDef | ast.Lambda, code: CodeType) -> bool:
    if not isinstance(node, ast.Lambda):
        return True
    compiled = next(inner for inner in _inner_codes(compile(ast.Expression(node), code.co_filename, "eval")))
    return (compiled.co_code, compiled.co_consts) == (code.co_code, code.co_consts)


def _inner_codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _inner_codes(constant)


def _check_names(function: FunctionType, shipped: Shipped) -> None:
    """Refuse what the function could only find where it was written, naming it."""
    try:
        whole = running.compiled(shipped)
    except SyntaxError as error:
        raise InvalidInput(f"{_named(function)}: its source cannot be taken out of its file: {error.msg}") from None
    codes = [whole, *_inner_codes(whole)]
    written = {i.argval for code in codes for i in dis.get_instructions(code) if i.opname == "STORE_GLOBAL"}
    written |= {i.argval for i in dis.get_instructions(whole) if i.opname in _WRITES}
    lacking: dict[str, int] = {}
    for code in codes:
        known = {i.argval for i in dis.get_instructions(code) if i.opname in _WRITES} | written | _BUILTIN
        line = code.co_firstlineno
        for instruction in dis.get_instructions(code):
            if instruction.positions is not None and instruction.positions.lineno:
                line = instruction.positions.lineno
            if instruction.opname in _READS and instruction.argval not in known:
                lacking.setdefault(instruction.argval, line)
    if not lacking:
        return
    enclosed = set(function.__code__.co_freevars)
    listed = [
        f"{name} (line {line}{', of the function around it' if name in enclosed else ''})"
        for name, line in sorted(lacking.items(), key=lambda item: item[1])
    ]
    raise InvalidInput(
        f"{_named(function)}: it runs somewhere else, where there is no {', '.join(listed)}; "
        "import it inside the function, or pass it as an argument"
    )
