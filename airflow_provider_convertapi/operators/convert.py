"""The operator for one conversion."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import BaseOperator, conf

# Nothing else of ours: a DAG file that declares an operator must not pay for what a task needs.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_convertapi.conversions.deferral import WatchedJob
    from airflow_provider_convertapi.conversions.job import Work
    from airflow_provider_convertapi.conversions.request import Order
    from airflow_provider_convertapi.conversions.result import Outcome
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

_LAST_LOOK = 1.0
"""Seconds in which a task whose time is up looks once more for its result, which is paid."""

_TRIGGER_MARGIN = 1.0
"""Seconds before `execution_timeout` at which the trigger gives up by itself: Airflow would only
say that a trigger timed out."""


class ConvertApiOperator(BaseOperator):
    """Convert one document, or one list of documents, with ConvertAPI.

    Within the service's memory of two hours a conversion is billed once, whatever happens to the
    task: a retry or a clear looks for the job before it pays, and says "reused, no charge".  A
    permanent failure, an exhausted quota above all, fails the task at once, whatever `retries`
    says.

    Returns the list of output URIs and pushes the cost as the XCom `conversion_cost`.

    :param source: a local path, an object storage URI (``s3://conn@bucket/key``), an ``http(s)``
        URL that ConvertAPI fetches itself, or a list of those for merge, zip and the other
        converters of several files. (templated)
    :param to_format: target format or tool: ``pdf``, ``jpg``, ``merge``, ``protect``, … (templated)
    :param destination: a file, or a directory when it ends in ``/``; several results need a
        directory. (templated)
    :param from_format: source format; None infers it from the extension, ``web`` for a URL without
        one. (templated)
    :param parameters: the converter's own parameters. Those whose name ends in ``File`` take the
        same kinds of source as `source`. (templated)
    :param steps: further conversions of the result, at the service and without moving a byte, each
        a mapping of `to_format` and, if need be, `from_format` and `parameters`:
        ``[{"to_format": "merge"}, {"to_format": "protect", "parameters": {...}}]``. Where the
        first converter takes one file, each source is converted, and a step such as merge or zip
        takes all of them. Each step is a job of its own, and billed. (templated)
    :param convertapi_conn_id: the connection's id. (templated)
    :param timeout: seconds that the task waits for the conversion; a job that takes longer is left
        for the next try to collect.
    :param poll_interval: the longest distance in seconds between two polls; the first come sooner.
    :param durable: True submits a job that survives a crash of the task; False converts in one
        streamed exchange and stores nothing at ConvertAPI, at the price that a lost answer may
        have been billed.
    :param deferrable: wait for the job in the triggerer, without a worker slot; the default is
        Airflow's ``[operators] default_deferrable``. With ``durable=False`` there is no job to
        wait for, and the task runs directly.
    :param on_quota_exhausted: ``fail`` fails the task at once; ``raise`` lets `QuotaExhaustedError`
        leave as it is, for Airflow's retries and retry policies.
    :param overwrite: False makes an existing file that is not ours an `OutputExistsError`. An
        input is never overwritten.
    :param conversion_key: part of the job's id: another one converts, and pays, anew. (templated)
    :param cancel_on_kill: delete the job and its documents when a user ends the deferred task
        (Airflow 3.3 and later), or when the task is stopped or out of time on its last try. Then
        nobody collects what may have been paid. False leaves it for the next try, or for a clear.
    :param plan_only: say what would be done and the least it would cost, and send nothing.
    """

    template_fields: Sequence[str] = [
        "source",
        "to_format",
        "destination",
        "from_format",
        "parameters",
        "steps",
        "convertapi_conn_id",
        "conversion_key",
    ]
    # A source named a.sql is no template.
    template_ext: Sequence[str] = ()
    template_fields_renderers = {"parameters": "json", "steps": "json"}  # noqa: RUF012 - Airflow reads it from the class
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        source: Any,
        to_format: str,
        destination: Any,
        from_format: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        steps: Sequence[Mapping[str, Any]] | None = None,
        convertapi_conn_id: str = "convertapi_default",
        timeout: float = 1800,
        poll_interval: float = 10,
        durable: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        on_quota_exhausted: str = "fail",
        overwrite: bool = True,
        conversion_key: str | None = None,
        cancel_on_kill: bool = False,
        plan_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.to_format = to_format
        self.destination = destination
        self.from_format = from_format
        self.parameters = parameters
        self.steps = steps
        self.convertapi_conn_id = convertapi_conn_id
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.durable = durable
        self.deferrable = deferrable
        self.on_quota_exhausted = on_quota_exhausted
        self.overwrite = overwrite
        self.conversion_key = conversion_key
        self.cancel_on_kill = cancel_on_kill
        self.plan_only = plan_only
        self._hook: ConvertApiHook | None = None

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """Render, and mask what is secret before Airflow stores the rendered fields.

        A mapped task comes by here too, `render_template_fields` it leaves out.
        """
        super()._do_render_template_fields(*args, **kwargs)
        from airflow.providers.common.compat.sdk import mask_secret

        from airflow_provider_convertapi.hooks.masking import secrets_in, secrets_in_steps

        secrets = secrets_in(self.source, self.parameters)
        for secret in [*secrets, *secrets_in_steps(self.steps)]:
            mask_secret(secret)

    def execute(self, context: Context) -> list[str]:
        """Convert, publish, and return the URIs of the outputs."""
        from airflow_provider_convertapi.failures import explicit_failures
        from airflow_provider_convertapi.operators.retries import warn_of_late_retries

        hook = self._start(context)
        with explicit_failures(quota=self.on_quota_exhausted):
            if self.steps:
                return self._convert_in_steps(context, hook)
            order = self._order(hook, self.source)
            if self.plan_only:
                return self._plan(order)
            if self.durable:
                warn_of_late_retries(self)
                return self._end(context, self._convert(context, hook, order))
            if self.deferrable:
                self.log.info("durable=False makes no job to wait for: the task runs directly.")
            return self._end(context, hook.run_order(order, durable=False))

    def execute_complete(self, context: Context, event: Any = None) -> list[str]:
        """Collect the job that the trigger waited for, and return the URIs of the outputs."""
        from airflow_provider_convertapi.conversions.deferral import JobEvent
        from airflow_provider_convertapi.failures import explicit_failures

        hook = self._start(context)
        with explicit_failures(quota=self.on_quota_exhausted):
            if self.steps:
                return self._convert_in_steps(context, hook, {} if event is None else event)
            found = JobEvent.parse(event, expected=1)
            job = found.jobs[0]
            order = self._order(hook, self.source, find_inputs=False)
            hook.check_key(found.key_check, order)
            if found.status == "error":
                self.log.warning("The triggerer could not watch the job; this task waits for it.")
            seconds = _LAST_LOOK if found.status == "timeout" else None
            conversion = hook.resumed(order, job.derivation, seconds=seconds)
            begun = [(conversion.work, job.uploads)]
            with hook.named(order), self._cancelling(context, lambda: begun):
                outcome = conversion.finish(job.underway)
            hook.report(order, outcome)
            return self._end(context, outcome)

    def _start(self, context: Context) -> ConvertApiHook:
        from airflow_provider_convertapi.conversions.task import Scope
        from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

        self._hook = ConvertApiHook(self.convertapi_conn_id)
        self._hook.scope = Scope.from_context(context)
        return self._hook

    def _convert(self, context: Context, hook: ConvertApiHook, order: Order) -> Outcome:
        from airflow_provider_convertapi.conversions.deferral import WatchedJob
        from airflow_provider_convertapi.conversions.durable import Underway

        conversion = hook.durable(order, self.conversion_key)
        work, places = conversion.work, [part.place for part in order.uploads]
        with hook.named(order), self._cancelling(context, lambda: [(work, places)]):
            begun = conversion.begin()
            if isinstance(begun, Underway):
                if self.deferrable:
                    left = work.deadline - work.client.monotonic()
                    self._defer(hook, [WatchedJob.of(work.ids.derivation, begun)], left)
                begun = conversion.finish(begun)
        hook.report(order, begun)
        hook.scope.count_call(order.seed())
        return begun

    def _convert_in_steps(
        self, context: Context, hook: ConvertApiHook, event: object = None
    ) -> list[str]:
        """Make the first conversion, then each step of what the one before made.

        :param event: what the trigger said, None in the beginning.
        """
        from airflow_provider_convertapi.conversions.arguments import wrong
        from airflow_provider_convertapi.conversions.deferral import JobEvent
        from airflow_provider_convertapi.conversions.steps import (
            chain_of,
            check_steps,
            first_orders,
            identity,
        )
        from airflow_provider_convertapi.operators.retries import warn_of_late_retries

        if not self.durable:
            raise wrong("steps", "needs durable=True: what a step makes waits at ConvertAPI")
        steps = check_steps(self.steps)
        orders = first_orders(partial(self._order, hook, find_inputs=event is None), self.source)
        if self.plan_only:
            return self._plan(orders[0], least=len(orders) + len(steps))
        found = None if event is None else JobEvent.parse(event, expected=None)
        if found:
            hook.check_key(found.key_check, orders[0])
        else:
            warn_of_late_retries(self)
        seconds = _LAST_LOOK if found and found.status == "timeout" else None
        chain = chain_of(hook, orders, steps, self.conversion_key, seconds=seconds)
        with hook.named(orders[0]), self._cancelling(context, lambda: chain.works):
            outcome = chain.proceed(found.jobs if found else (), defers=self.deferrable)
        if isinstance(outcome, list):
            self._defer(hook, outcome, self.timeout)
        hook.report(orders[0], outcome)
        hook.scope.count_call(identity(orders, steps))
        return self._end(context, outcome)

    def _defer(self, hook: ConvertApiHook, jobs: Sequence[WatchedJob], left: float) -> NoReturn:
        """Leave the waiting to the triggerer; raises `TaskDeferred`.

        :param left: seconds until the trigger gives up.
        """
        from airflow_provider_convertapi.hooks.convertapi import settle_time
        from airflow_provider_convertapi.triggers.job import ConvertApiJobTrigger

        if self.execution_timeout:
            left = min(left, self.execution_timeout.total_seconds() - _TRIGGER_MARGIN)
        trigger = ConvertApiJobTrigger(
            convertapi_conn_id=self.convertapi_conn_id,
            key_check=hook.key_check,
            deadline=time.time() + left,
            poll_interval=self.poll_interval,
            settle=settle_time(),
            jobs=[list(job) for job in jobs],
            cancel_on_kill=self.cancel_on_kill,
        )
        self.defer(trigger=trigger, method_name="execute_complete", timeout=self.execution_timeout)

    @contextmanager
    def _cancelling(
        self, context: Context, begun: Callable[[], Iterable[tuple[Work, Iterable[str]]]]
    ) -> Iterator[None]:
        """Let nothing stay at the service where the user wants it so and no try is left.

        :param begun: returns conversions, and the places of the inputs that they may have uploaded.
        """
        from airflow.providers.common.compat.sdk import AirflowTaskTimeout

        from airflow_provider_convertapi.errors import (
            ConversionInterrupted,
            ConversionTimeoutError,
        )

        try:
            yield
        except (ConversionInterrupted, ConversionTimeoutError, AirflowTaskTimeout):
            ti = context["ti"]
            if self.cancel_on_kill and ti.try_number > ti.max_tries:
                from airflow_provider_convertapi.conversions.cancellation import cancel

                for work, uploads in begun():
                    cancel(work, uploads)
            raise

    def _end(self, context: Context, outcome: Outcome) -> list[str]:
        context["ti"].xcom_push(key="conversion_cost", value=outcome.cost)
        return outcome.outputs

    def on_kill(self) -> None:
        """Tell the running `execute` to stop; a submitted job stays for the next try to collect."""
        if self._hook:
            self._hook.stop()

    def _order(self, hook: ConvertApiHook, source: Any, *, find_inputs: bool = True) -> Order:
        return hook.place_order(
            source=source,
            to_format=self.to_format,
            destination=self.destination,
            from_format=self.from_format,
            parameters=self.parameters,
            timeout=self.timeout,
            poll_interval=self.poll_interval,
            overwrite=self.overwrite,
            on_quota_exhausted=self.on_quota_exhausted,
            find_inputs=find_inputs,
        )

    def _plan(self, order: Order, least: int = 1) -> list[str]:
        self.log.info(
            "Plan only, nothing is sent: %s would be converted into %s for at least %d "
            "conversion(s), as a %s.",
            order.describe(),
            order.destination.uri,
            least,
            "job that survives crashes" if self.durable else "direct exchange",
        )
        return []
