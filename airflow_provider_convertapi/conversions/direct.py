"""The direct conversion: one streamed exchange, nothing stored at the service, no second chance."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_convertapi.api import redaction
from airflow_provider_convertapi.api.answers import AnswerReader
from airflow_provider_convertapi.api.endpoints import convert_directly
from airflow_provider_convertapi.api.wire import whole_number
from airflow_provider_convertapi.conversions.job import AlwaysMyTurn
from airflow_provider_convertapi.conversions.result import Outcome, explained, found_too_late
from airflow_provider_convertapi.errors import (
    ConversionError,
    ConvertApiError,
    OutputExistsError,
    ParameterError,
    ResultLostError,
    ThrottledError,
    TransientConversionError,
    TransportError,
    UnexpectedAnswerError,
    UnsupportedFormatError,
)
from airflow_provider_convertapi.storage import Publication, SizeMismatch

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator

    from airflow_provider_convertapi.api.answers import PartHead
    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.api.wire import Endpoint, Response
    from airflow_provider_convertapi.conversions.job import Turn
    from airflow_provider_convertapi.conversions.request import Order
    from airflow_provider_convertapi.conversions.result import Try


@dataclass(slots=True)
class _Results:
    """Stage each part of the answer as it arrives."""

    order: Order
    publication: Publication
    names: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    cost: int = 0
    _open: ExitStack = field(default_factory=ExitStack)
    _sink: BinaryIO | None = None

    def begin(self, head: PartHead) -> BinaryIO:
        self.names.append(head.name)
        # Each part names the cost of the whole conversion, not a share of it.
        self.cost = max(self.cost, head.cost)
        uri = self.order.destination.outputs(self.names)[-1]
        self._sink = self._open.enter_context(self.publication.stage(uri, head.size))
        return self._sink

    def end(self) -> None:
        if self._sink is not None:
            self.sizes.append(self._sink.tell())
        self._open.close()

    def abandon(self, error: BaseException) -> None:
        self._open.__exit__(type(error), error, error.__traceback__)


@dataclass(slots=True)
class DirectConversion:
    """Convert in one exchange; once a byte was sent, a lost answer may have been billed.

    :param deadline: monotonic seconds after which a throttled request is given up.
    :param patient: whether a service that is too busy is waited out here; False leaves that to the
        caller.
    :param turn: when it may be at the service.
    """

    client: Client
    order: Order
    this_try: Try
    deadline: float
    log: logging.Logger
    patient: bool = True
    turn: Turn = field(default_factory=AlwaysMyTurn, repr=False)
    cost: int = field(default=0, init=False)
    """Conversions that were billed, or may have been."""

    @property
    def charged(self) -> int:
        """Return the same: nothing of it was paid by an earlier try."""
        return self.cost

    def run(self) -> Outcome:
        """Convert and publish."""
        order = self.order
        request = self._request()
        throttled = unsent = 0
        while True:
            try:
                return self._exchange(request)
            except ThrottledError as error:
                if not self.patient:
                    raise
                throttled += 1
                self._wait(throttled, error)
            except TransportError as error:
                if error.sent:
                    order.check_unchanged()
                    self.cost = 1
                    raise self._lost(error) from None
                unsent += 1
                self._wait(unsent, error)
            except OutputExistsError as error:
                raise found_too_late(error, self.cost) if self.cost else error from None
            except (ConversionError, ParameterError, UnsupportedFormatError) as error:
                if isinstance(error, ConversionError):
                    self.cost = 1
                again = isinstance(error, TransientConversionError) and not self.this_try.is_later
                raise explained(error, order, again=again) from None

    def _request(self) -> Endpoint[None]:
        order = self.order
        timeout = order.timeout_for(1 if self.this_try.is_later else 0)
        return convert_directly(
            order.source_format, order.target_format, timeout, order.fields(timeout)
        )

    def _last_look(self) -> None:
        """Wait for the turn; then see whether it is still right to pay."""
        self.turn.enter()
        self.client.pause(0)  # ends here where the task was told to stop while it waited
        self.order.check_output()
        self.order.check_unchanged()

    def _exchange(self, request: Endpoint[None]) -> Outcome:
        order = self.order
        with Publication(
            order.destination, inputs=order.input_uris, overwrite=order.overwrite
        ) as publication:
            with self.client.stream(request, fresh=True, before=self._last_look) as (head, blocks):
                results = _Results(order, publication)
                self.cost = 1
                try:
                    reader = AnswerReader(
                        head.headers.get("content-type", ""), results.begin, results.end
                    )
                    reader.read(self._watched(head, blocks))
                except BaseException as error:
                    results.abandon(error)
                    self.cost = max(results.cost, 1)
                    if isinstance(error, UnexpectedAnswerError | SizeMismatch | TransportError):
                        raise self._lost(error) from None
                    if isinstance(error, ConvertApiError) or not isinstance(error, Exception):
                        raise
                    raise self._unsaved(error) from error
            self.turn.leave()
            self.cost = max(results.cost, 1)
            outputs = self._publish(publication)
            return Outcome(outputs, results.cost, results.cost, tuple(results.sizes))

    def _publish(self, publication: Publication) -> list[str]:
        """Publish what was paid for; a store that fails is asked again: this is the only copy."""
        failures = 0
        while True:
            try:
                return publication.publish()
            except ConvertApiError:
                raise
            except Exception as error:
                failures += 1
                delay = self.client.backoff.delay(failures, TransportError(str(error)))
                if delay is None:
                    raise self._unsaved(error) from error
                self.log.warning("Publishing a paid result failed: %s", redaction.shown(str(error)))
            self.client.pause(delay)

    def _watched(self, head: Response, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the blocks; the service is done, and the turn over, when the last one is here."""
        left = whole_number(head.headers.get("content-length"))
        for block in blocks:
            self.client.pause(0)
            if left is not None:
                left -= len(block)
                if left <= 0:
                    self.turn.leave()
            yield block

    def _wait(self, failures: int, error: ConvertApiError) -> None:
        delay = self.client.backoff.delay(failures, error)
        if delay is None or self.client.monotonic() + delay > self.deadline:
            raise error
        self.log.info("%s waits %.1f s; nothing was paid. %s", self.order.describe(), delay, error)
        self.client.pause(delay)

    def _lost(self, error: Exception) -> ConvertApiError:
        return ResultLostError(
            f"{self.order.describe()} was sent and its answer was lost: {error}. It may have been "
            "billed, so it is not sent again by itself. Clear the task to convert and pay anew, "
            "or use durable=True, which collects a lost answer without paying twice."
        )

    def _unsaved(self, error: Exception) -> ConvertApiError:
        return ResultLostError(
            f"{self.order.describe()} was converted and billed ({self.cost} conversion(s)), but "
            f"its result could not be saved: {redaction.shown(str(error))}. It is not sent again "
            "by itself. Clear the task to convert and pay anew, or use durable=True, which leaves "
            "a result at ConvertAPI until it is saved."
        )
