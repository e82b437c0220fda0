"""Real services for the tests of what observers write to: a PostgreSQL cluster of their own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from air_executor.store.layout import Base
from tests.support import wait_for

UNPRIVILEGED = "nobody"


def _postgres() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    where = shutil.which("postgres")
    if not found and where is None:
        pytest.fail("PostgreSQL is not installed: scripts/install-test-services.sh")
    return found[-1].parent if found else Path(str(where)).parent


END_WITH_US = 'exec 3<&0; (cat; "$1/pg_ctl" -D "$2/data" -m immediate stop; rm -rf "$2") <&3 >/dev/null 2>&1 &'
"""Ends a cluster when standard input ends: with the tests, also when those are killed."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """A cluster that listens on a socket only; gives the folder of the socket."""
    programs = _postgres()
    # PostgreSQL refuses root; and the path of a socket has to be short
    user = pwd.getpwnam(UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="air-pg-", dir="/tmp"))
    if user is not None:
        os.chown(folder, user, -1)
    as_user = partial(subprocess.run, user=user, cwd="/", check=True, stdout=subprocess.DEVNULL)
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        as_user(["sh", "-c", END_WITH_US, "sh", programs, folder], stdin=read_end)
        data = ("-D", folder / "data")
        as_user([programs / "initdb", *data, "-U", "air", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"])
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c shared_buffers=16MB -c max_connections=20"
        # pg_ctl waits until it answers, and leaves it to init: it is no child of a test that began it
        start = [programs / "pg_ctl", *data, "-w", "-t", "60", "-l", folder / "log", "-o", options, "start"]
        as_user(start, stdin=subprocess.DEVNULL)
        yield str(folder)
    finally:
        os.close(read_end)
        os.close(write_end)
        wait_for(lambda: not folder.exists(), "the end of PostgreSQL")


@pytest.fixture
def postgres(cluster: str) -> str:
    """The URL of an empty database."""
    import sqlalchemy as sa

    driver = "psycopg2" if sa.__version__.startswith("1.") else "psycopg"
    admin = sa.create_engine(
        f"postgresql+{driver}://air@/postgres?host={cluster}", isolation_level="AUTOCOMMIT", future=True
    )
    with admin.connect() as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS history WITH (FORCE)"))
        connection.execute(sa.text("CREATE DATABASE history"))
    admin.dispose()
    return f"postgresql+psycopg://air@/history?host={cluster}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """Each of the databases there can be."""
    return "sqlite" if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """An empty base folder."""
    found = Base(tmp_path / "base")
    found.create()
    return found
