"""Whether the files work where they are going: imported by the target's own interpreter, DAG ids unique."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from air_executor.dags.deployment import DagsFolder
from air_executor.dags.manifest import Manifest
from air_executor.dags.source import Problem, Snapshot
from air_executor.dags.target import START_S, Airflow
from air_executor.errors import InvalidInput

__all__ = ["Checked", "Invalid", "validate"]


class Invalid(InvalidInput):
    """Files that do not work in the target Airflow."""

    def __init__(self, problems: list[Problem]) -> None:
        count = len({problem.file for problem in problems})
        what = "1 file is" if count == 1 else f"{count} files are"
        super().__init__(f"{what} not fit to be deployed; nothing was deployed")
        self.problems = problems


class Checked(NamedTuple):
    """`dags`: file -> its DAG ids; `others`: DAG id -> the file of somebody else in the DAGs folder."""

    dags: dict[str, list[str]]
    others: dict[str, str]
    warnings: list[str]


def validate(
    airflow: Airflow,
    snapshot: Snapshot,
    target: DagsFolder,
    old: Manifest,
    *,
    cleanup: bool,
    limit_s: float,
    found: Iterable[Problem] = (),
) -> Checked:
    """Import every DAG file, each in a process of its own, beside what others have in the DAGs folder.

    Raises `Invalid` with all problems, and those that were `found` before.
    """
    problems = list(found)
    unreadable = {problem.file for problem in problems}
    files = [name for name, file in snapshot.files.items() if file.kind == "dag" and name not in unreadable]
    at_once = len(os.sched_getaffinity(0))
    answer = airflow.ask(
        "examine",
        within_s=START_S + limit_s * 2 * max(1, len(files)),
        root=str(snapshot.root),
        files=files,
        beside=str(target.path),
        ours=sorted({*snapshot.files, *old.files}),
        limit_s=limit_s,
        at_once=at_once,
    )
    vanishing = set() if not cleanup else old.files.keys() - snapshot.files.keys()
    dags: dict[str, list[str]] = {}
    for name, about in sorted(answer["files"].items()):
        if "error" in about:
            text = about["error"].replace(f"{snapshot.root}{os.sep}", "")
            problem = Problem(about.get("file", name), about.get("line", 0), text)
            if problem.file not in unreadable:
                problems.append(problem)
            continue
        dags[name] = about["dags"]
        problems += [
            Problem(name, 0, f"imports {used}, which is deployed but no longer in the folder, so it would go")
            for used in sorted(vanishing.intersection(about["uses"]))
        ]
    others, warnings = _others(answer["others"])
    kept = {} if cleanup else {dag: file for dag, file in old.dags.items() if file not in snapshot.files}
    problems += _twice(dags, others, kept)
    if not problems and not any(dags.values()):
        problems += [
            Problem(name, 0, "importing it makes no DAG, and there is none in any other file") for name in files
        ]
    if problems:
        raise Invalid(list(dict.fromkeys(problems)))
    return Checked(dags, others, warnings)


def _others(answers: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    others: dict[str, str] = {}
    warnings = []
    for name, about in sorted(answers.items()):
        if "error" in about:
            warnings.append(
                f"{name}, somebody else's file, cannot be imported, so its DAG ids are not known: {about['error']}"
            )
        else:
            others |= dict.fromkeys(about["dags"], name)
    return others, warnings


def _twice(dags: dict[str, list[str]], others: dict[str, str], kept: dict[str, str]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for name, ids in dags.items():
        for dag in ids:
            if dag in first:
                yield Problem(name, 0, f"DAG id {dag!r} is also in {first[dag]}")
            elif dag in others:
                yield Problem(
                    name, 0, f"DAG id {dag!r} is also in {others[dag]}, somebody else's file in the DAGs folder"
                )
            elif dag in kept:
                yield Problem(
                    name,
                    0,
                    f"DAG id {dag!r} is also in {kept[dag]}, which was deployed before; --cleanup removes that",
                )
            first.setdefault(dag, name)
