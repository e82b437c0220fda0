"""One sync, in order: look, choose, copy, validate, compare, put in place, forget what is gone, unpause."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from air_executor import __version__
from air_executor.dags import manifest as manifests
from air_executor.dags.deployment import HIDDEN, DagsFolder
from air_executor.dags.manifest import Manifest, Mode
from air_executor.dags.plan import Change, InPlace, Plan, Wish, make_plan
from air_executor.dags.source import Problem, Snapshot, choose, sha256_of, take
from air_executor.dags.target import Airflow, AirflowFailed
from air_executor.dags.validation import validate
from air_executor.errors import AirExecutorError, InvalidInput, Refused, WaitTimeout
from air_executor.times import to_iso

__all__ = ["Conflict", "Options", "Result", "check_folder", "deploy", "next_manifest", "plan_for", "sync"]

SET_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
POLL_S: Final = 1.0


class Conflict(Refused):
    """The DAGs folder holds something that must not be overwritten."""

    def __init__(self, folder: Path, problems: list[str]) -> None:
        what = "1 file" if len(problems) == 1 else f"{len(problems)} files"
        super().__init__(f"{what} in {folder} would be overwritten; nothing was deployed")
        self.problems = problems


class Options(NamedTuple):
    mode: Mode = "copy"
    cleanup: bool = False
    unpause: bool = False
    dry_run: bool = False
    force: bool = False
    dags_folder: Path | None = None
    set_name: str = "default"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    data: bool = True
    import_timeout_s: float = 30.0
    timeout_s: float = 400.0


class Result(msgspec.Struct, kw_only=True):
    """What was done, or would be; filled as the sync goes on, so that it tells as well how far that came."""

    source: str
    mode: Mode = "copy"
    dry_run: bool = False
    airflow: str | None = None
    version: str | None = None
    dags_folder: str | None = None
    deployed: bool = False
    changes: list[Change] = []
    left_out: list[str] = []
    deleted_dags: list[str] = []
    unpaused_dags: list[str] = []
    warnings: list[str] = []


def sync(
    folder: Path, airflow: Airflow, options: Options, result: Result, tell: Callable[[str], None] = lambda _: None
) -> None:
    """Bring `folder` to the DAGs folder of `airflow`, all or nothing, and say in `result` what was done.

    Raises `Invalid` and `Conflict`, with `problems`, before anything is changed; `WaitTimeout` when everything is
    deployed but Airflow has not read it in time to be unpaused. `tell` hears what takes long.
    """
    source = check_folder(folder)
    if SET_NAME.fullmatch(options.set_name) is None:
        raise InvalidInput(f"the name of a set is letters, digits, '_', '-' and '.', not {options.set_name!r}")
    result.source, result.airflow = str(source), str(airflow.program)
    chosen = None if options.dags_folder is None else _dags_folder(options.dags_folder, source)
    facts = airflow.ask("look", folder=str(source))
    target = DagsFolder(chosen or _dags_folder(Path(facts["dags_folder"]), source), options.set_name)
    result.version, result.dags_folder = facts["version"], str(target.path)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="air-executor-"))
        if not options.dry_run:
            stack.enter_context(target.locked())
            target.mend()
        snapshot, problems = _snapshot(source, facts["files"], options, Path(place).resolve() / "dags", result)
        old = target.manifest()
        tell(f"importing the DAG files in Airflow {facts['version']}")
        checked = validate(
            airflow,
            snapshot,
            target,
            old,
            cleanup=options.cleanup,
            limit_s=options.import_timeout_s,
            found=problems,
        )
        result.warnings += checked.warnings
        plan = plan_for(old, snapshot, checked.dags, options, target, source)
        result.changes = plan.changes
        new = next_manifest(old, plan, checked.others, target, result)
        if options.dry_run:
            return
        deploy(target, old, new, snapshot, plan)
        result.deployed = True
        if options.cleanup and new.stale_dags:
            _forget(airflow, target, new, result)
    if options.unpause:
        mine = {dag: change.file for change in plan.changes if change.file in snapshot.files for dag in change.dags}
        _unpause(airflow, mine, options.timeout_s, result, tell)


def check_folder(folder: Path) -> Path:
    """The folder's real path; raises `InvalidInput` where there is none."""
    if not folder.exists():
        raise InvalidInput(f"no folder {folder}; name the folder that holds your DAG files")
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is a file; name the folder that holds your DAG files")
    return folder.resolve()


def _dags_folder(folder: Path, source: Path) -> Path:
    path = folder.expanduser().absolute()
    real = path.resolve()
    if path.exists() and not path.is_dir():
        raise InvalidInput(f"the DAGs folder {path} is a file")
    if source == real:
        raise InvalidInput(f"{source} is the DAGs folder itself; Airflow reads it without being synced")
    if source.is_relative_to(real):
        raise InvalidInput(f"{source} is inside the DAGs folder {path}, where Airflow reads it already; move it out")
    if real.is_relative_to(source):
        raise InvalidInput(f"the DAGs folder {path} is inside {source}; sync a folder that does not hold it")
    return path


def _snapshot(
    source: Path, dag_files: Iterable[str], options: Options, place: Path, result: Result
) -> tuple[Snapshot, list[Problem]]:
    dag_files = [name for name in dag_files if HIDDEN not in name]
    try:
        files, result.left_out, problems = choose(
            source, dag_files, include=options.include, exclude=options.exclude, data=options.data
        )
    except OSError as error:
        raise InvalidInput(f"cannot read {error.filename}: {error.strerror}") from None
    if not any(file.kind == "dag" for file in files.values()):
        raise InvalidInput(
            f"no DAG file in {source}: Airflow takes a Python file for one when it has the words `airflow` and `dag` "
            f"in it and no .airflowignore names it"
        )
    return take(source, files, place), problems


def plan_for(
    old: Manifest, snapshot: Snapshot, dags: dict[str, list[str]], options: Options, target: DagsFolder, source: Path
) -> Plan:
    """What has to be done; raises `Conflict` where that would overwrite something."""

    def digest(name: str) -> str | None:
        try:
            return sha256_of(target.path / name)
        except OSError:
            return None

    wish = Wish(source, options.mode, options.cleanup, options.force)
    plan = make_plan(old, snapshot, dags, wish, InPlace(target.path, target.standing, digest))
    if plan.conflicts:
        raise Conflict(target.path, plan.conflicts)
    return plan


def next_manifest(old: Manifest, plan: Plan, others: dict[str, str], target: DagsFolder, result: Result) -> Manifest:
    """What will be deployed; `others` are DAG ids that somebody else's files have by now."""
    missing = target.missing_folders(plan.files)
    needed = {os.path.dirname(name) for name in plan.files}
    kept = {folder for folder in old.folders if any(f"{need}/".startswith(f"{folder}/") for need in needed)}
    new = Manifest(
        version=__version__,
        synced_at=to_iso(time.time()),
        source=result.source,
        mode=result.mode,
        files=plan.files,
        folders=tuple(sorted(missing | kept)),
    )
    gone = {*old.dags, *old.stale_dags} - set(new.dags) - set(others)
    return msgspec.structs.replace(new, stale_dags=tuple(sorted(gone)))


def _differ(old: Manifest, new: Manifest) -> bool:
    same = ("files", "folders", "stale_dags", "mode", "source")
    return any(getattr(old, name) != getattr(new, name) for name in same)


def deploy(target: DagsFolder, old: Manifest, new: Manifest, snapshot: Snapshot, plan: Plan) -> None:
    """Make `new` what Airflow sees, if that is another than `old`."""
    if not plan.rewrite and not _differ(old, new):
        return
    try:
        target.put_in_place(target.stage(new, snapshot.root, plan.rewrite))
    except AirExecutorError:
        target.mend()
        raise


def _forget(airflow: Airflow, target: DagsFolder, new: Manifest, result: Result) -> None:
    """Have Airflow delete what it knows of DAGs that are gone, their runs too."""
    left = []
    rows = _rows(airflow, new.stale_dags, result)
    for dag in new.stale_dags:
        if rows is None:
            left.append(dag)
        elif dag in rows:
            try:
                airflow.tell("dags", "delete", "--yes", dag)
                result.deleted_dags.append(dag)
            except AirflowFailed as error:
                left.append(dag)
                result.warnings.append(f"DAG {dag} is gone, but Airflow keeps its records: {error}")
    release = target.current_release()
    assert release is not None
    manifests.write(release, msgspec.structs.replace(new, stale_dags=tuple(left)))


def _rows(airflow: Airflow, dags: Iterable[str], result: Result) -> dict[str, Any] | None:
    answer = airflow.ask("known", ids=list(dags))
    if "error" in answer:
        result.warnings.append(f"Airflow's metadata database cannot be read: {answer['error']}")
        return None
    rows: dict[str, Any] = answer["dags"]
    return rows


def _unpause(
    airflow: Airflow, mine: dict[str, str], timeout_s: float, result: Result, tell: Callable[[str], None]
) -> None:
    """Unpause our DAGs, once Airflow has read them."""
    deadline = time.monotonic() + timeout_s
    waiting, told = set(mine), False
    while True:
        answer = airflow.ask("known", ids=sorted(waiting))
        if "error" in answer:
            raise AirflowFailed(f"everything is deployed, but nothing can be unpaused: {answer['error']}")
        rows = {
            dag: row for dag, row in answer["dags"].items() if row["active"] and row["file"].endswith(f"/{mine[dag]}")
        }
        paused = sorted(dag for dag, row in rows.items() if row["paused"])
        if paused:
            _unpause_now(airflow, paused)
            result.unpaused_dags += paused
        waiting -= rows.keys()
        if not waiting:
            return
        if time.monotonic() > deadline:
            names = ", ".join(sorted(waiting))
            raise WaitTimeout(
                f"everything is deployed, but Airflow has not read {names} within {timeout_s:g} s, so that stays "
                f"paused; see that its DAG processor runs, then sync again"
            )
        if not told:
            tell(f"waiting for Airflow to read {', '.join(sorted(waiting))}")
            told = True
        time.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))


def _unpause_now(airflow: Airflow, dags: list[str]) -> None:
    if len(dags) == 1:
        airflow.tell("dags", "unpause", "--yes", dags[0])
    else:
        # One command, since each costs seconds. Brackets are an escape that every database understands.
        any_of = "|".join(re.sub(r"[^\w-]", lambda c: f"[{c[0]}]", dag) for dag in dags)
        airflow.tell("dags", "unpause", "--yes", "--treat-dag-id-as-regex", f"^({any_of})$")
