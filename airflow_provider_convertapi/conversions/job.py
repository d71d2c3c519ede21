"""What every step of one durable conversion shares: the client, the ids, the order, the time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from airflow_provider_convertapi.api.endpoints import get_job
from airflow_provider_convertapi.api.retry import poll_delays
from airflow_provider_convertapi.errors import (
    ConversionTimeoutError,
    ResultExpiredError,
    ThrottledError,
    TransportError,
)

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.api.endpoints import JobAnswer
    from airflow_provider_convertapi.api.ids import JobIds
    from airflow_provider_convertapi.conversions.request import Order
    from airflow_provider_convertapi.conversions.result import Try


class Turn(Protocol):
    """A turn at the service, where only so many may have one at once."""

    def enter(self) -> None:
        """Wait for it; nothing happens where it was given already."""
        ...

    def leave(self) -> None:
        """Give it back once the service has answered."""
        ...


class AlwaysMyTurn:
    """The turn of a conversion that nobody else waits for."""

    def enter(self) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """Do nothing."""


def at_once(longest: float) -> Iterator[float]:
    """Yield poll delays for a job that is said to have an answer already.

    :param longest: the longest distance in seconds between two polls.
    """
    yield 0.0
    yield from poll_delays(longest)


@dataclass(slots=True)
class Work:
    """One conversion under way.

    :param deadline: monotonic seconds at which the task stops waiting.
    :param delays: yields the seconds before each poll, given the longest distance between two.
    :param patient: whether a submit that the service is too busy for is waited out here; False
        leaves that to the caller.
    :param left: takes the ids of documents whose deletion is the caller's; None: they are deleted.
    :param passed: attempts, from 0 on, whose verdicts do not count any more.
    :param turn: given back once the service has answered.
    """

    client: Client
    ids: JobIds
    order: Order
    this_try: Try
    deadline: float
    log: logging.Logger
    delays: Callable[[float], Iterator[float]] = poll_delays
    patient: bool = True
    left: list[str] | None = field(default=None, repr=False)
    passed: int = 0
    turn: Turn = field(default_factory=AlwaysMyTurn, repr=False)

    def look(self, attempt: int) -> JobAnswer:
        """Ask for the job of an attempt; free, so trouble on the wire is waited out."""
        return self.client.call(get_job(self.ids.job_id(attempt)), until=self.deadline)

    def appears(self, attempt: int, until: float) -> bool:
        """Look for a job at growing distances until the moment (seconds since the epoch).

        An outage meanwhile proves nothing, so only a look that had an answer may end in "no".
        """
        for delay in poll_delays(self.this_try.settle or 1.0):
            left = until - self.client.clock()
            try:
                if not self.look(attempt).unknown:
                    return True
                if left <= 0:
                    return False
            except TransportError:
                if left <= 0:
                    raise
            self.client.pause(min(delay, max(left, 0)))
        raise AssertionError  # the delays never end

    def wait(self, attempt: int, submitted: float) -> JobAnswer:
        """Poll the job until it has an answer, a conversion or a verdict.

        :param submitted: seconds since the epoch at which it was accepted; a job may be invisible
            for the settle time after that.
        """
        last_seen = submitted
        for delay in self._polls():
            self.client.pause(delay)
            answer = self._poll(attempt)
            if answer is None:
                continue
            if answer.conversion or answer.verdict:
                if not answer.unpaid:  # a quota's refusal stops the others before they come
                    self.turn.leave()
                return answer
            now = self.client.clock()
            if not answer.unknown:
                last_seen = now
            elif now - last_seen > self.this_try.settle:
                raise self._expired(now - submitted)
        raise AssertionError  # the polls end with an error

    def _polls(self) -> Iterator[float]:
        for delay in self.delays(self.order.poll_interval):
            if self.client.monotonic() + delay > self.deadline:
                raise ConversionTimeoutError(
                    f"{self.order.describe()} did not end in its time: timeout="
                    f"{self.order.timeout:g} s, or execution_timeout where that is shorter. "
                    "The job goes on at ConvertAPI and the next try collects it without paying; "
                    "what nobody collects, the service deletes within three hours. Raise the "
                    "limit if this is usual."
                )
            yield delay

    def _poll(self, attempt: int) -> JobAnswer | None:
        """Poll once; None where there was no usable answer, which the deadline alone bounds."""
        try:
            return self.client.send(get_job(self.ids.job_id(attempt)))
        except ThrottledError as error:
            self.client.pause(min(self.client.backoff.delay(1, error) or 0, self._left()))
        except TransportError as error:
            self.log.warning("A poll had no answer; the job goes on. %s", error)
        return None

    def _left(self) -> float:
        return max(self.deadline - self.client.monotonic(), 0)

    def _expired(self, age: float) -> ResultExpiredError:
        return ResultExpiredError(
            f"ConvertAPI accepted {self.order.describe()} {age:.0f} s ago and does not know the "
            "job any more. It may have been billed. Clear the task, or change `conversion_key`, "
            "to convert and pay anew."
        )
