"""Finding tools of Python, and what pytest's own options do to its result."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from air_executor.fixing.check import CouldNotRun, Selection, Tool, ToolRun
from air_executor.fixing.checking.running import Options, run_checks
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.tools.mypy import Mypy
from air_executor.fixing.tools.ruff import RuffFormat
from tests.fixing.conftest import Write, check_named, program, project_of, run_check

PROJECT = "[project]\nname = 'thing'\nversion = '1'\n"


def found(place: Path, name: str, root: str = ".") -> Tool:
    return check_named("python", name).find(project_of(place, root=root))


def environment(folder: Path, *programs: str) -> Path:
    """A virtual environment as far as it is looked at."""
    for name in ("python", *programs):
        program(folder / "bin" / name, "#!/bin/sh\n")
        (folder / "lib" / "python3.11" / "site-packages" / name).mkdir(parents=True)
    return folder


@pytest.mark.parametrize("place", [".venv", "venv"])
def test_the_projects_own_before_path(repository: Write, with_tools: Path, place: str):
    folder = repository({"pyproject.toml": PROJECT, "a.py": ""})
    assert found(folder, "ruff") == Tool((str(with_tools / "bin" / "ruff"),), None, False)
    environment(folder / place, "ruff")
    assert found(folder, "ruff") == Tool((str(folder / place / "bin" / "ruff"),), None, True)
    mypy = found(folder, "mypy")
    assert (mypy.argv, mypy.own) == ((str(with_tools / "bin" / "mypy"),), False)


@pytest.mark.parametrize("name", ["mypy", "pytest", "coverage"])
def test_versions_are_looked_up_where_they_are_installed(repository: Write, with_tools: Path, name: str):
    """And are those that the programs themselves tell."""
    tool = found(repository({"pyproject.toml": PROJECT, "a.py": "", "test_a.py": ""}), name)
    told = subprocess.run([*tool.argv, "--version"], capture_output=True, text=True, check=True).stdout
    assert tool.version is not None
    assert tool.version in told.replace(",", " ").split()


@pytest.mark.parametrize(
    "names", [[], ["mypy-1.0.dist-info", "mypy-2.0.dist-info"], ["mypy_extensions-1.0.dist-info"]]
)
def test_a_version_that_cannot_be_looked_up_is_asked_for(repository: Write, names: list[str], tmp_path: Path):
    folder = repository({"pyproject.toml": PROJECT + "[tool.mypy]\n", "a.py": ""})
    program(folder / ".venv" / "bin" / "mypy", '#!/bin/sh\n[ "$1" = --version ] && echo mypy 3.2.1\n')
    program(folder / ".venv" / "bin" / "python", "#!/bin/sh\n")
    for name in names:
        (folder / ".venv" / "lib" / "python3.11" / "site-packages" / name).mkdir(parents=True)
    assert found(folder, "mypy").version is None
    assert run_check(project_of(folder), "mypy", tmp_path / "run").version == "3.2.1"


def test_an_environment_of_the_workspace(repository: Write, with_tools: Path):
    folder = repository({"pyproject.toml": PROJECT, "a.py": "", "m/b/pyproject.toml": PROJECT, "m/b/c.py": ""})
    environment(folder / ".venv", "ruff", "mypy")
    assert found(folder, "ruff", "m/b").argv == (str(folder / ".venv/bin/ruff"),)
    environment(folder / "m/b/.venv", "ruff")
    assert found(folder, "ruff", "m/b").argv == (str(folder / "m/b/.venv/bin/ruff"),)


def test_uvs_environment_elsewhere(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = repository({"pyproject.toml": PROJECT, "a.py": ""})
    elsewhere = environment(tmp_path / "elsewhere", "ruff")
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", str(elsewhere))
    assert found(folder, "ruff").argv == (str(elsewhere / "bin" / "ruff"),)


def test_poetrys_environment(repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = repository({"pyproject.toml": "[tool.poetry]\nname = 'My Thing'\n", "poetry.lock": "", "a.py": ""})
    digest = base64.urlsafe_b64encode(hashlib.sha256(str(folder).encode()).digest()).decode()[:8]
    kept = Path(os.environ["XDG_CACHE_HOME"]) / "pypoetry" / "virtualenvs"
    home = environment(kept / f"my_thing-{digest}-py3.11", "ruff")
    assert found(folder, "ruff").argv == (str(home / "bin" / "ruff"),)
    monkeypatch.setenv("POETRY_VIRTUALENVS_PATH", str(tmp_path / "other"))
    home = environment(tmp_path / "other" / f"my_thing-{digest}-py3.12", "ruff")
    assert found(folder, "ruff").argv == (str(home / "bin" / "ruff"),)


def test_programs_of_the_repository_are_left_alone_where_they_may_not_run(
    repository: Write, with_tools: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = repository({"pyproject.toml": PROJECT, "a.py": ""})
    environment(folder / ".venv", "ruff")
    monkeypatch.setenv("PATH", f"{folder / '.venv/bin'}:{os.environ['PATH']}")
    project = project_of(folder)
    refused = type(project)(
        repository=project.repository,
        root=".",
        language="python",
        manifest=None,
        files=project.files,
        own_programs=False,
    )
    assert check_named("python", "ruff").find(project).own
    assert check_named("python", "ruff").find(refused).argv == (str(with_tools / "bin" / "ruff"),)


def test_a_project_with_an_environment_is_tested_in_that_or_not_at_all(repository: Write, with_tools: Path):
    folder = repository({"pyproject.toml": PROJECT, "test_a.py": ""})
    assert found(folder, "pytest").argv == (str(with_tools / "bin" / "python"), "-m", "pytest")
    environment(folder / ".venv")
    with pytest.raises(CouldNotRun, match="pytest is not installed in the project's environment") as error:
        found(folder, "pytest")
    assert f"{folder}/.venv/bin/python -m pip install pytest" in error.value.mend


def test_a_mypy_without_json_says_so(repository: Write):
    project = project_of(repository({"pyproject.toml": PROJECT, "a.py": ""}))
    with pytest.raises(CouldNotRun, match=r"mypy 1\.8\.0 cannot write JSON"):
        Mypy().command(project, Tool(("mypy",), "1.8.0", False))


def test_what_mypys_configuration_leaves_out_is_not_given_to_it(repository: Write):
    project = project_of(
        repository(
            {
                "pyproject.toml": PROJECT + "[tool.mypy]\nexclude = ['^docs/', 'build']\n",
                **dict.fromkeys(("a.py", "docs/b.py", "x/build/c.py", ".hidden/d.py", "e.py", "e.pyi", "-f.py"), ""),
            }
        )
    )
    command = Mypy().command(project, Tool(("mypy",), None, False))
    assert command.inputs["files"].split("\n") == ["./-f.py", "./a.py", "./e.pyi", ""]


def test_what_mypys_configuration_chooses_is_its_choice(repository: Write, with_tools: Path, tmp_path: Path):
    folder = repository(
        {
            "pyproject.toml": PROJECT + "[tool.mypy]\nfiles = ['src']\n",
            "src/a.py": "x: int = ''\n",
            "other.py": "x: int = ''\n",
        }
    )
    result = run_check(project_of(folder), "mypy", tmp_path / "run")
    assert [issue.path for issue in result.issues] == ["src/a.py"]


@pytest.mark.parametrize(
    ("configured", "applying"),
    [
        ("", ["ruff", "mypy"]),
        ("[tool.pyright]\n", ["ruff", "pyright"]),
        ("[tool.pyright]\n[tool.mypy]\n", ["ruff", "mypy", "pyright"]),
        ("[tool.ruff]\n", ["ruff", "ruff-format", "mypy"]),
        ("[tool.ruff]\n[tool.black]\n", ["ruff", "mypy"]),
        ("[tool.ruff.format]\n[tool.black]\n", ["ruff", "ruff-format", "mypy"]),
        ("[tool.pytest.ini_options]\n", ["ruff", "mypy", "pytest", "coverage"]),
    ],
)
def test_what_applies(repository: Write, configured: str, applying: list[str]):
    project = project_of(repository({"pyproject.toml": PROJECT + configured, "a.py": ""}))
    names = ["ruff", "ruff-format", "mypy", "pyright", "pytest", "coverage"]
    assert [name for name in names if check_named("python", name).applies(project)] == applying


def test_the_text_of_an_older_formatter(repository: Write, tmp_path: Path):
    """As ruff 0.6.9 prints it (recorded)."""
    project = project_of(repository({"pyproject.toml": PROJECT, "a b.py": "", "c.py": "", "d.py": ""}))
    (tmp_path / "out").write_text("Would reformat: a b.py\nWould reformat: c.py\n2 files would be reformatted\n")
    (tmp_path / "err").write_text("error: Failed to parse d.py:3:7: Expected an expression\n")
    run = ToolRun(
        exit_code=2, signal=None, stdout=tmp_path / "out", stderr=tmp_path / "err", outputs={},
        duration_s=0.1, version="0.6.9",
    )  # fmt: skip
    issues = RuffFormat().parse(project, run).issues
    assert [(issue.rule, issue.place) for issue in issues] == [
        ("unformatted", ("a b.py", 0, 0)),
        ("unformatted", ("c.py", 0, 0)),
        ("invalid-syntax", ("d.py", 3, 7)),
    ]


# ---- pytest ---------------------------------------------------------------------------------------------------

TWO = "def test_one():\n    assert 0\n\n\ndef test_two():\n    assert 0\n"


def run_tests(repository: Write, tmp_path: Path, files: dict[str, str | bytes]) -> CheckResult:
    return run_check(project_of(repository({"pyproject.toml": PROJECT, **files})), "pytest", tmp_path / "run")


def ends(result: CheckResult) -> dict[str, str]:
    assert result.tests is not None, result
    return {test.id: test.end for test in result.tests}


@pytest.mark.parametrize(
    "options",
    [
        "-x",
        "--maxfail=1",
        "-n 2",
        "--cov=.",
        "--cov --cov-fail-under=100",
        "-q --no-header -rN",
        "--lf --ff",
        "-p no:cacheprovider",
    ],
)
def test_options_of_the_project_do_not_spoil_the_result(
    repository: Write, with_tools: Path, tmp_path: Path, options: str
):
    result = run_tests(repository, tmp_path, {"pytest.ini": f"[pytest]\naddopts = {options}\n", "test_a.py": TWO})
    assert ends(result) == {"test_a.py::test_one": "failed", "test_a.py::test_two": "failed"}
    project = project_of(tmp_path / "repository")
    coverage = run_check(project, "coverage", tmp_path / "coverage", reads=tmp_path / "run").coverage
    assert coverage is not None
    assert (coverage.covered, coverage.lines) == (4, 4)


def test_options_of_the_repository_above(repository: Write, with_tools: Path, tmp_path: Path):
    above = {"pyproject.toml": PROJECT + "[tool.pytest.ini_options]\naddopts = ['--cov=.', '-x']\n"}
    project = project_of(repository({**above, "sub/pyproject.toml": PROJECT, "sub/test_a.py": TWO}), root="sub")
    result = run_check(project, "pytest", tmp_path / "run")
    assert ends(result) == {"sub/test_a.py::test_one": "failed", "sub/test_a.py::test_two": "failed"}
    coverage = run_check(project, "coverage", tmp_path / "coverage", reads=tmp_path / "run").coverage
    assert coverage is not None
    assert (coverage.covered, coverage.lines) == (4, 4)


def test_deselected_tests_are_told_of(repository: Write, with_tools: Path, tmp_path: Path):
    result = run_tests(repository, tmp_path, {"pytest.ini": "[pytest]\naddopts = -k one\n", "test_a.py": TWO})
    assert ends(result) == {"test_a.py::test_one": "failed"}
    assert result.note == "1 tests are left out by the project's own options"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("import os; os._exit(0)", "ended with exit code 0 during test_a.py::test_it before it had finished"),
        ("import os; os.abort()", "by SIGABRT during test_a.py::test_it"),
        ("import pytest; pytest.exit('enough')", "failed with exit code 2"),
        ("raise KeyboardInterrupt", "failed with exit code 2"),
    ],
)
def test_a_run_that_ends_early_has_no_result(
    repository: Write, with_tools: Path, tmp_path: Path, body: str, told: str
):
    text = f"def test_first():\n    pass\n\n\ndef test_it():\n    {body}\n\n\ndef test_last():\n    pass\n"
    result = run_tests(repository, tmp_path, {"test_a.py": text})
    assert result.outcome == "could_not_run"
    assert told in (result.reason or "")


def test_the_ends_a_test_can_have(repository: Write, with_tools: Path, tmp_path: Path):
    text = """
        import unittest

        import pytest


        @pytest.fixture
        def bad():
            raise ValueError("bad")


        @pytest.fixture
        def late():
            yield
            raise ValueError("late")


        @pytest.mark.parametrize("x", ["a::b[1]", "é"])
        def test_parameters(x): ...


        def test_skipped():
            pytest.skip("no")


        @pytest.mark.xfail
        def test_xfailed():
            assert 0


        @pytest.mark.xfail
        def test_xpassed(): ...


        @pytest.mark.xfail(strict=True)
        def test_strict(): ...


        def test_setup(bad): ...


        def test_teardown(late): ...


        class TestOuter:
            class TestInner:
                def test_in(self): ...


        class Old(unittest.TestCase):
            def test_sub(self):
                for number in range(3):
                    with self.subTest(number=number):
                        self.assertNotEqual(number, 1)
    """
    result = run_tests(repository, tmp_path, {"t/test_a.py": text, "t/test_empty.py": "import no_such_module\n"})
    assert ends(result) == {
        "t/test_a.py::test_parameters[a::b[1]]": "passed",
        "t/test_a.py::test_parameters[\\xe9]": "passed",
        "t/test_a.py::test_skipped": "skipped",
        "t/test_a.py::test_xfailed": "xfailed",
        "t/test_a.py::test_xpassed": "xpassed",
        "t/test_a.py::test_strict": "failed",
        "t/test_a.py::test_setup": "error",
        "t/test_a.py::test_teardown": "error",
        "t/test_a.py::TestOuter::TestInner::test_in": "passed",
        "t/test_a.py::Old::test_sub": "failed",
        "t/test_empty.py::": "error",
    }
    told = {issue.rule: issue.message for issue in result.issues if issue.path == "t/test_empty.py"}
    assert told == {"collection-error": "ModuleNotFoundError: No module named 'no_such_module'"}
    again = run_check(project_of(tmp_path / "repository"), "pytest", tmp_path / "again")
    assert [issue.fingerprint for issue in again.issues] == [issue.fingerprint for issue in result.issues]


MANY = """
    import pytest


    class TestThem:
        @pytest.mark.parametrize("x", range(9))
        def test_it(self, x):
            assert x != 5


    def test_last(): ...
"""


def test_only_the_tests_that_are_wanted(repository: Write, with_tools: Path, tmp_path: Path):
    project = project_of(repository({"sub/pyproject.toml": PROJECT, "sub/t/test_a.py": MANY}), root="sub")
    ids = ("sub/t/test_a.py::TestThem::test_it[5]", "sub/t/test_a.py::test_last")
    chosen = msgspec.structs.replace(project, selection=Selection(tests=ids))
    result = run_check(chosen, "pytest", tmp_path / "run")
    assert ends(result) == {ids[0]: "failed", ids[1]: "passed"}
    assert result.note is None
    gone = msgspec.structs.replace(project, selection=Selection(tests=("sub/t/test_a.py::gone",)))
    result = run_check(gone, "pytest", tmp_path / "gone")
    assert (result.outcome, result.reason) == ("could_not_run", "none of the tests that were asked for is there")


def test_a_random_order_that_can_be_had_again(repository: Write, with_tools: Path, tmp_path: Path):
    project = project_of(repository({"pyproject.toml": PROJECT, "test_a.py": MANY}))
    orders = []
    for number, seed in enumerate((None, 1, 1, 2)):
        wanted = msgspec.structs.replace(project, selection=Selection(seed=seed))
        orders.append(list(ends(run_check(wanted, "pytest", tmp_path / f"run{number}"))))
    assert orders[1] == orders[2]
    assert len({tuple(order) for order in orders}) == 3
    assert len({frozenset(order) for order in orders}) == 1


def test_a_choice_of_tests_is_not_remembered(repository: Write, with_tools: Path):
    projects = [project_of(repository({"pyproject.toml": PROJECT, "test_a.py": MANY}))]
    options = Options(
        mode="trusted", only=frozenset({"pytest"}), selection=Selection(tests=("test_a.py::test_last",))
    )
    for _ in range(2):
        (result,) = run_checks(projects, options)
        assert (result.outcome, result.cached) == ("ok", False)
    (result,) = run_checks(projects, Options(mode="trusted", only=frozenset({"pytest"})))
    assert (result.outcome, result.cached, len(ends(result))) == ("findings", False, 10)
