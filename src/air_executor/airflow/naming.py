"""Names of what a task instance hands over: the job's is the same for every try, each of its runs has a known id."""

from __future__ import annotations

import hashlib
import json
from typing import Final

__all__ = ["MAX_BYTES", "job_id", "job_name", "shortened"]

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
    if clean.startswith("."):
        clean = f"_{clean[1:]}"
    data = clean.encode(errors="replace")
    if clean == name and len(data) <= MAX_BYTES:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{data[:KEPT].decode(errors='ignore')}-{digest}"


def job_id(begun_at: str, *of: str | int | None) -> str:
    """The id of a run of a job: equal for equal `of`, so that a run handed in twice is one run.

    `begun_at`, an ISO time or empty, goes in front as other ids have it: `20251002T073000-3f9a1c2b5d6e`.
    """
    digits = "".join(c for c in begun_at[:19] if c.isdigit())
    stamp = f"{digits[:8]}T{digits[8:]}" if len(digits) == 14 else "00000000T000000"
    text = json.dumps([begun_at, *of], ensure_ascii=True)
    return f"{stamp}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
