"""The metrics of conversions.

A session decides where the numbers go; without Airflow they are dropped.

This module may change from release to release.
"""

from __future__ import annotations

from collections.abc import Callable

Pair = tuple[str, str]
"""The source format, and the final target format."""

Count = Callable[[str, int, Pair], None]
"""Adds a value to the named counter, for a pair of formats."""

CONVERSIONS = "convertapi.conversions"
"""Conversions that the task submitted and that have ended, with a result or a verdict."""

COST = "convertapi.cost"
"""What tasks paid, or may have paid, in ConvertAPI's conversions."""

REUSED = "convertapi.reused"
"""Results that cost nothing: they existed, or an earlier try had paid for them."""

THROTTLED = "convertapi.throttled"
"""Requests for a conversion that the service refused for being too busy; they were free."""


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
