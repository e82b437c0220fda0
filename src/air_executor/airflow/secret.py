"""Prints a secret that Airflow keeps: `python -m air_executor.airflow.secret conn:my_db.password`.

The manager runs this when a task starts that names the secret; the value goes from here into that task's
environment and is written nowhere. It is looked up where the manager runs, with the Airflow configuration that
holds there (AIRFLOW_HOME, AIRFLOW__…): secrets backend, AIRFLOW_CONN_… and AIRFLOW_VAR_…, metadata database.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any, Final

__all__ = ["checked", "main", "value_of"]

FIELDS: Final = ("host", "login", "password", "schema", "port", "extra")
_REFERENCE: Final = re.compile(r"(conn|var):(\S.*)")
BLOCKED: Final = "airflow-db-not-allowed"
"""What Airflow 3 puts in place of the database's address in the environment of a task, which a manager that a task
started has from it."""


def checked(reference: str) -> str:
    """`reference` if it names a secret, else an error that shows how."""
    if not _REFERENCE.fullmatch(reference):
        raise ValueError(
            f"secrets: {reference!r} names no secret; expected conn:ID (its URI), conn:ID.FIELD "
            f"({', '.join(FIELDS)}, or extra.KEY), or var:KEY"
        )
    return reference


def value_of(reference: str) -> str:
    """The secret's value. `LookupError` naming the reference when there is none."""
    kind, _, name = checked(reference).partition(":")
    if kind == "var":
        from airflow.models.variable import Variable

        value = Variable.get(name, default_var=None)
        if value is None:
            raise LookupError(f"there is no Airflow variable {name!r}")
        return str(value)
    return _of_connection(name)


def _of_connection(name: str) -> str:
    connection_id, path = _parted(name)
    connection = _connection(connection_id)
    if connection is None:
        raise LookupError(f"there is no Airflow connection {connection_id!r}")
    if not path:
        return str(connection.get_uri())
    value = connection.extra_dejson.get(path[1]) if len(path) == 2 else getattr(connection, path[0])
    if value is None:
        raise LookupError(f"Airflow connection {connection_id!r} has no {'.'.join(path)}")
    return str(value)


def _parted(name: str) -> tuple[str, list[str]]:
    """A connection's id, which may hold dots, and the words that name a field of it."""
    words = name.split(".")
    if len(words) > 2 and words[-2] == "extra":
        return ".".join(words[:-2]), words[-2:]
    if len(words) > 1 and words[-1] in FIELDS:
        return ".".join(words[:-1]), words[-1:]
    return name, []


def _connection(connection_id: str) -> Any:
    from airflow.exceptions import AirflowNotFoundException
    from airflow.models.connection import Connection

    try:
        return Connection.get_connection_from_secrets(connection_id)
    except AirflowNotFoundException:
        return None


def main(arguments: list[str]) -> int:
    """Print the value and nothing else; whatever Airflow has to say goes to standard error."""
    if len(arguments) != 1:
        print("usage: python -m air_executor.airflow.secret conn:ID|conn:ID.FIELD|var:KEY", file=sys.stderr)
        return 2
    out = os.dup(1)
    os.dup2(2, 1)
    blocked = [name for name, value in os.environ.items() if value.startswith(BLOCKED)]
    for name in blocked:
        del os.environ[name]
    try:
        value = value_of(arguments[0])
    except (LookupError, ValueError) as error:
        print(error.args[0], end="", file=sys.stderr)
        print("; asked by a manager that a task of Airflow 3 started" if blocked else "", file=sys.stderr)
        return 1
    except Exception as error:  # the text of an error may hold what was looked up
        print(f"Airflow cannot be asked for {arguments[0]}: {type(error).__name__}", file=sys.stderr)
        return 1
    data = value.encode() + b"\n"
    while data:
        data = data[os.write(out, data) :]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
