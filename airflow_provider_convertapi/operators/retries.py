"""What an operator's retries mean for what was paid."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_provider_convertapi.api.retry import RETENTION


def warn_of_late_retries(operator: Any) -> None:
    """Say in the task's log that a retry comes after ConvertAPI has forgotten the jobs, if so."""
    delay = operator.retry_delay
    if operator.retries and isinstance(delay, timedelta) and delay > RETENTION:
        operator.log.warning(
            "retry_delay is %s, but ConvertAPI forgets a job after %s: a retry that late pays "
            "anew for what was in flight.",
            delay,
            RETENTION,
        )
