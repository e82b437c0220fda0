"""Tests that differ: from one collection to the next, from one run to the next, with the order, and alone."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from air_executor.fixing.check import Project, Selection
from air_executor.fixing.checking.flaky import Failure, baseline, confirm, new_failures
from air_executor.fixing.checking.running import DYNAMIC, Options, run_checks
from air_executor.fixing.checking.testing import mark_unstable, unstable_note
from air_executor.fixing.outcome import CheckResult, TestResult
from air_executor.fixing.projects import find_projects
from air_executor.fixing.tools import python_tests
from air_executor.fixing.trust import Mode
from tests.fixing.conftest import Write, project_of, run_check

PROJECT = "[project]\nname = 'x'\n"
OPTIONS = Options(mode="trusted")


def seed_with(first: str, second: str, names: list[str]) -> int:
    """A seed that brings one test before another, as the plugin shuffles."""
    for seed in itertools.count():
        order = list(names)
        random.Random(seed).shuffle(order)
        if order.index(first) < order.index(second):
            return seed
    raise AssertionError


def ends(result: CheckResult) -> dict[str, str]:
    return {test.id: test.end for test in result.tests or ()}


UNSTABLE = """
    import random

    import pytest

    class Thing:
        pass

    @pytest.mark.parametrize("thing", [Thing()], ids=repr)
    def test_address(thing):
        assert 0

    @pytest.mark.parametrize("number", [random.random()])
    def test_number(number):
        pass

    def test_same():
        pass

    def test_failing():
        assert 0
"""


@pytest.mark.parametrize("sandboxed", [False, True])
def test_names_that_change_are_not_judged(repository: Write, with_tools: Path, tmp_path: Path, sandboxed: bool):
    place = repository({"pyproject.toml": PROJECT, "test_a.py": UNSTABLE})
    result = run_check(project_of(place), "pytest", tmp_path / "run", sandboxed=sandboxed)
    assert {test.name: test.unstable for test in result.tests or ()} == {
        "test_address": True,
        "test_number": True,
        "test_same": False,
        "test_failing": False,
    }
    assert [(issue.rule, issue.line) for issue in result.issues] == [("test-failed", 19)]
    assert "not judged, since their names differ" in (result.note or "")


def test_where_only_such_tests_fail_there_is_nothing_to_mend(repository: Write, with_tools: Path, tmp_path: Path):
    text = "import pytest\n@pytest.mark.parametrize('a', [object()], ids=repr)\ndef test_a(a): assert 0\n"
    result = run_check(
        project_of(repository({"pyproject.toml": PROJECT, "test_a.py": text})), "pytest", tmp_path / "run"
    )
    assert (result.outcome, result.issues) == ("ok", [])
    assert "not judged" in (result.note or "")


@pytest.mark.parametrize("addopts", ["", "-q --lf", "-n2", "--cov", "-p no:cacheprovider -x"])
def test_the_second_collection_sees_the_same_tests(repository: Write, with_tools: Path, tmp_path: Path, addopts: str):
    """Whatever the project's own options do to the first."""
    place = repository(
        {
            "pyproject.toml": PROJECT + f"[tool.pytest.ini_options]\naddopts = '{addopts}'\n",
            "test_a.py": "def test_a(): assert 0\ndef test_b(): pass\n",
            "lib/test_a.py": "class TestA:\n    def test_a(self): pass\n",
        }
    )
    (place / "lib" / "__init__.py").touch()
    result = run_check(project_of(place), "pytest", tmp_path / "run")
    assert {test.id: test.unstable for test in result.tests or ()} == {
        "test_a.py::test_a": False,
        "test_a.py::test_b": False,
        "lib/test_a.py::TestA::test_a": False,
    }
    assert result.note is None


def test_a_file_that_cannot_be_collected_is_still_an_issue(repository: Write, with_tools: Path, tmp_path: Path):
    place = repository({"pyproject.toml": PROJECT, "test_a.py": "def f(:\n", "test_b.py": "def test_b(): pass\n"})
    result = run_check(project_of(place), "pytest", tmp_path / "run")
    assert [issue.rule for issue in result.issues] == ["collection-error"]
    assert not any(test.unstable for test in result.tests or ())


def test_a_collection_that_fails_the_second_time_says_so(repository: Write, with_tools: Path, tmp_path: Path):
    mark = tmp_path / "mark"
    conftest = f"""
        import os
        if os.path.exists({str(mark)!r}):
            os._exit(1)
        open({str(mark)!r}, "w")
    """
    place = repository({"pyproject.toml": PROJECT, "conftest.py": conftest, "test_a.py": "def test_a(): assert 0\n"})
    result = run_check(project_of(place), "pytest", tmp_path / "run")
    assert [issue.rule for issue in result.issues] == ["test-failed"]
    assert "could not be collected again" in (result.note or "")


def test_a_collection_that_hangs_the_second_time_is_ended(
    repository: Write, with_tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(python_tests, "COLLECTION_LIMIT_S", 2.0)
    mark = tmp_path / "mark"
    conftest = f"""
        import os, time
        if os.path.exists({str(mark)!r}):
            time.sleep(600)
        open({str(mark)!r}, "w")
    """
    place = repository({"pyproject.toml": PROJECT, "conftest.py": conftest, "test_a.py": "def test_a(): pass\n"})
    result = run_check(project_of(place), "pytest", tmp_path / "run")
    assert ends(result) == {"test_a.py::test_a": "passed"}
    assert result.duration_s < 60
    assert "could not be collected again" in (result.note or "")


def case(name: str, parameters: str = "") -> TestResult:
    return TestResult(framework="go", file="a", name=name, parameters=parameters, end="passed")


def test_marking():
    results = [case("a"), case("b", "1"), case("")]
    marked = mark_unstable(results, {"a::a", "a::b[1]"}, {"a::a", "a::b[2]"})
    assert [result.unstable for result in marked] == [False, True, False]
    assert mark_unstable(results) == results
    assert unstable_note(marked, compared=True) == (
        "not judged, since their names differ from one collection to the next: a::b[1]"
    )
    assert unstable_note(results, compared=True) is None


FLAKY = """
    import os, pathlib
    COUNT = pathlib.Path({count!r})
    SEEN = []

    def test_first():
        SEEN.append(1)

    def test_needs_first():
        assert SEEN

    def test_now_so_now_so():
        number = int(COUNT.read_text()) if COUNT.exists() else 0
        COUNT.write_text(str(number + 1))
        assert number != 1

    def test_broken():
        assert 0

    def test_sound():
        pass
"""
NAMES = ["test_first", "test_needs_first", "test_now_so_now_so", "test_broken", "test_sound"]


@pytest.fixture
def flaky(repository: Write, tmp_path: Path) -> list[Project]:
    place = repository({"pyproject.toml": PROJECT, "test_a.py": FLAKY.format(count=str(tmp_path / "count"))})
    return find_projects(place)


def test_three_runs_tell_flaky_tests_from_broken_ones(flaky: list[Project], with_tools: Path):
    seed = seed_with("test_needs_first", "test_first", NAMES)
    told: list[str] = []
    found = baseline(flaky, OPTIONS, seed=seed, told=lambda run, result: told.append(f"{result.check} {run}"))
    assert told == [
        "python/pytest in its own order",
        "python/pytest in its own order again",
        "python/pytest in a random order",
    ]
    by_name = {test.id.rpartition("::")[2]: test for test in found.flaky}
    assert {name: (test.ends, test.by_order) for name, test in by_name.items()} == {
        "test_needs_first": (("passed", "passed", "failed"), True),
        "test_now_so_now_so": (("passed", "failed", "passed"), False),
    }
    assert (found.unstable, found.incomplete, found.seed) == ((), (), seed)
    assert [result.check for result in found.results] == ["python/pytest"]
    assert ends(found.results[0])["test_a.py::test_broken"] == "failed"


def test_the_first_run_may_be_known_and_the_others_never_are(flaky: list[Project], with_tools: Path, tmp_path: Path):
    run_checks(flaky, Options(mode="trusted", kinds=DYNAMIC, only=frozenset({"pytest"})))
    (tmp_path / "count").write_text("0")
    found = baseline(flaky, OPTIONS, seed=1)
    assert found.results[0].cached
    assert (tmp_path / "count").read_text() == "2"


def test_what_failed_before_or_is_flaky_is_no_new_failure(flaky: list[Project], with_tools: Path, tmp_path: Path):
    seed = seed_with("test_needs_first", "test_first", NAMES)
    before = baseline(flaky, OPTIONS, seed=seed)
    source = flaky[0].path / "test_a.py"
    source.write_text(source.read_text().replace("def test_sound():\n    pass", "def test_sound():\n    assert 0"))
    (tmp_path / "count").write_text("1")
    after = run_checks(flaky, Options(mode="trusted", kinds=DYNAMIC, only=frozenset({"pytest"}), use_cache=False))
    assert ends(after[0])["test_a.py::test_now_so_now_so"] == "failed"
    assert new_failures(before, after) == [Failure("python/pytest", ".", "test_a.py::test_sound")]


def test_a_new_failure_is_run_alone_before_it_counts(repository: Write, with_tools: Path):
    place = repository(
        {
            "pyproject.toml": PROJECT,
            "test_a.py": """
                import pytest
                SEEN = []

                def test_spoils():
                    SEEN.append(1)

                def test_spoilt():
                    assert not SEEN

                @pytest.mark.parametrize("a", [1, 2])
                def test_broken(a):
                    assert a == 1

                def test_skips():
                    pytest.skip("alone")
            """,
            "test_b.py": "import no_such_module\n",
            "lib/pyproject.toml": PROJECT,
            "lib/test_c.py": "def test_c():\n    assert 0\n",
        }
    )
    projects = find_projects(place)
    wanted = [
        Failure("python/pytest", ".", "test_a.py::test_spoilt"),
        Failure("python/pytest", ".", "test_a.py::test_broken[2]"),
        Failure("python/pytest", "lib", "lib/test_c.py::test_c"),
        Failure("python/pytest", ".", "test_a.py::test_gone"),
        Failure("python/pytest", ".", "test_a.py::test_skips"),
        Failure("python/pytest", ".", "test_b.py::"),
        Failure("python/pytest", "gone", "gone/test_d.py::test_d"),
    ]
    found = confirm(projects, OPTIONS, wanted)
    assert [one.failure for one in found] == wanted
    assert [(one.end, one.counts) for one in found] == [
        ("passed", False),
        ("failed", True),
        ("failed", True),
        (None, None),
        ("skipped", None),
        ("error", True),
        (None, None),
    ]
    assert all(one.reason for one in found if one.counts is None)
    static = confirm(projects, Options(mode="static"), wanted[:1])
    assert [(one.counts, bool(one.reason)) for one in static] == [(None, True)]
    assert confirm(projects, OPTIONS, []) == []


def test_tests_that_cannot_be_run_are_said_not_to_have_been(repository: Write, with_tools: Path):
    place = repository(
        {"pyproject.toml": PROJECT + "[tool.pytest.ini_options]\naddopts = '--nope'\n", "test_a.py": ""}
    )
    found = baseline(find_projects(place), OPTIONS, seed=1)
    assert [(one.run, bool(one.reason)) for one in found.incomplete] == [
        ("in its own order", True),
        ("in its own order again", True),
        ("in a random order", True),
    ]
    assert (found.flaky, found.unstable) == ((), ())
    assert [result.outcome for result in found.results] == ["could_not_run"]


def test_names_that_change_between_runs_are_not_judged(repository: Write, with_tools: Path, tmp_path: Path):
    """Those that two collections happened to agree on."""
    count = str(tmp_path / "count")
    text = f"""
        import os, pathlib, pytest
        COUNT = pathlib.Path({count!r})
        number = int(COUNT.read_text()) if COUNT.exists() else 0
        COUNT.write_text(str(number + 1))

        @pytest.mark.parametrize("a", [number // 2])
        def test_a(a):
            assert 0
    """
    projects = find_projects(repository({"pyproject.toml": PROJECT, "test_a.py": text}))
    found = baseline(projects, OPTIONS, seed=1)
    assert found.unstable == ("test_a.py::test_a[0]",)
    assert found.flaky == ()
    (test,) = found.results[0].tests or ()
    assert not found.judged("python/pytest", ".", test)
    assert new_failures(found, found.results) == []


@pytest.mark.parametrize("mode", ["trusted", "sandbox"])
def test_projects_may_want_other_tests(repository: Write, with_tools: Path, mode: Mode):
    place = repository({"pyproject.toml": PROJECT, "test_a.py": "def test_a(): pass\ndef test_b(): pass\n"})
    (project,) = find_projects(place)
    asked = [
        Project(**{name: getattr(project, name) for name in project.__struct_fields__} | {"selection": selection})
        for selection in (Selection(tests=("test_a.py::test_a",)), Selection(tests=("test_a.py::test_b",)), None)
    ]
    options = Options(mode=mode, kinds=DYNAMIC, only=frozenset({"pytest"}))
    found = run_checks(asked, options)
    assert [sorted(ends(result)) for result in found] == [
        ["test_a.py::test_a"],
        ["test_a.py::test_b"],
        ["test_a.py::test_a", "test_a.py::test_b"],
    ]
    assert [result.cached for result in run_checks(asked, options)] == [False, False, True]
