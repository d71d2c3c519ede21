"""Time as a value that is passed to its users, so that tests can control it.

This module may change from release to release.
"""

from __future__ import annotations

import threading
import time as system
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Clock:
    """A source of time, and a way to wait.

    :param time: returns the seconds since the epoch.
    :param monotonic: returns seconds from an arbitrary moment; they never go back.
    :param sleep: waits for the given seconds.
    :param wait: waits until the event is set, at most for the given seconds; tells whether it is.
    """

    time: Callable[[], float]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait


SYSTEM_CLOCK = Clock(system.time, system.monotonic, system.sleep)
"""The real time; no other module asks the system for it."""
