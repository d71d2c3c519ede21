"""Time as a value: whoever needs it is handed it, so that a test can make it pass at will.

This module may change from release to release.
"""

from __future__ import annotations

import time as system
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Clock:
    """What tells the time, and lets it pass.

    :param time: returns the seconds since the epoch.
    :param monotonic: returns seconds from an arbitrary moment; they never go back.
    :param sleep: waits for the given seconds.
    """

    time: Callable[[], float]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]


SYSTEM_CLOCK = Clock(system.time, system.monotonic, system.sleep)
"""The real time: this is the one place that asks the system for it."""
