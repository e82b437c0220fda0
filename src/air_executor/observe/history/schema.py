"""The tables of the history, and how a database of an older version becomes one of this.

`air_executor_progress` has the columns that dashboards are made for; the others all begin with the same word.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from air_executor.errors import BaseUnusable, NotFound

__all__ = ["MIGRATIONS", "VERSION", "attempts", "groups", "metadata", "migrate", "progress", "require", "runs"]


LATEST: Final = 253_402_300_799.0
"""The end of the year 9999, after which no database knows of time."""

if TYPE_CHECKING:
    _Decorator = sa.types.TypeDecorator[float]
else:
    _Decorator = sa.types.TypeDecorator  # SQLAlchemy 1.4 knows no parameter


class Time(_Decorator):
    """Epoch seconds, stored as an instant with time zone; in SQLite as text in UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: sa.engine.Dialect) -> Any:
        if value is None:
            return None
        instant = datetime.fromtimestamp(min(max(value, 0.0), LATEST), UTC)
        return instant.replace(tzinfo=None) if dialect.name == "sqlite" else instant

    def process_result_value(self, value: Any | None, dialect: sa.engine.Dialect) -> float | None:
        if value is None:
            return None
        return float((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())


metadata = sa.MetaData()
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite numbers rows by itself only where the type is called so."""

progress = sa.Table(
    "air_executor_progress",
    metadata,
    sa.Column("job_name", sa.Text, nullable=False),
    sa.Column("timestamp", Time, nullable=False),
    sa.Column("total_tasks", sa.Integer, nullable=False),
    sa.Column("completed_tasks", sa.Integer, nullable=False),
    sa.Column("running_tasks", sa.Integer, nullable=False),
    sa.Column("failed_tasks", sa.Integer, nullable=False),
    sa.Index("air_executor_progress_of_job", "job_name", "timestamp"),
)

runs = sa.Table(
    "air_executor_runs",
    metadata,
    sa.Column("run", Number, primary_key=True, autoincrement=True),
    sa.Column("job_name", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("began_at", Time, nullable=False),
    sa.Column("base", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("ended_at", Time),
    sa.Column("last_at", Time, nullable=False),
    sa.Column("total_tasks", sa.Integer, nullable=False),
    sa.Column("completed_tasks", sa.Integer, nullable=False),
    sa.Column("failed_tasks", sa.Integer, nullable=False),
    sa.Column("skipped_tasks", sa.Integer, nullable=False),
    sa.Column("cancelled_tasks", sa.Integer, nullable=False),
    sa.Column("retries", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("run_s", sa.Float(53), nullable=False),
    sa.Column("queue_s", sa.Float(53), nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("last_row_at", Time),
    sa.Index("air_executor_runs_of_job", "job_name", "id", "began_at", unique=True),
    sa.Index("air_executor_runs_by_time", "began_at"),
)
"""`position`: bytes of the run's journal that were taken in, in the same transaction as what came of them.
`last_row_at`: the last row of `air_executor_progress`."""

attempts = sa.Table(
    "air_executor_attempts",
    metadata,
    sa.Column("run", Number, sa.ForeignKey(runs.c.run, ondelete="CASCADE"), nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("task_group", sa.Text),
    sa.Column("queued_at", Time, nullable=False),
    sa.Column("started_at", Time, nullable=False),
    sa.Column("ended_at", Time, nullable=False),
    sa.Column("queue_s", sa.Float(53), nullable=False),
    sa.Column("run_s", sa.Float(53), nullable=False),
    sa.Column("exit_code", sa.Integer),
    sa.Column("signal", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("cpu_s", sa.Float(53)),
    sa.Column("memory_mb", sa.Float(53)),
    sa.Index("air_executor_attempts_of_run", "run", "task"),
)

groups = sa.Table(
    "air_executor_groups",
    metadata,
    sa.Column("run", Number, sa.ForeignKey(runs.c.run, ondelete="CASCADE"), nullable=False),
    sa.Column("task_group", sa.Text, nullable=False),
    sa.Column("tasks", sa.Integer, nullable=False),
    sa.Column("completed", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("run_s", sa.Float(53), nullable=False),
    sa.Column("queue_s", sa.Float(53), nullable=False),
    sa.Column("cpu_s", sa.Float(53), nullable=False),
    sa.PrimaryKeyConstraint("run", "task_group"),
)
"""Time per group; tasks of no group stand under the empty name."""

schema = sa.Table("air_executor_schema", metadata, sa.Column("version", sa.Integer, nullable=False))


def _first_tables(connection: sa.engine.Connection) -> None:
    metadata.create_all(connection)  # a table of progress that is there already keeps its rows


def _index_of_progress(connection: sa.engine.Connection) -> None:
    """A table of progress that somebody else made has no index, and is slow to look into."""
    found = {index["name"] for index in sa.inspect(connection).get_indexes(progress.name)}
    for index in progress.indexes:
        if index.name not in found:
            index.create(connection)


MIGRATIONS: list[Callable[[sa.engine.Connection], None]] = [_first_tables, _index_of_progress]
"""The n-th brings a database from version n to n + 1. None is ever changed; new ones come at the end."""
VERSION: Final = len(MIGRATIONS)
LOCK: Final = 0x61697265


def migrate(engine: sa.engine.Engine) -> None:
    """Bring the tables to this version; `BaseUnusable` when they are of a newer one."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # two that begin at once take turns
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        schema.create(connection, checkfirst=True)
        found = connection.execute(sa.select(schema.c.version)).scalar()
        version = int(found or 0)
        if version > len(MIGRATIONS):
            raise BaseUnusable(
                f"history {_shown(engine)}: written by a newer Air-Executor (tables of version {version}, "
                f"this one knows up to {len(MIGRATIONS)}); upgrade Air-Executor"
            )
        if version == len(MIGRATIONS):
            return
        for step in MIGRATIONS[version:]:
            step(connection)
        if found is None:
            connection.execute(schema.insert().values(version=len(MIGRATIONS)))
        else:
            connection.execute(schema.update().values(version=len(MIGRATIONS)))


def require(connection: sa.engine.Connection) -> None:
    """`NotFound` where no history was ever kept, `BaseUnusable` where it is of a newer version."""
    if not sa.inspect(connection).has_table(runs.name):
        raise NotFound(f"{_shown(connection.engine)} holds no history; `air-executor history rebuild` makes one")
    if int(connection.execute(sa.select(schema.c.version)).scalar() or 0) > len(MIGRATIONS):
        raise BaseUnusable(
            f"history {_shown(connection.engine)}: written by a newer Air-Executor; upgrade Air-Executor"
        )


def _shown(engine: sa.engine.Engine) -> str:
    return engine.url.render_as_string(hide_password=True)
