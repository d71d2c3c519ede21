"""The operators that read the account: its balance, and what it converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.airflow_names import BaseOperator
from airflow_provider_convertapi.screens import (
    UI_COLOR,
    UI_FGCOLOR,
    ConvertApiOutputLink,
    ConvertApiUsageLink,
)

# Import nothing else here: parsing a DAG file must not load what only a running task needs.
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from airflow.sdk import Context

    from airflow_provider_convertapi.conversions.arguments import PathArgument, ReportFormat
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

__all__ = ["ConvertApiAccountOperator", "ConvertApiStatisticsOperator"]


class ConvertApiAccountOperator(BaseOperator):
    """Return the account's balance, for example for a task that decides what to convert.

    Returns a dictionary: `active` (whether the account may convert), `total` (conversions of the
    plan), `consumed` and `remaining`.  A value that ConvertAPI does not report is None, and
    `remaining` is below 0 if the plan has billed beyond its size.  The connection needs a
    `master_token`; reading the account is free.

    :param convertapi_conn_id: the connection's id. (templated)
    """

    template_fields: Sequence[str] = ["convertapi_conn_id"]
    ui_color = UI_COLOR
    ui_fgcolor = UI_FGCOLOR
    operator_extra_links = (ConvertApiUsageLink(),)

    def __init__(self, *, convertapi_conn_id: str = "convertapi_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.convertapi_conn_id = convertapi_conn_id

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - Airflow's interface
        """Read the account."""
        from airflow_provider_convertapi.api.account import Account
        from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

        account = Account.read(ConvertApiHook(self.convertapi_conn_id).get_user())
        self.log.info(
            "The account is %s: %s of %s conversions are consumed, %s are left.",
            "active" if account.active else "not active",
            account.consumed,
            account.total,
            account.remaining,
        )
        return {
            "active": account.active,
            "total": account.total,
            "consumed": account.consumed,
            "remaining": account.remaining,
        }


class ConvertApiStatisticsOperator(BaseOperator):
    """Write the account's conversions of some days to a file, and return its URI.

    One row for each conversion: `CreatedAt` (UTC), `Result`, `Converter`, `SourceFormat`,
    `DestinationFormat`, `ConversionCost`, `ExecutionTime`, `Source`, `Error`, and any other columns
    that ConvertAPI reports.  An existing report of the same name is replaced.  The connection needs
    a `master_token`; the report is free, and takes the same memory for any number of rows.

    :param first_day: the first day, a date or `YYYY-MM-DD`. (templated)
    :param last_day: the last day, included. (templated)
    :param destination: a file, or a directory when it ends in ``/``, in any of the stores that
        conversions write to. (templated)
    :param format: ``csv``, or ``jsonl`` for a JSON object on each line.
    :param convertapi_conn_id: the connection's id. (templated)
    """

    template_fields: Sequence[str] = ["first_day", "last_day", "destination", "convertapi_conn_id"]
    template_ext: Sequence[str] = ()
    ui_color = UI_COLOR
    ui_fgcolor = UI_FGCOLOR
    operator_extra_links = (ConvertApiOutputLink(), ConvertApiUsageLink())

    def __init__(
        self,
        *,
        first_day: str | date,
        last_day: str | date,
        destination: PathArgument,
        format: ReportFormat = "csv",  # noqa: A002 - what the user calls it
        convertapi_conn_id: str = "convertapi_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if format != "csv":
            from airflow_provider_convertapi.conversions.values import report_format
            from airflow_provider_convertapi.failures import explicit_failures

            with explicit_failures():  # a mapped task is made, and fails here, when it runs
                report_format(format)
        self.first_day = first_day
        self.last_day = last_day
        self.destination = destination
        self.format = format
        self.convertapi_conn_id = convertapi_conn_id
        self._hook: ConvertApiHook | None = None

    def execute(self, context: Context) -> str:  # noqa: ARG002 - Airflow's interface
        """Fetch the rows and write the report."""
        from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

        self._hook = ConvertApiHook(self.convertapi_conn_id)
        return self._hook.write_statistics(
            self.first_day, self.last_day, self.destination, format=self.format
        )

    def on_kill(self) -> None:
        """Stop; nothing was paid, and no incomplete report is published."""
        if self._hook is not None:
            self._hook.open_session().stop()
