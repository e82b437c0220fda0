"""`python -m air_executor.discovery`: the task that a discovery is. What to run stands in its environment."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

from air_executor import task as this_task
from air_executor.discovery import function
from air_executor.discovery.queueing import Queue
from air_executor.discovery.shipping import PAYLOAD
from air_executor.errors import AirExecutorError


def main() -> int:
    text = os.environ.pop(PAYLOAD, None)  # it may be large, and no process started from here needs it
    if text is None:
        print(f"air-executor: error: {PAYLOAD} is not set: this is not running as a discovery", file=sys.stderr)
        return 3
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    payload = json.loads(text)
    try:
        queue = Queue()
    except AirExecutorError as error:
        print(f"air-executor: error: {error}", file=sys.stderr)
        return error.exit_code
    try:
        if payload.get("python"):
            return elsewhere(payload, queue)
        leave(function.discover(payload, queue.take))
    except Exception as error:
        function.tell(error)
        return 1
    return 0


def leave(result: Any) -> None:
    """What the function returns is this task's result."""
    if result is not None:
        this_task.result(result)


def elsewhere(payload: dict[str, Any], queue: Queue) -> int:
    """Run the function in the interpreter that it asks for, and queue what that one hands over."""
    python = payload["python"]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            process = subprocess.Popen([python, function.__file__, str(theirs.fileno())], pass_fds=[theirs.fileno()])
        except OSError as error:
            print(f"air-executor: error: python: {python}: {error.strerror}", file=sys.stderr)
            return 127
        theirs.close()
        with ours.makefile("rwb", buffering=0) as line:
            while question := line.readline():
                line.write(json.dumps(answer(json.loads(question), payload, queue)).encode() + b"\n")
    code = process.wait()
    if code < 0:
        print(f"air-executor: error: {python} was ended by signal {-code}", file=sys.stderr)
    return code if code >= 0 else 128 - code


def answer(question: dict[str, Any], payload: dict[str, Any], queue: Queue) -> Any:
    if "hello" in question:
        return payload
    try:
        if "result" in question:
            leave(question["result"])
        else:
            queue.take(question["task"])
    except (function.InvalidTask, AirExecutorError) as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
