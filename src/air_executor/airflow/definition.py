"""What a job consists of: tasks given in the DAG, made by a function, or read from a job file."""

from __future__ import annotations

import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from air_executor.airflow import secret
from air_executor.airflow._compat import AirflowException, conf
from air_executor.errors import AirExecutorError
from air_executor.model import param_text

__all__ = ["Definition", "dags_folder", "made_by", "read_from"]

ANSWER_S: Final = 180.0
"""So long it may take to load Airflow and read a secret: seconds, but minutes on a machine with too much to do."""
_PLACEHOLDER: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass
class Definition:
    """Tasks as objects, the options of their job, and the folder it is at home in, if there is one."""

    tasks: list[dict[str, Any]]
    options: dict[str, Any] = field(default_factory=dict)
    cwd: str | None = None

    def with_secrets(self, secrets: Mapping[str, str], python: str | None = None) -> None:
        """Let every task have these variables, also tasks that are queued later and say nothing of `env_from`.

        Only references go along: the manager runs `python -m air_executor.airflow.secret REFERENCE` when a task
        starts. What a task says itself comes first.
        """
        if not secrets:
            return
        command = [python or sys.executable, "-P", "-m", "air_executor.airflow.secret"]
        references = {
            name: {"command": [*command, secret.checked(ref)], "timeout_s": ANSWER_S} for name, ref in secrets.items()
        }
        defaults = dict(self.options.get("defaults") or {})
        defaults["env_from"] = {**references, **(defaults.get("env_from") or {})}
        self.options["defaults"] = defaults
        for task in self.tasks:
            if task.get("env_from"):
                task["env_from"] = {**references, **task["env_from"]}


def made_by(function: Callable[..., Iterable[Mapping[str, Any]]], context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a function returns or yields. It gets of Airflow's context what its parameters ask for by name."""
    name = getattr(function, "__name__", repr(function))
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 2.10 warns of each outdated name in it
            given = dict(context)
    else:
        given = {parameter.name: context[parameter.name] for parameter in parameters if parameter.name in context}
    lacking = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.name not in given
    ]
    if lacking:
        raise AirflowException(
            f"tasks: {name}() asks for {', '.join(lacking)}, which is not in Airflow's context (ti, params, ds, …)"
        )
    return listed(function(**given), f"{name}()")


def listed(tasks: Any, source: str) -> list[dict[str, Any]]:
    """`tasks` as a list of new objects, or an error saying what `source` gave instead."""
    if isinstance(tasks, Mapping | str | bytes) or not isinstance(tasks, Iterable):
        raise AirflowException(f"tasks: expected {source} to give a list of task objects, not {_kind(tasks)}")
    found = []
    for index, task in enumerate(tasks):
        if not isinstance(task, Mapping):
            raise AirflowException(f"tasks[{index}]: expected {source} to give task objects, not {_kind(task)}")
        found.append(dict(task))
    return found


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__


def read_from(file: str, params: Mapping[str, Any], dag: Any) -> Definition:
    """A job file with its params filled in; a relative path is looked for beside the DAG file, then in its bundle."""
    from air_executor.jobfile import load_job_file

    path = _found(file, dag)
    try:
        job = load_job_file(path, {name: _as_text(value) for name, value in params.items()})
    except AirExecutorError as error:
        raise AirflowException(str(error)) from None
    # Filled in already; a placeholder that is left was written as `$${name}`, and is to stay.
    declared = job.options.get("params", {}).keys()
    tasks = [{**_kept(raw, declared), "id": spec.id} for raw, spec in zip(job.raw_tasks, job.tasks, strict=True)]
    return Definition(tasks, _kept(job.options, declared), str(path.parent))


def _as_text(value: Any) -> str:
    if not isinstance(value, str | int | float | bool):
        raise AirflowException(f"job_params: expected texts, numbers and booleans, not {_kind(value)}")
    return param_text(value)


def _kept(value: Any, names: Any) -> Any:
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: f"${found[0]}" if found[1] in names else found[0], value)
    if isinstance(value, list):
        return [_kept(item, names) for item in value]
    if isinstance(value, dict):
        return {key: _kept(item, names) for key, item in value.items()}
    return value


def _found(file: str, dag: Any) -> Path:
    path = Path(os.path.expanduser(file))
    if path.is_absolute():
        places = [path]
    else:
        folders = [os.path.dirname(getattr(dag, "fileloc", "") or ""), dags_folder(dag)]
        places = [Path(folder) / path for folder in dict.fromkeys(folders) if folder]
    for place in places:
        if place.is_file():
            return place
    looked = " or ".join(str(place) for place in places)
    raise AirflowException(f"job_file {file!r}: there is no {looked or 'such file'} on this machine")


def dags_folder(dag: Any) -> str:
    """The folder of the DAG's bundle: what its file's path is relative to."""
    location, relative = str(getattr(dag, "fileloc", "") or ""), str(getattr(dag, "relative_fileloc", "") or "")
    if relative and location.endswith(f"/{relative}"):
        return location.removesuffix(f"/{relative}")
    return conf.get("core", "dags_folder", fallback="")
