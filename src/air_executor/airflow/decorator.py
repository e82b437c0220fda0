"""`@task.air_executor`: a function that finds out what there is to do, run inside the job that does it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from air_executor.airflow._compat import (
    KNOWN_CONTEXT_KEYS,
    AirflowException,
    DecoratedOperator,
    task_decorator_factory,
)
from air_executor.airflow.definition import Definition, dags_folder
from air_executor.airflow.operator import AirExecutorJobOperator
from air_executor.discovery import Discovery
from air_executor.errors import InvalidInput

__all__ = ["AirExecutorDecoratedOperator", "air_executor_task"]

DISCOVER: Final = "discover"
"""The id of the task that the function is."""
PLAIN_CONTEXT: Final = ("ds", "ds_nodash", "params", "run_id", "ts", "ts_nodash", "ts_nodash_with_tz")
"""What of Airflow's context is text or JSON, and so may be asked for by a parameter of that name."""
_REFERENCE: Final = "air_executor_reference"


class AirExecutorDecoratedOperator(DecoratedOperator, AirExecutorJobOperator):
    """Hands over a job that begins with one task, `discover`: the function. Each `yield` of it is a further task.

    The function does not run in the Airflow task but where the job does, in the manager's interpreter or in `python`.
    It goes along as text: it may use builtins, its arguments (JSON) and what it imports itself. Parameters called
    `ds`, `ts`, `run_id`, `params` and so on get what Airflow's context has under that name.

    :param key: gives a yielded task its id (`key(task) -> str`, or `"module:function"`), so that tasks of one key are
        one; without it they are `discover-000001` and so on.
    :param python: an interpreter on the manager's machine to run the function in; it needs nothing of Air-Executor.

    All other arguments: those of `AirExecutorJobOperator` but `tasks` and `job_file`.
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in AirExecutorJobOperator.template_fields if name not in ("tasks", "job_file")),
    )
    template_fields_renderers = {  # noqa: RUF012  (as Airflow has it)
        **AirExecutorJobOperator.template_fields_renderers,
        **DecoratedOperator.template_fields_renderers,
    }
    custom_operator_name = "@task.air_executor"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        key: Callable[[dict[str, Any]], str] | str | None = None,
        python: str | None = None,
        **kwargs: Any,
    ) -> None:
        for name in ("tasks", "job_file"):
            if kwargs.pop(name, None) is not None:
                raise AirflowException(f"@task.air_executor: {name}: the function says what there is to do")
        self.key = key
        self.python = python
        checked(python_callable, key)
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            kwargs_to_upstream={"tasks": []},
            **kwargs,
        )
        self._asked_of_context()

    def define(self, context: Mapping[str, Any]) -> Definition:
        """The job: one task, which is the function with the arguments of this DAG run."""
        folder = dags_folder(context.get("dag"))
        discovery = checked(self.python_callable, self.key, self.python, [folder] if folder else [])
        given = {name: _of_context(context, name) for name in self._asked_of_context()}
        args = [_as_json(value) for value in self.op_args]
        kwargs = {name: _as_json(value) for name, value in {**given, **self.op_kwargs}.items()}
        try:
            task = discovery.task(*args, **kwargs)
        except InvalidInput as error:
            raise AirflowException(str(error)) from None
        params = {"params": dict(self.job_params)} if self.job_params else {}
        return Definition([{"id": DISCOVER, **task}], params)

    def _asked_of_context(self) -> list[str]:
        """The parameters that Airflow's context is to fill in."""
        parameters = inspect.signature(self.python_callable).parameters
        passed = {*list(parameters)[: len(self.op_args)], *self.op_kwargs}
        asked = [name for name in parameters if name in KNOWN_CONTEXT_KEYS and name not in passed]
        for name in asked:
            if name not in PLAIN_CONTEXT:
                raise AirflowException(
                    f"{self.task_id}: {self.python_callable.__name__}() asks for {name!r}, which is there in the "
                    f"Airflow task only; it can ask for {', '.join(PLAIN_CONTEXT)}, or be passed what it needs of it"
                )
        return asked


def checked(
    function: Callable[..., Any],
    key: Callable[[dict[str, Any]], str] | str | None,
    python: str | None = None,
    paths: Sequence[str] = (),
) -> Discovery:
    """The function as it is sent, or an error of the DAG file saying why it cannot be."""
    try:
        return Discovery(getattr(function, _REFERENCE, function), key=key, python=python, paths=paths)
    except InvalidInput as error:
        raise AirflowException(f"@task.air_executor: {error}") from None


def _of_context(context: Mapping[str, Any], name: str) -> Any:
    value = context.get(name)
    return dict(value) if isinstance(value, Mapping) else value


def _as_json(value: Any) -> Any:
    """What a mapped task has returned is a sequence of Airflow's own; everything else is left to be judged."""
    try:
        return json.loads(json.dumps(value, default=_plain, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError


def air_executor_task(python_callable: Callable[..., Any] | str | None = None, **kwargs: Any) -> Any:
    """`@task.air_executor`, with or without arguments; or `task.air_executor("package.module:function", …)`, which
    names a function of the DAG bundle and is called like a decorated one."""
    if isinstance(python_callable, str):
        python_callable = _referred(python_callable)

    def decorate(function: Callable[..., Any]) -> Any:
        checked(function, kwargs.get("key"))  # when the file is parsed, also where the task is mapped
        return task_decorator_factory(
            python_callable=function, decorated_operator_class=AirExecutorDecoratedOperator, **kwargs
        )

    return decorate if python_callable is None else decorate(python_callable)


def _referred(reference: str) -> Callable[..., Any]:
    """Something to decorate that stands for a function of a module, which is only imported where it runs."""

    def function(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"{reference} runs inside the job")

    name = reference.rpartition(":")[2].rpartition(".")[2]
    function.__name__ = function.__qualname__ = name
    function.__doc__ = None
    setattr(function, _REFERENCE, reference)
    checked(function, None)
    return function
