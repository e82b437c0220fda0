"""The view inside Airflow 2.10: pages made by the server that refresh themselves. Only looking, no changing.

Every route asks Airflow's auth manager; about a job by the DAG in the job's own record, never in the request.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from airflow.auth.managers.models.resource_details import (
    AccessView,
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.www import auth
from airflow.www.extensions.init_auth_manager import get_auth_manager
from flask import Response, make_response, redirect, request, url_for  # type: ignore[import-not-found]
from flask_appbuilder import BaseView, expose  # type: ignore[import-not-found]

from air_executor.airflow._compat import AirflowException
from air_executor.airflow.ui.asked import Right, dag_of
from air_executor.airflow.ui.looking import Folder, Jobs, Server
from air_executor.airflow.ui.refusal import SAFE_HEADERS
from air_executor.client_http import HttpClient
from air_executor.errors import AirExecutorError, NotFound
from air_executor.observe.overview import holds

__all__ = ["JobsView"]

CONN_ID: Final = "air_executor_default"
ROWS: Final = 100
MOST_OF_A_LOG: Final = 200_000
HERE: Final = Path(__file__)
PLACES: Final = ("dag_id", "run_id", "task_id", "map_index")
_TERMS: Final[dict[Right, tuple[Any, DagAccessEntity]]] = {
    "see": ("GET", DagAccessEntity.TASK_INSTANCE),
    "logs": ("GET", DagAccessEntity.TASK_LOGS),
}


def may(dag_id: str | None, right: Right) -> bool:
    """Whether who asks may see this of a DAG's jobs; None: of jobs that no DAG handed in."""
    manager = get_auth_manager()
    if dag_id is None:
        # Whoever may change the connection decides where jobs lie, and has its token: these are nobody else's.
        return bool(manager.is_authorized_connection(method="PUT", details=ConnectionDetails(conn_id=CONN_ID)))
    method, entity = _TERMS[right]
    return bool(manager.is_authorized_dag(method=method, access_entity=entity, details=DagDetails(id=dag_id)))


def guarded(route: Callable[..., Any]) -> Callable[..., Response]:
    """For users that Airflow knows; what goes wrong is said in one line."""

    @auth.has_access_view(AccessView.WEBSITE)
    @wraps(route)
    def answered(*args: Any, **kwargs: Any) -> Response:
        try:
            answer: Response = make_response(route(*args, **kwargs))
        except NotFound:
            answer = make_response("there is no such job or task, or none that you may see", 404)
            answer.mimetype = "text/plain"
        except (AirExecutorError, AirflowException) as error:
            answer = make_response(str(error), 503)
            answer.mimetype = "text/plain"
        for name, value in SAFE_HEADERS[1:]:  # Airflow's own page around ours has scripts in its text
            answer.headers[name.decode()] = value.decode()
        answer.headers["Content-Security-Policy"] = "frame-ancestors 'self'"
        answer.headers["Cache-Control"] = "no-store"
        return answer

    return answered


class JobsView(BaseView):
    """`Browse`, `Air-Executor`."""

    route_base = "/air-executor"
    default_view = "index"
    template_folder = str(HERE.with_name("templates"))

    def __init__(self, find: Callable[[], Path | HttpClient] | None = None) -> None:
        super().__init__()
        self._find = find or _by_airflow
        self._jobs: tuple[Any, Jobs] | None = None

    def _where(self) -> Jobs:
        found = self._find()
        if self._jobs is None or self._jobs[0] != found:
            self._jobs = (found, Server(found) if isinstance(found, HttpClient) else Folder(found))
        return self._jobs[1]

    @expose("/")
    @guarded
    def index(self) -> Any:
        """All jobs, those of a DAG, of a run, or of a task."""
        wanted = _origin_asked()
        rows = [row for row in self._where().all() if wanted is None or holds(row["origin"], wanted)]
        allowed = {dag_id: may(dag_id, "see") for dag_id in {dag_of(row["origin"]) for row in rows}}
        rows = [row for row in rows if allowed[dag_of(row["origin"])]]
        first = max(0, request.args.get("from", 0, type=int))
        shown = rows[first : first + ROWS]
        following = None
        if len(rows) > first + ROWS:
            following = {**{key: value for key, value in request.args.items() if key in PLACES}, "from": first + ROWS}
        return self._page("jobs", jobs=shown, total=len(rows), following=following, wanted=wanted)

    @expose("/of")
    @guarded
    def of(self) -> Any:
        """The job of a task instance, as Airflow's link asks for it."""
        wanted = _origin_asked()
        found = [row for row in self._where().all() if wanted is not None and holds(row["origin"], wanted)]
        if len(found) == 1 and may(dag_of(found[0]["origin"]), "see"):
            return redirect(url_for(".job", name=found[0]["name"]))
        return redirect(f"{url_for('.index')}?{urlencode({k: v for k, v in request.args.items() if k in PLACES})}")

    @expose("/jobs/<name>")
    @guarded
    def job(self, name: str) -> Any:
        """Progress and tasks."""
        self._check(name, "see")
        status, text = request.args.get("status") or None, request.args.get("q") or None
        first = max(0, request.args.get("from", 0, type=int))
        page = self._where().tasks(name, status, text, first, ROWS)
        return self._page(
            "job", job=self._where().job(name), listed=page, status=status, text=text or "", first=first
        )

    @expose("/jobs/<name>/task")
    @guarded
    def task(self, name: str) -> Any:
        """A task with its attempts and the log of one."""
        self._check(name, "see")
        task = self._where().task(name, request.args.get("id", ""))
        attempt = request.args.get("attempt", type=int)
        log = None
        if may(dag_of(self._where().origin(name)), "logs"):
            log = self._where().log(name, task["id"], attempt, MOST_OF_A_LOG)
        return self._page(
            "task", job=self._where().job(name), task=task, attempt=attempt, log=log, most=MOST_OF_A_LOG
        )

    @expose("/refresh.js")
    @guarded
    def refresh(self) -> Any:
        """What makes the pages refresh themselves."""
        return Response(
            HERE.with_name("templates").joinpath("air_executor", "refresh.js").read_text(), mimetype="text/javascript"
        )

    def _check(self, name: str, right: Right) -> None:
        if not may(dag_of(self._where().origin(name)), right):
            raise NotFound(name)  # as for a job that there is not

    def _page(self, page: str, **told: Any) -> str:
        text: str = self.render_template(f"air_executor/{page}.html", label=_label, **told)
        return text


def _by_airflow() -> Path | HttpClient:
    from air_executor.airflow.hook import AirExecutorHook

    hook = AirExecutorHook()
    if hook.base is not None:
        return hook.base
    client = hook.get_conn()
    assert isinstance(client, HttpClient)
    return client


def _origin_asked() -> dict[str, Any] | None:
    """A filter, not a right: what it leaves is then looked at one by one."""
    asked: dict[str, Any] = {name: request.args[name] for name in PLACES if request.args.get(name)}
    if not asked:
        return None
    if "map_index" in asked:
        asked["map_index"] = request.args.get("map_index", -1, type=int)
    return {"airflow": asked}


def _label(origin: Any) -> dict[str, str] | None:
    """What Airflow's users call a job: by the task that handed it in."""
    airflow = origin.get("airflow") if isinstance(origin, dict) else None
    if dag_of(origin) is None or not isinstance(airflow, dict):
        return None
    index = airflow.get("map_index")
    mapped = f" [{index}]" if isinstance(index, int) and index >= 0 else ""
    return {"task": f"{airflow.get('task_id')}{mapped}", "run": f"{airflow['dag_id']}, {airflow.get('run_id')}"}
