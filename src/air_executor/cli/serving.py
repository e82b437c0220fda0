"""`serve`: the dashboard and the interface for programs."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import click

from air_executor.cli.options import base_option

__all__ = ["serve"]


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=5001, show_default=True, help="0 takes any free one.")
@click.option(
    "--token-file",
    metavar="FILE",
    help="Tokens that may read and change, one a line [default: the one in AIR_EXECUTOR_TOKEN].",
)
@click.option(
    "--read-token-file",
    metavar="FILE",
    help="Tokens that may only read [default: the one in AIR_EXECUTOR_READ_TOKEN].",
)
@click.option("--tls-cert", metavar="FILE", help="Speak TLS with this certificate.")
@click.option("--tls-key", metavar="FILE", help="The certificate's key.")
@click.option(
    "--index",
    metavar="FOLDER",
    help="Where to keep what was read of long journals; may be removed at any time [default: in ~/.cache].",
)
@base_option
def serve(base: str | None, tls_cert: str | None, tls_key: str | None, **given: str | int | None) -> None:
    """Show all jobs in a browser, and let programs ask and submit by HTTP.

    It reads the job folders, whether or not a manager runs. Without a token it answers on this machine only.
    """  # fmt: skip
    from air_executor.errors import AirExecutorError
    from air_executor.store.layout import Base

    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise AirExecutorError("serving needs more packages: pip install 'air-executor[web]'")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    folder = Base(base).require()
    words = []
    for name, value in {**given, "tls_cert": tls_cert, "tls_key": tls_key}.items():
        if value is not None:
            words.append(f"--{name.replace('_', '-')}={value}")
    # The server is a surface of its own, so this process becomes it. -P: a folder called air_executor in the
    # working directory is not ours.
    argv = [sys.executable, "-P", "-m", "air_executor.web", f"--base={folder}", *words]
    sys.stdout.flush()
    os.execv(sys.executable, argv)
