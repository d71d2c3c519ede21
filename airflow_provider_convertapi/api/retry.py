"""Calculate when to retry and when to poll, without a clock or sleeps.

This module may change from release to release.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_convertapi.errors import ConvertApiError

RETENTION = timedelta(hours=2)
"""How long ConvertAPI remembers a job (https://github.com/ConvertAPI/docs, of 2021; no newer figure
is published)."""

FIRST_POLL = 0.25
"""Seconds before the first poll of a job, so that a two-second conversion does not take ten."""

_MOST_DOUBLINGS = 16
_PATIENCE = 60.0
"""The longest single wait, in seconds, of a caller without a deadline for a throttled service."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a call is repeated.

    After transport errors the wait doubles from `base` to `cap` seconds.  After throttling it is
    the time that the service asks for, at least `base`, or else 5, 10, 15, 15, … seconds
    (https://docs.convertapi.com/docs/throttle-and-fallback).  Each wait is randomly up to a quarter
    longer, so that many tasks do not retry at the same moment.

    :param attempts: the number of calls in all when the transport fails; throttling is limited only
        by the caller's time.
    """

    attempts: int = 5
    base: float = 0.25
    cap: float = 8.0
    jitter: Callable[[], float] = random.random

    def delay(self, attempt: int, error: ConvertApiError) -> float | None:
        """Return the seconds to wait after the attempt (counted from 1); None to give up."""
        if error.asks_to_wait:
            asked = min(5.0 * attempt, 15.0) if error.retry_after is None else error.retry_after
            # `Retry-After: 0` must not become a busy loop.
            seconds = max(asked, self.base)
        elif error.transient and attempt < self.attempts:
            seconds = min(self.base * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS), self.cap)
        else:
            return None
        # A job is forgotten after the retention, so a longer wait is useless.
        return min(seconds * (1 + self.jitter() / 4), RETENTION.total_seconds())

    def delay_of_free_call(
        self, attempt: int, error: ConvertApiError, left: float | None
    ) -> float | None:
        """Return the seconds to wait before a free call is repeated.

        :param left: seconds until the caller's time is up, until when it waits out throttling. None
            allows as many attempts as after transport errors, with a minute each at most.
        :returns: None to give up.
        """
        delay = self.delay(attempt, error)
        if delay is None or not error.asks_to_wait:
            return delay
        if left is None:
            left = _PATIENCE if attempt < self.attempts else 0.0
        return delay if delay < left else None


def poll_delays(poll_interval: float) -> Iterator[float]:
    """Yield the seconds before each poll of a job: short at first, then `poll_interval`.

    :param poll_interval: the longest time in seconds between two polls.
    """
    delay = min(FIRST_POLL, poll_interval)
    while True:
        yield delay
        delay = min(delay * 1.5, poll_interval)
