"""Time as a value: whoever needs it is handed it, so that a test can make it pass at will."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Clock:
    """What tells the time, and lets it pass.

    :param time: returns the seconds since the epoch.
    :param monotonic: returns seconds from anywhere; they never go back.
    :param sleep: waits for the given seconds.
    """

    time: Callable[[], float]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
