"""The sensor: an Airflow task that waits for a job which something else has handed over."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn

from air_executor.airflow._compat import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from air_executor.airflow.hook import DEFAULT_CONN_ID, AirExecutorHook
from air_executor.airflow.news import News, news_of
from air_executor.airflow.outcome import gone_text, push, raise_if_failed, summary
from air_executor.airflow.visibility import Counts, Reporter, Visibility
from air_executor.airflow.waiting import GRACE_S, Outcome, Patience
from air_executor.errors import AirExecutorError
from air_executor.observe.wording import duration

if TYPE_CHECKING:
    from air_executor.client import AirExecutorClient

__all__ = ["AirExecutorJobSensor"]

POKE_S: Final = 1.0
LOOK_AGAIN_S: Final = 0.5


class AirExecutorJobSensor(BaseSensorOperator):
    """Wait for the end of a job, and return its summary; fail when it failed, saying which tasks did and why.

    A job that is not there yet is waited for; one that was there and is gone fails at once. Templated: `job_name`,
    `job_id`, `base_path`, `air_executor_conn_id`.

    :param job_name: name of the job.
    :param job_id: wait for this run of it, even if another follows; else for an end with no next run in line.
    :param visibility: where the job is to be seen meanwhile, some of `log,xcom,metrics,history` with commas between.
    :param deferrable: wait in the triggerer, without occupying a slot; default `[operators] default_deferrable`.
    :param results: whether the summary holds what tasks have reported.
    :param air_executor_conn_id: the connection that says where jobs are.
    :param base_path: the job folder, instead of a connection.
    :param poke_interval: seconds between two looks. In the triggerer an end is told at once.

    The rest is that of every sensor: `timeout`, `soft_fail` (also when the job failed), `mode="reschedule"` (which
    forgets between two looks whether a job was there, so name the run with `job_id`).
    """

    template_fields: Sequence[str] = ("job_name", "job_id", "base_path", "air_executor_conn_id")
    ui_color = "#dff3ea"

    def __init__(
        self,
        *,
        job_name: str,
        job_id: str | None = None,
        visibility: str = "log",
        deferrable: bool | None = None,
        results: bool = True,
        air_executor_conn_id: str | None = DEFAULT_CONN_ID,
        base_path: str | None = None,
        poke_interval: timedelta | float = POKE_S,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        try:
            self.visibility = str(Visibility.parse(visibility))
        except AirExecutorError as error:
            raise AirflowException(str(error)) from None
        self.job_name = job_name
        self.job_id = job_id
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = deferrable
        self.results = results
        self.air_executor_conn_id = air_executor_conn_id
        self.base_path = base_path
        self._watch: tuple[Patience, Reporter] | None = None

    # ---- what Airflow calls ---------------------------------------------------------------------

    def execute(self, context: Mapping[str, Any]) -> Any:
        """Wait, here or in the triggerer."""
        if self.deferrable:
            done = self._guarded(self.poke, context)
            return done.xcom_value if done else self._defer()
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:
            raise AirflowSensorTimeout(self._timeout_text()) from error
        except AirflowSkipException as error:
            if "timed out" not in str(error):
                raise
            raise AirflowSkipException(self._timeout_text()) from error

    def poke(self, context: Mapping[str, Any]) -> Any:
        """Whether the job has ended; then with its summary. Raises when it failed, or is gone."""
        client = self._client()
        patience, reporter = self._begun(client, context)
        news, outcome = self._look(client, patience)
        remark = patience.remark(news, time.monotonic())
        if remark is not None:
            self.log.warning("%s", remark)
        if outcome is None:
            self._show(reporter, news)
            return False
        if outcome.status != "ended":
            self._fail(AirflowException(outcome.message))
        assert outcome.state is not None
        return PokeReturnValue(True, self._take(context, client, outcome.state, reporter))

    def execute_complete(self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None) -> Any:
        """The trigger has seen the end of the job, or that there will be none."""
        event = event or {"status": "error", "message": "the trigger ended without saying why"}
        if event["status"] != "ended":
            self._fail(AirflowException(str(event.get("message") or event["status"])))
        client = self._client()
        news = news_of(client, self.job_name, event.get("job_id"))
        if news.look is None or news.look.state is None:
            why = news.trouble or "its folder, or this run of it, was removed"
            self._fail(AirflowException(f"job {self.job_name!r} has ended ({event['state']}), but is gone: {why}"))
        if not news.look.ended:
            self._defer()  # somebody has given it another go meanwhile
        _, reporter = self._begun(client, context)
        return self._guarded(self._take, context, client, news.look.state, reporter, event.get("progress_history"))

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Mapping[str, Any]
    ) -> Any:
        """Airflow says by a method of no such name that the trigger took too long."""
        if next_method == "__fail__" and "timeout" in str((next_kwargs or {}).get("error", "")).lower():
            self._fail(AirflowSensorTimeout(self._timeout_text()))
        return super().resume_execution(next_method, next_kwargs, context)

    # ---- waiting --------------------------------------------------------------------------------

    def _client(self) -> AirExecutorClient:
        return AirExecutorHook(self.air_executor_conn_id, self.base_path).get_conn()

    def _begun(self, client: AirExecutorClient, context: Mapping[str, Any]) -> tuple[Patience, Reporter]:
        """What is remembered from look to look."""
        if self._watch is None:

            def push_xcom(key: str, value: Any) -> None:
                context["ti"].xcom_push(key=key, value=value)

            url = getattr(client, "url", None)
            never_seen_s = GRACE_S if self.reschedule else None
            place = url or str(client.base)
            patience = Patience(
                self.job_name, self.job_id, place, remote=url is not None, never_seen_s=never_seen_s
            )  # fmt: skip
            reporter = Reporter(
                self.job_name, self.visibility, self.log, push_xcom, client=client, job_id=self.job_id
            )  # fmt: skip
            self._watch = patience, reporter
        return self._watch

    def _look(self, client: AirExecutorClient, patience: Patience) -> tuple[News, Outcome | None]:
        while True:
            news = news_of(client, self.job_name, self.job_id)
            outcome = patience.judge(news, time.monotonic())
            missing = news.look is not None and news.look.missing and patience.until is not None
            if outcome is not None or not missing or not self.reschedule:
                return news, outcome
            time.sleep(LOOK_AGAIN_S)  # who forgets between two looks makes sure at once that it is gone

    def _show(self, reporter: Reporter, news: News) -> None:
        if news.look is not None and news.look.state is not None:
            reporter.look(news.look.state)

    def _defer(self) -> NoReturn:
        from air_executor.airflow.trigger import AirExecutorJobTrigger

        trigger = AirExecutorJobTrigger(
            self.job_name,
            self.job_id,
            air_executor_conn_id=self.air_executor_conn_id,
            base_path=self.base_path,
            poll_interval=self.poke_interval,
            visibility=self.visibility,
            cancel_on_kill=False,
        )
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=self.timeout))
        raise AssertionError("unreachable")  # defer() leaves by an exception

    # ---- the end --------------------------------------------------------------------------------

    def _take(
        self,
        context: Mapping[str, Any],
        client: AirExecutorClient,
        state: Mapping[str, Any],
        reporter: Reporter,
        history: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        reporter.end(state)
        try:
            told = summary(client, self.job_name, state.get("id"), results=self.results)
        except AirExecutorError as error:
            self._fail(AirflowException(gone_text(self.job_name, error)))
        if reporter.visibility.xcom:
            push(context, told, reporter.history() or history)
        try:
            raise_if_failed(client, state)
        except (AirflowFailException, AirflowException) as error:
            self._fail(error)
        return told

    def _guarded(self, step: Any, *given: Any) -> Any:
        """Outside of Airflow's own loop nobody makes `never_fail` of a failure."""
        try:
            return step(*given)
        except AirflowException as error:
            if getattr(self, "never_fail", False) and not isinstance(error, AirflowSkipException):
                raise AirflowSkipException(str(error)) from error
            raise

    def _fail(self, error: AirflowException) -> NoReturn:
        if self.soft_fail or getattr(self, "never_fail", False):
            raise AirflowSkipException(str(error)) from error
        raise error

    def _timeout_text(self) -> str:
        """How far the job is, and who works on it, when it is waited for no longer."""
        text = f"job {self.job_name!r} has not ended after {duration(int(self.timeout))}"
        try:
            news = news_of(self._client(), self.job_name, self.job_id)
        except AirflowException as error:
            return f"{text}: {error}"
        if news.look is None:
            return f"{text}: {news.trouble}"
        if news.look.missing:
            return f"{text}: there is no such job"
        counts = str(Counts.of(news.look.state or {}))
        manager = {True: "a manager works on it", False: "no manager is running", None: ""}[news.managed]
        hint = "" if news.managed is not False else f": `air-executor start --base {self._client().base}`"
        return "; ".join(part for part in (f"{text}: {counts}", manager + hint) if part)
