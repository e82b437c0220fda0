"""What the target's code gets to see and to touch, and who may run it."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest

from air_executor.errors import BaseUnusable
from air_executor.fixing.checking import sandbox
from air_executor.fixing.trust import is_trusted, mode_for, remote_of, trust, trusted_file, withdraw
from tests.fixing.conftest import Write, git, project_of, run_check

SEES = """
import json
import os
import pathlib
import socket

import pytest


def reachable():
    try:
        socket.create_connection(("192.0.2.1", 9), timeout=1).close()
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return error.strerror
    return "answered"


def writable(path):
    try:
        (pathlib.Path(path) / "written").write_text("x")
    except OSError as error:
        return error.strerror
    return "written"


def test_sees(tmp_path):
    here = pathlib.Path(__file__).parent
    server = socket.create_server(("127.0.0.1", 0))
    facts = {
        "environment": dict(os.environ),
        "home": sorted(os.listdir(os.path.expanduser("~"))),
        "secret": os.path.exists(SECRET),
        "network": reachable(),
        "own port": bool(server.getsockname()[1]),
        "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
        "usr": writable("/usr"),
        "tree": writable(here),
        "git": (here / ".git" / "HEAD").exists(),
        "data": (here / "data" / "ignored.bin").read_text(),
    }
    server.close()
    pytest.fail("SEES " + json.dumps(facts))
"""


@pytest.fixture
def seen(repository: Write, with_tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a test sees, by mode."""
    assert sandbox.available() is None, "scripts/install-test-services.sh installs bubblewrap"
    home = tmp_path / "home of the user"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id").write_text("secret")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MY_API_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    text = SEES.replace("SECRET", repr(str(home / ".ssh" / "id")))
    place = repository(
        {
            "pyproject.toml": "[project]\nname = 'x'\n",
            "test_sees.py": text,
            ".gitignore": "data\n",
            "data/ignored.bin": "1",
        }
    )
    git(place, "init", "-q")

    def run(sandboxed: bool) -> dict[str, object]:
        result = run_check(project_of(place), "pytest", tmp_path / "run", sandboxed=sandboxed)
        assert result.outcome == "findings", result
        assert result.tests is not None
        message = result.tests[0].message
        facts: dict[str, object] = json.loads(message[message.index("{") :])
        facts["left in the tree"] = (place / "written").exists()
        return facts

    return run


def test_in_the_sandbox(seen):
    facts = seen(True)
    assert not facts["secret"]
    assert facts["network"] == "Network is unreachable"
    assert facts["own port"]
    assert facts["processes"] < 6
    assert facts["usr"] == "Read-only file system"
    assert facts["tree"] == "written"
    assert facts["left in the tree"] is False
    assert facts["git"]
    assert facts["data"] == "1"


def test_homes_of_others_are_hidden(tmp_path: Path):
    """Those of all whom root could read."""
    words = sandbox.wrapped(["true"], cwd=tmp_path, repository=tmp_path, copy=None, writable=[], programs=[])
    hidden = {folder for option, folder in pairwise(words) if option == "--tmpfs"}
    assert {folder for folder in ("/home", "/root", "/run", "/tmp", "/var/tmp") if Path(folder).is_dir()} <= hidden


@pytest.mark.parametrize("sandboxed", [True, False])
def test_credentials_are_not_in_the_environment(seen, sandboxed: bool):
    facts = seen(sandboxed)
    environment = facts["environment"]
    assert "secret" not in json.dumps(environment)
    of_tools = {"PWD", "COVERAGE_RUN", "PYTEST_CURRENT_TEST", "PYTEST_VERSION"}  # which they set themselves
    assert set(environment) - set(sandbox.ALLOWED) - of_tools == {
        "HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "NO_COLOR", "TERM",
        "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "AIR_EXECUTOR_PYTEST_REPORT", "COVERAGE_FILE",
    }  # fmt: skip
    assert environment["HOME"] != os.environ["HOME"]
    assert environment["TMPDIR"].startswith(environment["HOME"])
    assert set(facts["home"]) <= {".cache", "tmp"}


def test_a_tree_too_large_to_copy(
    repository: Write, with_tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = repository({"pyproject.toml": "[project]\nname = 'x'\n", "test_a.py": "def test_a(): ...\n"})
    with (place / "large.bin").open("wb") as file:
        file.truncate(sandbox.COPY_LIMIT + 1)  # sparse: takes no room
    result = run_check(project_of(place), "pytest", tmp_path / "run", sandboxed=True)
    assert result.outcome == "could_not_run"
    assert "too much to copy" in (result.reason or "")
    assert not (tmp_path / "run" / "tree").exists()


def test_trust_is_for_a_folder_and_where_it_came_from(repository: Write):
    place = repository({"a.py": ""})
    git(place, "init", "-q")
    git(place, "remote", "add", "origin", "https://me:token@example.org/x.git")
    assert remote_of(place) == "https://example.org/x.git"
    assert not is_trusted(place)
    assert mode_for(place) == "sandbox"
    trust(place)
    assert is_trusted(place)
    assert mode_for(place) == "trusted"
    assert mode_for(place, static_only=True) == "static"
    assert "token" not in trusted_file().read_text()
    git(place, "remote", "set-url", "origin", "https://example.org/other.git")
    assert not is_trusted(place)
    trust(place)
    assert is_trusted(place)
    assert withdraw(place)
    assert not withdraw(place)
    assert not is_trusted(place)


def test_no_sandbox_and_no_trust(repository: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    place = repository({"a.py": ""})
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    sandbox.available.cache_clear()
    try:
        assert mode_for(place) == "refused"
    finally:
        sandbox.available.cache_clear()


def test_a_file_of_trust_that_cannot_be_read_trusts_nobody(repository: Write):
    place = repository({"a.py": ""})
    trusted_file().parent.mkdir(parents=True)
    trusted_file().write_text('[{"path": 3}]')
    with pytest.raises(BaseUnusable, match="cannot be read"):
        is_trusted(place)
