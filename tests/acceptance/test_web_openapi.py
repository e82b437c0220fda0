"""The OpenAPI document is true: whatever is asked, the server answers as it says there, and never with a bug."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.command_line import environment
from tests.acceptance.web_server import served
from tests.support import ManagerProcess, wait_end, write_job

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
CONFIG = """
[parameters]
"path.name" = ["job", "nobody", "a%2Fb"]
"path.id" = ["a/b %", "bad"]
"""


@pytest.mark.timeout(180)
def test_no_question_gets_an_answer_that_is_not_documented(base: Path, tmp_path: Path) -> None:
    tasks = [
        {"id": "a/b %", "command": "echo some text", "shell": True, "group": "g"},
        {"id": "bad", "command": "echo why >&2; exit 3", "shell": True, "retries": 1, "retry_delay_s": 0.01},
        {"id": "after", "command": "true", "dependencies": ["bad"]},
    ]
    folder = write_job(base, "job", tasks)
    manager = ManagerProcess(base, "--slots", "2").start()
    try:
        wait_end(folder)
    finally:
        manager.stop()  # nobody shall carry out what is going to be asked for
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    with served(base) as server:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"),
                *(f"{server.url}/openapi.json", "--checks", CHECKS, "--max-examples", "12", "--seed", "7"),
                *("--phases", "examples,coverage,fuzzing", "--request-timeout", "20", "--no-color"),
                *("-H", "X-Air-Executor: 1"),
                # it never ends, and charts take a process each; both have tests of their own
                *("--exclude-path", "/events", "--exclude-path-regex", "chart"),
            ],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            check=False,
            encoding="utf-8",
            timeout=170,
        )
        assert server.get("/healthz").status == 200
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    asked = re.search(r"(\d+) generated", done.stdout)
    assert asked, done.stdout[-3000:]
    assert int(asked[1]) > 300


def test_every_route_is_documented(base: Path) -> None:
    with served(base) as server:
        schema = json.loads(server.get("/openapi.json").body)
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    assert len(operations) >= 26
    for operation in operations:
        assert operation["description"]
        assert all(answer["description"] for answer in operation["responses"].values())
        for parameter in operation.get("parameters", ()):
            assert parameter["name"] in ("limit",) or parameter.get("description"), (operation, parameter)
