"""Calculate how many conversions run at a time, and when to poll, without a clock or sleeps.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.retry import FIRST_POLL

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_SPACING = 0.005
"""Seconds between the first starts, so that they do not all arrive at once."""

RAMP = 0.5
"""Seconds over which conversions start after a refusal, so that the same load does not return."""

_LONGEST_WINDOW = 32
"""The limit is raised after at most this many conversions for each that may run at once."""

_GROWTH = 1.25
_FIRST_STEP, _LEAST_STEP = 0.2, 0.03


# ConvertAPI's larger plans have no fixed number of conversions at a time; an overloaded service
# answers 503 (https://docs.convertapi.com/docs/throttle-and-fallback). So the limit is learned.
@dataclass(slots=True)
class ConcurrencyLimit:
    """How many conversions may run at once, learned from the service's refusals.

    This is AIMD, as in TCP.  A refusal (503) halves the limit, once for all conversions that were
    started before it.  The number that ran at that moment becomes the ceiling.  Below it, each
    conversion that ends raises the limit by one.  Above it, a whole window of conversions has to
    end, and the window doubles each time the next step up is refused.

    :param most: `max_in_flight`.
    """

    most: int
    limit: int = field(init=False)
    refusals: int = field(default=0, init=False)
    """How often the service refused a conversion."""
    _ceiling: int = field(init=False)
    _started: int = field(default=0, init=False)
    _round: int = field(default=0, init=False)
    _reached: int = field(default=0, init=False)
    _ended: int = field(default=0, init=False)
    _patience: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        self.limit = self._ceiling = self.most

    def spacing(self, others: int) -> float:
        """Return the seconds to wait after a start that raises the number of running conversions.

        A start that replaces a conversion needs no wait: the load on the service stays the same.

        :param others: conversions that run.
        """
        if others < self._reached or self.limit == 1:
            return 0.0
        return RAMP / self.limit if self._round else FIRST_SPACING

    def start(self, others: int) -> int:
        """Note that a conversion starts; return its number, which `refused` takes.

        :param others: conversions that run beside it.
        """
        self._started += 1
        self._reached = max(self._reached, others + 1)
        return self._started

    def ended(self) -> None:
        """Note that the service answered a conversion, with or without success."""
        self._ended += 1
        if self.limit >= self.most:
            return
        if self._ended >= (self._patience * self.limit if self.limit >= self._ceiling else 1):
            self._ended = 0
            self.limit += 1

    def refused(self, number: int, others: int) -> None:
        """Note that the service refused a conversion because of its load.

        :param number: the number that `start` returned for it.
        :param others: conversions that were running beside it.
        """
        self.refusals += 1
        # Refusals of one round count once, since they were all started under the same limit.
        if number > self._round:
            # The step above the ceiling was refused again, so the next one comes later.
            if self.limit == self._ceiling + 1:
                self._patience = min(self._patience * 2, _LONGEST_WINDOW)
            self._round = self._started
            self._reached = 0
            self.limit //= 2
        self._ended = 0
        self.limit = max(1, min(self.limit, others))
        self._ceiling = max(self.limit, others)


@dataclass(slots=True)
class PollSchedule:
    """When to poll a job: at about the median duration of this batch's jobs.

    :param longest: the longest time in seconds between two polls.
    """

    longest: float
    _usual: float = field(default=0.0, init=False)
    _step: float = field(default=_FIRST_STEP, init=False)
    _last_was_late: bool = field(default=False, init=False)

    def delays(self) -> Iterator[float]:
        """Yield the seconds before each poll of one job; closing it means that the job ended."""
        usual = self._usual
        delay = min(usual or FIRST_POLL, self.longest)
        again = min(max(FIRST_POLL / 2, usual / 20), self.longest)
        polls, waited = 0, 0.0
        try:
            while True:
                polls, waited = polls + 1, waited + delay
                yield delay
                delay = again if usual and polls == 1 else min(delay * _GROWTH, self.longest)
        finally:
            self._learn(usual, waited - delay / 2 if polls > 1 else waited, was_late=polls == 1)

    def _learn(self, used: float, waited: float, *, was_late: bool) -> None:
        """Move towards the median; of jobs that waited equally long, the first to end decides.

        There is no lock: another thread may read an older value, which does no harm.
        """
        if not self._usual:
            self._usual = waited
        elif used == self._usual:
            same = was_late == self._last_was_late
            self._step = min(max(self._step * (1.3 if same else 0.5), _LEAST_STEP), _FIRST_STEP)
            self._last_was_late = was_late
            self._usual *= 1 - self._step if was_late else 1 + self._step
