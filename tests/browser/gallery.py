"""Jobs that show every view at its best and at its worst: ended, under way, failed, repeated, strange, waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.browser.conftest import Site
from tests.support import wait_for

HOSTILE = "<img src=x onerror=alert(1)>"

COLOURFUL = r"""
i=0
while [ $i -lt 400 ]; do
    i=$((i+1))
    printf '\033[2m12:%02d:%02d\033[0m \033[32mINFO\033[0m read <part-%04d.csv>, 1,237 rows\n' $((i/60)) $((i%60)) $i
    [ $((i%40)) -ne 0 ] || printf '\033[2m12:%02d:%02d\033[0m \033[1;33mWARN\033[0m slow: \033[36m%d ms\033[0m\n' \
        $((i/60)) $((i%60)) $((i*7))
done
printf '\033[41;97m ERROR \033[0m part-0400.csv has no header, \033[38;5;208mskipped\033[0m\n'
printf '{"rows": 494800, "files": ["a.csv", "b.csv"], "skipped": {"part-0400.csv": null}}' > $AIR_EXECUTOR_RESULT
"""


def shell(id: str, line: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "command": line, "shell": True, **more}


def etl() -> list[dict[str, Any]]:
    """A graph of 21 tasks, one of which fails and takes two with it."""
    parse = [shell(f"parse-{i}", f"[ {i} -ne 5 ] || exit 4", dependencies=["fetch"]) for i in range(9)]
    check = [shell(f"check-{i}", "true", dependencies=[f"parse-{i}"]) for i in range(9)]
    merge = shell("merge", "true", dependencies=[f"check-{i}" for i in range(9)])
    notify = shell("notify", "echo sent", dependencies=["merge"], trigger_rule="all_done")
    return [shell("fetch", "sleep 0.1"), *parse, *check, merge, notify]


def crawl(folder: Path) -> list[dict[str, Any]]:
    """1,236 pages: half of them done, every 97th failed, the others held up until the folder has a `go`."""
    tasks = []
    for i in range(1236):
        line = f"until [ -e '{folder}/go' ]; do sleep 0.5; done" if i >= 620 else "true"
        if i % 97 == 30 and i < 620:
            line = f"echo 'ValueError: row {i % 2} has no date' >&2; exit 3"
        retries = 1 if i == 30 else 0  # at once, before those that are held up take all slots
        group = ("pages", "images", "links")[i % 3]
        tasks.append(shell(f"page-{i:04d}", line, group=group, retries=retries, retry_delay_s=0))
    return tasks


@contextmanager
def gallery(folder: Path) -> Iterator[Site]:
    """A site with all of them, for as long as the context lasts."""
    site = Site(folder, slots=6)
    try:
        client = site.client
        for status in (0, 0, 1, 0):
            tasks = [shell("collect", f"sleep 0.{status + 1}"), shell("send", f"exit {status}")]
            client.create_job("nightly-report", tasks, max_parallel=2, deadline_s=3600)
            client.wait("nightly-report", 30)
        client.create_job("manual__2025-10-02T07:30:00+00:00", [shell(f"t{i}", "true") for i in range(12)])
        client.create_job(HOSTILE, [shell(HOSTILE, "exit 2"), shell("../../etc/passwd", "true")])
        client.create_job("etl", etl())
        flaky = shell("flaky", "echo try $AIR_EXECUTOR_ATTEMPT; [ $AIR_EXECUTOR_ATTEMPT -eq 3 ]", retries=3)
        env = {"API_TOKEN": "s3cret", "MODE": "fast"}
        read = shell("read-files", COLOURFUL, env=env, timeout_s=600, group="readers")
        client.create_job("logs", [read, {**flaky, "retry_delay_s": 0.1}])
        client.create_job("inbox", [shell(f"m{i}", "true") for i in range(40)], open=True)
        for name in ("manual__2025-10-02T07:30:00+00:00", HOSTILE, "etl", "logs"):
            client.wait(name, 60)
        client.create_job("crawl", crawl(folder), max_parallel=4)
        held_up = {"pending": 612, "running": 4, "completed": 613, "failed": 7}
        wait_for(lambda: held_up.items() <= client.get_job("crawl")["progress"].items(), "the crawl to be held up")
        yield site
    finally:
        site.close()


VIEWS = {
    "overview": "#/",
    "grid": "#/jobs/crawl/grid",
    "grid-failed": "#/jobs/crawl/grid?status=failed",
    "grid-small": "#/jobs/etl/grid",
    "timeline": "#/jobs/crawl/timeline",
    "list": "#/jobs/crawl/list",
    "list-failed": "#/jobs/crawl/list?status=failed",
    "graph": "#/jobs/etl/graph",
    "failures": "#/jobs/crawl/failures",
    "charts": "#/jobs/crawl/charts",
    "details": "#/jobs/nightly-report/details",
    "task": "#/jobs/logs/tasks/read-files",
    "task-attempts": "#/jobs/logs/tasks/flaky",
    "history": "#/jobs/nightly-report/history",
    "hostile": f"#/jobs/{quote(HOSTILE, safe='')}/list",
    "missing": "#/jobs/nothing/grid",
}
