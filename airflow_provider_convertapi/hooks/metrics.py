"""Count in Airflow's own metrics, where those are on.

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
"""What Airflow calls the metrics of its `ResumableJobMixin`, from 3.3 on."""

_log = logging.getLogger(__name__)


def count(name: str, value: int, pair: Pair) -> None:
    """Add to a counter, tagged with the formats; what is wrong with it never fails a task."""
    try:
        from airflow_provider_convertapi.airflow_names import Stats

        Stats.incr(name, value, tags={"from_format": pair[0], "to_format": pair[1]})
    except Exception as error:  # noqa: BLE001 - a server of metrics must not cost a paid conversion
        _log.debug("%s was not counted: %s", name, error)


def count_decision(tags: Mapping[str, str], decision: Decision) -> None:
    """Count as Airflow's mixin does, so that a dashboard of resumable jobs counts these, too.

    Does nothing before Airflow 3.3, which has no such metrics, and never raises.
    """
    try:
        from airflow_provider_convertapi.airflow_names import incr
    except ImportError:
        return
    with suppress(Exception):  # a metric must not cost a conversion
        if decision != "fresh_submit":
            incr(f"{_FAMILY}.reconnect_attempt", tags=dict(tags))
        incr(f"{_FAMILY}.{decision}", tags=dict(tags))
