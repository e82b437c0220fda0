"""All checks of a repository as one job: each finding once, known results from the cache, nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from air_executor.fixing.checking.running import RUNS_KEPT, STATIC, Options, _RunFolder, run_checks, skipped_checks
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.projects import find_projects
from air_executor.fixing.trust import Mode
from tests.fixing.conftest import Write, git, program
from tests.support import wait_for

PROJECT = '[project]\nname = "x"\nversion = "1"\n[tool.ruff.lint]\nselect = ["F"]\n[tool.mypy]\n'


def run(place: Path, mode: Mode = "trusted", **options: object) -> dict[str, CheckResult]:
    results = run_checks(find_projects(place), Options(mode=mode, **options))  # type: ignore[arg-type]
    return {f"{result.check} {result.project}": result for result in results}


def rules(result: CheckResult) -> list[tuple[str, str, int]]:
    return sorted((issue.rule, issue.path, issue.line) for issue in result.issues)


@pytest.fixture
def monorepo(repository: Write) -> Path:
    return repository(
        {
            "pyproject.toml": PROJECT,
            "a.py": "import os\n",
            "lib/one/pyproject.toml": PROJECT,
            "lib/one/b.py": "import os\nx: int = 'a'\n",
            "lib/one/test_b.py": "def test_b():\n    assert 0\n",
            "lib/one/inner/pyproject.toml": PROJECT,
            "lib/one/inner/c d.py": "import os\n",
            "lib/one/inner/test_c.py": "def test_c():\n    pass\n",
        }
    )


def test_nested_projects_are_checked_once(monorepo: Path, with_tools: Path):
    found = run(monorepo)
    assert rules(found["python/ruff ."]) == [("F401", "a.py", 1)]
    assert rules(found["python/ruff lib/one"]) == [("F401", "lib/one/b.py", 1)]
    assert rules(found["python/ruff lib/one/inner"]) == [("F401", "lib/one/inner/c d.py", 1)]
    assert rules(found["python/mypy lib/one"]) == [("assignment", "lib/one/b.py", 2)]
    assert rules(found["python/pytest lib/one"]) == [("test-failed", "lib/one/test_b.py", 1)]
    assert found["python/pytest lib/one/inner"].outcome == "ok"
    assert "python/pytest ." not in found
    prints = Counter(issue.fingerprint for result in found.values() for issue in result.issues)
    assert set(prints.values()) == {1}
    tests = [test.id for result in found.values() for test in result.tests or []]
    assert sorted(tests) == ["lib/one/inner/test_c.py::test_c", "lib/one/test_b.py::test_b"]
    assert [result.outcome for result in found.values() if result.kind == "coverage"] == ["ok", "ok"]


def test_the_target_stays_as_it_was(monorepo: Path, with_tools: Path):
    before = sorted(path.relative_to(monorepo) for path in monorepo.rglob("*"))
    run(monorepo)
    assert sorted(path.relative_to(monorepo) for path in monorepo.rglob("*")) == before


def test_an_unchanged_project_is_known(monorepo: Path, with_tools: Path):
    first = run(monorepo)
    began = time.monotonic()
    second = run(monorepo)
    assert time.monotonic() - began < 2
    assert {result.cached for result in first.values()} == {False}
    assert {result.cached for result in second.values()} == {True}
    for name, result in second.items():
        assert (result.issues, result.tests, result.coverage) == (
            first[name].issues,
            first[name].tests,
            first[name].coverage,
        )


def test_two_thousand_unchanged_files_are_known_within_two_seconds(repository: Write, with_tools: Path):
    files = {f"part{number % 50}/m{number}.py": "import os\nimport re\nimport sys\n" * 2 for number in range(2_000)}
    place = repository({"pyproject.toml": PROJECT, **files})
    git(place, "init", "-q")
    only = frozenset({"ruff"})
    first = run(place, only=only)["python/ruff ."]
    assert len(first.issues) == 2_000 * (3 + 3)  # unused, and defined anew before it was used
    began = time.monotonic()
    second = run(place, only=only)["python/ruff ."]
    assert time.monotonic() - began < 2
    assert second.cached
    assert second.issues == first.issues


def cached(found: dict[str, CheckResult]) -> set[str]:
    return {name for name, result in found.items() if result.cached}


def test_what_has_changed_is_checked_again(monorepo: Path, with_tools: Path, monkeypatch: pytest.MonkeyPatch):
    only = frozenset({"ruff", "mypy"})
    everything = set(run(monorepo, only=only))
    assert cached(run(monorepo, only=only)) == everything

    (monorepo / "lib/one/b.py").write_text("x: int = 1\n")  # types may depend on any file, ruff on its own ones
    found = run(monorepo, only=only)
    assert cached(found) == {"python/ruff .", "python/ruff lib/one/inner"}
    assert found["python/ruff lib/one"].outcome == "ok"

    (monorepo / "lib/one/pyproject.toml").write_text(PROJECT.replace('"F"', '"F", "E"'))
    before = found["python/ruff lib/one"].rules
    found = run(monorepo, only=only)
    assert "python/ruff lib/one" not in cached(found)
    assert found["python/ruff lib/one"].rules != before
    assert "python/ruff ." in cached(found)

    monkeypatch.setenv("LC_ALL", "C")
    assert cached(run(monorepo, only=only)) == set()
    assert cached(run(monorepo, only=only)) == everything
    assert cached(run(monorepo, only=only, use_cache=False)) == set()

    (monorepo / "uv.lock").write_text("version = 1\n")
    assert cached(run(monorepo, only=only)) == set()


def test_another_version_of_a_tool_is_asked_again(repository: Write):
    place = repository({"pyproject.toml": PROJECT, "a.py": ""})
    answer = '#!/bin/sh\ncase "$*" in *--version*) echo "ruff 1.0.{0}"; exit;; esac\necho "[]"\n'
    program(place / ".venv/bin/python", "#!/bin/sh\n")
    for number in (1, 2):
        program(place / ".venv/bin/ruff", answer.format(number))
        found = run(place, only=frozenset({"ruff"}))["python/ruff ."]
        assert (found.version, found.cached, found.outcome) == (f"1.0.{number}", False, "ok")


def test_a_file_with_the_same_size_and_time_is_read(repository: Write, with_tools: Path):
    place = repository({"pyproject.toml": PROJECT, "a.py": "import os\n"})
    only = frozenset({"ruff"})
    assert run(place, only=only)["python/ruff ."].outcome == "findings"
    times = (place / "a.py").stat()
    (place / "a.py").write_text("x = 123456"[:9] + "\n")
    os.utime(place / "a.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (place / "a.py").stat().st_size == times.st_size
    assert run(place, only=only)["python/ruff ."].outcome == "ok"


def test_what_could_not_run_is_never_remembered(repository: Write, with_tools: Path):
    place = repository({"pyproject.toml": "[tool.ruff]\nselect = 7\n", "a.py": ""})
    for _ in range(2):
        found = run(place, only=frozenset({"ruff"}))["python/ruff ."]
        assert (found.outcome, found.cached) == ("could_not_run", False)


def test_only_coverage_brings_the_tests_it_reads(repository: Write, with_tools: Path):
    place = repository({"pyproject.toml": PROJECT, "a.py": "x = 1\n", "test_a.py": "import a\ndef test_a(): ...\n"})
    found = run(place, only=frozenset({"coverage"}))
    assert list(found) == ["python/pytest .", "python/coverage ."]
    assert found["python/coverage ."].coverage is not None
    (place / ".coveragerc").write_text("[report]\nexclude_lines = x\n")
    assert {result.outcome for result in run(place, only=frozenset({"coverage"})).values()} == {"ok"}


def test_static_only_runs_nothing_of_the_target(repository: Write, with_tools: Path):
    place = repository(
        {
            "pyproject.toml": PROJECT + 'plugins = ["plugin.py"]\n',
            "plugin.py": "open('was-run', 'w')\ndef plugin(version): ...\n",
            "conftest.py": "open('was-run', 'w')\n",
            "test_a.py": "def test_a(): ...\n",
        }
    )
    for name in ("python", "ruff", "mypy"):
        program(place / ".venv" / "bin" / name, f"#!/bin/sh\ntouch {place}/was-run\n")
    found = run(place, "static")
    assert list(found) == ["python/ruff .", "python/ruff-format .", "python/metrics ."]
    assert all(result.version is not None for result in found.values())
    assert not (place / "was-run").exists()
    skipped = skipped_checks(find_projects(place), Options(mode="static"))
    assert [one.check for one in skipped] == ["python/mypy", "python/pytest", "python/coverage"]


def test_in_the_sandbox_the_targets_own_programs_change_nothing(repository: Write, with_tools: Path):
    place = repository({"pyproject.toml": PROJECT, "a.py": "import os\n", "test_a.py": "def test_a(): ...\n"})
    program(place / ".venv" / "bin" / "python", "#!/bin/sh\n")
    real = with_tools / "bin" / "ruff"
    shutil.copy2(real, place / ".venv" / "bin" / "real-ruff")
    program(
        place / ".venv" / "bin" / "ruff", f'#!/bin/sh\ntouch {place}/was-run; exec {place}/.venv/bin/real-ruff "$@"\n'
    )
    found = run(place, "sandbox", only=frozenset({"ruff"}))["python/ruff ."]
    assert rules(found) == [("F401", "a.py", 1)]
    assert not (place / "was-run").exists()


def test_without_trust_and_sandbox_code_is_refused(repository: Write, with_tools: Path):
    place = repository({"pyproject.toml": PROJECT, "test_a.py": "open('was-run', 'w')\ndef test_a(): ...\n"})
    found = run(place, "refused", only=frozenset({"pytest", "ruff"}))
    assert found["python/ruff ."].outcome == "ok"
    refused = found["python/pytest ."]
    assert refused.outcome == "could_not_run"
    assert "not trusted" in (refused.reason or "")
    assert "--trust" in (refused.mend or "")
    assert not (place / "was-run").exists()


def test_the_kinds_asked_for(monorepo: Path, with_tools: Path):
    found = run(monorepo, kinds=STATIC, only=frozenset({"python/ruff", "pytest"}))
    assert {result.check for result in found.values()} == {"python/ruff"}


def test_left_alone_it_ends_its_processes(repository: Write, with_tools: Path):
    """Whoever is interrupted takes his manager, its tasks and their tools with him."""
    place = repository({"pyproject.toml": PROJECT, "test_a.py": ""})
    (place / "test_a.py").write_text(
        "import os, time\n"
        "def test_a():\n"
        f"    open({str(place / 'pid')!r} + '.part', 'w').write(str(os.getpid()))\n"
        f"    os.rename({str(place / 'pid')!r} + '.part', {str(place / 'pid')!r})\n"
        "    time.sleep(600)\n"
    )
    code = (
        "import sys; from pathlib import Path\n"
        "from air_executor.fixing.projects import find_projects\n"
        "from air_executor.fixing.checking.running import Options, run_checks\n"
        "run_checks(find_projects(Path(sys.argv[1])), Options(mode='trusted', only=frozenset({'pytest'})))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(place)], stderr=subprocess.DEVNULL)
    try:
        wait_for((place / "pid").exists, "the test to run")
        pid = int((place / "pid").read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the test's process to end")
    finally:
        process.kill()
        process.wait()


def test_old_runs_are_removed_but_none_in_use(tmp_path: Path):
    with _RunFolder(tmp_path, "held") as held:
        for number in range(RUNS_KEPT + 3):
            with _RunFolder(tmp_path, f"later{number}") as folder:
                (folder / "output").write_text("x")
        left = sorted(tmp_path.iterdir())
        assert held in left
        assert len(left) == RUNS_KEPT + 1
    with _RunFolder(tmp_path, "last"):
        pass
    assert len(list(tmp_path.iterdir())) == RUNS_KEPT
    assert not held.exists()


def test_a_repository_without_projects(repository: Write):
    assert run(repository({"readme.md": ""})) == {}


def test_a_moved_repository_keeps_static_results_alone(repository: Write, with_tools: Path):
    files = {"pyproject.toml": PROJECT, "a.py": "", "test_a.py": "def test_a(): ...\n"}
    place = repository(files)
    only = frozenset({"ruff", "pytest"})
    run(place, only=only)
    moved = place.with_name("moved")
    shutil.move(place, moved)
    found = run(moved, only=only)
    assert not found["python/pytest ."].cached
    git(moved, "init", "-q")
    assert run(moved, only=only)["python/pytest ."].cached
