"""The sensor for the account's balance."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.airflow_names import conf
from airflow_provider_convertapi.sensors.base import ConvertApiSensor
from airflow_provider_convertapi.surroundings import surroundings

# Import nothing else here: parsing a DAG file must not load what only a running task needs.
if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

__all__ = ["ConvertApiQuotaSensor"]

_POKE_INTERVAL = 300.0
"""Seconds; people buy conversions, so asking more often gains nothing."""


class ConvertApiQuotaSensor(ConvertApiSensor):
    """Wait until the account has at least some conversions left.

    Spends no conversion.  An account that is not active, or a connection without `master_token`,
    fails the task at once: waiting would not help.  Returns nothing.

    `poke_interval` (5 minutes by default, and randomly up to a quarter longer so that many sensors
    do not ask at once), `timeout`, `mode` and `soft_fail` are Airflow's own.

    :param min_conversions: conversions that have to be left, at least 1. (templated)
    :param convertapi_conn_id: the connection's id; it needs `master_token`. (templated)
    :param deferrable: wait in the triggerer, without a worker slot; the default is Airflow's
        ``[operators] default_deferrable``.
    """

    template_fields: Sequence[str] = ["min_conversions", "convertapi_conn_id"]

    def __init__(
        self,
        *,
        min_conversions: int | str = 1,
        convertapi_conn_id: str = "convertapi_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("poke_interval", _POKE_INTERVAL)
        super().__init__(convertapi_conn_id=convertapi_conn_id, deferrable=deferrable, **kwargs)
        self.min_conversions = min_conversions

    def poke(self, context: Context) -> bool:  # noqa: ARG002 - Airflow's interface
        """Tell whether enough conversions are left; raise if waiting cannot help."""
        from airflow_provider_convertapi.api.account import Account
        from airflow_provider_convertapi.errors import ThrottledError, TransportError
        from airflow_provider_convertapi.failures import explicit_failures
        from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

        with explicit_failures():
            wanted = self._checked_minimum()
        try:
            account = Account.read(ConvertApiHook(self.convertapi_conn_id).get_user())
        except (ThrottledError, TransportError) as error:
            self.log.warning("ConvertAPI did not tell the balance; it is asked again. %s", error)
            return False
        with explicit_failures():
            remaining = account.check_remaining(self.convertapi_conn_id)
        self.log.info("%d conversion(s) are left; %d are wanted.", remaining, wanted)
        return remaining >= wanted

    _lacking = "The account has fewer conversions left than min_conversions"

    def _status(self, event: Any) -> str:
        return str(event.get("status")) if isinstance(event, dict) else "error"

    def _trigger(self) -> BaseTrigger:
        from airflow_provider_convertapi.triggers.quota import ConvertApiQuotaTrigger

        return ConvertApiQuotaTrigger(
            convertapi_conn_id=self.convertapi_conn_id,
            min_conversions=self._checked_minimum(),
            deadline=surroundings().clock.time() + self.timeout,
            # Airflow allows 0, which would be a busy loop here.
            poll_interval=max(self.poke_interval, 1.0),
        )

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        interval: float = super()._get_next_poke_interval(*args, **kwargs)
        return interval * (1 + random.random() / 4)  # noqa: S311 - no secret

    def _checked_minimum(self) -> int:
        from airflow_provider_convertapi.conversions.values import whole

        return whole("min_conversions", self.min_conversions, 1) or 1
