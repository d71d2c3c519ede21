"""Count in Airflow's own metrics how jobs are begun.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_convertapi.conversions.session import Decision

_FAMILY = "resumable_job"
"""What Airflow calls the metrics of its `ResumableJobMixin`, from 3.3 on."""


def count_decision(tags: Mapping[str, str], decision: Decision) -> None:
    """Count as Airflow's mixin does, so that a dashboard of resumable jobs counts these, too.

    Does nothing before Airflow 3.3, which has no such metrics, and never raises.
    """
    try:
        from airflow_provider_convertapi.airflow_names import incr
    except ImportError:
        return
    with suppress(Exception):  # a metric is no reason to lose a conversion
        if decision != "fresh_submit":
            incr(f"{_FAMILY}.reconnect_attempt", tags=dict(tags))
        incr(f"{_FAMILY}.{decision}", tags=dict(tags))
