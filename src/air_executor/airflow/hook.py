"""Where Airflow finds Air-Executor: a connection, the configuration, or the environment."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from air_executor.airflow._compat import AirflowException, AirflowNotFoundException, BaseHook, conf
from air_executor.errors import AirExecutorError

if TYPE_CHECKING:
    from air_executor.client import AirExecutorClient

__all__ = ["AirExecutorHook"]

DEFAULT_CONN_ID: Final = "air_executor_default"


@dataclass(frozen=True)
class _Place:
    """A folder or a server, and how it is opened. The token is never shown."""

    base: str | None = None
    url: str | None = None
    token: str | None = None
    dashboard_url: str | None = None
    airflow_python: str | None = None

    def __repr__(self) -> str:
        return f"<{self.base or self.url}>"


class AirExecutorHook(BaseHook):
    """Finds the base folder, or the server, that jobs are handed over to.

    The first of these that is given counts:

    1. `base_path`: a folder (as with `--base`: the base folder, or the one that holds `.air-executor/`);
    2. the connection `air_executor_conn_id`, of type `air_executor`: either a **folder** (a host beginning with `/`,
       or the extra `base_path`) or a **server** (host: its URL, or host, port and schema `http`/`https`;
       password: its token). A connection that does not exist is an error, except `air_executor_default`;
    3. `base_path` in section `[air_executor]` of Airflow's configuration (`AIRFLOW__AIR_EXECUTOR__BASE_PATH`);
    4. the environment variable `AIR_EXECUTOR_BASE`.

    A folder has to be the same on every machine that runs Airflow tasks, a triggerer, or the manager; where it
    cannot be, use a server (`air-executor serve`).

    Extras of the connection: `base_path`; `dashboard_url` (where people see the jobs, for links);
    `airflow_python` (the interpreter of an Airflow environment on the manager's machine, which reads secrets
    there; default: the one that runs the task).
    """

    conn_name_attr = "air_executor_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "air_executor"
    hook_name = "Air-Executor"

    def __init__(
        self, air_executor_conn_id: str | None = DEFAULT_CONN_ID, base_path: str | os.PathLike[str] | None = None
    ) -> None:
        super().__init__()
        self.air_executor_conn_id = air_executor_conn_id
        self.base_path = os.fspath(base_path) if base_path else None
        self._place: _Place | None = None
        self._client: AirExecutorClient | None = None

    # ---- what it finds -------------------------------------------------------------------------

    def get_conn(self) -> AirExecutorClient:
        """The client of the folder or server. Makes no request; a folder need not exist yet."""
        if self._client is None:
            from air_executor.client import AirExecutorClient

            place = self._found()
            try:
                if place.url is not None:
                    self._client = AirExecutorClient(url=place.url, token=place.token)
                else:
                    self._client = AirExecutorClient(place.base)
            except AirExecutorError as error:
                raise AirflowException(f"{self._named()}: {error}") from None
        return self._client

    @property
    def base(self) -> Path | None:
        """The base folder; None where jobs go to a server."""
        return None if self.is_remote else self.get_conn().base.path

    @property
    def is_remote(self) -> bool:
        """Whether jobs go to a server."""
        return self._found().url is not None

    @property
    def dashboard_url(self) -> str | None:
        """Where people see the jobs: the connection's `dashboard_url`, else the server; None for a mere folder."""
        place = self._found()
        return place.dashboard_url or place.url

    @property
    def given_dashboard_url(self) -> str | None:
        """The connection's `dashboard_url` alone."""
        return self._found().dashboard_url

    @property
    def airflow_python(self) -> str | None:
        """The interpreter that reads secrets on the manager's machine, where the connection names one."""
        return self._found().airflow_python

    @classmethod
    async def async_client(
        cls, air_executor_conn_id: str | None = None, base_path: str | None = None
    ) -> AirExecutorClient:
        """The client, for triggers: no step of it blocks the event loop."""
        hook = cls(air_executor_conn_id, base_path)
        await hook.resolve()
        return hook.get_conn()

    async def resolve(self) -> None:
        """Look the connection up without blocking the event loop; everything else answers at once then."""
        if self._place is not None:
            return
        connection = None
        if self.base_path is None and self.air_executor_conn_id:
            try:
                if hasattr(self, "aget_connection"):
                    connection = await self.aget_connection(self.air_executor_conn_id)
                else:
                    connection = await asyncio.to_thread(self.get_connection, self.air_executor_conn_id)
            except AirflowNotFoundException:
                self._missing()
        self._place = self._choose(connection)

    # ---- the button of the connection form -----------------------------------------------------

    def test_connection(self) -> tuple[bool, str]:
        """Whether jobs can be handed over there, and in words who works on them."""
        try:
            client = self.get_conn()
            if not self.is_remote:
                return self._test_folder(client)
            pid = client.manager_pid
        except (AirExecutorError, AirflowException) as error:
            return False, str(error)
        if pid is None:
            return True, f"{self._found().url} answers, but no manager works on its base folder"
        return True, f"{self._found().url} answers; manager {pid} works on its base folder"

    def _test_folder(self, client: AirExecutorClient) -> tuple[bool, str]:
        base = client.base
        if not base.jobs.is_dir():
            parent = next(path for path in (base.path, *base.path.parents) if path.exists())
            if not parent.is_dir() or not os.access(parent, os.W_OK):
                return False, f"there is no base folder {base}, and this user cannot make one in {parent}"
            return True, f"there is no base folder {base} yet; it is made when the first job is handed over"
        if not os.access(base.jobs, os.W_OK | os.X_OK):
            return False, f"{base}: this user may not write there; share it with `air-executor init --group`"
        pid = client.manager_pid
        if pid is None:
            return True, (
                f'{base} can be used; no manager works on it: manager="auto" starts one while there is work, '
                f"`air-executor start --base {base}` one that stays"
            )
        return True, f"{base} can be used; manager {pid} works on it"

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Labels of the connection form on 2.10; later versions read the provider's description."""
        from air_executor.airflow.provider import FIELD_BEHAVIOUR

        return {key.replace("-", "_"): value for key, value in FIELD_BEHAVIOUR.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Fields of the connection form on 2.10."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # type: ignore[import-not-found]
        from wtforms import StringField  # type: ignore[import-untyped]

        from air_executor.airflow.provider import EXTRA_FIELDS

        return {
            name: StringField(field["label"], widget=BS3TextFieldWidget(), description=field["description"])
            for name, field in EXTRA_FIELDS.items()
        }

    # ---- choosing ------------------------------------------------------------------------------

    def _found(self) -> _Place:
        if self._place is None:
            connection = None
            if self.base_path is None and self.air_executor_conn_id:
                try:
                    connection = self.get_connection(self.air_executor_conn_id)
                except AirflowNotFoundException:
                    self._missing()
            self._place = self._choose(connection)
        return self._place

    def _missing(self) -> None:
        """A connection that was named has to exist."""
        if self.air_executor_conn_id != DEFAULT_CONN_ID:
            raise AirflowException(
                f"there is no connection {self.air_executor_conn_id!r}; "
                f"make one of type air_executor, or give base_path"
            )

    def _choose(self, connection: Any) -> _Place:
        if self.base_path is not None:
            return _Place(base=self.base_path)
        if connection is not None:
            return self._of_connection(connection)
        base = conf.get("air_executor", "base_path", fallback=None) or os.environ.get("AIR_EXECUTOR_BASE")
        if not base:
            raise AirflowException(
                "nothing says where jobs are handed over to: give base_path, or make the connection "
                f"{self.air_executor_conn_id or DEFAULT_CONN_ID!r} (type air_executor), or set base_path in section "
                "[air_executor] of Airflow's configuration, or AIR_EXECUTOR_BASE"
            )
        return _Place(base=base)

    def _of_connection(self, connection: Any) -> _Place:
        extra = cast("dict[str, Any]", connection.extra_dejson or {})
        more = {
            "dashboard_url": extra.get("dashboard_url") or None,
            "airflow_python": extra.get("airflow_python") or None,
        }
        host = (connection.host or "").strip()
        folder = extra.get("base_path") or (host if host.startswith("/") else None)
        if folder:
            return _Place(base=folder, **more)
        if not host:
            raise AirflowException(
                f"{self._named()} names neither a folder (extra base_path, or a host beginning with /) "
                "nor a server (a URL as host)"
            )
        if "://" not in host:
            host = f"{connection.schema or 'http'}://{host}"
        if connection.port and ":" not in host.split("://", 1)[1].split("/", 1)[0]:
            scheme, rest = host.split("://", 1)
            name, slash, path = rest.partition("/")
            host = f"{scheme}://{name}:{connection.port}{slash}{path}"
        return _Place(url=host, token=connection.password or None, **more)

    def _named(self) -> str:
        return (
            f"connection {self.air_executor_conn_id!r}" if self.base_path is None else f"base_path {self.base_path}"
        )
