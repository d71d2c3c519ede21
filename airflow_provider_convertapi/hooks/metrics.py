"""Count in Airflow's own stats, where those are on.

This module may change from release to release.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_convertapi.conversions.metrics import Pair

_log = logging.getLogger(__name__)


def count(name: str, value: int, pair: Pair) -> None:
    """Add to a counter, tagged with the formats; what is wrong with it never fails a task."""
    try:
        from airflow_provider_convertapi.airflow_names import Stats

        Stats.incr(name, value, tags={"from_format": pair[0], "to_format": pair[1]})
    except Exception as error:  # noqa: BLE001 - a server of metrics must not cost a paid conversion
        _log.debug("%s was not counted: %s", name, error)
