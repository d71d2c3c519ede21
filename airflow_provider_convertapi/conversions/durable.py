"""The durable conversion: a job under an id of ours, looked for before it is paid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.ids import MAX_ATTEMPTS
from airflow_provider_convertapi.api.wire import TIMEOUT_CODE
from airflow_provider_convertapi.conversions.collection import (
    can_be_fetched,
    collect,
    delete_documents,
    published,
)
from airflow_provider_convertapi.conversions.request import MOST_TIMEOUT
from airflow_provider_convertapi.conversions.result import Outcome, explained
from airflow_provider_convertapi.conversions.submission import Submission
from airflow_provider_convertapi.errors import (
    ConversionError,
    ResultExpiredError,
    TransientConversionError,
)

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.endpoints import Conversion, JobAnswer
    from airflow_provider_convertapi.conversions.job import Work
    from airflow_provider_convertapi.errors import (
        ConvertApiError,
    )


@dataclass(frozen=True, slots=True)
class Underway:
    """A job that the service has.

    :param submitted: seconds since the epoch at which this try submitted it; None: an earlier did.
    :param uploads: the places of the inputs that were uploaded, to be deleted in the end.
    """

    attempt: int
    submitted: float | None = None
    uploads: tuple[str, ...] = ()


@dataclass(slots=True)
class DurableConversion:
    """Convert once, whatever happens: `begin` looks and submits, `finish` waits and collects."""

    work: Work
    attempt: int = field(default=0, init=False)
    """The attempt that was found or submitted last, counted from 0."""
    cost: int = field(default=0, init=False)
    """Conversions that the attempt took, whenever that was: one as soon as it is accepted."""
    charged: int = field(default=0, init=False)
    """Those of them that this try submitted."""
    _timeouts: int = field(default=0, init=False)
    _refused: int | None = field(default=None, init=False)

    def run(self) -> Outcome:
        """Convert and publish; paid at most once within the service's retention."""
        begun = self.begin()
        return begun if isinstance(begun, Outcome) else self.finish(begun)

    def begin(self) -> Underway | Outcome:
        """Look for the job, newest attempt first; submit only where there is nothing to collect.

        Where the service was too busy to take it (`ThrottledError`), `begin` may be called again.
        """
        if self._refused is not None:
            return self._submit(self._refused)
        answers = self._known_answers()
        if not answers:
            return self._submit(0)
        attempt = self.attempt = max(answers)
        answer = answers[attempt]
        self._timeouts = sum(_is_timeout(other.verdict) for other in answers.values())
        if answer.conversion:
            return self._found_conversion(attempt, answer.conversion)
        if answer.unpaid:
            self.work.log.info(
                "An earlier try was refused and paid nothing; the conversion is submitted anew."
            )
            return self._submit(attempt + 1)
        if answer.verdict:
            return self._found_verdict(attempt, answer.verdict, answers)
        self.work.log.info(
            "An earlier try submitted this conversion and it is running; nothing is paid again."
        )
        return Underway(attempt, uploads=self._places())

    def finish(self, job: Underway) -> Outcome:
        """Wait for the job, publish its results, delete the documents."""
        work = self.work
        self._count(job, 1)
        answer = work.wait(
            job.attempt, work.client.clock() if job.submitted is None else job.submitted
        )
        if answer.verdict:
            raise self._verdict(job, answer)
        assert answer.conversion  # noqa: S101 - `wait` returns one of the two; for the type checker
        self._count(job, answer.conversion.cost)
        return self._collect(job, answer.conversion)

    def _collect(self, job: Underway, conversion: Conversion) -> Outcome:
        outputs = collect(self.work, conversion)
        delete_documents(self.work, job.attempt, job.uploads, conversion.files)
        return Outcome(outputs, self.cost, self.charged, _sizes(conversion))

    def _count(self, job: Underway, cost: int) -> None:
        self.cost, self.charged = cost, 0 if job.submitted is None else cost

    def _published(self, conversion: Conversion) -> list[str] | None:
        return published(self.work, conversion)

    def _known_answers(self) -> dict[int, JobAnswer]:
        """Return what the service knows of this conversion's attempts.

        A first try that finds no attempt 0 is the first: one look is enough.
        """
        first = {} if self.work.this_try.may_be_known else {0: self.work.look(0)}
        if first and first[0].unknown:
            return {}
        answers = first | {
            n: self.work.look(n) for n in range(MAX_ATTEMPTS - 1, -1, -1) if n not in first
        }
        return {attempt: answer for attempt, answer in answers.items() if not answer.unknown}

    def _found_conversion(self, attempt: int, conversion: Conversion) -> Underway | Outcome:
        # Collected from this answer: a service may consume the record with its first 200.
        work = self.work
        self._count(Underway(attempt), conversion.cost)
        if can_be_fetched(work, conversion):
            work.log.info(
                "An earlier try converted and paid this; its result is collected, no charge."
            )
            return self._collect(Underway(attempt, uploads=self._places()), conversion)
        outputs = self._published(conversion)
        if outputs is not None:
            work.log.info("Reused, no charge: an earlier try published %s.", ", ".join(outputs))
            delete_documents(work, attempt, self._places(), conversion.files)
            return Outcome(outputs, conversion.cost, 0, _sizes(conversion))
        work.log.warning(
            "An earlier try converted this, but its outputs were removed since and the documents "
            "are deleted: it is converted and paid once more (attempt %d).",
            attempt + 1,
        )
        return self._submit(attempt + 1)

    def _found_verdict(
        self, attempt: int, verdict: ConvertApiError, answers: dict[int, JobAnswer]
    ) -> Underway | Outcome:
        if attempt < self.work.passed:
            return self._submit(attempt + 1)
        transient = [a for a in answers.values() if isinstance(a.verdict, TransientConversionError)]
        if (
            not isinstance(verdict, TransientConversionError)
            or len(transient) > 1
            or self._cannot_be_longer(verdict)
        ):
            self._count(Underway(attempt), 1)
            delete_documents(self.work, attempt, self._places())
            raise explained(verdict, self.work.order, again=False)
        self.work.log.warning(
            "The last attempt ended with Code %d, which one more may change: it is paid anew.",
            verdict.code,
        )
        return self._submit(attempt + 1)

    def _cannot_be_longer(self, verdict: ConversionError) -> bool:
        """Tell whether more time is what it needs, and there is no more."""
        return (
            _is_timeout(verdict)
            and self.work.order.timeout_for(max(self._timeouts, 1) - 1) >= MOST_TIMEOUT
        )

    def _submit(self, attempt: int) -> Underway:
        work = self.work
        self.cost = self.charged = 0
        if attempt >= MAX_ATTEMPTS:
            raise ResultExpiredError(
                f"{work.order.describe()} was attempted {MAX_ATTEMPTS} times within the service's "
                "memory. Set or change `conversion_key` to convert and pay anew."
            )
        work.order.check_output()
        service_timeout = work.order.timeout_for(self._timeouts)
        self.attempt = self._refused = attempt
        try:
            mine = Submission(work, attempt, service_timeout).submit()
        except ConversionError:
            self.cost = self.charged = 1
            raise
        self._refused = None
        work.log.info(
            "Submitted %s." if mine else "An earlier try had submitted %s.", work.order.describe()
        )
        return Underway(attempt, work.client.clock() if mine else None, self._places())

    def _places(self) -> tuple[str, ...]:
        return tuple(part.place for part in self.work.order.uploads)

    def _verdict(self, job: Underway, answer: JobAnswer) -> ConvertApiError:
        """Return the error that the job's verdict stands for, after cleaning up behind it."""
        verdict = answer.verdict
        assert verdict  # noqa: S101 - for the type checker
        if answer.unpaid:
            self._count(job, 0)
            return verdict
        again = isinstance(verdict, TransientConversionError) and not self._is_second(job, verdict)
        delete_documents(self.work, job.attempt, job.uploads)
        return explained(verdict, self.work.order, again=again)

    def _is_second(self, job: Underway, verdict: TransientConversionError) -> bool:
        if self._cannot_be_longer(verdict):
            return True
        earlier = self.work.look(job.attempt - 1).verdict if job.attempt else None
        return isinstance(earlier, TransientConversionError)


def _sizes(conversion: Conversion) -> tuple[int, ...]:
    return tuple(file.size for file in conversion.files)


def _is_timeout(verdict: ConvertApiError | None) -> bool:
    return isinstance(verdict, ConversionError) and verdict.code == TIMEOUT_CODE
