"""Where the hook finds Air-Executor, and what it says when it does not."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from air_executor import AirExecutorClient
from air_executor.airflow import AirExecutorHook
from air_executor.airflow._compat import AIRFLOW_3, AirflowException
from air_executor.client_http import HttpClient
from tests.airflow.inside.jobs import server_of
from tests.support import ManagerProcess


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes connections, as environment variables."""

    def make(conn_id: str, **fields: Any) -> None:
        value = json.dumps({"conn_type": "air_executor", **fields})
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", value)

    return make


@pytest.fixture
def nowhere(no_base_from_outside: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__AIR_EXECUTOR__BASE_PATH", "")


def test_the_first_of_four_places_counts(
    base: Path, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIR_EXECUTOR_BASE", str(tmp_path / "environment"))
    monkeypatch.setenv("AIRFLOW__AIR_EXECUTOR__BASE_PATH", "")
    assert AirExecutorHook().base == tmp_path / "environment"
    monkeypatch.setenv("AIRFLOW__AIR_EXECUTOR__BASE_PATH", str(tmp_path / "config"))
    assert AirExecutorHook().base == tmp_path / "config"
    connect("air_executor_default", host=str(tmp_path / "connection"))
    assert AirExecutorHook().base == tmp_path / "connection"
    assert AirExecutorHook(None).base == tmp_path / "config"
    assert AirExecutorHook(base_path=str(tmp_path / "argument")).base == tmp_path / "argument"
    assert AirExecutorHook("no_such_thing", base_path=tmp_path / "argument").base == tmp_path / "argument"


def test_nowhere_is_one_error_that_names_all_four(nowhere: None) -> None:
    with pytest.raises(AirflowException) as caught:
        AirExecutorHook().get_conn()
    text = str(caught.value)
    for place in ("base_path", "'air_executor_default'", "[air_executor]", "AIR_EXECUTOR_BASE"):
        assert place in text
    assert "\n" not in text


def test_a_connection_that_was_named_has_to_exist(base: Path) -> None:
    with pytest.raises(AirflowException, match="there is no connection 'mine'; make one of type air_executor"):
        AirExecutorHook("mine").get_conn()


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "http://10.0.0.7:5001"}, "http://10.0.0.7:5001"),
        ({"host": "jobs.example.org", "port": 5001}, "http://jobs.example.org:5001"),
        ({"host": "jobs.example.org", "schema": "https"}, "https://jobs.example.org"),
        ({"host": "https://jobs.example.org/air", "port": 8443}, "https://jobs.example.org:8443/air"),
        ({"host": "https://jobs.example.org:1/air", "port": 8443}, "https://jobs.example.org:1/air"),
    ],
)
def test_a_host_is_a_server(nowhere: None, connect: Any, fields: dict[str, Any], url: str) -> None:
    connect("mine", password="token", **fields)
    hook = AirExecutorHook("mine")
    client = hook.get_conn()
    assert isinstance(client, HttpClient)
    assert (client.url, hook.base, hook.is_remote, hook.dashboard_url) == (url, None, True, url)
    assert "token" not in repr(vars(hook))


def test_a_folder_may_be_host_or_extra(nowhere: None, connect: Any, tmp_path: Path) -> None:
    connect("mine", host=str(tmp_path))
    assert AirExecutorHook("mine").base == tmp_path
    connect("mine", host="ignored", extra={"base_path": str(tmp_path), "dashboard_url": "https://see.example.org"})
    hook = AirExecutorHook("mine")
    assert (hook.base, hook.is_remote, hook.dashboard_url) == (tmp_path, False, "https://see.example.org")
    connect("mine", host=str(tmp_path))
    assert AirExecutorHook("mine").dashboard_url is None


def test_a_connection_that_says_nothing_is_told_so(nowhere: None, connect: Any) -> None:
    connect("mine", password="x")
    with pytest.raises(AirflowException, match=r"connection 'mine' names neither a folder .* nor a server"):
        AirExecutorHook("mine").get_conn()
    connect("mine", host="ftp://x")
    with pytest.raises(AirflowException, match="connection 'mine': url 'ftp://x': expected something like"):
        AirExecutorHook("mine").get_conn()


def test_triggers_get_the_same_client_without_blocking(nowhere: None, connect: Any, tmp_path: Path) -> None:
    connect("mine", host=str(tmp_path))
    client = asyncio.run(AirExecutorHook.async_client("mine"))
    assert isinstance(client, AirExecutorClient)
    assert client.base.path == tmp_path
    with pytest.raises(AirflowException, match="there is no connection 'yours'"):
        asyncio.run(AirExecutorHook.async_client("yours"))
    assert asyncio.run(AirExecutorHook.async_client(None, str(tmp_path))).base.path == tmp_path


def test_the_test_button_says_who_works_there(base: Path, tmp_path: Path) -> None:
    assert AirExecutorHook(base_path=tmp_path / "new").test_connection() == (
        True,
        f"there is no base folder {tmp_path}/new yet; it is made when the first job is handed over",
    )
    (tmp_path / "file").touch()
    good, text = AirExecutorHook(base_path=tmp_path / "file" / "new").test_connection()
    assert not good
    assert "cannot make one" in text
    AirExecutorClient(base).base.create()
    good, text = AirExecutorHook().test_connection()
    assert good
    assert f"`air-executor start --base {base}`" in text
    manager = ManagerProcess(base).start()
    try:
        assert AirExecutorHook().test_connection() == (True, f"{base} can be used; manager {manager.pid} works on it")
        assert "is no connection" in AirExecutorHook("none").test_connection()[1]
    finally:
        manager.stop()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_one_may_not_write_to(base: Path) -> None:
    AirExecutorClient(base).base.create()
    (base / "jobs").chmod(0o500)
    good, text = AirExecutorHook().test_connection()
    assert not good
    assert "init --group" in text


def test_the_test_button_of_a_server(base: Path, connect: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(right := "right" * 4)
    token.chmod(0o600)
    AirExecutorClient(base).base.create()
    with server_of(base, "--token-file", str(token)) as server:
        connect("mine", host=server.url, password=right)
        good, text = AirExecutorHook("mine").test_connection()
        assert good
        assert "no manager works on its base folder" in text
        connect("mine", host=server.url, password="wrong" * 4)
        good, text = AirExecutorHook("mine").test_connection()
        assert not good
        assert "wrong" not in text
        assert "token" in text
        url = server.url
    connect("mine", host=url, password=right)
    good, text = AirExecutorHook("mine").test_connection()
    assert not good
    assert text.startswith(f"{url} cannot be asked: ")


def test_the_form_of_a_connection(base: Path) -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert manager.hooks["air_executor"].hook_name == "Air-Executor"
    behaviour = manager.field_behaviours["air_executor"]
    assert behaviour["hidden_fields"] == ["login"]
    assert behaviour["relabeling"]["password"] == "Token"
    widgets = manager.connection_form_widgets
    assert {name for name in widgets if "air_executor" in name} == {
        f"extra__air_executor__{name}" for name in ("base_path", "dashboard_url", "airflow_python")
    }
    if AIRFLOW_3:
        assert widgets["extra__air_executor__base_path"].field["schema"]["title"] == "Base folder"
