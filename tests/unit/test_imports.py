"""What an import costs, and the names that are promised."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import air_executor
from air_executor import errors

HEAVY = {
    "msgspec",
    "click",
    "rich",
    "yaml",
    "airflow",
    "sqlite3",
    "asyncio",
    "fastapi",
    "sqlalchemy",
    "logging",
    "subprocess",
}


def modules_after(code: str) -> set[str]:
    """Names of the modules that `code` loads in a fresh interpreter."""
    program = (
        f"import sys, json; before = set(sys.modules)\n{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_next_to_nothing():
    loaded = modules_after("import air_executor")
    assert len(loaded) <= 12, sorted(loaded)
    assert not {name.split(".")[0] for name in loaded} & HEAVY
    assert {name for name in loaded if name.startswith("air_executor")} == {"air_executor"}


def test_importing_task_stays_light():
    loaded = modules_after("from air_executor import task")
    assert not {name.split(".")[0] for name in loaded} & HEAVY
    assert len(loaded) <= 60, sorted(loaded)
    assert {name for name in loaded if name.startswith("air_executor")} == {
        "air_executor",
        "air_executor.errors",
        "air_executor.task",
    }


def test_the_client_loads_no_surface_and_no_manager():
    loaded = modules_after("from air_executor import AirExecutorClient")
    roots = {name.split(".")[0] for name in loaded}
    assert not roots & {"click", "rich", "yaml", "airflow", "asyncio", "sqlite3"}
    ours = {name.split(".")[1] for name in loaded if name.startswith("air_executor.")}
    assert not ours & {"manager", "runners", "cli", "web", "airflow", "fixing"}


def test_promised_names():
    assert air_executor.__all__ == ["AirExecutorClient", "__version__", "errors", "task"]
    assert all(getattr(air_executor, name) for name in air_executor.__all__)
    from air_executor import task

    assert task.__all__ == ["attempt", "base", "id", "job", "progress", "queue", "result", "results"]
    assert all(callable(getattr(task, name)) for name in task.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Orchestrator'"):
        air_executor.Orchestrator  # noqa: B018


def test_promised_errors_and_their_exit_codes():
    assert {name: getattr(errors, name).exit_code for name in errors.__all__} == {
        "AirExecutorError": 1,
        "BaseUnusable": 6,
        "InvalidInput": 2,
        "InvalidName": 2,
        "JobSealed": 4,
        "JournalUnreadable": 6,
        "ManagerRunning": 4,
        "NoManager": 5,
        "NotFound": 3,
        "Refused": 4,
        "WaitTimeout": 7,
    }
    for name in errors.__all__:
        assert name in (errors.__doc__ or ""), "the tree at the top names every error"
        assert issubclass(getattr(errors, name), errors.AirExecutorError)
