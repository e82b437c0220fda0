"""Opening the database of a history by its URL."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Final

from air_executor.errors import BaseUnusable, InvalidInput
from air_executor.store.layout import Base

try:
    import sqlalchemy as sa
except ImportError:  # the extra is not installed
    raise BaseUnusable("history needs SQLAlchemy: pip install 'air-executor[history]'") from None

__all__ = ["DEFAULT", "FILE", "open_database", "restrict", "shown_url", "sqlite_file"]

DEFAULT: Final = "sqlite"
"""Stands for a file in the base folder."""
FILE: Final = "history.sqlite"
TIMEOUT_S: Final = 10


def sqlite_file(base: Base) -> Path:
    return base.path / FILE


def _url(text: str, base: Base) -> sa.engine.URL:
    if text == DEFAULT:
        return sa.engine.URL.create("sqlite", database=str(sqlite_file(base)))
    try:
        url = sa.engine.make_url(text)
        kind = url.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        kind = ""
        url = sa.engine.URL.create("none")
    if kind not in ("sqlite", "postgresql"):
        raise InvalidInput(
            "history: expected `sqlite`, sqlite:////path/of/a/file or postgresql+psycopg://user@host/database"
        )
    if kind == "postgresql" and url.get_driver_name() == "psycopg" and sa.__version__.startswith("1."):
        return url.set(drivername="postgresql+psycopg2")  # the only one that 1.4 knows
    if kind == "postgresql" and url.drivername == "postgresql" and not sa.__version__.startswith("1."):
        return url.set(drivername="postgresql+psycopg")
    return url


def shown_url(text: str) -> str:
    """The URL without its password."""
    try:
        return sa.engine.make_url(text).render_as_string(hide_password=True) if "://" in text else text
    except (sa.exc.ArgumentError, ValueError):
        return "***"


def open_database(text: str, base: Base, *, reading: bool = False) -> sa.engine.Engine:
    """An engine for the URL; nothing is connected to yet. `InvalidInput`, or `BaseUnusable` without a driver."""
    url = _url(text, base)
    try:
        if url.get_backend_name() == "sqlite":
            engine = sa.create_engine(url, future=True, connect_args={"timeout": TIMEOUT_S})
            sa.event.listen(engine, "connect", _prepare_sqlite)
            # who reads and then writes in one transaction must have the right to write from the beginning
            begin = "BEGIN" if reading else "BEGIN IMMEDIATE"
            sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
            return engine
        return sa.create_engine(
            url,
            future=True,
            pool_size=2,
            pool_pre_ping=True,
            connect_args={"connect_timeout": TIMEOUT_S, "options": "-c statement_timeout=60000 -c timezone=UTC"},
        )
    except ImportError as error:
        raise BaseUnusable(
            f"history {shown_url(text)}: no driver ({error}): pip install 'air-executor[postgres]'"
        ) from None


def restrict(engine: sa.engine.Engine, base: Base) -> None:
    """Make a history in the base folder as private as that."""
    if engine.dialect.name == "sqlite" and engine.url.database == str(sqlite_file(base)):
        with contextlib.suppress(OSError):
            os.chmod(sqlite_file(base), base.file_mode)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # sqlite3 shall not begin transactions when it thinks fit
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
