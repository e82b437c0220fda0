"""Rows into tables: what came of journals since they were last read, in one transaction with how far that was."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from air_executor.observe.history.rows import RunRows
from air_executor.observe.history.schema import attempts, groups, progress, runs

__all__ = ["Overtaken", "clear_run", "find_run", "write"]

AT_ONCE = 5_000


class Overtaken(Exception):
    """Somebody else has written what came of this run: whoever meant to has to look anew."""

    def __init__(self, run: RunRows) -> None:
        super().__init__(run.job)
        self.run = run


def find_run(connection: sa.engine.Connection, rows: RunRows) -> tuple[int, int, float | None] | None:
    """Key, position and time of the last row of a run that is known; None for another."""
    found = connection.execute(
        sa.select(runs.c.run, runs.c.position, runs.c.last_row_at).where(
            runs.c.job_name == rows.job, runs.c.id == rows.id, runs.c.began_at == rows.began_at
        )
    ).first()
    return None if found is None else (int(found[0]), int(found[1]), found[2])


def clear_run(connection: sa.engine.Connection, rows: RunRows) -> None:
    """Take away what came of a run; its key stays."""
    # First, as in `write`: two that do this at once wait for each other here and nowhere else, and what is
    # read next is what the other has left.
    connection.execute(runs.update().where(runs.c.run == rows.run).values(position=0))
    found = connection.execute(sa.select(runs.c.last_at, runs.c.last_row_at).where(runs.c.run == rows.run)).first()
    for table in (attempts, groups):
        connection.execute(table.delete().where(table.c.run == rows.run))
    until = max([rows.began_at, *(at for at in found or () if at is not None)])
    connection.execute(
        progress.delete().where(
            progress.c.job_name == rows.job, progress.c.timestamp >= rows.began_at, progress.c.timestamp <= until
        )
    )


def write(connection: sa.engine.Connection, changed: Iterable[RunRows]) -> None:
    """Write what is new of each run. Raises `Overtaken` when a run is not as it was when it was last written."""
    for rows in changed:
        values = rows.run_row()
        if rows.run is None:
            rows.run = _insert(connection, rows, values)
        else:
            done = connection.execute(
                runs.update().where(runs.c.run == rows.run, runs.c.position == rows.written).values(**values)
            )
            if done.rowcount != 1:
                raise Overtaken(rows)
        for start in range(0, len(rows.attempts), AT_ONCE):
            some = rows.attempts[start : start + AT_ONCE]
            connection.execute(attempts.insert(), [{"run": rows.run, **row} for row in some])
        if rows.progress:
            connection.execute(progress.insert(), rows.progress)
        group_rows = rows.group_rows()
        if group_rows:
            of_run = groups.delete().where(groups.c.run == rows.run, groups.c.task_group == sa.bindparam("of_group"))
            connection.execute(of_run, [{"of_group": row["task_group"]} for row in group_rows])
            connection.execute(groups.insert(), [{"run": rows.run, **row} for row in group_rows])


def _insert(connection: sa.engine.Connection, rows: RunRows, values: dict[str, object]) -> int:
    try:
        done = connection.execute(
            runs.insert().values(job_name=rows.job, id=rows.id, began_at=rows.began_at, base=rows.base, **values)
        )
    except sa.exc.IntegrityError:
        raise Overtaken(rows) from None
    key = done.inserted_primary_key
    assert key is not None
    return int(key[0])
