"""The base class of the sensors: they poke, defer, and poke again.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.airflow_names import BaseSensorOperator, conf
from airflow_provider_convertapi.screens import UI_COLOR, UI_FGCOLOR, ConvertApiUsageLink

# Import nothing else here: parsing a DAG file must not load what only a running task needs.
if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger


class ConvertApiSensor(BaseSensorOperator):
    """Poke once in the worker, then wait there or in the triggerer, and poke again at the end.

    The trigger only says when to poke: the worker's own poke decides, whatever the event says.

    :param convertapi_conn_id: the connection's id.
    :param deferrable: wait in the triggerer, without a worker slot.
    """

    ui_color = UI_COLOR
    ui_fgcolor = UI_FGCOLOR
    operator_extra_links = (ConvertApiUsageLink(),)

    def __init__(
        self,
        *,
        convertapi_conn_id: str = "convertapi_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.convertapi_conn_id = convertapi_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Wait, in the triggerer if it is deferrable."""
        if not self.deferrable:
            return super().execute(context)
        with self._soft_failures():
            if not self.poke(context):
                self.defer(
                    trigger=self._trigger(),
                    method_name="execute_complete",
                    timeout=self.execution_timeout,
                )
        return None

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Poke after the trigger has fired, and end, fail or wait on."""
        from airflow_provider_convertapi.airflow_names import AirflowSensorTimeout

        status = self._status(event)
        # Airflow 2.11 forgets `never_fail` after a deferral (`resume_execution` in
        # `airflow/sensors/base.py`).
        with self._soft_failures():
            if self.poke(context):
                return None
        if status == "timeout":
            raise AirflowSensorTimeout(f"{self._lacking} after timeout={self.timeout:g} s.")
        self.log.warning("The triggerer could not watch; this task waits itself.")
        return super().execute(context)

    def _trigger(self) -> BaseTrigger:
        """Return the trigger that waits in the triggerer."""
        raise NotImplementedError

    def _status(self, event: Any) -> str:
        """Return the status of the trigger's event: ``timeout``, or anything else."""
        raise NotImplementedError

    _lacking = ""
    """The missing condition, as the beginning of a sentence."""

    @contextmanager
    def _soft_failures(self) -> Iterator[None]:
        """Skip on a failure, as Airflow's sensor does only for the pokes of its own loop."""
        from airflow_provider_convertapi.airflow_names import (
            AirflowFailException,
            AirflowSkipException,
        )

        try:
            yield
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException("Skipping due to soft_fail or never_fail.") from error
            raise
