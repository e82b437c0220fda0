"""Running the checks of projects: what is known already from the cache, the rest as the tasks of one job.

The job has a base folder and a manager of its own below the user's cache, so that nothing is written into the target.
There the outputs of the last runs stay to be looked at.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from air_executor.client import AirExecutorClient
from air_executor.errors import BaseUnusable, NoManager
from air_executor.fixing.check import Check, CouldNotRun, Kind, Project, Selection, Tool
from air_executor.fixing.checking import sandbox
from air_executor.fixing.checking.cache import Cache, cache_folder
from air_executor.fixing.checking.check_task import Spec, encode
from air_executor.fixing.files import Files, find_files
from air_executor.fixing.languages import Language, languages
from air_executor.fixing.outcome import CheckResult
from air_executor.fixing.trust import Mode, refusal
from air_executor.private_manager import ManagerProcess

__all__ = ["DYNAMIC", "STATIC", "Options", "Skipped", "applying", "run_checks", "skipped_checks"]

STATIC: Final[frozenset[Kind]] = frozenset({"build", "lint", "format", "types", "metrics"})
DYNAMIC: Final[frozenset[Kind]] = frozenset({"tests", "coverage"})
SLOW: Final[frozenset[Kind]] = frozenset({"build", "types"})
"""Begun first, so that the others run beside them."""
JOB: Final = "checks"
RUNS_KEPT: Final = 5
LOOK_S: Final = 0.03
STATE_S: Final = 0.5
"""How often is asked whether the job ended without all results, which it does when a task of ours fails."""
STARTS: Final = 3
EXTRA_S: Final = 120.0
"""A task has so much longer than its tool: for the tool's version, the copy of the tree, and reading."""


class Options(Struct, kw_only=True, frozen=True):
    """How checks are run."""

    mode: Mode
    kinds: frozenset[Kind] = STATIC | DYNAMIC
    only: frozenset[str] | None = None
    """Names of checks (`ruff`, `python/ruff`); None for all."""
    static_timeout_s: float = 600.0
    test_timeout_s: float = 180.0
    slots: int | None = None
    """Checks at once (default: the CPUs this process may use)."""
    selection: Selection | None = None
    """Which tests are wanted; results of a choice are not kept. None: what each project says."""
    use_cache: bool = True
    environment: tuple[str, ...] = ()
    """Variables that tools get beside those of `sandbox.ALLOWED`."""


class Skipped(Struct, frozen=True):
    """A check that was not asked for, which is neither good nor bad."""

    check: str
    project: str
    reason: str


class Planned:
    """A check of a project, until it has a result."""

    def __init__(self, project: Project, language: Language, check: Check) -> None:
        self.project = project
        self.language = language
        self.check = check
        self.tool: Tool | None = None
        self.key: str | None = None
        self.rules: str | None = None
        self.result: CheckResult | None = None
        self.task = ""
        self.folder = Path()

    @property
    def name(self) -> str:
        return f"{self.language.name}/{self.check.name}"

    def could_not(self, error: CouldNotRun) -> CheckResult:
        return CheckResult(
            check=self.name,
            project=self.project.root,
            kind=self.check.kind,
            outcome="could_not_run",
            reason=error.reason,
            mend=error.mend,
            tool=" ".join(self.tool.argv) if self.tool is not None else "",
            rules=self.rules,
        )


def _plan(projects: Iterable[Project], options: Options) -> list[Planned]:
    own_programs = options.mode in ("sandbox", "trusted")
    found = []
    for given in projects:
        selection = options.selection or given.selection
        project = msgspec.structs.replace(given, own_programs=own_programs, selection=selection)
        language = languages()[project.language]
        applying = [check for check in language.checks if check.applies(project)]
        wanted = {check.name for check in applying if _wanted(check, language, options)}
        # What is read has to be there.
        wanted |= {check.reads for check in applying if check.name in wanted and check.reads is not None}
        found += [Planned(project, language, check) for check in applying if check.name in wanted]
    return found


def _wanted(check: Check, language: Language, options: Options) -> bool:
    named = options.only is None or bool(options.only & {check.name, f"{language.name}/{check.name}"})
    return named and check.kind in options.kinds


def applying(projects: Iterable[Project], options: Options) -> list[tuple[Project, Check]]:
    """Every check that is wanted and applies, with its project, in the order of the results."""
    return [(planned.project, planned.check) for planned in _plan(projects, options)]


def skipped_checks(projects: Iterable[Project], options: Options) -> list[Skipped]:
    """Those that `run_checks` leaves out because they load code and only static checks were asked for."""
    if options.mode != "static":
        return []
    return [
        Skipped(planned.name, planned.project.root, "it runs code of the repository")
        for planned in _plan(projects, options)
        if planned.check.loads_code(planned.project)
    ]


def run_checks(
    projects: Sequence[Project],
    options: Options,
    *,
    files: Files | None = None,
    folder: Path | None = None,
    told: Callable[[CheckResult], None] | None = None,
) -> list[CheckResult]:
    """Every check that applies to each project, in their order.

    All projects are of one repository; `files` are its files, where they are known already. `told` hears of each
    result as soon as it is there. `folder`: where everything is kept, by default in the user's cache.
    """
    if not projects:
        return []
    repository = projects[0].repository
    folder = cache_folder() if folder is None else folder
    tell = told or (lambda _: None)
    plan = _plan(projects, options)
    if options.mode == "static":
        plan = [planned for planned in plan if not planned.check.loads_code(planned.project)]
    cache = Cache(folder, repository, (find_files(repository) if files is None else files).paths)
    for planned in plan:
        _prepare(planned, options, cache)
    _hold_back(plan)
    for planned in plan:
        if planned.result is not None:
            tell(planned.result)
    left = [planned for planned in plan if planned.result is None]
    if left:
        place = hashlib.sha256(os.fsencode(repository)).hexdigest()[:16]
        with _RunFolder(folder / "runs", place) as run:
            _Job(run, left, options, folder / "tools" / place, tell).to_the_end()
        for planned in left:
            if planned.key is not None and planned.result is not None:
                cache.put(planned.key, planned.result)
        cache.prune()
    cache.digests.save()
    return [planned.result for planned in plan if planned.result is not None]


def _prepare(planned: Planned, options: Options, cache: Cache) -> None:
    """Find the tool, and the result if it is known."""
    check, project = planned.check, planned.project
    try:
        if options.mode == "refused" and check.loads_code(project):
            raise refusal(planned.name)
        planned.rules = cache.rules(check, project)
        planned.tool = check.find(project)
    except CouldNotRun as error:
        planned.result = planned.could_not(error)
        return
    if project.selection is not None and check.kind in DYNAMIC:
        return
    planned.key = cache.key(
        check,
        project,
        planned.tool,
        locks=_locks(planned),
        environment=_environment(options),
        mode=options.mode if check.loads_code(project) else "",
    )
    if options.use_cache:
        planned.result = cache.get(planned.key)


def _environment(options: Options) -> dict[str, str]:
    env = sandbox.tool_environment(Path("/home"), options.environment)
    # A tool is known by its own identity; where else programs might be found changes with every shell.
    return {name: value for name, value in env.items() if name != "PATH"}


def _locks(planned: Planned) -> list[Path]:
    project = planned.project
    roots = dict.fromkeys((project.root, project.workspace or project.root, "."))
    locks = [project.repository / root / name for root in roots for name in planned.language.lock_files]
    return locks + list(planned.language.installed(project))


def _hold_back(plan: list[Planned]) -> None:
    """What a check without result reads must be made anew, though its own result is known."""
    for planned in plan:
        if planned.result is None and planned.check.reads is not None:
            for other in plan:
                read = other.check.name == planned.check.reads and other.project is planned.project
                if read and other.result is not None and other.result.outcome != "could_not_run":
                    other.result = None


class _RunFolder:
    """A folder for one run, locked while it is in use; the oldest ones that are not are removed."""

    def __init__(self, runs: Path, place: str) -> None:
        self._runs = runs
        stamp = time.strftime("%Y%m%d_%H%M%S", time.gmtime())
        self.path = runs / f"{stamp}-{place}-{os.getpid()}-{os.urandom(2).hex()}"
        self._lock = -1

    def __enter__(self) -> Path:
        try:
            self.path.mkdir(parents=True, mode=0o700)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        except OSError as error:
            raise BaseUnusable(f"{self.path} cannot be used: {error.strerror}; XDG_CACHE_HOME moves it") from error
        return self.path

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)
        for old in sorted(self._runs.iterdir())[:-RUNS_KEPT]:
            with contextlib.suppress(OSError):
                fd = os.open(old / "lock", os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(old, ignore_errors=True)
                finally:
                    os.close(fd)


class _Job:
    """The checks that have to be run, as one job."""

    def __init__(
        self, run: Path, plan: list[Planned], options: Options, tools: Path, tell: Callable[[CheckResult], None]
    ) -> None:
        self._run = run
        self._plan = plan
        self._options = options
        self._tools = tools
        self._tell = tell
        self._client = AirExecutorClient(run / "base" / ".air-executor")
        # All in one folder: to look at each check's own costs more than the rest of waiting for them.
        self._results = run / "results"
        self._results.mkdir()
        self._left: dict[str, Planned] = {}

    def to_the_end(self) -> None:
        tasks = [self._task(number, planned) for number, planned in enumerate(self._plan)]
        # Test suites of one repository may use the same ports and files.
        self._client.create_job(JOB, tasks, groups={"tests": {"limit": 1}}, cwd=self._run)
        options = {"until_idle": True, "slots": self._options.slots}
        manager = ManagerProcess(self._client.base, options)
        starts = 1
        asked = time.monotonic()
        try:
            while True:
                ended = manager.ended()
                self._collect()
                if not self._left:
                    break
                if ended is not None or time.monotonic() > asked + STATE_S:
                    asked = time.monotonic()
                    if self._client.get_job(JOB)["state"] in ("completed", "failed"):
                        self._collect()
                        self._give_up()
                        break
                if ended is not None:
                    if starts == STARTS:
                        raise manager.error(ended)
                    starts += 1
                    manager = ManagerProcess(self._client.base, options)
                time.sleep(LOOK_S)
        finally:
            if manager.ended() is None and self._left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(manager.pid, signal.SIGUSR2)  # cancels everything
            manager.wait(30.0)
            if manager.ended() is None:
                raise NoManager(f"manager {manager.pid} does not end; see {self._client.base.manager_log}")

    def _task(self, number: int, planned: Planned) -> dict[str, object]:
        check, project = planned.check, planned.project
        assert planned.tool is not None
        safe = project.root.replace("/", "_") if project.root != "." else "root"
        planned.task = f"{number:03d} {planned.name} {project.root}"
        planned.folder = self._run / f"{number:03d}-{planned.language.name}-{check.name}-{safe[:60]}"
        planned.folder.mkdir()
        shared = self._project_file(project)
        read = next(
            (other for other in self._plan if other.check.name == check.reads and other.project is project), None
        )
        timeout = self._options.test_timeout_s if check.kind in DYNAMIC else self._options.static_timeout_s
        cache = hashlib.sha256(f"{project.root}\0{planned.name}".encode()).hexdigest()[:16]
        spec = Spec(
            language=planned.language.name,
            check=check.name,
            project=str(shared),
            tool=planned.tool,
            folder=str(planned.folder),
            cache=str(self._tools / f"{check.name}-{cache}"),
            reads=str(read.folder) if read is not None else None,
            result=str(self._results / planned.folder.name),
            sandboxed=self._options.mode == "sandbox",
            timeout_s=timeout,
            environment=self._options.environment,
            rules=planned.rules,
        )
        (planned.folder / "spec.json").write_bytes(msgspec.json.encode(spec))
        self._left[planned.folder.name] = planned
        return {
            "id": planned.task,
            "command": sys.executable,
            "args": ["-P", "-m", "air_executor.fixing.checking.check_task", str(planned.folder / "spec.json")],
            "timeout_s": timeout + EXTRA_S,
            "dependencies": [read.task] if read is not None else [],
            "trigger_rule": "all_done",
            "priority": 1 if check.kind in SLOW else 0,
            **({"group": "tests"} if check.kind in DYNAMIC else {}),
        }

    def _project_file(self, project: Project) -> Path:
        """The project, once for all its checks."""
        content = encode(project)
        path = self._run / f"project-{hashlib.sha256(content).hexdigest()[:16]}.json"
        if not path.exists():
            path.write_bytes(content)
        return path

    def _collect(self) -> None:
        """Take the results that are there."""
        for name in sorted(os.listdir(self._results)):
            planned = self._left.pop(name, None)
            if planned is not None:
                planned.result = msgspec.json.decode((self._results / name).read_bytes(), type=CheckResult)
                self._tell(planned.result)

    def _give_up(self) -> None:
        """Checks whose task has ended without a result could not run, for the reason the task tells."""
        tasks = {task["id"]: task for task in self._client.tasks(JOB)}
        for planned in self._left.values():
            task = tasks.get(planned.task, {})
            why = task.get("error") or task.get("reason") or "it left no result"
            planned.result = planned.could_not(
                CouldNotRun(f"the task of this check failed: {why}", f"see its log in {self._client.base}")
            )
            self._tell(planned.result)
        self._left.clear()
