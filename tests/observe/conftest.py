"""Real services for the tests of what observers write to: a PostgreSQL cluster of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from air_executor.store.layout import Base
from tests import postgresql


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """A cluster that listens on a socket only; gives the folder of the socket."""
    with postgresql.cluster() as folder:
        yield folder


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
