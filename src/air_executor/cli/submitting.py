"""`submit`: hand a job file over to a manager."""

from __future__ import annotations

import click

from air_executor.cli.options import Shape, base_option, json_option, param_option, parse_params

__all__ = ["submit"]

SUBMITTED = Shape("one object", {"job_name": "the job's name", "id": "the id of this run of it"})


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@param_option
@click.option("--name", help="Call the job so, whatever the file says.")
@click.option("--open", "is_open", is_flag=True, help="Keep the job open for more tasks until `close`.")
@click.option("--wait", is_flag=True, help="Show its progress until it has ended; exit 1 if it failed.")
@json_option(SUBMITTED)
@base_option
def submit(
    base: str | None,
    file: str,
    params: tuple[str, ...],
    name: str | None,
    is_open: bool,
    wait: bool,
    as_json: bool,
) -> int:
    """Submit a job file (JSON or YAML) to the manager.

    The job is on disk when this returns; a manager need not be running. Where a job of that name exists, this
    is its next run, which starts when the present one has ended.
    """
    from air_executor.cli.output import print_json, warn
    from air_executor.client import AirExecutorClient

    if wait and as_json:
        raise click.UsageError("--wait and --json do not go together; use `air-executor watch JOB --json`")
    client = AirExecutorClient(base)
    job, job_id = client.submit_file(file, parse_params(params), name=name, open=is_open or None)
    if as_json:
        print_json({"job_name": job, "id": job_id})
    else:
        click.echo(f"submitted job {job!r} (run {job_id})")
    if wait:
        from air_executor.cli.watching import watch_job

        return watch_job(client, job, job_id, need_manager=True)
    if client.manager_pid is None:
        warn(f"no manager is running on {client.base}; start one with `air-executor start`")
    return 0
