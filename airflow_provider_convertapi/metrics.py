"""Count conversions in Airflow's metrics, if they are on.

A session decides where the numbers go: to Airflow, or nowhere.

This module may change from release to release.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Pair = tuple[str, str]
"""The source format, and the final target format."""

Count = Callable[[str, int, Pair], None]
"""Adds a value to the named counter, for a pair of formats."""

Decision = Literal["fresh_submit", "reconnect_success", "already_succeeded", "terminal_resubmit"]
"""How a job was begun, named as in Airflow's `resumable_job` metrics."""

CONVERSIONS = "convertapi.conversions"
"""Conversions that the task submitted and that have ended, with a result or a verdict."""

COST = "convertapi.cost"
"""What tasks paid, or may have paid, in ConvertAPI's conversions."""

REUSED = "convertapi.reused"
"""Results that cost nothing: they existed, or an earlier try had paid for them."""

THROTTLED = "convertapi.throttled"
"""Requests for a conversion that the service refused for being too busy; they were free."""

_FAMILY = "resumable_job"
"""The prefix of the metrics of Airflow's `ResumableJobMixin`, from Airflow 3.3 on."""

_log = logging.getLogger(__name__)


def nowhere(_name: str, _value: int, _pair: Pair) -> None:
    """Count nothing."""


def count_end(count: Count, pair: Pair, charged: int, *, has_result: bool, goes_on: bool) -> None:
    """Count a conversion when this task is done with it.

    :param charged: conversions that this try submitted.
    :param has_result: whether it has succeeded.
    :param goes_on: whether its job has not ended yet; then another try will count its end.
    """
    if charged:
        count(COST, charged, pair)
        if not goes_on:
            count(CONVERSIONS, 1, pair)
    elif has_result:
        count(REUSED, 1, pair)


def count(name: str, value: int, pair: Pair) -> None:
    """Add to a counter, tagged with the formats; an error here never fails a task."""
    try:
        from airflow_provider_convertapi.airflow_names import Stats  # noqa: PLC0415 - conversions load without Airflow

        Stats.incr(name, value, tags={"from_format": pair[0], "to_format": pair[1]})
    except Exception as error:  # noqa: BLE001 - a metrics server must not cost a paid conversion
        _log.debug("%s was not counted: %s", name, error)


def count_decision(tags: Mapping[str, str], decision: Decision) -> None:
    """Count as Airflow's mixin does, so that dashboards of resumable jobs show these jobs, too.

    Does nothing before Airflow 3.3, which has no such metrics.  Never raises.
    """
    try:
        from airflow_provider_convertapi.airflow_names import incr  # noqa: PLC0415 - as above
    except ImportError:
        return
    with suppress(Exception):  # a metric must not cost a conversion
        if decision != "fresh_submit":
            incr(f"{_FAMILY}.reconnect_attempt", tags=dict(tags))
        incr(f"{_FAMILY}.{decision}", tags=dict(tags))
