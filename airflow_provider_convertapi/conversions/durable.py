"""One step of a conversion as a job, which is looked for before it is paid.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.ids import MAX_ATTEMPTS
from airflow_provider_convertapi.api.wire import TIMEOUT_CODE
from airflow_provider_convertapi.conversions.collection import can_be_fetched
from airflow_provider_convertapi.conversions.deferral import JobRef
from airflow_provider_convertapi.conversions.submission import Submission
from airflow_provider_convertapi.errors import (
    ConversionError,
    ConvertApiError,
    ResultExpiredError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_provider_convertapi.api.endpoints import Conversion, ConvertedFile, JobAnswer
    from airflow_provider_convertapi.conversions.job import Job
    from airflow_provider_convertapi.metrics import Decision


@dataclass(frozen=True, slots=True)
class StepOutput:
    """A result of a step: the job that made it, and its index among that job's results.

    :param file: None if it is unknown, because the service has forgotten the job.
    """

    derivation: str
    index: int
    file: ConvertedFile | None


@dataclass(slots=True)
class StepJob:
    """One job of one step: `begin` looks and submits, `finish` waits; both may be called again.

    The caller publishes the results, and deletes the documents that the job leaves at the service.

    :param step: number of the step, counted from 1.
    :param before_paying: called right before a submit; may raise.
    """

    job: Job
    step: int
    before_paying: Callable[[], None]
    conversion: Conversion | None = field(default=None, init=False)
    """Its result, once it has succeeded."""
    ref: JobRef | None = field(default=None, init=False)
    """The job that the service has, once it was found or submitted."""
    attempt: int = field(default=0, init=False)
    """The attempt that was found or submitted last, counted from 0."""
    cost: int = field(default=0, init=False)
    """Conversions that the attempt cost, in this or an earlier try; 1 as soon as it is accepted."""
    charged: int = field(default=0, init=False)
    """The part of `cost` that this try submitted."""
    _answers: dict[int, JobAnswer] | None = field(default=None, init=False)
    _next_attempt: int | None = field(default=None, init=False)
    _is_adopted: bool = field(default=False, init=False)

    # --- what is known -----------------------------------------------------------------------

    def adopt(self, ref: JobRef) -> None:
        """Take over a job that another process has begun."""
        self.ref, self.attempt, self._is_adopted = ref, ref.attempt, True

    def find(self) -> None:
        """Look for the job of an earlier try or run; raise its verdict if that is final."""
        answers = self._answers = self._known_answers()
        if not answers:
            return
        self.attempt = max(answers)
        newest = answers[self.attempt]
        if newest.conversion:
            # A barred attempt's result was refused, unless the record is of a transient verdict.
            if not self._is_barred or self.job.settings.is_second_attempt:
                self._end(newest.conversion, charged=0)
                self.job.settings.permit.found(is_running=False)
        elif newest.verdict and not newest.unpaid and self._is_final(newest.verdict):
            # It was billed to an earlier try: it counts as cost, but not as charged by this one.
            self.cost, self.ref = 1, self._reference(self.attempt, None)
            what = self.job.request.describe()
            raise self.job.settings.with_remedy(newest.verdict, what, again=False)
        elif not newest.verdict:
            self.job.settings.permit.found(is_running=True)

    def _known_answers(self) -> dict[int, JobAnswer]:
        """Return what the service knows about this conversion's attempts.

        On a first try one look is enough if there is no attempt 0: then there are no later ones.
        """
        first = {} if self.job.settings.may_be_known else {0: self.job.look(0)}
        if first and first[0].unknown:
            return {}
        answers = first | {
            n: self.job.look(n) for n in range(MAX_ATTEMPTS - 1, -1, -1) if n not in first
        }
        return {attempt: answer for attempt, answer in answers.items() if not answer.unknown}

    @property
    def _is_barred(self) -> bool:
        return self.attempt < self.job.settings.barred_attempts

    def _is_final(self, verdict: ConvertApiError) -> bool:
        """Tell whether another attempt, which costs as much again, is pointless."""
        if self._is_barred:
            return False
        answers = (self._answers or {}).values()
        # A transient verdict allows one further attempt.  There is none if that was made already,
        # by a try whose job is still known or which was only noted, or if it would end like this.
        transient = sum(_is_transient_verdict(answer) for answer in answers)
        return (
            not verdict.transient
            or transient > 1
            or self._cannot_be_longer(verdict)
            or self._follows_recorded(self._answers or {})
            or self._is_noted()
        )

    def _follows_recorded(self, known: Collection[int]) -> bool:
        """Tell whether it follows a transient verdict that only the caller still remembers."""
        settings = self.job.settings
        recorded = settings.barred_attempts - 1
        is_later = 0 <= recorded < self.attempt and recorded not in known
        return settings.is_second_attempt and is_later

    def _cannot_be_longer(self, verdict: ConvertApiError) -> bool:
        """Tell whether it timed out with the longest `Timeout` that the service allows."""
        enlarged = max(self._timeouts, 1) - 1
        request = self.job.request
        return request.cannot_be_longer(verdict, request.timeout_for(enlarged))

    @property
    def _timeouts(self) -> int:
        verdicts = [answer.verdict for answer in (self._answers or {}).values()]
        return sum(verdict is not None and verdict.code == TIMEOUT_CODE for verdict in verdicts)

    @property
    def is_known(self) -> bool:
        """Tell whether `find` has found an attempt."""
        return bool(self._answers)

    def stands(self) -> bool:
        """Tell whether its job runs, or its results can be fetched."""
        if self.conversion:
            return can_be_fetched(self.job, self.conversion)
        newest = (self._answers or {}).get(self.attempt)
        return newest is not None and newest.verdict is None

    @property
    def is_under_way(self) -> bool:
        """Tell whether this process has submitted it, or found it running."""
        return self.conversion is None and not self._is_adopted

    # --- begin -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Look for the job, newest attempt first; submit only if there is nothing to collect.

        Afterwards `conversion` or `ref` is set.
        """
        if self.conversion or self.ref:
            return
        if self._answers is None:
            self.find()
            # An earlier attempt's results may be gone if the step before is converted again.
            self.check_fetchable()
        answers = self._answers or {}
        attempt = self._next_attempt  # there is one if the service was too busy for its submit
        if attempt is None and not answers:
            attempt = self._first_attempt
        if attempt is not None:
            self._submit(attempt)
            self._count("terminal_resubmit" if attempt else "fresh_submit")
        elif not self.conversion:
            self._go_on_from(answers[self.attempt])

    @property
    def _first_attempt(self) -> int:
        """Which attempt to make if the service knows none.

        After a recorded verdict it is the next one, so that its job cannot be mistaken for the
        recorded one.
        """
        recorded = self.job.settings.barred_attempts
        return recorded if recorded < MAX_ATTEMPTS else 0

    def _go_on_from(self, answer: JobAnswer) -> None:
        log = self.job.log
        if answer.unpaid:
            log.info(
                "An earlier try was refused and paid nothing; the conversion is submitted again."
            )
            self.job.forget_refusal(self.attempt)
            self._submit(self.attempt)
            self._count("terminal_resubmit")
        elif answer.verdict or answer.conversion:  # the latter was refused, and is barred
            if answer.verdict and answer.verdict.transient:
                log.warning(
                    "The last attempt ended with Code %s; another one may end differently, and is "
                    "paid, too.",
                    answer.verdict.code,
                )
            # Another attempt has another id: under this one the service keeps its verdict.
            self._submit(self.attempt + 1)
            self._count("terminal_resubmit")
        else:
            log.info(
                "An earlier try submitted this conversion and it is running; nothing is paid again."
            )
            self.ref = self._reference(self.attempt, None)
            self._count("reconnect_success")

    def _count(self, decision: Decision) -> None:
        self.job.session.count_decision(decision)

    def check_fetchable(self) -> None:
        """Forget a conversion whose results are gone: `begin` then submits the next attempt."""
        if self.conversion is None or can_be_fetched(self.job, self.conversion):
            return
        self.job.log.warning(
            "An earlier try converted this, but its outputs were removed since and the documents "
            "are deleted: it is converted and paid once more (attempt %d).",
            self.attempt + 1,
        )
        self.conversion = self.ref = None
        self.cost, self._next_attempt = 0, self.attempt + 1

    def _submit(self, attempt: int) -> None:
        job = self.job
        self.cost = self.charged = 0
        if attempt >= MAX_ATTEMPTS:
            raise ResultExpiredError(
                f"{job.request.describe()} was attempted {MAX_ATTEMPTS} times in the two hours "
                f"that ConvertAPI remembers a job. {self._how_to_attempt_again}"
            )
        self.before_paying()
        job.settings.permit.reserve()
        # Noted before the submit: if that fails without a verdict, the next call of `begin` must
        # use the same id, or the conversion could be paid under both.
        self.attempt = self._next_attempt = attempt
        # A timeout that answered a submit left no job: only the note tells of it.
        timeouts = self._timeouts + int(job.note.has_timed_out(job.client))
        try:
            mine = Submission(job, attempt, job.request.timeout_for(timeouts)).submit()
        except ConversionError:
            # A 5xx with a Code is billed, even if it answers the submit itself.
            self.cost = self.charged = 1
            raise
        self._next_attempt = None
        job.log.info(
            "Submitted %s." if mine else "An earlier try had submitted %s.", job.request.describe()
        )
        self.ref = self._reference(attempt, round(job.client.clock(), 1) if mine else None)
        self.cost, self.charged = 1, int(mine)

    @property
    def _how_to_attempt_again(self) -> str:
        if self.job.settings.is_of_batch:  # another key would pay for all its files again
            return "A run after that converts and pays again."
        return "Set or change `conversion_key` to convert and pay again."

    def _reference(self, attempt: int, submitted: float | None) -> JobRef:
        uploads = tuple(self.job.request.uploads)
        return JobRef(self.job.ids.derivation, attempt, submitted, uploads, self.step)

    # --- finish ------------------------------------------------------------------------------

    def finish(self) -> None:
        """Wait for the job; afterwards it has its `conversion`."""
        if self.conversion:
            return
        assert self.ref is not None  # noqa: S101 - `begin` or `adopt` came before
        ref, job = self.ref, self.job
        # An accepted job is billed, so it counts as one conversion until its real cost is known.
        # Only the try that submitted it has its time, and is charged.
        self.cost, self.charged = 1, int(ref.submitted is not None)
        submitted = job.client.clock() if ref.submitted is None else ref.submitted
        answer = job.wait(ref.attempt, submitted, at_once=self._is_adopted)
        if answer.conversion:
            self._end(answer.conversion, charged=answer.conversion.cost if self.charged else 0)
        elif answer.verdict:
            raise self._verdict(answer.verdict, unpaid=answer.unpaid)

    def _end(self, conversion: Conversion, *, charged: int) -> None:
        self.conversion, self.cost, self.charged = conversion, conversion.cost, charged
        self.ref = self.ref or self._reference(self.attempt, None)

    def _verdict(self, verdict: ConvertApiError, *, unpaid: bool) -> ConvertApiError:
        if unpaid:
            self._forget_refusal()
            return verdict
        again = verdict.transient and not self._is_second(verdict)
        return self.job.settings.with_remedy(verdict, self.job.request.describe(), again=again)

    def _forget_refusal(self) -> None:
        """Let the next call of `begin` submit under the same id; the refused one was not paid."""
        self.cost = self.charged = 0
        with suppress(ConvertApiError):  # the next try finds it, and deletes it then
            self.job.forget_refusal(self.attempt)
            self.ref, self._next_attempt, self._is_adopted = None, self.attempt, False

    def _is_second(self, verdict: ConvertApiError) -> bool:
        if self._cannot_be_longer(verdict):
            return True
        # After two transient verdicts a third attempt would probably be billed for the same.
        before = self.job.look(self.attempt - 1) if self.attempt else None
        if before is not None and _is_transient_verdict(before):
            return True
        known = () if before is None or before.unknown else (self.attempt - 1,)
        return (
            self._is_noted()
            or bool(self.charged and self.job.settings.is_second_attempt)
            or self._follows_recorded(known)
        )

    def _is_noted(self) -> bool:
        """Tell whether an earlier transient verdict, which left no job, was noted."""
        return self.job.note.exists(self.job.client)

    def forget_note(self) -> None:
        """Delete the note of an earlier verdict, because the conversion has succeeded."""
        if self.charged:
            self.job.note.forget(self.job.client)

    # --- what it leaves at the service -------------------------------------------------------

    @property
    def uploads(self) -> list[str]:
        """Return the ids of the inputs that it may have uploaded."""
        keys = self.ref.uploads if self.ref else tuple(self.job.request.uploads)
        return [self.job.ids.file_id(self.attempt, key) for key in keys]

    @property
    def documents(self) -> list[str]:
        """Return the ids of all files that it may have left at the service."""
        files = self.conversion.files if self.conversion else ()
        return [*self.uploads, *(file.file_id for file in files)]

    def outputs(self) -> list[StepOutput]:
        """Return its results; one is assumed if the service has forgotten the job."""
        derivation = self.job.ids.derivation
        if self.conversion is None:
            return [StepOutput(derivation, 0, None)]
        return [StepOutput(derivation, n, file) for n, file in enumerate(self.conversion.files)]


def _is_transient_verdict(answer: JobAnswer) -> bool:
    return answer.verdict is not None and answer.verdict.transient and not answer.unpaid
