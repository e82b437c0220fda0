"""Runs a function that came as text, and hands over what it yields, one by one.

Standard library only, and nothing of this package: where another interpreter was asked for, that one runs this file
as a program, and speaks with the manager's interpreter through a socket.
"""

from __future__ import annotations
import __future__

import importlib
import json
import linecache
import os
import socket
import sys
import traceback
from types import CodeType, TracebackType
from typing import Any, Callable, Iterable  # noqa: UP035  (of whatever version runs this)

__all__ = ["InvalidTask", "Present", "compiled", "discover", "load", "tell"]

texts: dict[str, list[str]] = {}
"""File -> what of it came along, each function by itself at its own lines."""
HERE = os.path.dirname(os.path.abspath(__file__))


class InvalidTask(ValueError):
    """What was yielded cannot be queued; raised where it was yielded."""


class Present:
    """The discovery that runs in this process."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self.payload = payload
        sys.path[:0] = payload.get("paths", [])
        shipped = payload["function"]
        self.name = shipped.get("call") or shipped["name"]
        self.function = load(shipped)
        self.key = load(payload["key"]) if payload.get("key") else None


present: list[Present] = []
"""It, once it has been read; empty elsewhere."""


def text_of(shipped: dict[str, Any]) -> str:
    """A module (or expression) with nothing but the function, at the lines that it was written in."""
    line: int = shipped["line"]
    if "lambda" in shipped:
        return "\n" * (line - 1) + f"({shipped['lambda']})"
    before = "\n" * (line - 2) + "if True:\n" if shipped["indented"] else "\n" * (line - 1)
    return f"{before}{shipped['source']}"


def compiled(shipped: dict[str, Any]) -> CodeType:
    """The code of that."""
    # Annotations are not evaluated: what they name was imported where the function was written.
    kind, flags = ("eval", 0) if "lambda" in shipped else ("exec", __future__.annotations.compiler_flag)
    code: CodeType = compile(text_of(shipped), shipped["file"], kind, flags, dont_inherit=True)
    return code


def load(shipped: dict[str, Any]) -> Callable[..., Any]:
    """The function itself."""
    if "call" in shipped:
        module, _, path = shipped["call"].partition(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        return getattr(found, "function", found)  # type: ignore[no-any-return]  # under a decorator of Airflow's
    remember(shipped)
    code = compiled(shipped)
    names: dict[str, Any] = {"__name__": "discovery", "__file__": shipped["file"]}
    if "lambda" in shipped:
        return eval(code, names)  # type: ignore[no-any-return]  # noqa: S307
    exec(code, names)  # noqa: S102
    return names[shipped["name"]]  # type: ignore[no-any-return]


def remember(shipped: dict[str, Any]) -> None:
    """Let tracebacks, and whoever takes the source of what is in it, find the text: its file may not be here, or
    another one."""
    file, first = shipped["file"], shipped["line"] - 1
    here = "".join(linecache.getlines(file)[first:])
    if here.startswith(shipped.get("source", "\0")) or shipped.get("lambda", "\0") in here:
        return
    text = text_of(shipped)
    lines = [f"{line}\n" for line in text.split("\n")]
    known = linecache.getlines(file) if file in texts else []
    known = known + lines[len(known) :]
    known[first : len(lines)] = lines[first:]
    linecache.cache[file] = (sum(map(len, known)), None, known, file)
    texts.setdefault(file, []).append(text)


def discover(payload: dict[str, Any], take: Callable[[dict[str, Any]], None]) -> Any:
    """Call the function and give `take` each task as soon as it is yielded; gives what the function returns.

    `InvalidTask` that `take` raises is raised in the function, at its `yield`.
    """
    present.append(Present(payload))
    key = present[0].key
    made = present[0].function(*payload["args"], **payload["kwargs"])
    if not hasattr(made, "throw"):
        for task in _iterable(made):
            take(_identified(task, key))
        return None
    problem: InvalidTask | None = None
    while True:
        try:
            task = next(made) if problem is None else made.throw(problem)
        except StopIteration as end:
            return end.value
        try:
            take(_identified(task, key))
            problem = None
        except InvalidTask as error:
            problem = error.with_traceback(None)


def _iterable(made: Any) -> Iterable[Any]:
    if isinstance(made, (dict, str, bytes)) or not hasattr(made, "__iter__"):
        raise InvalidTask(f"expected the function to yield tasks (or to return a list of them), not {_kind(made)}")
    return made  # type: ignore[no-any-return]


def _identified(task: Any, key: Callable[..., Any] | None) -> dict[str, Any]:
    """A task with the id that its key is, if it has none."""
    if not isinstance(task, dict):
        raise InvalidTask(f"expected a task, an object like {{'command': 'echo', 'args': ['hi']}}, not {_kind(task)}")
    if key is None or task.get("id") is not None:
        return task
    found = key(task)
    if not isinstance(found, str) or not found:
        raise InvalidTask(f"expected key to give a text that is not empty, not {found!r}")
    return {**task, "id": found}


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def tell(error: BaseException) -> None:
    """Print what went wrong in the function; of what is ours nothing is shown."""
    sys.stdout.flush()  # what was printed before stands before
    trace = error.__traceback__
    while trace is not None and _is_ours(trace):
        trace = trace.tb_next
    if isinstance(error, ModuleNotFoundError) and not present:
        looked = ", ".join(path for path in sys.path if path)
        print(f"looked for modules in: {looked}", file=sys.stderr)
    traceback.print_exception(type(error), error, trace)


def _is_ours(trace: TracebackType) -> bool:
    file = trace.tb_frame.f_code.co_filename
    return os.path.dirname(os.path.abspath(file)) == HERE or file.startswith("<frozen")


class Line:
    """The other end of the socket: takes tasks, and says whether they are accepted."""

    def __init__(self, fd: int) -> None:
        self._file = socket.socket(fileno=fd).makefile("rwb", buffering=0)

    def ask(self, question: Any) -> Any:
        try:
            text = json.dumps(question, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidTask(f"expected what JSON can hold: {error}") from None
        self._file.write(text.encode() + b"\n")
        answer = self._file.readline()
        if not answer:
            sys.exit("the process that queues what is yielded has gone")
        return json.loads(answer)

    def take(self, task: dict[str, Any]) -> None:
        answer = self.ask({"task": task})
        if answer is not None:
            raise InvalidTask(answer)


def main() -> None:
    if os.path.abspath(sys.path[0]) == HERE:
        del sys.path[0]  # what lies beside this file is not meant
    sys.modules["air_executor.discovery.function"] = sys.modules["__main__"]
    line = Line(int(sys.argv[1]))
    payload = line.ask({"hello": sys.version})
    try:
        line.ask({"result": discover(payload, line.take)})
    except Exception as error:
        tell(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
