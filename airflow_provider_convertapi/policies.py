"""A ready-made retry policy for Airflow 3.3 and later (AIP-105)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.airflow_names import AirflowOptionalProviderFeatureException
from airflow_provider_convertapi.errors import with_facts

if TYPE_CHECKING:
    from airflow.sdk import RetryDecision, RetryPolicy
else:
    try:
        from airflow_provider_convertapi.airflow_names import RetryDecision, RetryPolicy
    except ImportError:  # Airflow before 3.3
        RetryDecision, RetryPolicy = None, object

__all__ = ["ConvertApiRetryPolicy"]


def _check_time(name: str, value: Any, *, may_be_zero: bool) -> None:
    """Raise `ValueError` here, since Airflow would only notice in a worker, about a failed task."""
    least = timedelta(0) if may_be_zero else timedelta.resolution
    if not isinstance(value, timedelta) or value < least:
        wanted = "0 or more" if may_be_zero else "above 0"
        raise ValueError(
            f"{name} is {value!r}; it must be a timedelta of {wanted}, such as timedelta(hours=1)."
        )


class ConvertApiRetryPolicy(RetryPolicy):
    """Retry errors that another try may change: ``retry_policy=ConvertApiRetryPolicy()``.

    ============================================  =============================================
    throttled until the task's `timeout`          waits as ConvertAPI asked, or `retry_delay`
    a verdict that may change, such as a timeout  retries; the second such verdict is final
    no conversions left                           fails, or waits for `quota_delay`
    any other permanent error                     fails
    any other error                               Airflow's usual retries
    ============================================  =============================================

    On Airflow 3.4 and later a task that waits is rescheduled, and uses up no retry, until
    `reschedule_timeout` has passed since it was first rescheduled in its try; from then on, and on
    Airflow 3.3, it is retried.  The task's `retries` are never exceeded.

    Permanent errors of operators, sensors and the hook fail without a policy, too: Airflow does not
    consult a policy about an `AirflowFailException`.  It consults this one about exhausted quotas
    only with ``on_quota_exhausted="raise"``.

    `AirflowOptionalProviderFeatureException` before Airflow 3.3, which has no retry policies.

    :param quota_delay: how long to wait for conversions to be bought; None fails at once.
    :param reschedule_timeout: how long waiting uses up no retry; without effect on Airflow 3.3.
    """

    def __init__(
        self,
        *,
        quota_delay: timedelta | None = None,
        reschedule_timeout: timedelta = timedelta(days=1),
    ) -> None:
        if RetryDecision is None:
            raise AirflowOptionalProviderFeatureException(
                "ConvertApiRetryPolicy needs Airflow 3.3 or later. Without it permanent errors "
                "fail at once and others are retried after retry_delay; leave retry_policy out."
            )
        _check_time("reschedule_timeout", reschedule_timeout, may_be_zero=False)
        if quota_delay is not None:
            _check_time("quota_delay", quota_delay, may_be_zero=True)
        self.quota_delay = quota_delay
        self.reschedule_timeout = reschedule_timeout

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's signature
        max_tries: int,  # noqa: ARG002 - Airflow's signature
        context: Any = None,  # noqa: ARG002 - Airflow's signature
    ) -> RetryDecision:
        """Decide by the error's class and fields; Airflow calls it in the worker."""
        facts = with_facts(exception)
        # Before the next check, since an exhausted quota is not transient.
        if facts.is_of_quota and self.quota_delay is not None:
            return self._wait(self.quota_delay, "Waiting for conversions to be bought.")
        if not facts.transient:
            return RetryDecision.fail("Another try would change nothing.")
        if facts.asks_to_wait:
            seconds = facts.retry_after
            asked = None if seconds is None else timedelta(seconds=seconds)
            return self._wait(asked, "ConvertAPI asked to wait.")
        if facts.is_verdict:
            return RetryDecision.retry(reason="One more attempt may end differently.")
        return RetryDecision.default()

    def _wait(self, delay: timedelta | None, reason: str) -> RetryDecision:
        """Return the decision to run the task again later; None means after its `retry_delay`."""
        reschedule = getattr(RetryDecision, "reschedule", None)
        if reschedule is None:  # Airflow 3.3
            return RetryDecision.default() if delay is None else RetryDecision.retry(delay, reason)
        decision: RetryDecision = reschedule(
            delay, reschedule_timeout=self.reschedule_timeout, reason=reason
        )
        return decision
