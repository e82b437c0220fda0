"""Runs in the target Airflow's interpreter: reads questions as lines of JSON, answers each with one.

Nothing but the standard library (of Python 3.9 on) and Airflow may be imported here. DAG files are imported in
processes of their own, forked when Airflow has been imported, so that they may print, exit, crash or hang without
anybody else noticing, and so that none sees what another has imported.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

GRACE_S = 5.0
DATABASE_S = 60.0
COMMAND_S = 180.0
LOOK_S = 0.01

Answer = dict[str, Any]


# ---- children ------------------------------------------------------------------------------------


def in_children(
    work: dict[str, Callable[[], Answer]], limit_s: float, at_once: int, grace_s: float = 0.0
) -> dict[str, Answer]:
    """Do each piece of work in a process of its own; what did not end in `limit_s` and the grace time is killed."""
    waiting, running, answers = list(work.items()), {}, {}  # type: ignore[var-annotated]
    with tempfile.TemporaryDirectory(prefix="air-executor-") as folder:
        while waiting or running:
            while waiting and len(running) < max(1, at_once):
                name, call = waiting.pop(0)
                place = os.path.join(folder, str(len(waiting)))
                running[_fork(call, place)] = (name, place, time.monotonic() + limit_s + grace_s)
            time.sleep(LOOK_S)
            for pid, (name, place, deadline) in list(running.items()):
                late = time.monotonic() > deadline
                if late:
                    _kill_group(pid)
                ended, status = os.waitpid(pid, 0 if late else os.WNOHANG)
                if ended:
                    del running[pid]
                    _kill_group(pid)  # what it has started and left behind
                    answers[name] = _answer(place, status, limit_s if late else None)
    return answers


def _fork(call: Callable[[], Answer], place: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        os.closerange(3, 256)
        answer = call()
        with open(place + ".part", "w", encoding="utf-8") as file:
            json.dump(answer, file)
        os.rename(place + ".part", place)
    finally:
        os._exit(0)  # no atexit of others, no clean-up of the parent's folder


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _answer(place: str, status: int, too_long_s: Any) -> Answer:
    try:
        with open(place, encoding="utf-8") as file:
            answer: Answer = json.load(file)
        return answer
    except (OSError, ValueError):
        pass
    if too_long_s is not None:
        return {"error": f"took longer than {too_long_s:g} s", "died": True}
    how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit code {os.WEXITSTATUS(status)}"
    return {"error": f"ended its process ({how})", "died": True}


# ---- what can be asked ---------------------------------------------------------------------------


def look(folder: str) -> Answer:
    """Where this Airflow's DAGs folder is, and which files it would take for DAG files in `folder`."""
    from airflow.configuration import conf
    from airflow.version import version

    return {
        "version": version,
        "dags_folder": conf.get("core", "dags_folder"),
        "files": sorted(os.path.relpath(path, folder) for path in _dag_files(folder)),
    }


def _dag_files(folder: str) -> list[str]:
    from airflow.configuration import conf
    from airflow.utils.file import list_py_file_paths

    safe_mode = conf.getboolean("core", "DAG_DISCOVERY_SAFE_MODE", fallback=True)
    try:
        return list(list_py_file_paths(folder, safe_mode=safe_mode, include_examples=False))
    except TypeError:  # 3.x has no examples in there
        return list(list_py_file_paths(folder, safe_mode=safe_mode))


def examine(root: str, files: list[str], beside: str, ours: list[str], limit_s: float, at_once: int) -> Answer:
    """Import `files` of `root` as if they were in the folder `beside`, and ask what DAGs others have there.

    `ours` are files in `beside` that these will replace.
    """
    work: dict[str, Callable[[], Answer]] = {f"new {name}": _importing(root, name, beside) for name in files}
    known = _known_by_file()
    answers: dict[str, Answer] = {}
    for path in _dag_files(beside) if os.path.isdir(beside) else []:
        name = os.path.relpath(path, beside)
        if name in ours:
            continue
        ids, parsed_at = known.get(path, ([], 0.0))
        if ids and os.path.getmtime(path) < parsed_at:
            answers[f"old {name}"] = {"dags": ids}
        else:
            work[f"old {name}"] = _importing(beside, name, beside)
    # Airflow's own limit says where a file hangs; ours is for those that do not hear it.
    os.environ["AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT"] = str(limit_s)
    answers.update(in_children(work, limit_s, at_once, GRACE_S))
    found: Answer = {"files": {}, "others": {}}
    for name, answer in answers.items():
        if answer.get("died"):
            answer["error"] = f"importing it {answer['error']}"
        found["files" if name.startswith("new ") else "others"][name[4:]] = answer
    return found


def _importing(root: str, name: str, beside: str) -> Callable[[], Answer]:
    return lambda: _import(root, name, beside)


def _import(root: str, name: str, beside: str) -> Answer:
    sys.dont_write_bytecode = True
    sys.path[:] = [place for place in sys.path if os.path.realpath(place or ".") != os.path.realpath(beside)]
    sys.path += [root, beside] if root != beside else [root]
    path = os.path.join(root, name)
    try:
        dags, error = _bag(path)
    except BaseException as problem:
        dags, error = [], "".join(traceback.format_exception(type(problem), problem, problem.__traceback__))
    if error is not None:
        return {"error": _last_line(error), **_place(error, root)}
    used = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    inside = [os.path.relpath(file, beside) for file in used if file and _is_in(file, beside)]
    try:
        _serialize(dags)
    except Exception as problem:
        return {"error": f"cannot be serialized: {_short(problem)}"}
    return {"dags": sorted(dag.dag_id for dag in dags), "uses": sorted(inside)}


def _is_in(file: str, folder: str) -> bool:
    return file.startswith(folder.rstrip(os.sep) + os.sep)


def _dag_bag() -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before 3.2
        from airflow.models.dagbag import DagBag
    return DagBag


def _bag(path: str) -> tuple[list[Any], Any]:
    """The DAGs of a file, or the traceback that Airflow would show."""
    DagBag = _dag_bag()  # noqa: N806
    options = {"include_examples": False, "read_dags_from_db": False, "collect_dags": False}
    takes = inspect.signature(DagBag.__init__).parameters
    bag = DagBag(os.devnull, **{name: value for name, value in options.items() if name in takes})
    # The file was chosen before, by this Airflow's own heuristic.
    bag.process_file(path, only_if_updated=False, safe_mode=False)
    for error in bag.import_errors.values():
        return [], error
    return list(bag.dags.values()), None


def _serialize(dags: list[Any]) -> None:
    from airflow.serialization import serialized_objects

    for name in ("DagSerialization", "SerializedDAG"):
        serialization = getattr(serialized_objects, name, None)
        if serialization is not None:
            for dag in dags:
                serialization.to_dict(dag)
            return


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # A message of several lines stands after the last frame; its first line says what it is.
    frames = [number for number, line in enumerate(lines) if re.match(r'File ".*", line \d+', line)]
    for line in lines[frames[-1] + 1 :] if frames else []:
        if re.match(r"[\w.]+(Error|Exception|Exit|Timeout|Interrupt|Warning|[A-Z]\w*)(:|$)", line):
            return line
    return lines[-1] if lines else "no reason given"


def _place(text: str, root: str) -> Answer:
    """The last line of a file below `root` that a traceback goes through."""
    for file, line in reversed(re.findall(r'File "([^"]+)", line (\d+)', text)):
        if _is_in(file, root):
            return {"file": os.path.relpath(file, root), "line": int(line)}
    return {}


def _short(problem: BaseException) -> str:
    return " ".join(f"{type(problem).__name__}: {problem}".split())[:500]


# ---- the metadata database -----------------------------------------------------------------------


def known(ids: list[str]) -> Answer:
    """What the metadata database has of these DAGs: id -> file, active, paused, when it was parsed last."""
    return in_children({"": lambda: _rows(ids)}, DATABASE_S, 1)[""]


def command(arguments: list[str]) -> Answer:
    """Run a command of the `airflow` program here: starting that anew would cost seconds each time."""
    return in_children({"": lambda: _command(arguments)}, COMMAND_S, 1)[""]


def _command(arguments: list[str]) -> Answer:
    from airflow.cli.cli_parser import get_parser

    try:
        parsed = get_parser().parse_args(arguments)
        parsed.func(parsed)
    except SystemExit as end:
        return {} if end.code in (None, 0) else {"error": str(end.code)}
    except Exception as problem:
        return {"error": _short(problem)}
    return {}


def _known_by_file() -> dict[str, tuple[list[str], float]]:
    found: dict[str, tuple[list[str], float]] = {}
    for dag_id, row in in_children({"": lambda: _rows(None)}, DATABASE_S, 1)[""].get("dags", {}).items():
        if row["active"]:
            ids, parsed_at = found.get(row["file"], ([], row["parsed_at"]))
            found[row["file"]] = ([*ids, dag_id], min(parsed_at, row["parsed_at"]))
    return found


def _rows(ids: Any) -> Answer:
    from airflow.models import DagModel
    from airflow.utils.session import create_session

    active = "is_active" if hasattr(DagModel, "is_active") else "is_stale"
    try:
        with create_session() as session:
            names = ("dag_id", "fileloc", "is_paused", "last_parsed_time", active)
            query = session.query(*(getattr(DagModel, name) for name in names))
            if ids is not None:
                query = query.filter(DagModel.dag_id.in_(ids))
            rows = [tuple(row) for row in query]
    except Exception as problem:
        return {"error": _short(problem)}
    return {
        "dags": {
            row[0]: {
                "file": row[1] or "",
                "paused": bool(row[2]),
                "parsed_at": row[3].timestamp() if row[3] is not None else 0.0,
                "active": bool(row[4]) if active == "is_active" else not row[4],
            }
            for row in rows
        }
    }


QUESTIONS: dict[str, Callable[..., Answer]] = {"look": look, "examine": examine, "known": known, "command": command}


def main() -> None:
    # What Airflow itself prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path[:] = [place for place in sys.path if place != os.path.dirname(os.path.abspath(__file__))]
    # Before the first question, so that not every child has to.
    import airflow.models
    import airflow.serialization.serialized_objects
    import airflow.settings  # noqa: F401

    _dag_bag()
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = QUESTIONS[question.pop("ask")](**question)
        except Exception as problem:
            answer = {"failed": _short(problem)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
