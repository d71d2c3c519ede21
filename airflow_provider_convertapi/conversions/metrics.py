"""What is counted of conversions, for whoever watches many of them.

A session says where the numbers go; without Airflow they go nowhere.

This module may change from release to release.
"""

from __future__ import annotations

from collections.abc import Callable

Pair = tuple[str, str]
"""The format that is converted, and the one that comes of it in the end."""

Count = Callable[[str, int, Pair], None]
"""Adds to the counter of a name, for a pair."""

CONVERSIONS = "convertapi.conversions"
"""Conversions that have ended, with a result or a verdict, and that the task had submitted."""

COST = "convertapi.cost"
"""What tasks paid, or may have paid, in ConvertAPI's conversions."""

REUSED = "convertapi.reused"
"""Results that cost nothing: they stood, or were collected after an earlier try had paid."""

THROTTLED = "convertapi.throttled"
"""Requests for a conversion that the service refused for being too busy; they were free."""


def nowhere(_name: str, _value: int, _pair: Pair) -> None:
    """Count nothing."""


def count_end(count: Count, pair: Pair, charged: int, *, has_result: bool, goes_on: bool) -> None:
    """Count a conversion that this task is done with.

    :param charged: conversions that this try submitted.
    :param goes_on: whether its job has not ended, so that another try will see its end.
    """
    if charged:
        count(COST, charged, pair)
        if not goes_on:
            count(CONVERSIONS, 1, pair)
    elif has_result:
        count(REUSED, 1, pair)
