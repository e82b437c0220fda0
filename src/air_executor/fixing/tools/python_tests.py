"""pytest in the project's interpreter, under coverage where that is installed. All of it is the target's code."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import msgspec
from msgspec import Struct

from air_executor.fixing.check import Command, CouldNotRun, Findings, Kind, Project, Tool, ToolRun
from air_executor.fixing.checking.testing import mark_unstable, unstable_note
from air_executor.fixing.issue import Issue, fingerprint
from air_executor.fixing.outcome import TestEnd, TestResult
from air_executor.fixing.tools.output import decode_lines, last_words, not_understood, relative
from air_executor.fixing.tools.programs import folders_up, in_path, inside
from air_executor.fixing.tools.python import config_files, environment, ini, installed_version, tool_table

__all__ = ["Pytest", "find_pytest", "measured"]

CONFIG: Final = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg")
PLUGIN: Final = Path(__file__).with_name("pytest_report.py")
PLUGIN_NAME: Final = "air_executor_pytest_report"
OK, FAILED, INTERRUPTED, INTERNAL, USAGE, NO_TESTS = range(6)
COLLECTION_LIMIT_S: Final = 60.0
MEND: Final = "run `python -m pytest` by hand in the project's folder"


class Event(Struct):
    """One line of the plugin's report."""

    event: Literal["begin", "phase", "uncollected", "collected", "end"]
    id: str = ""
    when: str = ""
    outcome: str = ""
    duration: float = 0.0
    xfail: bool = False
    message: str = ""
    file: str = ""
    line: int = 0
    suite: list[str] = []
    name: str = ""
    parameters: str = ""
    exit: int = 0
    collected: int = 0
    deselected: int = 0
    root: str = ""


def options(project: Project) -> list[str]:
    """`addopts` of the configuration that pytest takes: that of the project's folder or the nearest above it."""
    for folder in folders_up(project):
        given = _addopts(folder)
        if given is not None:
            return _words(given)
    return []


def _addopts(folder: Path) -> Any:
    """None where the folder does not configure pytest."""
    for name in ("pytest.ini", ".pytest.ini"):
        if (folder / name).is_file():
            return ini(folder / name).get("pytest", {}).get("addopts", "")
    for words in (("pytest", "ini_options"), ("pytest",)):
        if (table := tool_table(folder, *words)) is not None:
            return table.get("addopts", "")
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        if section in (sections := ini(folder / name)):
            return sections[section].get("addopts", "")
    return None


def _words(given: Any) -> list[str]:
    if isinstance(given, list):
        return [str(word) for word in given]
    try:
        return shlex.split(str(given))
    except ValueError:
        return str(given).split()


def measured(project: Project) -> bool:
    """Whether pytest-cov measures already, as the project's own options ask."""
    return any(word == "--cov" or word.startswith("--cov=") for word in options(project))


def has_module(python: Path, name: str) -> bool:
    """Whether an interpreter's environment holds a package; looked up, not asked: it is not started."""
    home = python.parent.parent
    return any((packages / name).is_dir() for packages in home.glob("lib/python3*/site-packages"))


def find_pytest(project: Project) -> Tool:
    """The interpreter that runs the tests, with pytest: `python -m pytest`, so that the project's folder is on the
    path. A project that has an environment is tested in that or not at all: another lacks what it depends on."""
    home = environment(project)
    if home is not None:
        python = home / "bin" / "python"
        if not has_module(python, "pytest"):
            raise CouldNotRun(
                f"pytest is not installed in the project's environment {home}",
                f"`{python} -m pip install pytest`",
            )
        return Tool((str(python), "-m", "pytest"), installed_version(python, "pytest"), True)
    program = in_path(project, "pytest")
    if program is not None:
        python = program.resolve().parent / "python"
        if (program.parent / "python").exists():
            python = program.parent / "python"
        if python.exists() and has_module(python, "pytest"):
            version = installed_version(python, "pytest")
            return Tool((str(python), "-m", "pytest"), version, inside(project, program))
        return Tool((str(program),), None, inside(project, program))
    raise CouldNotRun(
        "pytest is not there: the project has no environment (.venv) with it, and neither has PATH",
        "make the project's environment with pytest: `python -m venv .venv && .venv/bin/pip install pytest …`",
    )


def measures(tool: Tool) -> bool:
    """Whether `coverage` stands beside pytest."""
    return len(tool.argv) == 3 and has_module(Path(tool.argv[0]), "coverage")


class Pytest:
    """`python -m pytest`, with a plugin of ours that tells each test's end as it happens."""

    name: ClassVar[str] = "pytest"
    kind: ClassVar[Kind] = "tests"
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    reads: ClassVar[str | None] = None

    def applies(self, project: Project) -> bool:
        """Where there are test files, or it is configured."""
        if any(re.fullmatch(r"test_.*\.py|.*_test\.py", path.rpartition("/")[2]) for path in project.files):
            return True
        table = tool_table(project.path, "pytest")
        return table is not None or any((project.path / name).exists() for name in CONFIG[:4])

    def loads_code(self, project: Project) -> bool:
        return True

    def find(self, project: Project) -> Tool:
        return find_pytest(project)

    def configuration(self, project: Project) -> list[Path]:
        return config_files(project, *CONFIG, ".coveragerc", ".coveragerc.toml")

    def command(self, project: Project, tool: Tool) -> Command:
        given = options(project)
        words = ["-p", PLUGIN_NAME, "--continue-on-collection-errors", "--maxfail=0"]
        if "no:cacheprovider" not in given:
            words += ["-o", "cache_dir={out}/pytest_cache"]
        words += [f"--ignore={project.repository / root}" for root in project.nested]
        argv = tool.argv
        if measured(project):
            words += ["--cov-fail-under=0", "--cov-report="]
        elif measures(tool):
            argv = (tool.argv[0], "-m", "coverage", "run", *_source(project), *tool.argv[1:])
            if any(re.match(r"-n|--numprocesses", word) for word in given):
                words.append("-n0")  # what xdist's processes run would not be counted
        env = {
            "PYTHONPATH": "{out}",
            "AIR_EXECUTOR_PYTEST_REPORT": "{out}/tests.jsonl",
            "COVERAGE_FILE": "{out}/coverage.data",
        }
        inputs = {f"{PLUGIN_NAME}.py": PLUGIN.read_text("utf-8")}
        if project.selection is not None:
            wanted = {**msgspec.to_builtins(project.selection), "repository": str(project.repository)}
            env["AIR_EXECUTOR_PYTEST_SELECTION"] = "{out}/selection.json"
            inputs["selection.json"] = msgspec.json.encode(wanted).decode()
        return Command(
            argv=(*argv, *words),
            cwd=project.path,
            env=env,
            inputs=inputs,
            outputs={"tests": "tests.jsonl", "coverage": "coverage.data"},
            then=_collection(project, tool) if project.selection is None else None,
        )

    def parse(self, project: Project, run: ToolRun) -> Findings:
        report = run.outputs.get("tests")
        if report is None:
            said = last_words(run.stderr) or last_words(run.stdout)
            raise CouldNotRun(f"pytest did not begin (exit code {run.exit_code}): {said}", MEND)
        events = decode_lines(self.name, run, Event, report)
        end = events[-1] if events and events[-1].event == "end" else None
        if end is None:
            raise CouldNotRun(_broken_off(events, run), "mend or leave out the test at which it ended")
        if end.exit in (INTERRUPTED, INTERNAL, USAGE) or end.exit > NO_TESTS:
            said = last_words(run.stderr) or last_words(run.stdout)
            raise CouldNotRun(f"pytest failed with exit code {end.exit}: {said}", MEND)
        results, lines = _results(project, events)
        if end.exit == NO_TESTS and not results and project.selection is not None:
            raise CouldNotRun("none of the tests that were asked for is there", MEND)
        if end.exit == NO_TESTS and not results:
            raise CouldNotRun("pytest found no tests", "write some, or mend `testpaths` in pytest's configuration")
        begun = len({event.id for event in events if event.event == "begin"})
        if begun < end.collected:
            raise CouldNotRun(
                f"pytest ran {begun} of {end.collected} tests and left the others out", "see what ends its run early"
            )
        failed = any(result.end in ("failed", "error") for result in results)
        if failed != (end.exit == FAILED):
            raise not_understood(self.name, run, f"exit code {end.exit} does not go with the tests")
        notes: list[str | None] = []
        if end.deselected:
            notes.append(f"{end.deselected} tests are left out by the project's own options")
        if project.selection is None:
            again = _collected(project, run.outputs.get("again"))
            results = results if again is None else mark_unstable(results, again)
            notes.append(unstable_note(results, compared=again is not None))
        failures = [
            _issue(result, line)
            for result, line in zip(results, lines, strict=True)
            if result.end in ("failed", "error") and not result.unstable
        ]
        return Findings(issues=failures, tests=results, note="; ".join(note for note in notes if note) or None)


def _collection(project: Project, tool: Tool) -> Command:
    """The tests once more, only collected: in another process, with other addresses, hashes and random numbers."""
    words = ["-p", PLUGIN_NAME, "--continue-on-collection-errors", "--collect-only", "-q"]
    if "no:cacheprovider" not in options(project):
        words += ["-o", "cache_dir={out}/again_cache"]
    if measured(project):
        words.append("--no-cov")
    words += [f"--ignore={project.repository / root}" for root in project.nested]
    return Command(
        argv=(*tool.argv, *words),
        cwd=project.path,
        env={
            "PYTHONPATH": "{out}",
            "AIR_EXECUTOR_PYTEST_REPORT": "{out}/again.jsonl",
            "AIR_EXECUTOR_PYTEST_COLLECT": "1",
        },
        timeout_s=COLLECTION_LIMIT_S,
        outputs={"again": "again.jsonl"},
    )


def _collected(project: Project, report: Path | None) -> set[str] | None:
    """Ids of the second collection; None where there was none to its end."""
    try:
        lines = report.read_bytes().split(b"\n") if report is not None else []
        events = [msgspec.json.decode(line, type=Event) for line in lines if line]
    except (OSError, msgspec.DecodeError):
        return None
    if not events or events[-1].event != "end" or events[-1].exit not in (OK, FAILED, INTERRUPTED):
        return None
    seen: Counter[tuple[str, tuple[str, ...], str, str]] = Counter()
    ids = set()
    for event in events:
        if event.event == "collected":
            file, suite, name, parameters = identity = _identity(project, event)
            test = TestResult(
                framework="pytest", file=file, suite=suite, name=name, parameters=parameters, ordinal=seen[identity],
                end="passed",
            )  # fmt: skip
            seen[identity] += 1
            ids.add(test.id)
    return ids


def _source(project: Project) -> list[str]:
    """`--source=.` where the project does not say what is measured: files no test imports count too."""
    tables = (tool_table(project.path, "coverage", "run"), ini(project.path / ".coveragerc").get("run"))
    sections = (ini(project.path / name).get("coverage:run") for name in ("setup.cfg", "tox.ini"))
    chosen = any(
        name in table for table in (*tables, *sections) if table for name in ("source", "source_pkgs", "source_dirs")
    )
    return [] if chosen else ["--source=."]


def _broken_off(events: Iterable[Event], run: ToolRun) -> str:
    running: dict[str, None] = {}
    for event in events:
        if event.event == "begin":
            running[event.id] = None
        elif event.event == "phase" and event.when == "teardown":
            running.pop(event.id, None)
    how = f"by {run.signal}" if run.signal else f"with exit code {run.exit_code}"
    where = f" during {', '.join(list(running)[:3])}" if running else ""
    said = last_words(run.stderr, 150)
    return f"pytest ended {how}{where} before it had finished" + (f": {said}" if said else "")


def _results(project: Project, events: Iterable[Event]) -> tuple[list[TestResult], list[int]]:
    """Each test's end, the worst of its phases, and the line it begins in."""
    phases: dict[str, list[list[Event]]] = {}
    results, lines = [], []
    seen: Counter[tuple[str, tuple[str, ...], str, str]] = Counter()
    for event in events:
        if event.event == "uncollected":
            results.append(_uncollected(project, event))
            lines.append(0)
        elif event.event == "phase":
            runs = phases.setdefault(event.id, [])
            if event.when == "setup" or not runs:
                runs.append([])  # of two tests with one id, or a test that is run again by a plugin, each by itself
            runs[-1].append(event)
    for runs in phases.values():
        for one in runs:
            first = one[0]
            if any(event.outcome == "rerun" for event in one):
                continue  # a plugin runs it once more; the last time counts
            identity = _identity(project, first)
            end, message = _end(one)
            result = TestResult(
                framework="pytest",
                file=identity[0],
                suite=identity[1],
                name=first.name,
                parameters=first.parameters,
                ordinal=seen[identity],
                end=end,
                message=message,
                duration_s=sum(event.duration for event in one),
            )
            seen[identity] += 1
            results.append(result)
            lines.append(first.line)
    return results, lines


def _identity(project: Project, event: Event) -> tuple[str, tuple[str, ...], str, str]:
    file = relative(project, event.file) or event.file
    return file, tuple(event.suite), event.name, event.parameters


def _end(phases: list[Event]) -> tuple[TestEnd, str]:
    for event in phases:
        if event.outcome == "failed":
            return ("failed" if event.when == "call" else "error"), event.message
        if event.outcome == "skipped":
            return ("xfailed" if event.xfail else "skipped"), event.message
        if event.xfail:
            return "xpassed", event.message
    return "passed", ""


def _uncollected(project: Project, event: Event) -> TestResult:
    file = relative(project, event.file, Path(event.root) if event.root else None) or event.file
    told = [line[1:].strip() for line in event.message.split("\n") if line.startswith("E ")]
    return TestResult(framework="pytest", file=file, name="", end="error", message="\n".join(told) or event.message)


def _issue(result: TestResult, line: int) -> Issue:
    return Issue(
        tool="pytest",
        rule="collection-error" if not result.name else "test-error" if result.end == "error" else "test-failed",
        severity="error",
        message=result.message.strip().partition("\n")[0] or f"the test {result.end}",
        path=result.file,
        line=line,
        fingerprint=fingerprint("pytest", result.id),
    )
