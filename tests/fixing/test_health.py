"""Whole examinations of small repositories with real tools: what is run when, and what is said of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from air_executor.cli import main
from air_executor.errors import InvalidInput, NotFound
from air_executor.fixing.configuration.sections import FixingConfig, HealthCheck, LanguageConfig, Languages, Weights
from air_executor.fixing.health import health as health_module
from air_executor.fixing.health.health import Health, examine
from air_executor.fixing.health.history import read_history
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.trust import trust
from tests.fixing.conftest import SYSTEM_PATH, Write, git, program

PYPROJECT = """
    [project]
    name = "shop"
    version = "1"
    [tool.ruff.lint]
    select = ["E", "F"]
    ignore = ["E501"]
    [tool.mypy]
"""
CLEAN = {
    "pyproject.toml": PYPROJECT,
    "cart.py": "def total(prices: list[int]) -> int:\n    return sum(prices)\n",
    "test_cart.py": "from cart import total\n\n\ndef test_total() -> None:\n    assert total([1, 2]) == 3\n",
}
BROKEN = CLEAN | {
    "cart.py": "import os\n\n\ndef total(prices: list[int]) -> int:\n    return price\n",
    "long.py": "".join(f"x{n} = {n}\n" for n in range(301)),
}
Examine = Callable[..., Health]


@pytest.fixture
def examined(with_tools: Path) -> Examine:
    def run(place: Path, config: FixingConfig | None = None, mode: Any = "trusted", **options: Any) -> Health:
        found = examine(place, config or FixingConfig(), mode=mode, **options)
        assert msgspec.json.decode(msgspec.json.encode(found), type=Health) == found
        prints = [issue.fingerprint for issue in found.issues]
        assert "" not in prints
        assert len(set(prints)) == len(prints)
        assert not (found.healthy and (found.unknown or found.overall is None))
        return found

    return run


def outcomes(found: Health) -> dict[str, str]:
    return {f"{one.check} {one.project}": one.outcome for one in found.results}


def test_a_healthy_repository(examined: Examine, repository: Write):
    heard: list[CheckResult] = []
    place = repository(CLEAN)
    found = examined(place, told=heard.append)
    assert (found.overall, found.healthy, found.unknown, found.issues) == (1.0, True, (), ())
    assert (found.dynamic_skipped, found.skipped) == (None, ())
    assert set(outcomes(found).values()) == {"ok"}
    assert sorted(one.check for one in heard) == sorted(one.check for one in found.results)
    assert [(one.root, one.language, one.manifest, one.files) for one in found.projects] == [
        (".", "python", "pyproject.toml", 2)
    ]
    assert found.suppressions.counts == {"ruff lint.ignore": 1}
    assert found.formula[-1] == "overall 100% = 0.4 × 100% (static) + 0.6 × 100% (dynamic)"
    assert (found.commit, found.dirty) == (None, None)


def test_tests_wait_for_static_health(examined: Examine, repository: Write):
    place = repository(BROKEN)
    config = FixingConfig(health_check=HealthCheck(static_pass_threshold=0.7))
    found = examined(place, config)
    assert found.static.errors == 3  # ruff F401 and F821, mypy name-defined
    assert found.static.quality is not None
    # 2 of 3 files, 2 of 2 functions
    assert found.static.quality.score == pytest.approx((2 / 3 + 1) / 2, abs=1e-5)
    assert found.static.score == pytest.approx(0.3 + 0.4 * 5 / 6, abs=1e-5)
    assert found.static.passed is False
    assert found.dynamic is None
    assert found.dynamic_skipped is not None
    assert "static health is 63.3%, and tests are run from 70% on" in found.dynamic_skipped
    assert {one.check for one in found.skipped} == {"python/pytest", "python/coverage"}
    assert not any(name.startswith(("python/pytest", "python/coverage")) for name in outcomes(found))
    assert found.overall == pytest.approx(0.7 * found.static.score, abs=1e-5)
    assert found.healthy is False
    assert [(one.tool, one.rule) for one in found.issues if one.path == "long.py"] == [("metrics", "file-too-long")]


def test_errors_that_hide_others(examined: Examine, repository: Write):
    """A score that would do is none of which one can say healthy."""
    found = examined(repository(CLEAN | {"broken.py": "def f(:\n    pass\n"}))
    assert found.static.errors is not None
    assert 0 < found.static.errors < 100
    assert found.overall is not None
    assert found.overall > found.healthy_from
    assert found.healthy is None
    assert (
        "there may be more errors: python/mypy: mypy checks nothing until the syntax errors are gone" in found.notes
    )


def test_tests_run_all_the_same_when_asked_for(examined: Examine, repository: Write):
    place = repository(BROKEN)
    config = FixingConfig(health_check=HealthCheck(static_pass_threshold=0.7))
    found = examined(place, config, dynamic=True)
    assert found.dynamic is not None
    assert (found.dynamic.tests, found.dynamic.failed, found.dynamic.pass_rate) == (1, 1, 0.0)
    assert found.healthy is False
    assert {one.rule for one in found.issues} >= {"F401", "test-failed", "coverage-gap", "file-too-long"}
    assert found.overall is not None


def test_tests_that_are_not_wanted(examined: Examine, repository: Write):
    found = examined(repository(CLEAN), dynamic=False)
    assert (found.dynamic, found.dynamic_skipped) == (None, "not asked for")
    # Sound code of which no test was run: that it is healthy is not known.
    assert (found.overall, found.healthy) == (0.7, None)


def test_static_only(examined: Examine, repository: Write):
    found = examined(repository(CLEAN), mode="static", dynamic=None)
    assert found.dynamic_skipped == "only static checks were asked for, and tests run code of the repository"
    assert [one.check for one in found.skipped] == ["python/pytest", "python/coverage"]
    assert (found.static.passed, found.overall, found.healthy) == (True, 0.7, None)


def test_a_missing_tool_makes_it_unknown(
    examined: Examine, repository: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("ruff", "pytest"):
        (folder / name).symlink_to(Path(os.environ["PATH"].partition(os.pathsep)[0]) / name)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{SYSTEM_PATH}")
    found = examined(repository(CLEAN))
    assert outcomes(found)["python/mypy ."] == "could_not_run"
    assert found.static.errors is None
    assert found.static.errors_found == 0
    assert (found.static.score, found.static.passed, found.overall, found.healthy) == (None, None, None, None)
    assert [one for one in found.unknown if "python/mypy could not run: mypy is not there" in one]
    assert found.dynamic is None
    assert found.dynamic_skipped == "static health is not known (`--dynamic` runs tests all the same)"


def test_tests_that_may_not_run_are_unknown(examined: Examine, repository: Write):
    found = examined(repository(CLEAN), mode="refused")
    assert outcomes(found)["python/pytest ."] == "could_not_run"
    assert found.dynamic is not None
    assert (found.dynamic.pass_rate, found.overall, found.healthy) == (None, None, None)
    assert "not trusted" in " ".join(found.unknown)


def test_without_tests(examined: Examine, repository: Write):
    files = {name: text for name, text in CLEAN.items() if not name.startswith("test_")}
    found = examined(repository(files))
    assert found.dynamic is None
    assert found.dynamic_skipped == "there are no tests that a check could run"
    assert (found.overall, found.healthy) == (0.7, False)
    kind = FixingConfig(health_check=HealthCheck(weights=Weights(static_alone=0.9)))
    assert examined(repository(files), kind).healthy is True


def test_tests_that_the_configuration_leaves_out(examined: Examine, repository: Write):
    config = FixingConfig(languages=Languages(each={"python": LanguageConfig(checks=("ruff",))}))
    found = examined(repository(CLEAN), config)
    assert set(outcomes(found)) == {"python/ruff .", "python/metrics ."}
    assert found.dynamic_skipped == "the configuration leaves out all checks of tests"
    assert (found.static.score, found.overall, found.healthy) == (1.0, 0.7, None)


def test_an_empty_repository(examined: Examine, repository: Write):
    found = examined(repository({"README.md": "# nothing\n"}))
    assert (found.projects, found.results) == ((), ())
    assert (found.overall, found.healthy) == (None, None)
    assert found.unknown[0] == "there is no file of a language that is looked at"


def test_no_such_folder(tmp_path: Path):
    with pytest.raises(NotFound, match="no such folder"):
        examine(tmp_path / "nowhere", FixingConfig(), mode="static")


def test_only_some_checks(examined: Examine, repository: Write):
    place = repository(CLEAN)
    found = examined(place, only=["ruff"])
    assert list(outcomes(found)) == ["python/ruff ."]
    assert (found.static.errors, found.overall, found.healthy) == (None, None, None)
    assert found.unknown == (
        "not all analysers of python were asked for",
        "code quality is not known: nothing was measured",
    )
    assert found.dynamic_skipped == "not asked for"
    tests = examined(place, only=["python/pytest"])
    assert list(outcomes(tests)) == ["python/pytest ."]
    assert tests.dynamic is not None
    assert (tests.dynamic.pass_rate, tests.dynamic.coverage, tests.overall) == (1.0, None, None)
    assert "python/coverage was not asked for" in tests.unknown
    assert read_history(place) == []
    with pytest.raises(InvalidInput, match=r"no check 'rufff'; known: .*ruff-format"):
        examine(place, FixingConfig(), mode="trusted", only=["rufff"])


def test_several_projects(examined: Examine, repository: Write):
    files: dict[str, str | bytes] = {f"one/{name}": text for name, text in CLEAN.items()}
    files |= {"two/pyproject.toml": PYPROJECT, "two/a.py": 'x: int = ""\n'}
    found = examined(repository(files))
    assert [one.root for one in found.projects] == ["one", "two"]
    assert found.static.errors == 1
    assert found.dynamic is not None
    assert found.dynamic.untested == ("python in two",)
    assert (found.dynamic.tests, found.dynamic.pass_rate) == (1, 1.0)
    assert found.static.quality is not None
    assert (found.static.quality.files, found.static.quality.functions) == (3, 2)


def test_languages_without_an_analyser(
    examined: Examine,
    repository: Write,
    distribution: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Of a project nothing is known then; loose files beside another project are told."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")  # for the tasks
    distribution("""
        from air_executor.fixing.languages import Language

        COBOL = Language(name="cobol", suffixes=frozenset({".cob"}), manifests=("cobol.toml",), checks=())
    """)
    found = examined(repository(CLEAN | {"a.cob": "MOVE 1 TO X.\n", "b.cob": "STOP RUN.\n"}))
    assert found.healthy is True
    assert found.notes == (
        "2 files of cobol (a.cob and 1 more) belong to no project: they are measured, but not analysed",
    )
    found = examined(repository({"cobol.toml": ""}))
    assert (found.static.errors, found.healthy) == (None, None)
    assert found.unknown[0].startswith("no analyser applies to cobol: configure one")
    found = examined(repository({"a.cob": "MOVE 1 TO X.\n"}, "other"))
    assert found.static.errors is None
    assert found.unknown[0] == "no analyser ran, so whether there are errors is not known"


def test_thresholds_of_one_language(examined: Examine, repository: Write):
    place = repository(BROKEN)
    strict = Languages(each={"python": LanguageConfig(file_size_threshold=3)})
    found = examined(place, FixingConfig(languages=strict), dynamic=False)
    assert [one.path for one in found.issues if one.rule == "file-too-long"] == ["cart.py", "long.py", "test_cart.py"]
    assert found.static.quality is not None
    assert found.static.quality.files_within == 0


def test_coverage_gaps(examined: Examine, repository: Write):
    files = CLEAN | {"cart.py": CLEAN["cart.py"] + "\n\ndef other() -> int:\n    x = 1\n    x += 1\n    return x\n"}
    found = examined(repository(files))
    gaps = [one for one in found.issues if one.rule == "coverage-gap"]
    assert [(one.path, one.line) for one in gaps] == [("cart.py", 6)]
    assert found.dynamic is not None
    assert (found.dynamic.covered, found.dynamic.lines) == (6, 9)
    relaxed = FixingConfig(health_check=HealthCheck(coverage_threshold=50))
    assert [one.rule for one in examined(repository(files), relaxed).issues] == []


def test_an_unchanged_repository_is_known_at_once(examined: Examine, repository: Write):
    place = repository(BROKEN)
    first = examined(place)
    began = time.monotonic()
    second = examined(place)
    assert time.monotonic() - began < 2
    assert all(one.cached for one in second.results)
    assert (second.overall, second.issues, second.formula) == (first.overall, first.issues, first.formula)
    third = examined(place, use_cache=False)
    assert not any(one.cached for one in third.results)
    assert third.issues == first.issues


def test_examinations_are_recorded(
    examined: Examine, repository: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    place = repository(CLEAN)
    found = examined(place)
    assert [(one.at, one.overall, one.tests) for one in read_history(place)] == [(found.at, 1.0, 1)]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    found = examined(place)
    assert found.overall == 1.0
    assert [one for one in found.notes if "the history does not hold this examination" in one]


def test_what_could_not_be_read_is_told(examined: Examine, repository: Write):
    found = examined(repository(CLEAN | {"tsconfig.json": "{"}), dynamic=False)
    assert [note for note in found.notes if note.startswith("what it suppresses is not known of tsconfig.json: ")]


def test_the_commit_is_told(examined: Examine, repository: Write):
    place = repository(CLEAN)
    git(place, "init", "-q")
    assert (examined(place, dynamic=False).commit, examined(place, dynamic=False).dirty) == (None, None)
    git(place, "add", "-A")
    git(place, "commit", "-qm", "first")
    found = examined(place, dynamic=False)
    assert (found.commit, found.dirty) == (git(place, "rev-parse", "HEAD").strip(), False)
    (place / "new.py").write_text("")
    assert examined(place, dynamic=False).dirty is True


def test_no_filter_of_the_repository_is_run(repository: Write, tmp_path: Path):
    from air_executor.fixing.checkout import checkout

    place = repository(CLEAN | {".gitattributes": "*.py filter=evil\n"})
    git(place, "init", "-q")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "first")
    mark = tmp_path / "ran"
    evil = program(tmp_path / "evil", f"#!/bin/sh\ntouch {mark}\ncat\n")
    git(place, "config", "filter.evil.clean", str(evil))
    git(place, "config", "core.fsmonitor", str(evil))
    os.utime(place / "cart.py", (1, 1))  # git has to look into it
    found = checkout(place)
    assert (found.commit, found.dirty) == (git(place, "rev-parse", "HEAD").strip(), None)
    assert not mark.exists()


FLAKY = """
import os
from pathlib import Path


def test_total() -> None:
    assert 1


def test_turns() -> None:
    count = Path(os.environ["COUNT"])
    number = len(count.read_text()) if count.exists() else 0
    count.write_text("x" * (number + 1))
    assert number % 2
"""


def test_flaky_tests_are_listed_and_not_judged(
    examined: Examine, repository: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    place = repository(CLEAN | {"test_cart.py": FLAKY.replace('os.environ["COUNT"]', repr(str(tmp_path / "count")))})
    once = examined(place)
    assert once.tests is not None
    assert (once.tests.failed, once.flaky, once.tests.kinds[0].kind) == (1, (), "unit")
    assert [one.rule for one in once.issues if one.tool == "pytest"] == ["test-failed"]
    trust(place)
    assert main(["fix", "health", str(place), "--repeat-tests", "--json"]) == 0
    found = msgspec.json.decode(capsys.readouterr().out, type=Health)
    assert found.flaky == ("test_cart.py::test_turns",)
    assert found.dynamic is not None
    assert (found.dynamic.tests, found.dynamic.unstable, found.dynamic.pass_rate) == (2, 1, 1.0)
    assert [one.rule for one in found.issues if one.tool == "pytest"] == []
    assert len((tmp_path / "count").read_text()) == 3


def test_the_target_stays_as_it_was(examined: Examine, repository: Write):
    place = repository(CLEAN)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    examined(place)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


def test_results_of_other_tools_count(
    examined: Examine, repository: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    place = repository(CLEAN)
    given = tmp_path / "other.sarif"
    given.write_bytes(
        msgspec.json.encode(
            {
                "version": "2.1.0",
                "runs": [
                    {
                        "tool": {"driver": {"name": "semgrep", "version": "1.2"}},
                        "results": [
                            {
                                "ruleId": "sql-injection",
                                "level": "error",
                                "message": {"text": "injected"},
                                "locations": [
                                    {
                                        "physicalLocation": {
                                            "artifactLocation": {"uri": "cart.py"},
                                            "region": {"startLine": 2, "startColumn": 5},
                                        }
                                    }
                                ],
                            }
                        ],
                    }
                ],
            }
        )
    )
    heard: list[CheckResult] = []
    found = examined(place, sarif=[given], told=heard.append)
    assert [(one.tool, one.rule, one.place) for one in found.issues] == [
        ("semgrep", "sql-injection", ("cart.py", 2, 5))
    ]
    assert found.static.errors == 1
    assert found.static.score == 0.7
    assert len(heard) == len(found.results)


def test_the_form_is_that_of_the_module():
    assert set(health_module.__all__) >= {
        "DynamicHealth",
        "Health",
        "ProjectSummary",
        "Quality",
        "StaticHealth",
        "examine",
    }
