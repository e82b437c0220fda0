"""The name of the job that a task instance hands over: the same for every try, another for everything else."""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["MAX_BYTES", "job_name", "shortened"]

MAX_BYTES: Final = 200
"""Below the 255 a job name may have: files beside the folder carry the name and something more."""
KEPT: Final = 160


def job_name(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """`airflow-DAG~RUN~TASK`, with `@INDEX` for a mapped task.

    Ids of DAGs and tasks hold neither `~` nor `@`, so two task instances never share a name.
    """
    index = "" if map_index < 0 else f"@{map_index}"
    return shortened(f"airflow-{dag_id}~{run_id}~{task_id}{index}")


def shortened(name: str) -> str:
    """`name` as a job may have it: what it cannot hold replaced, too long ones cut, a hash where that was done."""
    clean = "".join(c if c.isprintable() and c != "/" else "_" for c in name)
    data = clean.encode(errors="replace")
    if clean == name and len(data) <= MAX_BYTES:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{data[:KEPT].decode(errors='ignore')}-{digest}"
