"""`close`, `cancel`, `pause`, `resume`, `retry`: what a job is asked for. The manager carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from air_executor.cli.options import base_option, job_argument

if TYPE_CHECKING:
    from air_executor.client import AirExecutorClient

__all__ = ["cancel", "close", "pause", "resume", "retry"]


def _client(base: str | None) -> AirExecutorClient:
    from air_executor.client import AirExecutorClient

    return AirExecutorClient(base)


def _must_not_have_ended(client: AirExecutorClient, job: str) -> None:
    from air_executor.cli.following import ended_state
    from air_executor.errors import Refused

    state = ended_state(client, job)
    if state is not None:
        raise Refused(f"job {job!r} has ended already ({state['state']})")


def _done(client: AirExecutorClient, text: str) -> None:
    from air_executor.cli.output import warn

    click.echo(text)
    if client.manager_pid is None:
        warn(f"no manager is running on {client.base}; it is done when one is started (`air-executor start`)")


@click.command()
@job_argument()
@base_option
def close(base: str | None, job: str) -> None:
    """Say that an open job gets no more tasks.

    It ends when nothing of it is left.
    """
    client = _client(base)
    _must_not_have_ended(client, job)
    client.close(job)
    _done(client, f"job {job!r} is closed: it ends when nothing of it is left")


@click.command()
@job_argument()
@click.argument("task", required=False)
@base_option
def cancel(base: str | None, job: str, task: str | None) -> None:
    """Cancel a job, or one TASK of it.

    What runs gets TERM, and KILL after the grace time; what has not started never does.
    """
    client = _client(base)
    _must_not_have_ended(client, job)
    client.cancel(job, task)
    _done(client, f"asked to cancel {f'task {task!r} of ' if task else ''}job {job!r}")


@click.command()
@job_argument()
@base_option
def pause(base: str | None, job: str) -> None:
    """Start no more tasks of a job; running ones go on."""
    client = _client(base)
    _must_not_have_ended(client, job)
    client.pause(job)
    _done(client, f"asked to pause job {job!r}")


@click.command()
@job_argument()
@base_option
def resume(base: str | None, job: str) -> None:
    """Let a paused job go on."""
    client = _client(base)
    _must_not_have_ended(client, job)
    client.resume(job)
    _done(client, f"asked to resume job {job!r}")


def _failed(client: AirExecutorClient, job: str) -> set[str]:
    """The failed tasks, as the journal has them: `tasks.json` may be a second behind."""
    from air_executor.cli.following import JobFollower

    follower = JobFollower(client, job)
    follower.look(whole=True)
    follower.close()
    if not follower.begun:
        follower.take_from_views()
    return {failure.task for failure in follower.progress.failures()}


@click.command()
@job_argument()
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option("--failed", is_flag=True, help="All failed tasks, which is also what happens when none is named.")
@base_option
def retry(base: str | None, job: str, tasks: tuple[str, ...], failed: bool) -> None:
    """Give failed tasks another go: those named, or all.

    Tasks that were skipped because of them come back too. A job that has ended goes on.
    """
    from air_executor.cli.output import plural
    from air_executor.errors import Refused

    if tasks and failed:
        raise click.UsageError("name tasks, or give --failed, not both")
    client = _client(base)
    ids = _failed(client, job)
    if not ids:
        raise Refused(f"job {job!r} has no failed task")
    for task in tasks:
        if task not in ids:
            client.find_task(job, task)
            raise Refused(f"task {task!r} has not failed")
    client.retry(job, tasks or None)
    _done(client, f"asked to retry {plural(len(tasks or ids), 'failed task')} of job {job!r}")
