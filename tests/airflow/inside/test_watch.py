"""The shared watcher: ends are told at once, trouble is told, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from air_executor import AirExecutorClient
from air_executor.airflow.news import News
from air_executor.airflow.watch import Watched, Watcher, watching
from tests.airflow.inside.jobs import Jobs, own, server_of
from tests.support import wait_for

DEADLINE_S = 60.0

pytestmark = pytest.mark.usefixtures("nothing_left")


async def until(watched: Watched, wanted: Callable[[News], Any]) -> News:
    """The first news that a function says yes to."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            news = await watched.next(1.0)
            if news is not None and wanted(news):
                return news


def ended(news: News) -> bool:
    return news.look is not None and news.look.ended


def run(main: Awaitable[None]) -> None:
    async def inner() -> None:
        await main

    asyncio.run(inner())


def test_an_end_is_told_at_once_with_what_came_before(jobs: Jobs, tmp_path: Path) -> None:
    jobs.manage()
    go = tmp_path / "go"
    job_id = jobs.until("job", go)

    async def main() -> None:
        async with watching(jobs.client, "job", job_id, rest_s=0.05) as watched:
            news = await until(watched, lambda n: n.look and n.look.state and n.look.state["progress"]["running"])
            assert not ended(news)
            go.touch()
            news = await until(watched, ended)
            assert news.look
            assert news.look.state
            assert news.look.state["state"] == "completed"
            assert time.time() - _epoch(news.look.state["updated_at"]) < 0.5

    run(main())


def _epoch(at: str) -> float:
    from air_executor.times import from_iso

    return from_iso(at)


def test_many_share_one_thread_and_one_inotify_instance(jobs: Jobs) -> None:
    names = [f"job-{n}" for n in range(40)]
    for name in names:
        jobs.client.create_job(name, [{"command": "true"}])

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            found = [await stack.enter_async_context(watching(jobs.client, name)) for name in names]
            again = AirExecutorClient(jobs.base)
            found.append(await stack.enter_async_context(watching(again, names[0])))
            for watched in found:
                await until(watched, lambda n: n.look and n.look.found)
            mine = own() - before
            assert sorted(kind for kind, _ in mine if kind == "thread") == ["thread"]
            assert [what for _, what in mine].count("anon_inode:inotify") == 1
            assert len({watched.watcher for watched in found}) == 1

    before = own()
    run(main())


def test_progress_is_told_only_so_often_and_an_end_between(jobs: Jobs, tmp_path: Path) -> None:
    jobs.manage()
    go = tmp_path / "go"
    job_id = jobs.until("busy", go, *({"command": "sleep 0.3", "shell": True} for _ in range(30)))

    async def main() -> None:
        async with watching(jobs.client, "busy", job_id, rest_s=60.0) as watched:
            assert await watched.next(10.0) is not None
            assert await watched.next(2.0) is None, "a minute has not passed, and there is only progress"
            go.touch()
            async with asyncio.timeout(DEADLINE_S):
                news = await watched.next(DEADLINE_S)
            assert news is not None
            assert ended(news)

    run(main())


def test_a_job_that_was_never_there_or_is_removed_is_missing(jobs: Jobs, tmp_path: Path) -> None:
    async def main() -> None:
        async with watching(jobs.client, "later", rest_s=0.0) as watched:
            news = await until(watched, lambda n: n.look)
            assert news.look
            assert news.look.missing
            assert not news.look.found
            first = jobs.client.create_job("later", [{"command": "true"}])
            news = await until(watched, lambda n: n.look and n.look.found)
            assert news.look
            assert news.look.state
            assert news.look.state["id"] == first
            jobs.folder("later").rename(tmp_path / "elsewhere")
            await until(watched, lambda n: n.look and n.look.missing)
            second = jobs.client.create_job("later", [{"command": "true"}])
            news = await until(watched, lambda n: n.look and n.look.found)
            assert news.look
            assert news.look.state
            assert news.look.state["id"] == second
            async with watching(jobs.client, "later", first) as other:
                news = await until(other, lambda n: n.look)
                assert news.look
                assert news.look.found
                assert news.look.missing, "another run has come in its place"
            shutil.rmtree(jobs.folder("later"))
            await until(watched, lambda n: n.look and n.look.missing)

    run(main())


def test_a_base_that_is_away_for_a_while_is_trouble_that_passes(jobs: Jobs, tmp_path: Path) -> None:
    jobs.client.create_job("kept", [{"command": "true"}])

    async def main() -> None:
        async with watching(jobs.client, "kept", rest_s=0.0) as watched:
            await until(watched, lambda n: n.look and n.look.found)
            jobs.base.rename(tmp_path / "away")
            news = await until(watched, lambda n: n.trouble)
            assert news.trouble
            assert str(jobs.base) in news.trouble
            assert not news.final
            (tmp_path / "away").rename(jobs.base)
            await until(watched, lambda n: n.look and n.look.found)

    run(main())


def test_a_run_is_told_of_when_it_waits_runs_and_is_archived(jobs: Jobs, tmp_path: Path) -> None:
    go, then = tmp_path / "go", tmp_path / "then"
    first = jobs.until("rows", go)
    jobs.manage()
    wait_for(lambda: jobs.client.get_job("rows")["state"] == "working", "the first run")
    second = jobs.until("rows", then)

    async def main() -> None:
        async with watching(jobs.client, "rows", second) as next_run, watching(jobs.client, "rows") as last:
            news = await until(next_run, lambda n: n.look)
            assert news.look
            assert not news.look.missing, "it was announced"
            go.touch()
            await until(next_run, lambda n: n.look and n.look.state)
            async with watching(jobs.client, "rows", first) as earlier:
                news = await until(earlier, ended)
                assert news.look
                assert news.look.state
                assert news.look.state["id"] == first
            then.touch()
            for watched in (next_run, last):
                news = await until(watched, ended)
                assert news.look
                assert news.look.state
                assert news.look.state["id"] == second, "with a next run in line no end of the first is told"

    run(main())


WITHOUT = """
import asyncio, sys, time
from pathlib import Path
from air_executor import AirExecutorClient
from air_executor.airflow.watch import watching
from air_executor.times import from_iso

{limits}
client, names = AirExecutorClient(sys.argv[1]), sys.argv[2:]

async def end(name):
    async with watching(client, name, rest_s=0.05) as watched:
        while True:
            news = await watched.next(60)
            if news is not None and news.look.ended:
                return time.time() - from_iso(news.look.state["updated_at"])
            print("waits", flush=True)

async def main():
    late = await asyncio.gather(*map(end, names))
    print("late", max(late), len([t for t in Path("/proc/self/fd").iterdir()]), flush=True)

asyncio.run(main())
"""
NAMESPACE = ("unshare", "--user", "--map-root-user")


def _limited(what: str, number: int) -> str:
    return f"Path('/proc/sys/user/max_inotify_{what}').write_text('{number}')"


@pytest.mark.parametrize("limits", [_limited("instances", 0), _limited("watches", 1)], ids=["instances", "watches"])
def test_beyond_the_limits_of_the_system_it_looks_every_so_often(jobs: Jobs, tmp_path: Path, limits: str) -> None:
    jobs.manage("--slots", "8")
    go = tmp_path / "go"
    names = [f"polled-{n}" for n in range(4)]
    for name in names:
        jobs.until(name, go)
    watcher = subprocess.Popen(
        [*NAMESPACE, sys.executable, "-c", WITHOUT.format(limits=limits), str(jobs.base), *names],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert watcher.stdout is not None
        line = watcher.stdout.readline()
        assert line == "waits\n", line + watcher.communicate()[1]
        go.touch()
        out, err = watcher.communicate(timeout=60)
    finally:
        watcher.kill()
        watcher.communicate()
    assert watcher.returncode == 0, err
    assert float(out.split("late ")[1].split()[0]) < 1.5, out


def test_a_loop_that_is_gone_disturbs_nobody(jobs: Jobs, tmp_path: Path) -> None:
    jobs.manage()
    go = tmp_path / "go"
    jobs.until("job", go)

    async def leave() -> Watched:
        return Watcher.enter(jobs.client, "job", None, 0.0, False)

    left = asyncio.run(leave())

    async def main() -> None:
        async with watching(jobs.client, "job") as watched:
            go.touch()
            await until(watched, ended)

    run(main())
    left.watcher.leave(left)
    left.watcher.leave(left)


# ---- servers --------------------------------------------------------------------------------------


def test_a_server_is_asked_for_all_at_once_and_may_be_away(jobs: Jobs, tmp_path: Path) -> None:
    jobs.manage("--slots", "8")
    go = tmp_path / "go"
    runs = {f"{'long name ' * 20}{n}": "" for n in range(60)}
    for name in runs:
        runs[name] = jobs.client.create_job(name, [{"command": f"until test -e {go}; do sleep 0.1; done", "shell": True}])  # fmt: skip  # noqa: E501

    async def main() -> None:
        with server_of(jobs.base) as server:
            clients = [AirExecutorClient(url=server.url) for _ in range(2)]
            assert clients[0] == clients[1]
            async with contextlib.AsyncExitStack() as stack:
                found = [
                    await stack.enter_async_context(watching(clients[n % 2], name, run_id, rest_s=0.0))
                    for n, (name, run_id) in enumerate(runs.items())
                ]
                absent = await stack.enter_async_context(watching(clients[0], "nobody"))
                for watched in found:
                    await until(watched, lambda n: n.look and n.look.found)
                assert len({watched.watcher for watched in found}) == 1
                news = await until(absent, lambda n: n.look)
                assert news.look
                assert news.look.missing
                await asyncio.to_thread(server.stop)
                news = await until(found[0], lambda n: n.trouble)
                assert news.trouble == f"{server.url} cannot be asked: Connection refused"
                assert not news.final
                go.touch()
                await asyncio.to_thread(server.start)
                for watched in found:
                    news = await until(watched, ended)
                    assert news.look
                    assert news.look.run == runs[watched.job]

    run(main())


def test_a_token_that_is_refused_is_final(jobs: Jobs, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 40)
    jobs.client.create_job("job", [{"command": "true"}])

    async def main() -> None:
        with server_of(jobs.base, "--token-file", str(token)) as server:
            for given, final in (("t" * 40, False), ("x" * 40, True), (None, True)):
                async with watching(AirExecutorClient(url=server.url, token=given), "job") as watched:
                    news = await until(watched, lambda _: True)
                    assert news.final is final
                    assert bool(news.trouble) is final

    run(main())


class Another(http.server.BaseHTTPRequestHandler):
    """Somebody else's server."""

    def do_GET(self) -> None:
        known = self.path.startswith("/page")
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def log_message(self, *_: Any) -> None:
        pass


def test_a_server_that_does_not_know_the_question_is_named() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Another)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"

    async def main() -> None:
        async with watching(AirExecutorClient(url=url), "job") as watched:
            news = await until(watched, lambda n: n.trouble)
            assert news.final
            assert news.trouble
            assert "does not know `/ends`" in news.trouble
        async with watching(AirExecutorClient(url=f"{url}/page"), "job") as watched:
            news = await until(watched, lambda n: n.trouble)
            assert not news.final
            assert news.trouble
            assert "answers something else than Air-Executor" in news.trouble

    try:
        run(main())
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ---- managers -------------------------------------------------------------------------------------


def test_it_tells_whether_there_is_a_manager(jobs: Jobs, tmp_path: Path) -> None:
    jobs.client.create_job("job", [{"command": "sleep 60", "shell": True}])

    async def main() -> None:
        async with watching(jobs.client, "job", rest_s=0.0) as watched:
            await until(watched, lambda n: n.managed is False)
            jobs.manage()
            await until(watched, lambda n: n.managed is True)

    run(main())


def test_where_one_is_wanted_it_starts_a_manager(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("air_executor.airflow.watch.WITHOUT_MANAGER_S", 0.0)
    job_id = jobs.client.create_job("job", [{"command": "true"}])

    async def main() -> None:
        async with watching(jobs.client, "job", job_id, rest_s=0.0, keep_managed=True) as watched:
            news = await until(watched, ended)
            assert news.look
            assert news.look.state
            assert news.look.state["state"] == "completed"

    run(main())
    pid = jobs.client.manager_pid
    if pid is not None:
        os.kill(pid, 15)
    wait_for(lambda: jobs.client.manager_pid is None, "the end of the manager")
