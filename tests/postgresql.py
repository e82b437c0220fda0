"""A PostgreSQL cluster of the tests' own, from the programs of this machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.support import wait_for

UNPRIVILEGED = "nobody"

END_WITH_US = 'exec 3<&0; (cat; "$1/pg_ctl" -D "$2/data" -m immediate stop; rm -rf "$2") <&3 >/dev/null 2>&1 &'
"""Ends a cluster when standard input ends: with the tests, also when those are killed."""


def programs() -> Path:
    """The folder of initdb, pg_ctl and postgres."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    where = shutil.which("postgres")
    if not found and where is None:
        raise FileNotFoundError("PostgreSQL is not installed: scripts/install-test-services.sh")
    return found[-1].parent if found else Path(str(where)).parent


@contextlib.contextmanager
def cluster(max_connections: int = 20) -> Iterator[str]:
    """A cluster that listens on a socket only; gives the folder of the socket."""
    bin_folder = programs()
    # PostgreSQL refuses root; and the path of a socket has to be short
    user = pwd.getpwnam(UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="air-pg-", dir="/tmp"))
    if user is not None:
        os.chown(folder, user, -1)
    as_user = partial(subprocess.run, user=user, cwd="/", check=True, stdout=subprocess.DEVNULL)
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        as_user(["sh", "-c", END_WITH_US, "sh", bin_folder, folder], stdin=read_end)
        data = ("-D", folder / "data")
        as_user([bin_folder / "initdb", *data, "-U", "air", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"])
        options = (
            f"-k {folder} -c listen_addresses= -c fsync=off -c shared_buffers=16MB"
            f" -c max_connections={max_connections}"
        )
        # pg_ctl waits until it answers, and leaves it to init: it is no child of a test that began it
        start = [bin_folder / "pg_ctl", *data, "-w", "-t", "60", "-l", folder / "log", "-o", options, "start"]
        as_user(start, stdin=subprocess.DEVNULL)
        yield str(folder)
    finally:
        os.close(read_end)
        os.close(write_end)
        wait_for(lambda: not folder.exists(), "the end of PostgreSQL")
