"""Who sees and changes what of the page inside Airflow 3: its real API server's application, without a server."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from air_executor.airflow._compat import AIRFLOW_3

if not AIRFLOW_3:
    pytest.skip("2.10 has a view of its own: test_view.py", allow_module_level=True)

from airflow.api_fastapi import app as airflow_app
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from starlette.routing import Mount
from starlette.testclient import TestClient

from air_executor import AirExecutorClient
from air_executor.airflow import plugin
from air_executor.airflow.ui import handed
from air_executor.airflow.ui.dashboard import Dashboard
from air_executor.airflow.ui.guards import guarded
from air_executor.web import create_app
from tests.acceptance.web_server import Server
from tests.support import ManagerProcess, wait_end

ACCESS = Path(__file__).parents[1] / "access"
ROLES = {"admin": "ADMIN", "op": "OP", "writer": "USER", "viewer": "VIEWER", "guest": "VIEWER"}
REFUSED = [["guest", "GET", "private"], ["writer", "PUT", "private"]]
RUN = "manual__2026-01-01T00:00:00+00:00"
SHARED, PRIVATE, BY_HAND = f"airflow-shared~{RUN}~crunch", f"airflow-private~{RUN}~crunch", "by-hand"
SECRET = "secret-task"
SCRIPT = "<script>alert(1)</script>"


def origin(dag_id: str, task_id: str = "crunch", map_index: int = -1) -> dict[str, Any]:
    return {"airflow": {"dag_id": dag_id, "run_id": RUN, "task_id": task_id, "map_index": map_index}}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A base folder with a job of a DAG that all may see, one of a private DAG, and one that no DAG handed in."""
    base = tmp_path_factory.mktemp("jobs") / "base"
    base.mkdir(mode=0o700)
    manager = ManagerProcess(base).start()
    client = AirExecutorClient(base)
    tasks = [{"id": SECRET, "command": "sh", "args": ["-c", f"echo '{SCRIPT}'; exit 1"], "group": "g"}]
    plain = [{**tasks[0], "id": "plain"}]
    names = {SHARED: origin("shared"), PRIVATE: origin("private"), BY_HAND: None}
    for name, by in names.items():
        given = plain if name == SHARED else tasks
        job_id = client.create_job(name, given, **({} if by is None else {"origin": by}))
        wait_end(base / "jobs" / name, job_id)
    client.create_job("airflow-both", tasks, origin=origin("private"))
    wait_end(base / "jobs" / "airflow-both")
    job_id = client.create_job("airflow-both", plain, origin=origin("shared"))
    wait_end(base / "jobs" / "airflow-both", job_id)
    yield base
    manager.stop()


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The auth manager and its file of what is refused."""
    patch = pytest.MonkeyPatch()
    file = tmp_path_factory.mktemp("access") / "refused.json"
    file.write_text(json.dumps(REFUSED))
    patch.syspath_prepend(str(ACCESS))
    patch.setenv("CHANGING_AUTH_FILE", str(file))
    patch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "changing_auth.ChangingAuthManager")
    patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", ",".join(f"{u}:{r}" for u, r in ROLES.items()))
    patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(file.with_name("passwords.json")))
    patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "for-tests-only-" * 5)
    patch.setenv("AIRFLOW__API__SECRET_KEY", "for-tests-only-" * 5)
    yield file
    patch.undo()


@pytest.fixture(autouse=True)
def as_it_was(access: Path) -> Iterator[None]:
    yield
    access.write_text(json.dumps(REFUSED))


@pytest.fixture(scope="module")
def airflow(access: Path, jobs: Path) -> Iterator[TestClient]:
    """Airflow's application with our plugin, as it is served under a sub-path."""
    patch = pytest.MonkeyPatch()
    patch.setattr(airflow_app, "API_ROOT_PATH", "/some/path/")
    patch.setattr(handed, "STREAM_S", 0.6)
    patch.setattr(handed, "AGAIN_S", 0.1)
    airflow_app.purge_cached_app()
    application = airflow_app.create_app(apps="core")
    with TestClient(application, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client
    airflow_app.purge_cached_app()
    patch.undo()


def login(user: str) -> dict[str, str]:
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=user, role=ROLES[user], teams=None))
    return {"Authorization": f"Bearer {token}"}


Ask = Callable[..., Any]


@pytest.fixture
def named(jobs: Path, no_base_from_outside: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's configuration names the base folder."""
    monkeypatch.setenv("AIRFLOW__AIR_EXECUTOR__BASE_PATH", str(jobs))


@pytest.fixture
def ask(airflow: TestClient, named: None) -> Ask:
    """Asks as a user (None: as nobody)."""

    def asked(user: str | None, path: str, method: str = "GET", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()} | (login(user) if user else {})
        airflow.cookies.clear()
        return airflow.request(method, f"/some/path/air-executor{path}", headers=named)

    return asked


def of(job: str, rest: str = "") -> str:
    return f"/jobs/{quote(job, safe='')}{rest}"


def routes(base: Path) -> list[tuple[str, str]]:
    """Every route of the web application that is mounted, with a job and a task that are there; and our own."""
    found = []
    for route in create_app(base).api.routes:
        for method in route.methods:
            path = route.path.replace("{name}", quote(PRIVATE, safe="")).replace("{id}", SECRET)
            found.append((method, path.replace("{file}", "favicon.svg")))
    assert len(found) > 30
    own = ["/", "/airflow-icon.svg", "/assets/index.js", "/docs", "/redoc", "/openapi.json", "/nothing", "//"]
    return found + [("GET", path) for path in own]


def test_the_plugin_is_mounted_once_and_behind_one_route(airflow: TestClient) -> None:
    mounts = [route for route in airflow.app.routes if isinstance(route, Mount) and "air-executor" in route.path]
    assert [mount.path for mount in mounts] == ["/air-executor"]
    assert [route.path for route in mounts[0].app.routes] == ["/{path:path}"]


def test_nobody_gets_anything(ask: Ask, jobs: Path) -> None:
    for method, path in routes(jobs):
        for headers in ({}, {"Authorization": "Bearer abc"}, {"Cookie": "_token=abc"}, {"X-Air-Executor": "1"}):
            for query in ("", "?dag_id=shared", "?token=abc"):
                answer = ask(None, path + query, method, **headers)
                assert answer.status_code in (401, 403), (method, path, headers)
                assert SECRET not in answer.text
                assert "private" not in answer.text


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nobody_by_other_methods(ask: Ask, method: str) -> None:
    for path in ("/", of(PRIVATE), "/jobs"):
        assert ask(None, path, method).status_code in (401, 403)
        assert ask("admin", path, method).status_code == 405


def test_a_private_job_is_as_if_there_were_none(ask: Ask, jobs: Path) -> None:
    unknown = ask("guest", of("nothing-of-this-name"))
    assert unknown.status_code == 404
    for method, path in routes(jobs):
        if not path.startswith("/jobs/"):
            continue
        for query in ("", "?dag_id=shared", f"?job={quote(SHARED)}", "?dag_id=shared&dag_id=private"):
            answer = ask("guest", path + query, method, X_Air_Executor="1")
            assert answer.status_code in (400, 403, 404), (method, path, query)
            assert SECRET not in answer.text
            assert (
                method == "POST"
                or answer.status_code == 400
                or answer.json() == unknown.json()
                or "no such page" in answer.text
            )
    assert ask("guest", f"/events?job={quote(PRIVATE, safe='')}").json() == unknown.json()
    assert ask("guest", f"/info?job={quote(PRIVATE, safe='')}").status_code == 200
    assert not ask("guest", f"/info?job={quote(PRIVATE, safe='')}").json()["write"]


def test_names_that_are_written_otherwise(ask: Ask) -> None:
    twice = quote(quote(PRIVATE, safe=""), safe="")
    for path in (f"/jobs/{twice}", f"/jobs//{quote(PRIVATE, safe='')}", f"/jobs/x/..%2F{quote(PRIVATE, safe='')}"):
        assert ask("guest", path).status_code == 404
    assert ask("guest", f"/events?job={quote(SHARED)}&job={quote(PRIVATE)}").status_code == 400
    assert ask("guest", f"/events?job={quote(SHARED)};job={quote(PRIVATE)}").status_code == 404
    assert ask("guest", f"{of(SHARED)}%00").status_code in (404, 422)
    assert ask("guest", "/jobs/%ff").status_code == 404


def test_lists_numbers_and_streams_hold_what_one_may_see(ask: Ask) -> None:
    def names(user: str, query: str = "") -> set[str]:
        return {job["name"] for job in ask(user, f"/jobs{query}").json()["jobs"]}

    assert names("guest") == {SHARED, "airflow-both"}
    assert names("viewer") == {SHARED, PRIVATE, "airflow-both"}
    assert names("op") == {SHARED, PRIVATE, BY_HAND, "airflow-both"}
    assert names("guest", "?limit=1") <= {SHARED, "airflow-both"}
    private = quote(json.dumps({"airflow": {"dag_id": "private"}}))
    assert names("guest", f"?origin={private}") == set()
    assert names("viewer", f"?origin={private}") == {PRIVATE}
    assert ask("guest", "/info").json()["counts"]["failed"] == 2
    assert ask("viewer", "/info").json()["counts"]["failed"] == 3
    assert ask("op", "/info").json()["counts"]["failed"] == 4
    assert ask("viewer", "/info").json()["base"] == ""
    events = ask("guest", "/events").text
    assert events.startswith("event: jobs\n")
    assert "private" not in events
    assert SECRET not in events
    assert BY_HAND not in events
    told = json.loads(re.findall("data: (.*)", events)[0])
    assert {job["name"] for job in told["jobs"]} == {SHARED, "airflow-both"}
    assert told["info"]["counts"]["failed"] == 2


def test_earlier_runs_of_the_name_by_another_dag(ask: Ask) -> None:
    def runs(user: str) -> list[str]:
        told = ask(user, of("airflow-both", "/history")).json()["runs"]
        return [run["origin"]["airflow"]["dag_id"] for run in told]

    assert runs("viewer") == ["shared", "private"]
    assert runs("guest") == ["shared"]


def test_jobs_that_no_dag_handed_in_belong_to_those_who_may_change_the_connection(ask: Ask) -> None:
    for user, status in {"guest": 404, "viewer": 404, "writer": 404, "op": 200, "admin": 200}.items():
        assert ask(user, of(BY_HAND)).status_code == status, user
        assert ask(user, of(BY_HAND, f"/tasks/{SECRET}/log")).status_code == status, user


def test_seeing_and_logs(ask: Ask) -> None:
    assert ask("viewer", of(PRIVATE)).json()["failed"] == 1
    assert ask("viewer", f"/events?job={quote(PRIVATE, safe='')}").text.count("event: snapshot") == 1
    log = ask("viewer", of(PRIVATE, f"/tasks/{SECRET}/log"))
    assert log.text == f"{SCRIPT}\n"
    assert log.headers["content-type"].startswith("text/plain")
    assert log.headers["x-content-type-options"] == "nosniff"
    assert ask("viewer", of(PRIVATE, f"/tasks/{SECRET}/log"), Range="bytes=1-6").text == "script"
    grid = ask("viewer", of(PRIVATE, "/grid"))
    assert grid.content == b"\x03"
    assert "x-position" in grid.headers


def test_changing_needs_the_right_to_change_runs(ask: Ask) -> None:
    for user in ("guest", "viewer"):
        answer = ask(user, of(SHARED, "/retry"), "POST", X_Air_Executor="1")
        assert answer.status_code == 403, user
        assert "change the runs" in answer.json()["error"]
        assert not ask(user, f"/info?job={quote(SHARED, safe='')}").json()["write"]
    assert ask("writer", of(PRIVATE, "/retry"), "POST", X_Air_Executor="1").status_code == 403
    assert ask("writer", f"/info?job={quote(SHARED, safe='')}").json()["write"]
    assert ask("writer", of(SHARED, "/retry"), "POST").status_code == 403  # from another site's form
    assert ask("writer", of(SHARED, "/cancel"), "POST", X_Air_Executor="1").status_code == 409  # it has ended
    assert ask("writer", of(SHARED, "/retry"), "POST", X_Air_Executor="1").status_code == 202


def test_nobody_hands_jobs_in_here(ask: Ask) -> None:
    for user in ROLES:
        for path in ("/jobs", of(SHARED, "/tasks"), of(PRIVATE, "/tasks"), of(SHARED, "/renew"), of("new", "")):
            assert ask(user, path, "POST", X_Air_Executor="1").status_code == 403
        for path in ("/docs", "/openapi.json", "/metrics", "/healthz/", "/redoc", "/ends", "/assets/..%2Findex.html"):
            assert ask(user, path).status_code == 404, path


def test_headers_of_every_kind_of_answer(ask: Ask) -> None:
    answers = [
        ask(None, "/"),
        ask("guest", "/"),
        ask("guest", of(PRIVATE)),
        ask("viewer", of(SHARED)),
        ask("guest", "/x/y"),
    ]
    answers += [ask("viewer", "/events"), ask("viewer", "/favicon.svg"), ask("viewer", "/", "DELETE")]
    for answer in answers:
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "public" not in answer.headers["cache-control"]


def test_the_page_knows_where_it_is_shown(ask: Ask) -> None:
    page = ask("guest", "/").text
    if "not built" in page:
        pytest.skip("the dashboard is not built: make dashboard")
    assert '<meta name="host" content="airflow" />' in page
    script = re.findall(r'src="\./(assets/[^"]+\.js)"', page)[0]
    answer = ask("guest", f"/{script}")
    assert answer.headers["content-type"].startswith("text/javascript")


def test_the_cookie_of_a_login_does(airflow: TestClient, named: None) -> None:
    token = login("viewer")["Authorization"].split()[1]
    airflow.cookies.clear()
    cookie = {"Cookie": f"_token={token}"}
    assert airflow.get("/some/path/air-executor/jobs", headers=cookie).status_code == 200
    get_auth_manager().revoke_token(token)
    assert airflow.get("/some/path/air-executor/jobs", headers=cookie).status_code in (401, 403)


def test_a_stream_ends_when_the_right_does(
    ask: Ask, access: Path, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed, "STREAM_S", 30.0)
    monkeypatch.setattr("air_executor.airflow.ui.guards.HOLDS_S", 0.2)
    import threading

    def refuse() -> None:
        access.write_text(json.dumps([*REFUSED, ["viewer", "GET", "shared"]]))

    timer = threading.Timer(1.0, refuse)
    began = time.monotonic()
    timer.start()
    stream = ask("viewer", f"/events?job={quote(SHARED, safe='')}")
    assert stream.status_code == 200
    assert "event: snapshot" in stream.text
    assert 0.9 < time.monotonic() - began < 10.0
    timer.join()
    assert ask("viewer", f"/events?job={quote(SHARED, safe='')}").status_code == 404


def test_streams_are_short(ask: Ask) -> None:
    began = time.monotonic()
    assert ask("viewer", "/events").status_code == 200
    assert time.monotonic() - began < 10.0


def test_without_guards_everything_is_refused(monkeypatch: pytest.MonkeyPatch, jobs: Path) -> None:
    monkeypatch.delitem(sys.modules, "air_executor.airflow.ui.guards")
    monkeypatch.setitem(sys.modules, "airflow.api_fastapi.core_api.security", None)  # imports of it fail
    with pytest.raises(ImportError):
        import air_executor.airflow.ui.guards  # noqa: F401
    [app] = plugin._fastapi_apps()
    assert app["url_prefix"] == "/air-executor"
    client = TestClient(app["app"])
    for method, path in routes(jobs):
        answer = client.request(method, path, headers={"X-Air-Executor": "1"} | login("admin"))
        assert answer.status_code == 503, (method, path)
        assert method == "HEAD" or "answers nobody" in answer.text
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]


def test_no_base_is_said(access: Path, airflow: TestClient) -> None:
    with TestClient(guarded(Dashboard())) as client:
        answer = client.get("/jobs", headers=login("admin"))
    assert answer.status_code == 503
    assert "base_path" in answer.json()["error"]


# ---- a server elsewhere --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(jobs: Path) -> Iterator[Server]:
    server = Server(jobs, AIR_EXECUTOR_TOKEN=TOKEN)
    yield server
    server.stop()


TOKEN = "a-token-that-no-browser-sees"


@pytest.fixture
def elsewhere(airflow: TestClient, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Asks the page of an Airflow whose connection names a server."""
    yield from _elsewhere(server.url, TOKEN, monkeypatch)


def _elsewhere(url: str, token: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    connection = {"conn_type": "air_executor", "host": url, "password": token}
    monkeypatch.setenv("AIRFLOW_CONN_AIR_EXECUTOR_DEFAULT", json.dumps(connection))
    monkeypatch.setattr(handed, "STREAM_S", 0.6)
    with TestClient(guarded(Dashboard())) as client:

        def asked(user: str | None, path: str, method: str = "GET", **headers: str) -> Any:
            named = {name.replace("_", "-"): value for name, value in headers.items()} | (login(user) if user else {})
            answer = client.request(method, path, headers=named)
            assert TOKEN not in answer.text + repr(answer.headers)
            return answer

        yield asked


def test_a_server_elsewhere_is_asked_after_the_same_guards(elsewhere: Ask, jobs: Path) -> None:
    for method, path in routes(jobs):
        assert elsewhere(None, path, method).status_code in (401, 403)
        if path.startswith("/jobs/") and method == "GET":
            assert elsewhere("guest", path).status_code == 404
    names = {job["name"] for job in elsewhere("guest", "/jobs").json()["jobs"]}
    assert names == {SHARED, "airflow-both"}
    assert elsewhere("viewer", of(PRIVATE, f"/tasks/{SECRET}/log")).text == f"{SCRIPT}\n"
    assert elsewhere("viewer", of(PRIVATE, f"/tasks/{SECRET}/log"), Range="bytes=1-6").status_code == 206
    assert elsewhere("viewer", of(PRIVATE, "/grid")).content == b"\x03"
    assert elsewhere("viewer", f"/events?job={quote(PRIVATE, safe='')}").text.count("event: snapshot") == 1
    assert "private" not in elsewhere("guest", "/events").text
    assert elsewhere("viewer", of(SHARED, "/retry"), "POST", X_Air_Executor="1").status_code == 403
    assert elsewhere("writer", of(SHARED, "/cancel"), "POST", X_Air_Executor="1").status_code == 409
    assert elsewhere("writer", of(PRIVATE, "/retry"), "POST", X_Air_Executor="1").status_code == 403
    assert elsewhere("writer", "/jobs", "POST", X_Air_Executor="1").status_code == 403


def test_a_server_that_refuses_the_token_or_is_away(
    airflow: TestClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url, token, text in (
        (server.url, "wrong", "refuses Airflow's token"),
        ("http://127.0.0.1:9", TOKEN, "cannot be reached"),
    ):
        for ask in _elsewhere(url, token, monkeypatch):
            answer = ask("admin", "/jobs")
            assert answer.status_code == 502
            assert text in answer.json()["error"]
            assert text in ask("admin", of(SHARED)).json()["error"]
