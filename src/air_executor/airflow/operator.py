"""The operator: one Airflow task hands over a job of any size, waits for it, and takes control back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from air_executor.airflow._compat import AIRFLOW_3, TRIGGERS_ARE_KILLED, AirflowException, BaseOperator, conf
from air_executor.airflow.attendance import Attendance, Managers
from air_executor.airflow.definition import Definition, listed, made_by, read_from
from air_executor.airflow.handover import HandOver, OnRetry
from air_executor.airflow.hook import DEFAULT_CONN_ID, AirExecutorHook
from air_executor.airflow.lineage import note_assets, openlineage_of
from air_executor.airflow.links import AirExecutorJobLink
from air_executor.airflow.naming import shortened
from air_executor.airflow.outcome import gone_text, push, raise_if_failed, summary
from air_executor.airflow.owner import Owner
from air_executor.airflow.secret import checked
from air_executor.errors import AirExecutorError, BaseUnusable, InvalidInput, NotFound, WaitTimeout
from air_executor.model import ENDED_STATES

if TYPE_CHECKING:
    from air_executor.airflow.visibility import Reporter
    from air_executor.client import AirExecutorClient

__all__ = ["AirExecutorJobOperator"]

LEASE_S: Final = 3_600.0 if TRIGGERS_ARE_KILLED else 300.0
"""Of a deferred task. Also where triggers are told that the task was cleared: none is before it has begun."""
PATIENCE_S: Final = 600.0
"""So long a server may be away while a job of its is waited for."""
FIRST_POLL_S: Final = 0.02
QUICK_S: Final = 0.5
"""A job that ends within it is not deferred: that costs Airflow seconds."""
KILL_WAIT_S: Final = 3.0
"""So long `on_kill` waits for a manager to hear of it; Airflow kills the process after five seconds."""

Tasks = Sequence[Mapping[str, Any]] | Callable[..., Iterable[Mapping[str, Any]]]


class AirExecutorJobOperator(BaseOperator):
    """Hand a job over to Air-Executor, wait until no task of it is left, and return its summary.

    Tasks of the job may queue more tasks while it runs, so its size need not be known to Airflow. Exactly one of
    `tasks` and `job_file` says what it consists of. Templated: `tasks`, `job_file`, `job_params`, `job_name`,
    `options`, `allow_failures`, `cwd`, `secrets`, `base_path`, `air_executor_conn_id`.

    **Retries never double work.** The name of the job and the ids of its runs follow from DAG, run, task and map
    index. A try that finds its job under way waits for it; one that finds it completed takes it; what it does about
    one that failed says `on_retry`. Clearing the task cancels what is under way of its job and makes a new
    run; only on 2.10 a task that is cleared while it runs has its job cancelled and is tried again. A job that
    somebody cancelled by hand fails the task without further tries.

    :param tasks: task objects as in a job file (`{"command": "echo", "args": ["hi"]}`), or a function that returns
        or yields them. The function runs in the Airflow task, and gets those entries of Airflow's context (`ti`,
        `params`, `ds`, …) that its parameters name; with `**kwargs` all of them.
    :param job_file: a job file, JSON or YAML: absolute, or relative to the DAG file's folder or its bundle.
    :param job_params: values for `${name}` in the job file (or in `tasks`); they are in the environment of tasks
        too.
    :param job_name: the job's name; default `airflow-DAG~RUN~TASK@INDEX`. What a name cannot hold is replaced, over
        200 bytes it is cut and gets a hash. Jobs of one name run one after the other.
    :param options: options of the job: `max_parallel`, `groups`, `deadline_s`, `max_failures`, `defaults`, … They
        come before those of the job file.
    :param allow_failures: so many tasks (`3`) or such a part of them (`"5%"`) may fail in a job that counts as
        completed; default none.
    :param cwd: where tasks run; default the folder that holds the base folder, or that of the job file if there is
        one. On a server: a path on its machine.
    :param secrets: environment variables for all tasks by reference: `{"DB_URL": "conn:my_db"}` (the connection's
        URI), `"conn:my_db.password"` (or `host`, `login`, `schema`, `port`, `extra`, `extra.KEY`), `"var:key"`. The
        manager reads them when a task starts, with the Airflow configuration that holds where it runs; they are
        written nowhere.
    :param wait_for_termination: False: hand over only; the task succeeds with `{"job_name", "job_id", "state"}`.
    :param deferrable: wait in the triggerer, without occupying a slot, unless the job ends within half a second;
        default `[operators] default_deferrable`.
    :param poll_interval: seconds between two looks at the job, at most.
    :param on_retry: what a further try does about a failed job: `retry_failed` gives its failed tasks another go,
        `resume` lets the failure stand (tries are for a lost Airflow task only), `restart` makes a new run.
    :param manager: `auto`: where no manager works on the folder, one is started that goes when nothing is left to
        do; `required`: fail at once where there is none. A server is asked; nothing is started there.
    :param visibility: where the job is to be seen while it runs, of `log`, `xcom`, `metrics`, `history`, with
        commas.
    :param lease_s: seconds after which the manager cancels the job when nobody waits for it any more; default, where
        the task defers, 300 before Airflow 3.3 (which does not tell triggers that a task was cleared) and 3600 since.
    :param cancel_on_kill: cancel the job when the task is killed, cleared, failed by hand, or runs into its
        time-out.
    :param results: put what tasks report (`task.result(…)`) into the summary; over 48 kB only where it is to be
        found.
    :param openlineage: emit what the job was and came to as an OpenLineage facet, where that provider is installed.
    :param air_executor_conn_id: connection to the folder or server, see `AirExecutorHook`.
    :param base_path: the folder, instead of a connection.

    An asset among the task's `outlets` gets the job's name, id and counts as the extra of its event.

    XCom: `job_name` and `job_id` as soon as it is handed over; while it runs and at the end `total_tasks`,
    `completed_tasks`, `failed_tasks`, `progress_percent`, `progress_history`; at the end `results`, and the
    summary: `{"job_name", "job_id", "state", "total_tasks", "completed", "failed", "skipped", "cancelled",
    "duration_s", "results"}`.

    :raises AirflowException: the job failed (with its failed tasks and their last lines), could not be handed over,
        or its folder was removed; tried again as `retries` says.
    :raises AirflowFailException: somebody cancelled the job; not tried again.
    """

    template_fields: Sequence[str] = (
        *("tasks", "job_file", "job_params", "job_name", "options", "allow_failures", "cwd", "secrets"),
        *("base_path", "air_executor_conn_id"),
    )
    template_fields_renderers = {"tasks": "json", "job_params": "json", "options": "json", "secrets": "json"}  # noqa: RUF012
    ui_color = "#d8ecf3"
    operator_extra_links = (AirExecutorJobLink(),)

    def __init__(  # noqa: PLR0913
        self,
        *,
        tasks: Tasks | None = None,
        job_file: str | None = None,
        job_params: Mapping[str, Any] | None = None,
        job_name: str | None = None,
        options: Mapping[str, Any] | None = None,
        allow_failures: int | str | None = None,
        cwd: str | None = None,
        secrets: Mapping[str, str] | None = None,
        wait_for_termination: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 0.5,
        on_retry: OnRetry = "retry_failed",
        manager: Managers = "auto",
        visibility: str = "log,xcom",
        lease_s: float | None = None,
        cancel_on_kill: bool = True,
        results: bool = True,
        openlineage: bool = False,
        air_executor_conn_id: str | None = DEFAULT_CONN_ID,
        base_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Airflow calls a function in a templated field itself, with arguments of its own.
        self.make_tasks = tasks if callable(tasks) else None
        self.tasks = None if callable(tasks) else tasks
        self.job_file = job_file
        self.job_params = job_params
        self.job_name = job_name
        self.options = options
        self.allow_failures = allow_failures
        self.cwd = cwd
        self.secrets = secrets
        self.wait_for_termination = wait_for_termination
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.on_retry = on_retry
        self.manager = manager
        self.visibility = visibility
        self.lease_s = lease_s
        self.cancel_on_kill = cancel_on_kill
        self.results = results
        self.openlineage = openlineage
        self.air_executor_conn_id = air_executor_conn_id
        self.base_path = base_path
        self._handover: HandOver | None = None
        self._killed = False
        self._told: dict[str, Any] = {}
        self._check()

    def _check(self) -> None:
        """Refuse, when the DAG is parsed, what could only fail later."""
        if (self.tasks is None and self.make_tasks is None) == (self.job_file is None):
            raise AirflowException(f"{self.task_id}: expected exactly one of tasks and job_file")
        for name, allowed in (("on_retry", ("retry_failed", "resume", "restart")), ("manager", ("auto", "required"))):
            if getattr(self, name) not in allowed:
                known = " or ".join(map(repr, allowed))
                raise AirflowException(f"{self.task_id}: {name}: expected {known}, got {getattr(self, name)!r}")
        for name in ("poll_interval", "lease_s"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value > 0):
                raise AirflowException(f"{self.task_id}: {name}: expected seconds over 0, got {value!r}")
        from air_executor.airflow.visibility import Visibility

        try:
            Visibility.parse(self.visibility)
            for reference in self.secrets.values() if isinstance(self.secrets, Mapping) else ():
                if "{{" not in reference:
                    checked(reference)
        except (InvalidInput, ValueError) as error:
            raise AirflowException(f"{self.task_id}: {error}") from None

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """As every operator does it, but a text without `{{` or `{%` is taken as it is.

        Of many tasks most are that, and `${#name}` of the shell would be half a comment.
        """
        if type(content) is str and "{{" not in content and "{%" not in content:
            return content
        return super().render_template(content, *args, **kwargs)

    # ---- what Airflow calls --------------------------------------------------------------------

    def execute(self, context: Mapping[str, Any]) -> Any:
        hook = AirExecutorHook(self.air_executor_conn_id, self.base_path)
        owner = Owner.of(context)
        name = shortened(self.job_name) if self.job_name else owner.job_name
        client = hook.get_conn()
        attendance = Attendance(client, name, self.manager, self.log, getattr(client, "url", None))
        handover = self._handover = HandOver(client, owner, name, self.on_retry)
        attendance.begin()
        try:
            done = handover.begin(lambda job_id: self._submit(hook, context, owner, name, job_id))
        except AirExecutorError as error:
            raise AirflowException(str(error)) from None
        self.log.info("job %s (%s): %s", name, handover.job_id, done)
        for key, value in (("job_name", name), ("job_id", handover.job_id)):
            context["ti"].xcom_push(key=key, value=value)
        if AIRFLOW_3:  # which would not have the link before the task has ended
            link = self.operator_extra_links[0]
            context["ti"].xcom_push(key=link.xcom_key, value=link.get_link(self, ti_key=owner))
        attendance.take_up()
        if not self.wait_for_termination:
            state = handover.look() or {"state": "waiting"}
            return {"job_name": name, "job_id": handover.job_id, "state": state["state"]}
        end = self._asked(handover.end)
        if end is not None:
            return self._take_back(context, client, end, self._reporter(context, client, name, handover.job_id))
        if self.deferrable:
            attendance.settle(lambda: self._asked(handover.look))
            end = self._quick_end(handover)
            if end is None:
                self._defer(name, handover.job_id)
        reporter = self._reporter(context, client, name, handover.job_id)
        if end is None:
            end = self._wait(handover, attendance, reporter)
        return self._take_back(context, client, end, reporter)

    def execute_complete(
        self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None, job_id: str | None = None
    ) -> Any:
        """The trigger has seen the end of the job, or that there will be none; `job_id`: of the run that is meant."""
        event = event or {"status": "error", "message": "the trigger ended without saying why"}
        if job_id is not None and event.get("job_id") not in (None, job_id):
            # Of the trigger from before the task was cleared; Airflow may give the next one the same number.
            self.log.info("run %s is not the one that is waited for: %s", event["job_id"], event.get("message"))
            self._defer(str(event["job_name"]), job_id)
        if event["status"] != "ended":
            raise AirflowException(str(event.get("message") or event["status"]))
        client = AirExecutorHook(self.air_executor_conn_id, self.base_path).get_conn()
        name, run = str(event["job_name"]), str(event["job_id"])
        try:
            end = client.wait(name, 0, job_id=run)
        except WaitTimeout:  # somebody has given it another go meanwhile
            self._defer(name, run)
        except AirExecutorError as error:
            raise AirflowException(gone_text(name, error)) from None
        reporter = self._reporter(context, client, name, run)
        return self._take_back(context, client, {**end, "name": name}, reporter, event.get("progress_history"))

    def on_kill(self) -> None:
        """Cancel the job, and wait a moment until that was heard."""
        self._killed = True
        if not self.cancel_on_kill or self._handover is None:
            return
        try:
            self.log.info("killed: %s", self._handover.cancel(KILL_WAIT_S))
        except (AirExecutorError, OSError) as error:
            self.log.warning("killed, and the job could not be cancelled: %s", error)

    # ---- handing over --------------------------------------------------------------------------

    def define(self, context: Mapping[str, Any]) -> Definition:
        """What the job consists of; called only when it has to be made. Subclasses may say it otherwise."""
        if self.job_file is not None:
            definition = read_from(self.job_file, self.job_params or {}, context.get("dag"))
        elif self.make_tasks is not None:
            definition = Definition(made_by(self.make_tasks, context))
        else:
            definition = Definition(listed(self.tasks, "it"))
        if self.job_params and self.job_file is None:
            definition.options["params"] = dict(self.job_params)
        return definition

    def _submit(
        self, hook: AirExecutorHook, context: Mapping[str, Any], owner: Owner, name: str, job_id: str
    ) -> None:
        definition = self.define(context)
        options = {**definition.options, **(self.options or {})}
        if self.allow_failures is not None:
            options["allow_failures"] = self.allow_failures
        if self.lease is not None:
            options["lease_s"] = self.lease
        definition.options = {**options, "origin": owner.origin(self.air_executor_conn_id)}
        try:
            definition.with_secrets(self.secrets or {}, hook.airflow_python)
        except ValueError as error:
            raise AirflowException(str(error)) from None
        cwd = self.cwd
        if cwd is None and hook.base is not None:
            cwd = definition.cwd or str(hook.base.parent)
        hook.get_conn().create_job(name, definition.tasks, job_id=job_id, cwd=cwd, **definition.options)

    @property
    def lease(self) -> float | None:
        """Seconds after which the manager ends the job when nobody has asked for it, or None."""
        if self.lease_s is not None or not self.wait_for_termination:
            return self.lease_s
        return LEASE_S if self.deferrable else None

    # ---- waiting -------------------------------------------------------------------------------

    def _defer(self, name: str, job_id: str) -> NoReturn:
        from air_executor.airflow.trigger import AirExecutorJobTrigger

        trigger = AirExecutorJobTrigger(
            job_name=name,
            job_id=job_id,
            air_executor_conn_id=self.air_executor_conn_id,
            base_path=self.base_path,
            poll_interval=self.poll_interval,
            visibility=self.visibility,
            cancel_on_kill=self.cancel_on_kill,
            lease_s=self.lease,
            manager=self.manager,
        )
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            kwargs={"job_id": job_id},
            timeout=self.execution_timeout,
        )
        raise AssertionError("unreachable")  # defer() leaves by an exception

    def _quick_end(self, handover: HandOver) -> dict[str, Any] | None:
        """The state of a job that ends at once."""
        until = time.monotonic() + QUICK_S
        pause = FIRST_POLL_S
        while (end := self._asked(handover.end)) is None and time.monotonic() + pause < until:
            time.sleep(pause)
            pause *= 1.3
        return end

    def _wait(self, handover: HandOver, attendance: Attendance, reporter: Reporter) -> dict[str, Any]:
        """The state of the job when it has ended."""
        pause = FIRST_POLL_S
        away_since: float | None = None
        renewed_at = -1e9
        while not self._killed:
            try:
                state = handover.look()
                if state is not None and state["state"] in ENDED_STATES and (end := handover.end()) is not None:
                    return end
                lease = self.lease or (state or {}).get("lease_s")
                if lease and time.monotonic() - renewed_at >= lease / 3:
                    handover.client.renew(handover.job_name, job_id=handover.job_id)
                    renewed_at = time.monotonic()
                away_since = None
            except AirExecutorError as error:
                away_since = self._bear(error, handover, away_since)
                state = None
            if state is not None:
                reporter.look(state)
            if away_since is None:
                attendance.look(state)
            time.sleep(pause)
            pause = min(pause * 1.3, self.poll_interval)
        raise AirflowException(f"the task was killed; job {handover.job_name!r} is waited for no longer")

    def _bear(self, error: AirExecutorError, handover: HandOver, since: float | None) -> float:
        """A server may be away for a while; everything else is the end of waiting. Since when it is away."""
        remote = hasattr(handover.client, "url")
        if not remote or not (type(error) is AirExecutorError or isinstance(error, BaseUnusable)):
            raise AirflowException(gone_text(handover.job_name, error)) from None
        now = time.monotonic()
        if since is None:
            self.log.warning("%s; asked again for up to %d s", error, PATIENCE_S)
            return now
        if now - since > PATIENCE_S:
            raise AirflowException(f"{error}; given up after {PATIENCE_S:.0f} s. The job itself goes on") from None
        return since

    def _asked(self, question: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
        try:
            return question()
        except NotFound as error:
            raise AirflowException(str(error)) from None
        except AirExecutorError:
            return None  # waiting has its own patience

    def _reporter(self, context: Mapping[str, Any], client: AirExecutorClient, name: str, job_id: str) -> Reporter:
        from air_executor.airflow.visibility import Reporter

        def push(key: str, value: Any) -> None:
            context["ti"].xcom_push(key=key, value=value)

        return Reporter(name, self.visibility, self.log, push, client=client, job_id=job_id)

    # ---- taking back ---------------------------------------------------------------------------

    def _take_back(
        self,
        context: Mapping[str, Any],
        client: AirExecutorClient,
        end: Mapping[str, Any],
        reporter: Reporter,
        history: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """`history`: how the counts went as the trigger saw it, where that cannot be read any more."""
        try:
            told = summary(client, str(end["name"]), str(end["id"]), results=self.results)
        except AirExecutorError as error:
            raise AirflowException(gone_text(str(end["name"]), error)) from None
        self._told = told
        reporter.end(end)
        if reporter.visibility.xcom:
            push(context, told, reporter.history() or history)
        elif "results" in told:
            context["ti"].xcom_push(key="results", value=told["results"])
        # A process of the try before may have been killed only now, and have cancelled what goes on here.
        raise_if_failed(client, end, final=self._handover is None or not self._handover.attached)
        note_assets(context, self.outlets, told)
        return told

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Asked by the OpenLineage provider when the task has ended; also when it has failed."""
        return openlineage_of(self._told) if self.openlineage and self._told else None
