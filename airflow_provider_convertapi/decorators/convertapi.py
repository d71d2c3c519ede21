"""The decorator ``@task.convertapi``: the decorated function returns the source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_convertapi.airflow_names import (
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)
from airflow_provider_convertapi.operators.convert import ConvertApiOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import TaskDecorator

    from airflow_provider_convertapi.conversions.deferral import JobEvent
    from airflow_provider_convertapi.conversions.session import Session

__all__ = ["convertapi_task"]

_NOT_YET = "{{ 'what the function returns' }}"
"""The source until the function has run; a template, so that nothing checks it at parse time."""

_MOST_SEALED = 32 * 1024
"""The most characters of a sealed source among a trigger's arguments, for all of which MySQL has
64 KiB (`Trigger.encrypted_kwargs` in `airflow/models/trigger.py` is a TEXT)."""


def convertapi_task(
    python_callable: Callable[..., Any] | None = None, **arguments: Any
) -> TaskDecorator:
    """Make a task that converts what the decorated function returns.

    The function returns one source or a list of them, as `ConvertApiOperator` takes; if it returns
    an empty list, the task is skipped.  The arguments are those of the operator except `source`,
    and the task returns the URIs of the outputs.

    :param python_callable: the function.
    """
    # Given, because Airflow infers it from the function's annotation, such as `-> dict[str, Any]`;
    # but the task returns a list, whatever the function returns.
    arguments.setdefault("multiple_outputs", False)
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=_ConvertApiDecoratedOperator,
        **arguments,
    )


class _ConvertApiDecoratedOperator(DecoratedOperator, ConvertApiOperator):
    """Convert what a function returns."""

    __supports_durable_execution: ClassVar[bool] = True
    custom_operator_name = "@task.convertapi"
    # The source is known only after the function has run, so Airflow 3 stores the rendered fields
    # once more at the end (`finalize` in `airflow/sdk/execution_time/task_runner.py`).
    overwrite_rtif_after_execution = True
    template_fields: Sequence[str] = [*ConvertApiOperator.template_fields, "op_args", "op_kwargs"]
    template_fields_renderers = {  # noqa: RUF012 - Airflow reads it from the class
        **ConvertApiOperator.template_fields_renderers,
        **DecoratedOperator.template_fields_renderers,
    }

    def __init__(self, **arguments: Any) -> None:
        if arguments.get("source", _NOT_YET) != _NOT_YET:  # a mapped task passes it on
            raise TypeError("@task.convertapi: the function returns the source; leave source out")
        super().__init__(**{**arguments, "source": _NOT_YET})

    def execute(self, context: Context) -> Any:
        """Call the function, and convert what it returns."""
        self._call(context)
        if isinstance(self.source, list | tuple) and not self.source:
            from airflow_provider_convertapi.airflow_names import AirflowSkipException

            raise AirflowSkipException("The function returned an empty list: nothing to convert.")
        return ConvertApiOperator.execute(self, context)

    def execute_complete(self, context: Context, event: Any = None) -> list[str]:
        """Collect the job that the trigger waited for, with what the function returned before."""
        from airflow_provider_convertapi.conversions.deferral import JobEvent

        with self._explicit_failures(resumed=context):
            sealed = self._unsealed(context, JobEvent.parse(event, expected=None))
        if sealed is None:
            # It was too long, so the function runs again.  If it returns another source now, the
            # comparison with what the trigger was asked stops the task: nothing is published.
            self._call(context)
        else:
            self.source = sealed
            self._mask_source()
        return super().execute_complete(context, event)

    def _call(self, context: Context) -> None:
        context_merge(context, self.op_kwargs)
        kwargs = determine_kwargs(self.python_callable, self.op_args, context)
        from airflow_provider_convertapi.conversions.values import check_readable

        with self._explicit_failures():
            source = self.python_callable(*self.op_args, **kwargs)
            check_readable("source", source)
            self.source = source
        self._mask_source()

    def _mask_source(self) -> None:
        from airflow_provider_convertapi.hooks.masking import mask_arguments

        mask_arguments(self.source, None, None, None)
        self._conceal()

    def _sealed_source(self, session: Session) -> str:
        """Return the function's result, encrypted for the resumed task; empty if it is too long.

        It may hold a signed URL, so only the connection's key can open it.
        """
        from airflow_provider_convertapi.api.ids import seal
        from airflow_provider_convertapi.conversions.values import flatten, plain_text

        items = [
            dict(item) if isinstance(item, Mapping) else plain_text("source", item)
            for item in flatten(self._arguments().source)
            if item is not None  # for a converter that needs no source
        ]
        sealed = seal(session.key, json.dumps(items))
        return sealed if len(sealed) <= _MOST_SEALED else ""

    def _unsealed(self, context: Context, found: JobEvent) -> Any:
        """Return the sealed source, None if it was too long; `AuthenticationError` on a new key."""
        from airflow_provider_convertapi.api.ids import unseal

        session = self._open_session(context)
        session.check_key(found.key_check, "its source was")
        if not found.sealed_source:
            return None
        items = json.loads(unseal(session.key, found.sealed_source))
        return items[0] if len(items) == 1 else items or None
