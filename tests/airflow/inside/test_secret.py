"""Secrets of Airflow in the environment of tasks: by reference, and written nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from air_executor import AirExecutorClient
from air_executor.airflow import secret
from air_executor.airflow._compat import AirflowException
from air_executor.airflow.definition import Definition
from tests.airflow.inside.dags import a_dag, said_by

VALUE = "s3cr3t-0f-4-t3st"
MINE = {
    "conn_type": "postgres",
    "host": "db.example.org",
    "login": "me",
    "password": VALUE,
    "schema": "sales",
    "port": 5432,
    "extra": {"sslmode": "require"},
}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MY_DB", json.dumps(MINE))
    monkeypatch.setenv("AIRFLOW_VAR_MY_KEY", VALUE)


def ask(reference: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "air_executor.airflow.secret", reference]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_value_and_nothing_else_is_printed(kept: None) -> None:
    done = ask("conn:my_db")
    assert (done.returncode, done.stdout) == (0, f"postgres://me:{VALUE}@db.example.org:5432/sales?sslmode=require\n")
    assert VALUE not in done.stderr


def test_fields_and_variables(kept: None, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {
        "conn:my_db.password": VALUE,
        "conn:my_db.port": "5432",
        "conn:my_db.login": "me",
        "conn:my_db.extra.sslmode": "require",
        "var:my_key": VALUE,
    }
    assert {reference: secret.value_of(reference) for reference in wanted} == wanted
    monkeypatch.setenv("AIRFLOW_CONN_A.B", json.dumps(MINE))
    assert secret.value_of("conn:a.b.login") == "me"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("conn:none", "there is no Airflow connection 'none'"),
        ("var:none", "there is no Airflow variable 'none'"),
        ("conn:my_db.extra.none", "Airflow connection 'my_db' has no extra.none"),
        ("my_db", "names no secret; expected conn:ID"),
        ("conn:", "names no secret"),
    ],
)
def test_what_there_is_not_is_named(kept: None, reference: str, said: str) -> None:
    with pytest.raises((LookupError, ValueError), match=said):
        secret.value_of(reference)


def test_an_error_is_a_line_and_an_exit_code(kept: None) -> None:
    done = ask("var:none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "there is no Airflow variable 'none'"


def test_all_tasks_get_references_and_what_they_say_themselves_comes_first() -> None:
    tasks: list[dict[str, Any]] = [{"command": "a"}, {"command": "b", "env_from": {"X": {"file": "/x"}}}]
    definition = Definition(tasks, {"defaults": {"retries": 2}})
    definition.with_secrets({"X": "var:x", "Y": "conn:y"}, "/opt/airflow/bin/python")
    command = ["/opt/airflow/bin/python", "-P", "-m", "air_executor.airflow.secret"]
    x, y = ({"command": [*command, ref], "timeout_s": 180.0} for ref in ("var:x", "conn:y"))
    assert definition.options == {"defaults": {"retries": 2, "env_from": {"X": x, "Y": y}}}
    assert definition.tasks[0] == {"command": "a"}
    assert definition.tasks[1]["env_from"] == {"X": {"file": "/x"}, "Y": y}


def test_a_wrong_reference_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(AirflowException, match="job: secrets: 'my_db' names no secret"):
        a_dag("secret_wrong", tasks=[], secrets={"X": "my_db"})


def test_tasks_have_it_and_no_file_log_or_xcom_does(
    kept: None, base: Path, run_dag: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    check = f'test "$KEY" = {VALUE[:6]}"{VALUE[6:]}" && test "$PASSWORD" = "$KEY" && echo ${{#DB_URL}}'
    grown = {"id": "grown", "command": "sh", "args": ["-c", check]}

    grow = "printf '\\n%s\\n' \"$GROWN\" >> $AIR_EXECUTOR_INBOX; " + check
    tasks = [{"id": "first", "command": "sh", "args": ["-c", grow], "env": {"GROWN": json.dumps(grown)}}]
    secrets = {"DB_URL": "conn:my_db", "PASSWORD": "conn:my_db.password", "KEY": "var:{{ params.key }}"}
    ran = run_dag(a_dag("secret_kept", tasks=tasks, secrets=secrets, params={"key": "my_key"}))
    said = said_by(capfd)
    assert ran.tasks == {"job": "success"}, said
    client, name = AirExecutorClient(base), ran.xcom("job", "job_name")
    uri = secret.value_of("conn:my_db")
    assert client.logs(name, "grown") == client.logs(name, "first") == f"{len(uri)}\n"
    assert VALUE not in said
    for path in base.rglob("*"):
        if path.is_file():
            assert VALUE.encode() not in path.read_bytes(), path
    keys = ("return_value", "results", "progress_history", "job_name", "job_id")
    assert VALUE not in json.dumps([ran.xcom("job", key) for key in keys])
    environment = Path(os.environ["AIRFLOW_HOME"])
    for path in environment.rglob("*"):
        if path.is_file() and path.suffix in (".log", ".db"):
            assert VALUE.encode() not in path.read_bytes(), path


def test_a_secret_that_is_not_there_fails_the_task_naming_it(
    base: Path, run_dag: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    ran = run_dag(a_dag("secret_missing", tasks=[{"id": "t", "command": "true"}], secrets={"X": "var:none"}))
    said = said_by(capfd)
    assert ran.tasks == {"job": "failed"}
    assert "there is no Airflow variable 'none'" in said
    assert "X" in said
