"""Count conversions in Airflow's metrics, if they are on.

This module may change from release to release.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_convertapi.conversions.metrics import Pair
    from airflow_provider_convertapi.conversions.session import Decision

_FAMILY = "resumable_job"
"""The prefix of the metrics of Airflow's `ResumableJobMixin`, from Airflow 3.3 on."""

_log = logging.getLogger(__name__)


def count(name: str, value: int, pair: Pair) -> None:
    """Add to a counter, tagged with the formats; an error here never fails a task."""
    try:
        from airflow_provider_convertapi.airflow_names import Stats

        Stats.incr(name, value, tags={"from_format": pair[0], "to_format": pair[1]})
    except Exception as error:  # noqa: BLE001 - a metrics server must not cost a paid conversion
        _log.debug("%s was not counted: %s", name, error)


def count_decision(tags: Mapping[str, str], decision: Decision) -> None:
    """Count as Airflow's mixin does, so that dashboards of resumable jobs show these jobs, too.

    Does nothing before Airflow 3.3, which has no such metrics.  Never raises.
    """
    try:
        from airflow_provider_convertapi.airflow_names import incr
    except ImportError:
        return
    with suppress(Exception):  # a metric must not cost a conversion
        if decision != "fresh_submit":
            incr(f"{_FAMILY}.reconnect_attempt", tags=dict(tags))
        incr(f"{_FAMILY}.{decision}", tags=dict(tags))
