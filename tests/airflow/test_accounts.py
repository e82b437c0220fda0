"""What is told of a job for Airflow, from its folder and from a server: reports, series, pictures, history."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from air_executor import AirExecutorClient
from air_executor.airflow.accounts import FolderAccount, ServerAccount, account_of
from air_executor.errors import AirExecutorError, BaseUnusable
from tests.acceptance.web_server import served
from tests.support import ManagerProcess, wait_for

PNG = b"\x89PNG"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[AirExecutorClient]:
    client = AirExecutorClient(tmp_path / "base")
    client.base.create()
    manager = ManagerProcess(client.base.path, "--slots", "2").start()
    yield client
    manager.stop()


def ran(client: AirExecutorClient, name: str, *ids: str) -> str:
    job_id = client.create_job(name, [{"id": task, "command": "true"} for task in ids], cwd=client.base.parent)
    client.wait(name, 30, job_id=job_id)
    return job_id


def test_a_picture_of_each_run_is_drawn_beside_the_job_or_where_it_is_wanted(
    client: AirExecutorClient, tmp_path: Path
) -> None:
    first = ran(client, "drawn", "a")
    second = ran(client, "drawn", "b", "c")
    account = account_of(client, "drawn")
    path = Path(account.chart(second, None))
    assert path == client.base.job("drawn").path / "chart.png"
    assert path.read_bytes().startswith(PNG)
    (tmp_path / "charts").mkdir()
    assert Path(account.chart(first, tmp_path / "charts")).read_bytes() != path.read_bytes()
    with pytest.raises(BaseUnusable, match="cannot be written to"):
        account.chart(second, tmp_path / "nowhere")
    with pytest.raises(BaseUnusable, match="no journal of job 'drawn'"):
        account.chart("another", None)
    with served(client.base.path) as server:
        remote = account_of(AirExecutorClient(url=server.url), "drawn")
        assert isinstance(remote, ServerAccount)
        assert remote.chart(second, None) == f"{server.url}/jobs/drawn/chart.png"
        assert Path(remote.chart(second, tmp_path / "charts")).read_bytes().startswith(PNG)
        assert remote.report(second) == account.report(second)
        assert remote.report(first) is None, "a server tells of the run that is there"
        assert "manager --history" in str(remote.keep_history())
    with pytest.raises(AirExecutorError, match="cannot be asked"):
        remote.report(second)


def test_a_journal_is_read_on_and_begun_anew_with_the_next_run(client: AirExecutorClient, tmp_path: Path) -> None:
    go = tmp_path / "go"
    wait = {"id": "wait", "command": f"until test -e {go}; do sleep 0.02; done", "shell": True}
    first = client.create_job("grows", [{"id": "a", "command": "true"}, wait], cwd=tmp_path)
    account = FolderAccount(client, "grows")
    wait_for(lambda: "✔ a" in (account.report(first) or ""), "the end of the first task")
    client.queue_tasks("grows", [{"id": "b", "command": "true"}])
    wait_for(lambda: "✔ b" in (account.report(first) or ""), "a task that was queued meanwhile")
    go.touch()
    client.wait("grows", 30, job_id=first)
    second = ran(client, "grows", "c")
    told = account.report(second) or ""
    assert "✔ c" in told
    assert "✔ a" not in told
    series = account.series(first)
    assert series is not None
    assert series["total"][-1] == 3, "of the first run, from its archived journal"
    shutil.rmtree(client.base.job("grows").path)
    assert account.report(second) is None
    assert account.series(None) is None


def test_where_an_observer_keeps_the_history_nothing_is_written(client: AirExecutorClient) -> None:
    ran(client, "job", "a")
    client.base.config.write_text('history = "sqlite"\n')
    assert account_of(client, "job").keep_history() is None
    assert not (client.base.path / "history.sqlite").exists()
    client.base.config.write_text("")
    told = account_of(client, "job").keep_history()
    assert told == f"history: {client.base.path / 'history.sqlite'}"
    assert (client.base.path / "history.sqlite").stat().st_mode & 0o777 == 0o600
