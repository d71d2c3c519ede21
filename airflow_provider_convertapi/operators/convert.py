"""The operator for one conversion."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

# Nothing else of ours: a DAG file that declares an operator must not pay for what a task needs.
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
    from airflow_provider_convertapi.hooks.order import Order

_RETENTION = timedelta(hours=2)
"""How long ConvertAPI remembers a job (its documentation of 2021; no newer figure is published)."""


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
    :param convertapi_conn_id: the connection's id. (templated)
    :param timeout: seconds that the task waits for the conversion; a job that takes longer is left
        for the next try to collect.
    :param poll_interval: the longest distance in seconds between two polls; the first come sooner.
    :param durable: True submits a job that survives a crash of the task; False converts in one
        streamed exchange and stores nothing at ConvertAPI, at the price that a lost answer may
        have been billed.
    :param on_quota_exhausted: ``fail`` fails the task at once; ``raise`` lets `QuotaExhaustedError`
        leave as it is, for Airflow's retries and retry policies.
    :param overwrite: False makes an existing file that is not ours an `OutputExistsError`. An
        input is never overwritten.
    :param conversion_key: part of the job's id: another one converts, and pays, anew. (templated)
    :param plan_only: say what would be done and the least it would cost, and send nothing.
    """

    template_fields: Sequence[str] = [
        "source",
        "to_format",
        "destination",
        "from_format",
        "parameters",
        "convertapi_conn_id",
        "conversion_key",
    ]
    # A source named a.sql is no template.
    template_ext: Sequence[str] = ()
    template_fields_renderers = {"parameters": "json"}  # noqa: RUF012 - Airflow reads it from the class
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        source: Any,
        to_format: str,
        destination: Any,
        from_format: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        convertapi_conn_id: str = "convertapi_default",
        timeout: float = 1800,
        poll_interval: float = 10,
        durable: bool = True,
        on_quota_exhausted: str = "fail",
        overwrite: bool = True,
        conversion_key: str | None = None,
        plan_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.to_format = to_format
        self.destination = destination
        self.from_format = from_format
        self.parameters = parameters
        self.convertapi_conn_id = convertapi_conn_id
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.durable = durable
        self.on_quota_exhausted = on_quota_exhausted
        self.overwrite = overwrite
        self.conversion_key = conversion_key
        self.plan_only = plan_only
        self._hook: ConvertApiHook | None = None

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render, and mask what is secret before Airflow stores the rendered fields."""
        super().render_template_fields(context, jinja_env)
        from airflow.providers.common.compat.sdk import mask_secret

        from airflow_provider_convertapi.hooks.convertapi import secrets_in

        for secret in secrets_in(self.source, self.parameters):
            mask_secret(secret)

    def execute(self, context: Context) -> list[str]:
        """Convert, publish, and return the URIs of the outputs."""
        from airflow_provider_convertapi.failures import explicit_failures
        from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
        from airflow_provider_convertapi.hooks.scope import Scope

        hook = self._hook = ConvertApiHook(self.convertapi_conn_id)
        hook.scope = Scope.from_context(context)
        with explicit_failures(quota=self.on_quota_exhausted):
            order = self._order(hook)
            if self.plan_only:
                return self._plan(order)
            self._warn_of_late_retries()
            outcome = hook.run_order(
                order, durable=self.durable, conversion_key=self.conversion_key
            )
        context["ti"].xcom_push(key="conversion_cost", value=outcome.cost)
        return outcome.outputs

    def on_kill(self) -> None:
        """Tell the running `execute` to stop; a submitted job stays for the next try to collect."""
        if self._hook:
            self._hook.stop()

    def _order(self, hook: ConvertApiHook) -> Order:
        return hook.place_order(
            source=self.source,
            to_format=self.to_format,
            destination=self.destination,
            from_format=self.from_format,
            parameters=self.parameters,
            timeout=self.timeout,
            poll_interval=self.poll_interval,
            overwrite=self.overwrite,
            on_quota_exhausted=self.on_quota_exhausted,
        )

    def _plan(self, order: Order) -> list[str]:
        self.log.info(
            "Plan only, nothing is sent: %s would be converted into %s for at least 1 "
            "conversion, as a %s.",
            order.describe(),
            order.destination.uri,
            "job that survives crashes" if self.durable else "direct exchange",
        )
        return []

    def _warn_of_late_retries(self) -> None:
        delay = self.retry_delay
        if self.durable and self.retries and isinstance(delay, timedelta) and delay > _RETENTION:
            self.log.warning(
                "retry_delay is %s, but ConvertAPI forgets a job after %s: a retry that late "
                "pays anew.",
                delay,
                _RETENTION,
            )
