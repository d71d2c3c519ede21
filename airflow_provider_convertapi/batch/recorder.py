"""Write the manifest while a batch runs; documents go only once their record is safe."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import extension_of
from airflow_provider_convertapi.api.wire import TIMEOUT_CODE
from airflow_provider_convertapi.batch.converter import error_fields
from airflow_provider_convertapi.batch.inputs import recorded
from airflow_provider_convertapi.batch.record import Record
from airflow_provider_convertapi.errors import (
    ConversionError,
    OutputExistsError,
    ParameterError,
    TransientConversionError,
    UnexpectedAnswerError,
    UnsupportedFormatError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_convertapi.batch.decisions import Asked, Item
    from airflow_provider_convertapi.batch.manifest import Author, Manifest
    from airflow_provider_convertapi.conversions.request import Order
    from airflow_provider_convertapi.conversions.result import Outcome

_SECONDS = 5.0
_ITEMS = 200
"""A part is published after so many seconds or items, whichever comes first."""

_ITEMS_NOT_ATTEMPTED = 20_000


@dataclass(slots=True)
class Recorder:
    """Collect records, and publish them in parts.

    :param destination: what outputs are relative to.
    :param from_format: the source format that was asked for, None where the extension tells.
    """

    manifest: Manifest
    author: Author
    asked: Asked
    destination: str
    from_format: str | None
    _records: list[Record] = field(default_factory=list, init=False)
    _documents: list[str] = field(default_factory=list, init=False)
    _sequence: int = field(default=0, init=False)
    _due: float = field(default_factory=lambda: time.monotonic() + _SECONDS, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def converted(
        self, item: Item, order: Order, outcome: Outcome, attempt: int, documents: Iterable[str]
    ) -> None:
        """Record a conversion.

        :param documents: ids of what may be deleted at the service once the record is published.
        """
        outputs = tuple(uri.removeprefix(self.destination) for uri in outcome.outputs)
        record = self._record(
            item,
            order,
            outcome="converted",
            outputs=outputs,
            sizes=outcome.sizes,
            cost=outcome.cost,
            charged=outcome.charged,
            attempt=attempt,
        )
        self._add(record, documents)

    def failed(
        self,
        item: Item,
        order: Order | None,
        error: BaseException,
        *,
        attempt: int,
        cost: int,
        charged: int,
        documents: Iterable[str],
    ) -> None:
        """Record a failure.

        :param order: None where the file was refused here: that bars nothing.
        """
        verdict = isinstance(error, ConversionError) and not error.transient
        refused = isinstance(error, ParameterError | UnsupportedFormatError) and error.bars_file
        in_vain = cost > 0 and isinstance(error, OutputExistsError | UnexpectedAnswerError)
        bars = (verdict or refused or in_vain) and order is not None
        record = self._record(
            item,
            order,
            outcome="failed",
            timeout=_time_had(order, error, attempt),
            bars=bars,
            cost=cost,
            charged=charged,
            attempt=attempt,
            **error_fields(error),
        )
        self._add(record, documents)

    def not_attempted(self, items: Iterable[Item], reason: BaseException) -> int:
        """Record what was left undone, and publish it; return how many files that are."""
        count = 0
        for item in items:
            count += 1
            record = self._record(item, None, outcome="not_attempted", **error_fields(reason))
            with self._lock:
                self._records.append(record)
            if count % _ITEMS_NOT_ATTEMPTED == 0:
                self.publish()
        return count

    @property
    def is_due(self) -> bool:
        """Tell whether a part should be published now."""
        with self._lock:
            late = time.monotonic() >= self._due
            return len(self._records) >= _ITEMS or (late and bool(self._records))

    def publish(self) -> list[str]:
        """Publish what was collected; return the ids of documents that may be deleted now.

        Where that fails everything is kept, and published the next time.
        """
        with self._lock:
            records, self._records = self._records, []
            documents, self._documents = self._documents, []
            self._due = time.monotonic() + _SECONDS
        if records:
            try:
                self.manifest.write(self.author.part_name(self._sequence), records)
            except BaseException:  # a task that is out of time, too, has one more go at it
                with self._lock:
                    self._records = records + self._records
                    self._documents = documents + self._documents
                raise
            self._sequence += 1
        return documents

    def _add(self, record: Record, documents: Iterable[str]) -> None:
        with self._lock:
            self._records.append(record)
            self._documents.extend(documents)

    def _record(self, item: Item, order: Order | None, **what: Any) -> Record:
        return Record(
            target=item.target,
            source=recorded(item.uri),
            fingerprint=item.fingerprint,
            seen=item.seen,
            from_format=order.source_format
            if order
            else self.from_format or extension_of(item.uri),
            to_format=self.asked.to_format,
            parameters=self.asked.digests[0],
            when=datetime.now(UTC).isoformat(timespec="microseconds"),
            dag_id=self.author.dag_id,
            task_id=self.author.task_id,
            run_id=self.author.run_id,
            map_index=self.author.map_index,
            try_number=self.author.try_number,
            **what,
        )


def _time_had(order: Order | None, error: BaseException, attempt: int) -> int | None:
    """Return the seconds that the service had at most, where it ran out of them for good."""
    is_timeout = isinstance(error, ConversionError) and error.code == TIMEOUT_CODE
    if order is None or not is_timeout or isinstance(error, TransientConversionError):
        return None
    # What is final was the second attempt, which in direct mode has no number.
    return order.timeout_for(max(attempt, 1))
