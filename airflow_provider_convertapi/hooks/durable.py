"""The durable conversion: a job under an id of ours, looked for before it is paid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.ids import MAX_ATTEMPTS
from airflow_provider_convertapi.api.wire import TIMEOUT_CODE
from airflow_provider_convertapi.errors import (
    ConversionError,
    OutputExistsError,
    ResultExpiredError,
    TransientConversionError,
)
from airflow_provider_convertapi.hooks.collection import (
    can_be_fetched,
    collect,
    delete_documents,
    published,
)
from airflow_provider_convertapi.hooks.order import MOST_TIMEOUT
from airflow_provider_convertapi.hooks.outcome import Outcome, explained
from airflow_provider_convertapi.hooks.submission import Submission

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.endpoints import Conversion, JobAnswer
    from airflow_provider_convertapi.errors import (
        ConvertApiError,
    )
    from airflow_provider_convertapi.hooks.work import Work


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
    _timeouts: int = field(default=0, init=False)
    _refused: int | None = field(default=None, init=False)

    @property
    def is_submitting(self) -> bool:
        """Tell whether a submit was begun, and did not end well."""
        return self._refused is not None

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
        answer = work.wait(
            job.attempt, work.client.clock() if job.submitted is None else job.submitted
        )
        if answer.verdict:
            raise self._verdict(job, answer)
        assert answer.conversion  # noqa: S101 - `wait` returns one of the two; for the type checker
        return self._collect(job, answer.conversion)

    def _collect(self, job: Underway, conversion: Conversion) -> Outcome:
        outputs = collect(self.work, conversion)
        delete_documents(self.work, job.attempt, job.uploads, conversion.files)
        charged = 0 if job.submitted is None else conversion.cost
        return Outcome(outputs, conversion.cost, charged, _sizes(conversion))

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
        if attempt >= MAX_ATTEMPTS:
            raise ResultExpiredError(
                f"{work.order.describe()} was attempted {MAX_ATTEMPTS} times within the service's "
                "memory. Set or change `conversion_key` to convert and pay anew."
            )
        destination = work.order.destination
        if (
            not work.order.overwrite
            and not destination.is_directory
            and destination.sizes([destination.uri])[0] is not None
        ):
            raise OutputExistsError(
                f"{destination.uri} exists and is not ours. Move it away, or set overwrite=True. "
                "Nothing was paid."
            )
        service_timeout = work.order.timeout_for(self._timeouts)
        self.attempt = self._refused = attempt
        mine = Submission(work, attempt, service_timeout).submit()
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
