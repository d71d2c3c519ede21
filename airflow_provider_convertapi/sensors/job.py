"""The sensor for a job that something else started."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.airflow_names import conf
from airflow_provider_convertapi.sensors.base import ConvertApiSensor
from airflow_provider_convertapi.surroundings import surroundings

# Import nothing else here: parsing a DAG file must not load what only a running task needs.
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_convertapi.api.endpoints import JobAnswer
    from airflow_provider_convertapi.conversions.session import Session
    from airflow_provider_convertapi.errors import ConvertApiError

__all__ = ["ConvertApiJobSensor"]

# https://docs.convertapi.com/docs/async-conversions
_JOB_ID = re.compile(r"[a-z0-9]{32}")
_HIDDEN = "***"


class ConvertApiJobSensor(ConvertApiSensor):
    """Wait until a job that something else started at ConvertAPI has its result.

    A job that ended with an error fails the task at once, with the error's class and Code, because
    waiting would not change that.  Transport errors are waited out until `timeout`.  Returns
    nothing: the result can be fetched with the job's id.

    `poke_interval`, `timeout`, `mode` and `soft_fail` are Airflow's own.  A deferrable sensor polls
    more often at first, and every `poke_interval` seconds later.

    :param job_id: the job's id, 32 lower-case letters and digits.  It opens the documents without
        credentials, so it is masked in logs and in rendered fields, and encrypted with the
        connection's key when it is stored for the triggerer. (templated)
    :param convertapi_conn_id: the connection's id. (templated)
    :param deferrable: wait in the triggerer, without a worker slot; the default is Airflow's
        ``[operators] default_deferrable``.
    """

    template_fields: Sequence[str] = ["job_id", "convertapi_conn_id"]

    def __init__(
        self,
        *,
        job_id: str,
        convertapi_conn_id: str = "convertapi_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(convertapi_conn_id=convertapi_conn_id, deferrable=deferrable, **kwargs)
        self.job_id = job_id
        self._began: float | None = None

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """Render the fields, and hide the id before Airflow stores them."""
        from airflow_provider_convertapi.conversions.secrets import (
            Concealed,
            conceal_given,
            revealed,
        )
        from airflow_provider_convertapi.hooks.masking import mask

        self.job_id = revealed(self.job_id)  # it may have been rendered and concealed before
        super()._do_render_template_fields(*args, **kwargs)
        job_id = str(self.job_id).strip()
        mask(job_id)
        self.job_id = Concealed(_HIDDEN, job_id)
        conceal_given(self, ("job_id",))

    def poke(self, context: Context) -> bool:
        """Tell whether the job has its result; raise the error that it ended with."""
        from airflow_provider_convertapi.api.endpoints import get_job
        from airflow_provider_convertapi.errors import ThrottledError, TransportError
        from airflow_provider_convertapi.failures import explicit_failures

        with explicit_failures():
            try:
                answer = self._open_session().client.send(get_job(self._checked_job_id()))
            except (ThrottledError, TransportError) as error:
                self.log.warning("A poll had no answer; the job goes on. %s", error)
                return False
            if answer.verdict and answer.has_code:
                raise _final(answer.verdict)
            return answer.conversion is not None or self._may_appear(answer, context)

    def _may_appear(self, answer: JobAnswer, context: Context) -> bool:
        """Return False while the job may still appear; `ResultExpiredError` if it is unknown."""
        from airflow_provider_convertapi.configuration import settle_time
        from airflow_provider_convertapi.errors import ResultExpiredError

        if not answer.unknown:
            self._began = surroundings().clock.time()
        elif surroundings().clock.time() - self._since(context) > settle_time():
            raise ResultExpiredError(
                f"ConvertAPI does not know the job that connection {self.convertapi_conn_id!r} "
                "was asked for: it was never started, was deleted, is older than two hours, or "
                "belongs to another region or account."
            )
        return False

    def _since(self, context: Context) -> float:
        """Return when this sensor last saw the job, or else first started, across reschedules."""
        if self._began is None:
            ti: Any = context.get("ti")  # None where a user calls `poke` outside of tasks
            first: datetime | None = None
            # Only Airflow 3 has this method; Airflow 2 itself sets `start_date` to that date.
            if self.reschedule and hasattr(ti, "get_first_reschedule_date"):
                first = ti.get_first_reschedule_date(context)
            started = first or getattr(ti, "start_date", None)
            self._began = started.timestamp() if started else surroundings().clock.time()
        return self._began

    _lacking = "The job has no result"

    def _status(self, event: Any) -> str:
        from airflow_provider_convertapi.conversions.deferral import JobEvent

        return JobEvent.parse(event, expected=0).status

    def _trigger(self) -> BaseTrigger:
        from airflow_provider_convertapi.api.ids import seal
        from airflow_provider_convertapi.triggers.job import ConvertApiJobTrigger

        session = self._open_session()
        return ConvertApiJobTrigger(
            convertapi_conn_id=self.convertapi_conn_id,
            key_check=session.key_check,
            deadline=surroundings().clock.time() + self.timeout,
            # Airflow allows 0, which would be a busy loop here.
            poll_interval=max(self.poke_interval, 1.0),
            settle=session.settle,
            sealed_job_id=seal(session.key, self._checked_job_id()),
        )

    def _open_session(self) -> Session:
        from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

        return ConvertApiHook(self.convertapi_conn_id).open_session()

    def _checked_job_id(self) -> str:
        from airflow_provider_convertapi.conversions.secrets import revealed
        from airflow_provider_convertapi.errors import ParameterError

        job_id: str = revealed(self.job_id)
        if not _JOB_ID.fullmatch(job_id):
            complaint = (
                f"has {len(job_id)} characters or others than lower-case letters and digits; it "
                "must be 32 of those. If it is templated, see what the template rendered to"
            )
            raise ParameterError(f"job_id {complaint}.", {"job_id": [complaint]})
        return job_id


def _final(verdict: ConvertApiError) -> ConvertApiError:
    """Return the verdict as a permanent error, because it will not change."""
    from airflow_provider_convertapi.errors import ConversionError

    if verdict.code is not None and verdict.is_verdict:
        return ConversionError(f"The job ended with an error: {verdict}", verdict.code)
    return verdict
