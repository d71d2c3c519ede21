"""The direct conversion: one streamed exchange; a lost answer cannot be collected again.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from airflow_provider_convertapi.api import redaction
from airflow_provider_convertapi.api.answers import AnswerReader
from airflow_provider_convertapi.api.endpoints import convert_directly
from airflow_provider_convertapi.api.wire import whole_number
from airflow_provider_convertapi.conversions.acceptance import REFUSED, Paid
from airflow_provider_convertapi.conversions.result import (
    ConversionResult,
    paid_but_blocked,
    paid_but_unnamed,
)
from airflow_provider_convertapi.errors import (
    ConversionInterrupted,
    ConvertApiError,
    OutputExistsError,
    OutputNotWritableError,
    ParameterError,
    ResultCheckError,
    ResultLostError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
    with_facts,
)
from airflow_provider_convertapi.metrics import THROTTLED
from airflow_provider_convertapi.storage import SizeMismatch, shown

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator

    from airflow_provider_convertapi.api.answers import PartHead
    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.api.ids import JobIds
    from airflow_provider_convertapi.api.wire import Endpoint, Response
    from airflow_provider_convertapi.conversions.deferral import JobRef
    from airflow_provider_convertapi.conversions.job import Job, JobSettings
    from airflow_provider_convertapi.conversions.request import CheckedConversion, ConversionRequest
    from airflow_provider_convertapi.conversions.session import Session
    from airflow_provider_convertapi.conversions.verdicts import VerdictNote
    from airflow_provider_convertapi.storage import Destination, Publication


@dataclass(slots=True)
class _Results:
    """Stage each part of the answer as it arrives."""

    destination: Destination
    publication: Publication
    names: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    cost: int = 0
    opened: ExitStack = field(default_factory=ExitStack)
    """The part that is being staged; closing it with an error discards the part."""
    _sink: BinaryIO | None = None

    def begin(self, head: PartHead) -> BinaryIO:
        self.names.append(head.name)
        # Each part states the cost of the whole conversion, not its share.
        self.cost = max(self.cost, head.cost)
        # Given all names so far, a directory makes equal ones distinct.
        uri = self.destination.outputs(self.names)[-1]
        self._sink = self.opened.enter_context(self.publication.stage(uri, head.size))
        return self._sink

    def end(self) -> None:
        if self._sink is not None:
            self.sizes.append(self._sink.tell())
        self.opened.close()


@dataclass(slots=True)
class DirectConversion:
    """Convert in one exchange; once a byte was sent, a lost answer may have been billed.

    :param seconds: how long to retry a throttled request; None means the request's timeout.
    :param note_ids: ids under which a verdict is noted for the next try; None if the caller
        remembers it, or no try follows.
    """

    conversion: CheckedConversion
    session: Session
    settings: JobSettings
    log: logging.Logger
    seconds: float | None = None
    note_ids: JobIds | None = None
    cost: int = field(default=0, init=False)
    """Conversions that were billed, or may have been."""
    _is_sent: bool = field(default=False, init=False)
    """Whether a byte of the last request may have left."""
    _is_lost: bool = field(default=False, init=False)
    """Whether its answer was lost, so that nobody knows whether it was billed."""
    # A direct conversion leaves nothing at the service.
    attempt: ClassVar[int] = 0
    documents: ClassVar[list[str]] = []
    jobs: ClassVar[list[tuple[Job, tuple[str, ...]]]] = []
    refs: ClassVar[list[JobRef]] = []

    @property
    def client(self) -> Client:
        """The client of the current thread."""
        return self.session.client

    @property
    def _note(self) -> VerdictNote:
        return self.settings.note(self.note_ids)

    @property
    def request(self) -> ConversionRequest:
        """What the converter gets."""
        return self.conversion.requests[0]

    @property
    def charged(self) -> int:
        """Return the cost: no part of it was paid by an earlier try."""
        return self.cost

    @property
    def ended_bill(self) -> tuple[int, int]:
        """Return cost and charge; both are 0 if it is not known to have been billed."""
        known = 0 if self._is_lost else self.cost
        return known, known

    def run(self) -> ConversionResult:
        """Convert and publish."""
        self._check_not_refused()
        timeout = self.request.timeout_for(int(self._note.has_timed_out(self.client)))
        request = convert_directly(*self.request.pair, timeout, self.request.fields(timeout))
        seconds = self.request.timeout if self.seconds is None else self.seconds
        deadline = self.client.monotonic() + seconds
        throttled = unsent = 0
        while True:
            try:
                result = self._exchange(request)
            except ThrottledError as error:
                self.session.count(THROTTLED, 1, self.request.formats)
                if not self.settings.waits_out_throttling:
                    raise
                throttled += 1
                self._wait(throttled, error, deadline)
            except TransportError as error:
                if error.sent:
                    # The service may have converted it already.  Without a job there is nothing to
                    # look for, so a person has to decide whether to pay again.
                    raise self._lost(error) from None
                unsent += 1
                self._wait(unsent, error, deadline)
            except (OutputExistsError, OutputNotWritableError) as error:
                raise self._blocked(error) from None
            except ConvertApiError as error:
                self._count_loss(is_lost=error.is_answer_lost)  # such as a redirect
                if self.cost or not error.is_refusal:  # the error states its cost already
                    raise
                self.cost = int(error.paid is True)
                again = error.transient and not self._is_final(error, timeout)
                what = self.request.describe()
                raise self.settings.with_remedy(error, what, again=again) from None
            else:
                self._note.forget(self.client)
                return result

    def _check_not_refused(self) -> None:
        if not self._note.is_of_refusal(self.client):
            return
        place = self.conversion.target.destination.root + REFUSED
        raise ResultCheckError(
            f"{self.request.describe()} was converted and paid by an earlier try, and its result "
            f"refused; nothing was paid now. It is kept below {shown(place)}. Change the file, the "
            "parameters or conversion_key to convert and pay again."
        )

    def _is_final(self, verdict: ConvertApiError, timeout: int) -> bool:
        """Tell whether another attempt, which costs as much again, is pointless."""
        cannot_be_longer = self.request.cannot_be_longer(verdict, timeout)
        return cannot_be_longer or self._note.is_second(verdict, self.client)

    def _recheck(self) -> None:
        """Wait for the permit, then check once more, right before paying, that it may convert."""
        self._is_sent = False
        self.settings.permit.acquire()
        self.client.pause(0)  # raises if the task was told to stop while it waited
        self.settings.permit.reserve()
        self.conversion.target.check()
        self.request.check_unchanged()
        # Before the first byte, not after it: Airflow may end the task between the two, and what
        # may have left may be billed.
        self._is_sent = True

    def _exchange(self, request: Endpoint[None]) -> ConversionResult:
        marks = self.session.task.marks
        with self._errors_are_final(), self.conversion.target.publication(marks) as publication:
            # On a connection that the service has closed meanwhile, the request would count as sent
            # and its answer as lost, although nothing was paid.
            with self.client.stream(request, fresh=True, before=self._recheck) as (head, blocks):
                results = _Results(self.conversion.target.destination, publication)
                self.cost = 1  # a 2xx is billed; the parts of the answer name the exact cost
                self._read(results, head, blocks)
            # For an answer without a length, which `_watched` cannot tell the end of.
            self.settings.permit.release()
            self._accept(publication, results)
            outputs = self._publish(publication)
            sizes, cost = tuple(results.sizes), results.cost
            return ConversionResult(outputs, cost, cost, sizes, publication.digests)

    @contextmanager
    def _errors_are_final(self) -> Iterator[None]:
        """Make every error of a paid conversion permanent: Airflow's retry would pay again."""
        try:
            yield
        except ConvertApiError:
            raise
        # Not an `Exception`, so the last clause does not catch it: `AirflowTaskTimeout` in
        # airflow/sdk/exceptions.py, and in airflow/exceptions.py of Airflow 2.
        except self.session.time_is_up as error:
            if not self._is_sent:
                raise
            raise self._lost(f"the task was ended ({type(error).__name__})") from error
        except Exception as error:
            if not self.cost:
                raise
            raise self._unsaved(error) from error

    def _read(self, results: _Results, head: Response, blocks: Iterable[bytes]) -> None:
        """Stage the answer; the conversion is paid, even if something fails from here on."""
        try:
            with results.opened:
                content_type = head.headers.get("content-type", "")
                AnswerReader(content_type, results.begin, results.end).read(
                    self._watched(head, blocks)
                )
        except (UnexpectedAnswerError, SizeMismatch, TransportError) as error:
            raise self._lost(error) from None
        except ParameterError as error:
            raise paid_but_unnamed(error, max(results.cost, 1), is_stored=False) from None
        finally:
            # An answer without any part, such as a proxy's page, does not tell that it was billed.
            self.cost, self._is_lost = max(results.cost, 1), not results.names

    def _accept(self, publication: Publication, results: _Results) -> None:
        paid = Paid(self.request.describe(), results.cost, is_stored=False)
        try:
            self.conversion.target.accept(publication, results.names, paid)
        except ResultCheckError:
            self._note.note_refusal(self.client)
            raise

    def _publish(self, publication: Publication) -> list[str]:
        """Publish the results; retry if the store fails, since this is the only copy."""
        failures = 0
        while True:
            try:
                return publication.publish()
            except ParameterError as error:
                raise paid_but_unnamed(error, self.cost, is_stored=False, bars_file=True) from None
            except ConvertApiError:
                raise
            except Exception as error:
                failures += 1
                delay = self.client.backoff.delay(failures, with_facts(error))
                if delay is None:
                    raise self._unsaved(error) from error
                self.log.warning("Publishing a paid result failed: %s", redaction.shown(str(error)))
                unsaved = error
            try:
                self.client.pause(delay)
            except ConversionInterrupted:
                raise self._unsaved(unsaved) from unsaved

    def _watched(self, head: Response, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the blocks; release the permit when the last one has arrived."""
        left = whole_number(head.headers.get("content-length"))
        for block in blocks:
            # It continues even if the task is told to stop: this is the only copy, and is paid.
            if left is not None:
                left -= len(block)
                if left <= 0:
                    self.settings.permit.release()
            yield block

    def _wait(self, failures: int, error: ConvertApiError, deadline: float) -> None:
        delay = self.client.backoff.delay(failures, error)
        if delay is None or self.client.monotonic() + delay > deadline:
            raise error
        self.log.info(
            "%s waits %.1f s; nothing was paid. %s", self.request.describe(), delay, error
        )
        self.client.pause(delay)

    def _count_loss(self, *, is_lost: bool = True) -> None:
        """Count a conversion whose answer is lost or unusable: it may have been billed."""
        if is_lost and not self.cost:
            self.cost, self._is_lost = 1, True

    def _lost(self, why: object) -> ConvertApiError:
        self._count_loss()
        return ResultLostError(
            f"{self.request.describe()} was sent and its answer was lost: {why}. It may have "
            "been billed, so it is not sent again automatically. Clear the task to convert and "
            "pay again, or use durable=True, which collects a lost answer without paying twice."
        )

    def _blocked(self, error: OutputExistsError | OutputNotWritableError) -> ConvertApiError:
        if not self.cost:
            return error
        if isinstance(error, OutputExistsError):
            return paid_but_blocked(error, self.cost)
        return self._unsaved(error)

    def _unsaved(self, error: Exception) -> ConvertApiError:
        return ResultLostError(
            f"{self.request.describe()} was converted and billed ({self.cost} conversion(s)), but "
            f"its result could not be saved: {redaction.shown(str(error))}. It is not sent again "
            "automatically. Clear the task to convert and pay again, or use durable=True, which "
            "leaves a result at ConvertAPI until it is saved."
        )
