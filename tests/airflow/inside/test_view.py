"""The view inside Airflow 2.10: its real web application with FAB's roles, without a server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import pytest

from air_executor.airflow._compat import AIRFLOW_3

if AIRFLOW_3:
    pytest.skip("3.x has the dashboard: test_guards.py", allow_module_level=True)

from air_executor import AirExecutorClient
from air_executor.airflow.links import AirExecutorJobLink, address_of
from tests.support import ManagerProcess, wait_end

RUN = "manual__2026-01-01T00:00:00+00:00"
SHARED, PRIVATE, BY_HAND = f"airflow-shared~{RUN}~crunch", f"airflow-private~{RUN}~crunch", "by-hand"
SCRIPT = "<script>alert(1)</script>"
HOSTILE = "<img src=x onerror=alert(2)>"
SECRET = "secret-task"
DAGS = ("shared", "private")


def origin(dag_id: str, map_index: int = -1) -> dict[str, Any]:
    return {"airflow": {"dag_id": dag_id, "run_id": RUN, "task_id": "crunch", "map_index": map_index}}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    base = tmp_path_factory.mktemp("jobs") / "base"
    base.mkdir(mode=0o700)
    manager = ManagerProcess(base).start()
    client = AirExecutorClient(base)
    many = [{"id": f"page-{number:03}", "command": "true"} for number in range(250)]
    fails = {"command": "sh", "args": ["-c", f"echo '{SCRIPT}'; exit 3"]}
    given = {
        SHARED: ([*many, {"id": HOSTILE, **fails}], origin("shared")),
        PRIVATE: ([{"id": SECRET, **fails}], origin("private")),
        BY_HAND: ([{"id": SECRET, **fails}], None),
    }
    for name, (tasks, by) in given.items():
        job_id = client.create_job(name, tasks, **({} if by is None else {"origin": by}))
        wait_end(base / "jobs" / name, job_id)
    yield base
    manager.stop()


@pytest.fixture(scope="module")
def web(jobs: Path) -> Iterator[Any]:
    """Airflow's web application, whose role `Guest` may see the DAG `shared` and not `private`."""
    from airflow.models.dag import DAG
    from airflow.utils.session import create_session
    from airflow.www.app import create_app, purge_cached_app
    from airflow.www.extensions.init_auth_manager import get_auth_manager

    purge_cached_app()
    app = create_app(testing=True)
    app.config["WTF_CSRF_ENABLED"] = False
    with app.app_context(), create_session() as session:
        DAG.bulk_write_to_db([DAG(dag_id, schedule=None) for dag_id in DAGS], session=session)
        security = get_auth_manager().security_manager
        security.sync_roles()
        guest = security.add_role("Guest")
        for name in ("Website", "DAG Runs", "Task Instances", "Task Logs", "DAG:shared"):
            security.add_permission_to_role(guest, security.create_permission("can_read", name))
        for user, role in {"admin": "Admin", "viewer": "Viewer", "op": "Op", "guest": "Guest"}.items():
            if not security.find_user(user):
                security.add_user(user, user, user, f"{user}@example.org", security.find_role(role), password=user)
    yield app
    purge_cached_app()


@pytest.fixture(scope="module")
def clients() -> dict[str | None, Any]:
    """Kept: Airflow lets nobody log in often."""
    return {}


@pytest.fixture
def ask(
    web: Any,
    clients: dict[str | None, Any],
    jobs: Path,
    no_base_from_outside: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    """Asks as a user (None: as nobody)."""
    monkeypatch.setenv("AIRFLOW__AIR_EXECUTOR__BASE_PATH", str(jobs))

    def asked(user: str | None, path: str, method: str = "GET") -> Any:
        if user not in clients:
            clients[user] = web.test_client()
            if user is not None:
                entered = clients[user].post("/login/", data={"username": user, "password": user})
                assert entered.status_code == 302
        return clients[user].open(f"/air-executor{path}", method=method)

    return asked


def of(job: str, rest: str = "", **query: Any) -> str:
    return f"/jobs/{quote(job, safe='')}{rest}" + (f"?{urlencode(query)}" if query else "")


def test_nobody_gets_anything(web: Any, ask: Callable[..., Any]) -> None:
    rules = [rule for rule in web.url_map.iter_rules() if rule.rule.startswith("/air-executor")]
    assert len(rules) == 5
    for rule in rules:
        path = rule.rule.removeprefix("/air-executor").replace("<name>", quote(PRIVATE, safe=""))
        for query in ("", "?dag_id=shared", f"?id={SECRET}", f"?dag_id=shared&id={SECRET}"):
            answer = ask(None, path + query)
            assert answer.status_code == 302, path
            assert "/login/" in answer.headers["Location"]
            assert "air-executor.refresh" not in answer.text
            assert "state" not in answer.text.casefold()


def test_a_private_job_is_as_if_there_were_none(ask: Callable[..., Any]) -> None:
    unknown = ask("guest", "/jobs/nothing")
    assert unknown.status_code == 404
    for query in ({}, {"dag_id": "shared"}, {"dag_id": "shared", "run_id": RUN}, {"name": SHARED}):
        for path in (of(PRIVATE, **query), of(PRIVATE, "/task", id=SECRET, **query)):
            answer = ask("guest", path)
            assert (answer.status_code, answer.text) == (404, unknown.text)
            assert ask("guest", path.replace(quote(PRIVATE, safe=""), BY_HAND)).status_code == 404
    listed = ask("guest", "/").text
    assert SHARED in listed
    assert "private" not in listed
    assert BY_HAND not in listed
    assert "No jobs yet" in ask("guest", f"/?dag_id=private&run_id={quote(RUN, safe='')}").text
    assert SECRET not in ask("guest", f"/of?dag_id=private&run_id={quote(RUN, safe='')}&task_id=crunch").text
    assert ask("guest", of(SHARED)).status_code == 200


def test_who_sees_what(ask: Callable[..., Any]) -> None:
    assert ask("viewer", of(PRIVATE)).status_code == 200
    for user, status in {"viewer": 404, "op": 200, "admin": 200}.items():
        assert ask(user, of(BY_HAND)).status_code == status
    assert BY_HAND in ask("op", "/").text


def test_a_job_and_its_tasks(ask: Callable[..., Any]) -> None:
    page = ask("viewer", of(SHARED))
    assert page.headers["Content-Security-Policy"] == "frame-ancestors 'self'"
    assert page.headers["Cache-Control"] == "no-store"
    assert "251 of 251" in page.text
    assert "page-099" in page.text
    assert "page-100" not in page.text
    following = re.findall(r'href="(\?[^"]*from=100[^"]*)"', page.text)[0].replace("&amp;", "&")
    assert "page-150" in ask("viewer", of(SHARED) + following).text
    failed = ask("viewer", of(SHARED, status="failed")).text
    assert "1 task<" in failed
    assert "page-000" not in failed
    assert "page-042" in ask("viewer", of(SHARED, q="042")).text
    assert "1 task<" in ask("viewer", of(SHARED, q="042")).text


def test_what_tasks_wrote_is_text(ask: Callable[..., Any]) -> None:
    for path in (of(SHARED, status="failed"), of(SHARED, "/task", id=HOSTILE), of(SHARED, q=SCRIPT)):
        text = ask("viewer", path).text
        assert SCRIPT not in text
        assert HOSTILE not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in ask("viewer", of(SHARED, "/task", id=HOSTILE)).text


def test_the_link_of_a_task_leads_to_its_job(ask: Callable[..., Any]) -> None:
    address = address_of("shared", RUN, "crunch")
    path = address.partition("/air-executor")[2]
    answer = ask("guest", path)
    assert answer.status_code == 302
    assert unquote(answer.headers["Location"]).endswith(f"/air-executor/jobs/{SHARED}")
    none = ask("guest", address_of("shared", RUN, "other").partition("/air-executor")[2])
    assert "No jobs yet" in ask("guest", none.headers["Location"].partition("/air-executor")[2]).text
    assert AirExecutorJobLink.name == "Air-Executor job"


def test_nothing_can_be_changed(ask: Callable[..., Any]) -> None:
    for path in ("/", of(SHARED), of(SHARED, "/task", id=HOSTILE), of(SHARED, "/cancel")):
        assert ask("admin", path, "POST").status_code in (404, 405)
