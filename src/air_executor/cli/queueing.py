"""`queue`: more tasks for a job, from inside one of its tasks or from anywhere else."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from air_executor.cli.options import Shape, base_option, json_option

__all__ = ["queue"]

QUEUED = Shape(
    "one object",
    {
        "job_name": "the job's name",
        "ids": "the ids of the tasks, in order; null inside a task, where the manager gives them",
    },
)
PLACE = "{}"


def _pairs(values: tuple[str, ...], option: str) -> dict[str, str] | None:
    found = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"expected NAME=VALUE, got {text!r}", param_hint=f"'{option}'")
        found[name] = value
    return found or None


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--job", help="The job; inside a task, the task's own is the default.")
@click.option(
    "--each", is_flag=True, help="A task for each line of standard input, in the place of {} or at the end."
)
@click.option("--null", "-0", is_flag=True, help="With --each: lines end with NUL (`find -print0`).")
@click.option("--file", "file", metavar="FILE", help="Tasks from a JSON or JSON-lines file, or - for standard input.")
@click.option("--id", "task_id", help="The task's id; with --each, {} stands for the line.")
@click.option("--group", help="The group it counts in.")
@click.option("--priority", type=int, help="Higher ones start first [default: 0].")
@click.option("--after", "dependencies", metavar="ID", multiple=True, help="Wait for this task; may be repeated.")
@click.option("--all-done", is_flag=True, help="Run also if a task it waits for has failed.")
@click.option("--retries", type=int, help="Attempts after the first, if it fails.")
@click.option(
    "--retry-delay", "retry_delay_s", type=float, metavar="SECONDS", help="Before the first retry; doubles."
)
@click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="Stop an attempt that runs longer.")
@click.option("--final", is_flag=True, help="Run when nothing else of the job is left.")
@click.option("--idempotent", is_flag=True, help="May run again if nobody saw how it ended.")
@click.option("--shell", is_flag=True, help="COMMAND is a line for /bin/sh; further words are its $1, $2, …")
@click.option("--cwd", metavar="FOLDER", help="Where it runs.")
@click.option("--env", metavar="NAME=VALUE", multiple=True, help="A variable of its environment; may be repeated.")
@click.option("--cpus", type=float, help="CPUs it takes of those the manager has.")
@click.option("--memory-mb", type=float, help="Memory it takes of what the manager has.")
@click.option("--reopen", is_flag=True, help="Let a job that has ended go on.")
@json_option(QUEUED)
@base_option
def queue(base: str | None, as_json: bool, command: tuple[str, ...], **given: Any) -> None:
    """Queue tasks into a job, from inside one of its tasks or outside.

    COMMAND with its arguments is one task, with --each one for every input line; --file brings any tasks.

    \b
    air-executor queue -- python process.py a.csv
    find . -name '*.csv' | air-executor queue --each -- python process.py {}
    air-executor queue --file tasks.jsonl

    Inside a task they go to the task's own job, and no manager is needed. Elsewhere name it with --job.
    """
    job, reopen = given.pop("job"), given.pop("reopen")
    records = _records(command, given)
    ids: list[str] | None = None
    if os.environ.get("AIR_EXECUTOR_INBOX") and not (job or base):
        if reopen:
            raise click.UsageError("--reopen: the job of a running task has not ended")
        from air_executor import task

        task.queue(records)
        job = task.job()
    elif job:
        ids = _queue_outside(base, job, records, reopen, quiet=as_json)
    else:
        raise click.UsageError("outside a task, name the job with --job")
    if as_json:
        from air_executor.cli.output import print_json

        print_json({"job_name": job, "ids": ids})


def _queue_outside(
    base: str | None, job: str, records: list[dict[str, Any]], reopen: bool, *, quiet: bool
) -> list[str]:
    from air_executor.cli.output import plural, warn
    from air_executor.client import AirExecutorClient

    client = AirExecutorClient(base)
    ids = client.queue_tasks(job, records, reopen=reopen)
    if not quiet:
        click.echo(f"queued {plural(len(ids), 'task')} in job {job!r}")
    if client.manager_pid is None:
        warn(f"no manager is running on {client.base}; start one with `air-executor start`")
    return ids


def _records(command: tuple[str, ...], given: dict[str, Any]) -> list[dict[str, Any]]:
    each, null, file, task_id = (given.pop(name) for name in ("each", "null", "file", "task_id"))
    if null and not each:
        raise click.UsageError("--null only goes with --each")
    if file is not None and (command or each):
        raise click.UsageError("--file brings the tasks: it does not go with COMMAND or --each")
    if file is None and not command:
        raise click.UsageError("expected a COMMAND, or --file")
    for word in command:
        if not _is_unicode(word):
            raise click.UsageError(f"{word!a} is not UTF-8, and a task's words have to be")
    common = _common(given)
    if file is not None:
        if task_id is not None:
            raise click.UsageError("--id does not go with --file: each task needs its own")
        return [{**common, **record} for record in _read_file(file)]
    if task_id is not None:
        common["id"] = task_id
    if not each:
        return [{**common, "command": command[0], "args": list(command[1:])}]
    words = command if any(PLACE in word for word in command) else (*command, PLACE)
    if task_id is not None and PLACE not in task_id:
        raise click.UsageError(f"--id needs {PLACE} with --each, so that each task gets its own")
    return [_fill(common, words, line) for line in _read_lines("\0" if null else "\n")]


def _is_unicode(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _common(given: dict[str, Any]) -> dict[str, Any]:
    """The options that are keys of every task, as far as they were given."""
    given["env"] = _pairs(given["env"], "--env")
    given["dependencies"] = list(given["dependencies"])
    if given.pop("all_done"):
        given["trigger_rule"] = "all_done"
    return {name: value for name, value in given.items() if value not in (None, False, [])}


def _fill(common: dict[str, Any], words: tuple[str, ...], line: str) -> dict[str, Any]:
    filled = [word.replace(PLACE, line) for word in words]
    record = {**common, "command": filled[0], "args": filled[1:]}
    if "id" in common:
        record["id"] = common["id"].replace(PLACE, line)
    return record


def _read_lines(end: str) -> list[str]:
    # bytes that are no UTF-8 cannot stand in JSON; the task would get another name than the line says
    lines = sys.stdin.buffer.read().split(end.encode())
    found = []
    for number, line in enumerate(lines, 1):
        if line:
            try:
                found.append(line.decode())
            except UnicodeDecodeError:
                raise click.UsageError(f"standard input, line {number}: {line[:60]!r} is not UTF-8") from None
    return found


def _read_file(name: str) -> list[dict[str, Any]]:
    """The task objects of a JSON list, of an object with `tasks`, or of one object a line."""
    from air_executor.errors import InvalidInput

    place = "standard input" if name == "-" else name
    try:
        if name == "-":
            text = sys.stdin.buffer.read().decode()
        else:
            with open(name, encoding="utf-8") as file:
                text = file.read()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{place}: not UTF-8 at byte {error.start}") from None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if text.lstrip()[:1] != "{":
            raise InvalidInput(f"{place}, line {error.lineno} column {error.colno}: {error.msg}") from None
        value = [_read_line(line, f"{place}, line {n}") for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{place}: {_complaint(error)}") from None
    if isinstance(value, dict):
        value = value.get("tasks", [value])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidInput(f"{place}: expected a list of task objects, or one object a line")
    return value


def _read_line(line: str, place: str) -> Any:
    from air_executor.errors import InvalidInput

    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{place} column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{place}: {_complaint(error)}") from None


def _complaint(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
