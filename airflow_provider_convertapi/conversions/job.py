"""One job at the service: look it up, and wait for its answer.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from airflow_provider_convertapi.api.endpoints import JobAnswer, delete_job, get_job
from airflow_provider_convertapi.api.ids import MAX_ATTEMPTS
from airflow_provider_convertapi.api.retry import poll_delays
from airflow_provider_convertapi.conversions.result import with_remedy
from airflow_provider_convertapi.conversions.verdicts import VerdictNote
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConversionTimeoutError,
    ConvertApiError,
    QuotaExhaustedError,
    ResultExpiredError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.api.ids import JobIds
    from airflow_provider_convertapi.conversions.request import ConversionRequest
    from airflow_provider_convertapi.conversions.session import Session


_BUSY_ANSWERS = 4
"""Busy answers in a row, for this job only, after which that counts as its stored answer."""


ODD_ANSWERS = 3
"""Answers to polls in a row that cannot be understood, after which a job is given up.  One alone
may be a proxy's page, and the job is paid."""


class Permit(Protocol):
    """Permission to use the service and to pay, shared by the conversions of a batch."""

    def acquire(self) -> None:
        """Wait for the permit; return at once if it is already held."""
        ...

    def release(self) -> None:
        """Return the permit, once the service has answered."""
        ...

    def reserve(self) -> None:
        """Reserve the cost of the conversion right before a paid request; may raise."""
        ...

    def found(self, *, is_running: bool) -> None:
        """Note that the service has a job already, whose cost cannot be avoided any more."""
        ...


class Unlimited:
    """The permit of a single conversion, which has no limits."""

    def acquire(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""

    def reserve(self) -> None:
        """Do nothing."""

    def found(self, *, is_running: bool) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """How the jobs of one conversion are made and waited for.

    :param may_be_known: whether the service may know an attempt of an earlier try or run.
    :param is_second_attempt: whether an earlier attempt is known to have ended with a transient
        verdict.
    :param has_timed_out: whether that verdict was a timeout.
    :param keeps_notes: whether transient verdicts that leave no job are noted at the service,
        because the caller does not remember them.
    :param barred_attempts: the number of attempts, from 0 on, whose verdicts or refused results the
        caller has recorded; these do not end this conversion.
    :param waits_out_throttling: whether to wait while the service is too busy for a submit; False
        raises `ThrottledError` for the caller to handle.
    :param is_of_batch: whether it is one of many conversions of a task.
    :param delays: yields the seconds before each poll, given the longest time between two.
    :param permit: asked before anything is paid; released once the service has answered.
    """

    may_be_known: bool
    is_second_attempt: bool
    has_timed_out: bool = False
    keeps_notes: bool = False
    barred_attempts: int = 0
    waits_out_throttling: bool = True
    is_of_batch: bool = False
    delays: Callable[[float], Iterator[float]] = poll_delays
    permit: Permit = field(default_factory=Unlimited, repr=False)

    def with_remedy(self, verdict: ConvertApiError, what: str, *, again: bool) -> ConvertApiError:
        """Return a verdict with its file, its cost and what happens next."""
        return with_remedy(verdict, what, again=again, is_of_batch=self.is_of_batch)

    def note(self, ids: JobIds | None) -> VerdictNote:
        """Return what is known of an earlier verdict.

        :param ids: the ids of the conversion; None if nothing can be noted.
        """
        return VerdictNote(
            ids=ids if self.keeps_notes else None,
            may_exist=self.may_be_known,
            is_remembered=self.is_second_attempt,
            is_timeout=self.has_timed_out,
        )


@dataclass(slots=True)
class Job:
    """One conversion at the service, with all its attempts.

    :param deadline: monotonic seconds at which the task stops waiting.
    """

    session: Session
    ids: JobIds
    request: ConversionRequest
    settings: JobSettings
    deadline: float
    log: logging.Logger

    @property
    def client(self) -> Client:
        """The client of the current thread."""
        return self.session.client

    def look(self, attempt: int) -> JobAnswer:
        """Look up the job of an attempt, which is free; repeat that after transport errors."""
        refusals, failures = _Refusals(self), 0
        while True:
            try:
                return self._ask(attempt, refusals)
            except ConvertApiError as error:
                failures += 1
                left = self.deadline - self.client.monotonic()
                delay = self.client.backoff.delay_of_free_call(failures, error, left)
                if delay is None:
                    raise
            self.client.pause(delay)

    def _ask(self, attempt: int, refusals: _Refusals) -> JobAnswer:
        """Look up once; return a refusal only if the service stored it as this job's answer."""
        try:
            answer = self.client.send(get_job(self.ids.job_id(attempt)))
        except (AuthenticationError, ThrottledError) as error:
            if not refusals.is_stored(error):
                raise
            # Only the service's own records have a Code.  Mistaking a proxy's page for one would
            # delete the record of a paid conversion, and pay for it again.
            if error.code is not None:
                return JobAnswer(verdict=error, unpaid=True)
            raise error if error.asks_to_wait else TransportError(error.message) from None
        if answer.verdict and answer.unpaid:
            if not refusals.is_stored(answer.verdict):
                raise QuotaExhaustedError(
                    f"Looks at jobs are refused, so it is not known whether this one was paid. "
                    f"{answer.verdict}",
                    paid=None,
                )
            if not answer.has_code:
                raise TransportError(answer.verdict.message)
        return answer

    @property
    def note(self) -> VerdictNote:
        """Return what is known of an earlier verdict."""
        return self.settings.note(self.ids)

    def forget_refusal(self, attempt: int) -> None:
        """Delete the record of an attempt that was refused and not paid, to free its id."""
        self.client.call(delete_job(self.ids.job_id(attempt)), until=self.deadline)

    def appears(self, attempt: int, seconds: float) -> bool:
        """Look for a job at growing intervals, at least once, and at most for `seconds`.

        An outage proves nothing: False is only returned after the service has answered.
        """
        until = self.client.monotonic() + seconds
        for delay in poll_delays(self.session.settle or 1.0):
            left = until - self.client.monotonic()
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

    def wait(self, attempt: int, submitted: float, *, at_once: bool) -> JobAnswer:
        """Poll the job until it has a conversion or a verdict.

        :param submitted: seconds since the epoch at which it was accepted; a job may be invisible
            for the settle time after that.
        :param at_once: whether to poll first without a delay.
        """
        # The wall clock is read only once: setting it meanwhile must not give up a paid job.
        age = max(self.client.clock() - submitted, 0.0)
        begun = last_seen = self.client.monotonic() - age
        refusals, odd = _Refusals(self), 0
        for delay in self._polls(at_once=at_once):
            self.client.pause(delay)
            try:
                answer = self._poll(attempt, refusals)
            except UnexpectedAnswerError as error:
                odd += 1
                if odd == ODD_ANSWERS:
                    raise
                self.log.warning("A poll had an odd answer; the job goes on. %s", error)
                continue
            odd = 0
            if answer is None:
                continue
            if answer.conversion or answer.verdict:
                # Where no conversions are left, the permit is kept until the batch is halted, so
                # that no other file starts.
                if not answer.unpaid:
                    self.settings.permit.release()
                return answer
            now = self.client.monotonic()
            # An accepted job may be invisible for a while, and again later: only a long absence
            # means that it is gone.
            if not answer.unknown:
                last_seen = now
            elif now - last_seen > self.session.settle:
                raise self._expired(now - begun)
        raise AssertionError  # the polls end with an error

    def _polls(self, *, at_once: bool) -> Iterator[float]:
        delays = poll_delays if at_once else self.settings.delays
        first = [0.0] if at_once else []
        for delay in chain(first, delays(self.request.settings.poll_interval)):
            if self.client.monotonic() + delay > self.deadline:
                raise ConversionTimeoutError(
                    f"{self.request.describe()} did not end in time: timeout="
                    f"{self.request.timeout:g} s, or execution_timeout where that is shorter. "
                    f"{self.session.what_becomes_of_jobs} Raise the limit if this happens often."
                )
            yield delay

    def _poll(self, attempt: int, refusals: _Refusals) -> JobAnswer | None:
        """Poll once; None if no usable answer came.  Only the deadline limits the polls."""
        try:
            return self._ask(attempt, refusals)
        except ThrottledError as error:
            left = max(self.deadline - self.client.monotonic(), 0)
            self.client.pause(min(self.client.backoff.delay(1, error) or 0, left))
        except TransportError as error:
            self.log.warning("A poll had no answer; the job goes on. %s", error)
        return None

    def _expired(self, age: float) -> ResultExpiredError:
        return ResultExpiredError(
            f"ConvertAPI accepted {self.request.describe()} {age:.0f} s ago and does not know the "
            "job any more. It may have been billed. Clear the task to convert and pay again."
        )


@dataclass(slots=True)
class _Refusals:
    """Distinguish refusals that are a job's stored answer from current refusals of all requests.

    Only the latter also answer the lookup of a job that was never submitted.
    """

    job: Job
    _in_a_row: int = 0

    def is_stored(self, error: ConvertApiError) -> bool:
        """Tell whether a refusal is the job's stored answer; to be called for each, in order."""
        self._in_a_row = self._in_a_row + 1 if self._others_are_answered() else 0
        # A busy service may answer the next request, so a single refusal proves nothing.
        enough = _BUSY_ANSWERS if error.asks_to_wait else 1
        return self._in_a_row >= enough

    def _others_are_answered(self) -> bool:
        never_asked_for = get_job(self.job.ids.job_id(MAX_ATTEMPTS))
        try:
            return self.job.client.send(never_asked_for).unknown
        except ConvertApiError:
            return False
