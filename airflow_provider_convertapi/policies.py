"""A ready-made retry policy for Airflow 3.3 and later (AIP-105)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.airflow_names import AirflowOptionalProviderFeatureException
from airflow_provider_convertapi.errors import ConvertApiError, QuotaExhaustedError

if TYPE_CHECKING:
    from airflow.sdk import RetryDecision, RetryPolicy
else:
    try:
        from airflow_provider_convertapi.airflow_names import RetryDecision, RetryPolicy
    except ImportError:  # Airflow before 3.3
        RetryDecision, RetryPolicy = None, object

__all__ = ["ConvertApiRetryPolicy"]


class ConvertApiRetryPolicy(RetryPolicy):
    """Retry what another try can change, and when it can: ``retry_policy=ConvertApiRetryPolicy()``.

    ============================================  =============================================
    throttled until the task's `timeout`          retries after as long as ConvertAPI asked for
    a verdict that may change, such as a timeout  retries; the second such verdict is final
    no conversions left                           fails, or retries after `quota_delay`
    any other permanent error                     fails
    any other error                               Airflow's usual retries
    ============================================  =============================================

    It never exceeds the task's `retries`.  Permanent errors of operators, sensors and the hook fail
    without it, too: Airflow does not consult a policy about an `AirflowFailException`.  It sees
    exhausted quotas with ``on_quota_exhausted="raise"`` only.

    `AirflowOptionalProviderFeatureException` before Airflow 3.3, which has no retry policies.

    :param quota_delay: how long to wait for conversions to be bought; None fails at once.
    """

    def __init__(self, *, quota_delay: timedelta | None = None) -> None:
        if RetryDecision is None:
            raise AirflowOptionalProviderFeatureException(
                "ConvertApiRetryPolicy needs Airflow 3.3 or later. Without it permanent errors "
                "fail at once and others are retried after retry_delay; leave retry_policy out."
            )
        self.quota_delay = quota_delay

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's signature
        max_tries: int,  # noqa: ARG002 - Airflow's signature
        context: Any = None,  # noqa: ARG002 - Airflow's signature
    ) -> RetryDecision:
        """Decide by the error's class and fields; Airflow calls it in the worker."""
        if not isinstance(exception, ConvertApiError):
            return RetryDecision.default()
        if isinstance(exception, QuotaExhaustedError) and self.quota_delay is not None:
            return RetryDecision.retry(self.quota_delay, "Waiting for conversions to be bought.")
        if not exception.transient:
            return RetryDecision.fail("Another try would change nothing.")
        if exception.retry_after is not None:
            asked = timedelta(seconds=exception.retry_after)
            return RetryDecision.retry(asked, "ConvertAPI asked to wait.")
        if exception.is_verdict:
            return RetryDecision.retry(reason="One more attempt may end differently.")
        return RetryDecision.default()
