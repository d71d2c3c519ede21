"""Submit a conversion so that no answer that gets lost is paid for twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.endpoints import (
    delete_file,
    find_file,
    start_conversion,
    upload,
)
from airflow_provider_convertapi.conversions.result import explained
from airflow_provider_convertapi.errors import (
    ConversionError,
    InputChangedError,
    ParameterError,
    ThrottledError,
    TransientConversionError,
    TransportError,
    UnexpectedAnswerError,
    UnsupportedFormatError,
)
from airflow_provider_convertapi.storage import Source

if TYPE_CHECKING:
    from airflow_provider_convertapi.conversions.job import Work
    from airflow_provider_convertapi.conversions.request import Part
    from airflow_provider_convertapi.errors import (
        ConvertApiError,
    )

_LOST_ANSWERS = 3
"""How often one try submits anew, under the same id, after a lost answer and no job."""


class Submission:
    """Bring one attempt of a conversion to the service.

    :param service_timeout: the `Timeout` in seconds that the service gets.
    """

    def __init__(self, work: Work, attempt: int, service_timeout: int) -> None:
        self._work = work
        self._attempt = attempt
        self._service_timeout = service_timeout
        self._throttled = 0

    def submit(self) -> bool:
        """Make sure that the service has the job; false where an earlier try had submitted it."""
        work = self._work
        waits = work.this_try.is_later
        if waits and work.appears(self._attempt, work.this_try.started + work.this_try.settle):
            return False
        stored = {part.place: self._store(part) for part in work.order.uploads}
        work.order.check_unchanged()
        # Uploading may have taken an hour, in which another runner can have submitted it.
        if stored and not work.look(self._attempt).unknown:
            return False
        self._post(stored)
        return True

    def _post(self, stored: dict[str, str]) -> None:
        order = self._work.order
        fields = order.fields(self._service_timeout, stored)
        endpoint = start_conversion(
            order.source_format, order.target_format, self._work.ids.job_id(self._attempt), fields
        )
        unsent = lost = 0
        while True:
            try:
                self._work.client.send(endpoint)
            except ThrottledError as error:
                self._wait_out(error)
            except (TransportError, UnexpectedAnswerError) as error:
                if isinstance(error, TransportError) and not error.sent:
                    unsent += 1
                    self._again(unsent, error)
                elif self._found_after_lost_answer(error):
                    return
                else:
                    lost += 1
                    if lost == _LOST_ANSWERS:
                        raise
            except (ParameterError, UnsupportedFormatError, ConversionError) as error:
                if not self._is_known(after_lost_answer=lost > 0):
                    raise self._final(error) from None
                return
            else:
                return
            order.check_unchanged()

    def _is_known(self, *, after_lost_answer: bool) -> bool:
        """Tell whether a refusal means that the job is there: a known id is refused with some 4xx.

        After a lost answer the job may have been accepted and be invisible yet.
        """
        work = self._work
        if after_lost_answer:
            return work.appears(self._attempt, work.client.clock() + work.this_try.settle)
        return not work.look(self._attempt).unknown

    def _wait_out(self, error: ThrottledError) -> None:
        work = self._work
        if not work.patient:
            raise error
        self._throttled += 1
        delay = work.client.backoff.delay(self._throttled, error) or 0
        if work.client.monotonic() + delay > work.deadline:
            raise error
        work.log.info(
            "ConvertAPI is busy; %s waits %.1f s. Nothing was paid.", work.order.describe(), delay
        )
        work.client.pause(delay)

    def _again(self, failures: int, error: TransportError) -> None:
        delay = self._work.client.backoff.delay(failures, error)
        if delay is None:
            raise error
        self._work.client.pause(delay)

    def _found_after_lost_answer(self, error: ConvertApiError) -> bool:
        work = self._work
        work.log.warning(
            "The answer to the submit was lost, so the job is looked for before anything else. %s",
            error,
        )
        found = work.appears(self._attempt, work.client.clock() + work.this_try.settle)
        work.log.info(
            "The job %s.",
            "is there: it is not sent again" if found else "did not appear: it was not accepted",
        )
        return found

    def _final(self, error: ConvertApiError) -> ConvertApiError:
        """Let a verdict that came with the submit stand from the second try on."""
        again = isinstance(error, TransientConversionError) and not self._work.this_try.is_later
        return explained(error, self._work.order, again=again)

    def _store(self, part: Part) -> str:
        """Upload one input under its own id, unless it lies there already; return the id."""
        work = self._work
        source = part.input
        assert isinstance(source, Source)  # noqa: S101 - for the type checker
        file_id = work.ids.file_id(self._attempt, part.place)
        if work.this_try.may_be_known and self._is_stored(file_id, source.size):
            return file_id
        failures = 0
        while True:
            try:
                kept = work.client.send(upload(source, file_id))
            except (ThrottledError, TransportError, UnexpectedAnswerError, ParameterError) as error:
                work.order.check_unchanged()
                # A lost answer, or a 400 for an id that a broken upload left behind: look, free.
                if self._is_stored(file_id, source.size):
                    return file_id
                failures += 1
                self._try_upload_again(failures, error, file_id)
            else:
                if kept.file_id == file_id and kept.size == source.size:
                    return file_id
                raise self._not_kept(source, kept.size)

    def _is_stored(self, file_id: str, size: int) -> bool:
        found = self._work.client.call(find_file(file_id), until=self._work.deadline)
        return found is not None and found.size == size

    def _try_upload_again(self, failures: int, error: ConvertApiError, file_id: str) -> None:
        delay = self._work.client.backoff.delay(failures, error)
        if delay is None or failures >= self._work.client.backoff.attempts:
            raise error
        self._work.client.pause(delay)
        self._work.client.call(delete_file(file_id), until=self._work.deadline)

    def _not_kept(self, source: Source, size: int) -> InputChangedError:
        self._work.order.check_unchanged()
        return InputChangedError(
            f"{source.uri} has {source.size} bytes but {size} arrived at ConvertAPI; nothing was "
            "paid. Another try reads it anew."
        )
