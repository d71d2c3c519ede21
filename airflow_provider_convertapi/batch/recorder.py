"""Write the manifest while a batch runs; release documents once their record is published.

This module may change from release to release.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api import redaction
from airflow_provider_convertapi.api.converters import extension_of
from airflow_provider_convertapi.api.wire import TIMEOUT_CODE
from airflow_provider_convertapi.batch.inputs import record_uri
from airflow_provider_convertapi.batch.manifest import part_name
from airflow_provider_convertapi.batch.record import Record
from airflow_provider_convertapi.conversions.secrets import without_secrets
from airflow_provider_convertapi.errors import with_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_convertapi.batch.decisions import Item, RequestDigest
    from airflow_provider_convertapi.batch.filetask import FileTask
    from airflow_provider_convertapi.batch.manifest import Manifest
    from airflow_provider_convertapi.clock import Clock
    from airflow_provider_convertapi.conversions.request import ConversionRequest
    from airflow_provider_convertapi.conversions.result import ConversionResult
    from airflow_provider_convertapi.conversions.task import TaskTry
    from airflow_provider_convertapi.errors import ConvertApiError

_SECONDS = 5.0
_ITEMS = 200
"""A part is published after this many seconds or items, whichever comes first."""

_ITEMS_NOT_ATTEMPTED = 10_000
"""Records of files that were not attempted in one part; a halted batch may leave a million."""


@dataclass(slots=True)
class Recorder:
    """Collect records, and publish them in parts.

    :param plan: id of the plan, which every record names.
    :param destination: the directory that outputs are relative to.
    :param from_format: the source format that was asked for; None uses the extension.
    :param secrets: secret parameters, which records must not repeat.
    """

    manifest: Manifest
    task: TaskTry
    request_digest: RequestDigest
    plan: str
    destination: str
    from_format: str | None
    clock: Clock
    secrets: Sequence[str] = field(default=(), repr=False)
    _records: list[Record] = field(default_factory=list, init=False)
    _documents: list[str] = field(default_factory=list, init=False)
    _sequence: int = field(default=0, init=False)
    _due: float = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._due = self.clock.monotonic() + _SECONDS

    def converted(self, task: FileTask, result: ConversionResult) -> None:
        """Record a conversion; its documents are deleted once the record is published."""
        outputs = tuple(uri.removeprefix(self.destination) for uri in result.outputs)
        record = self._record(
            task.item,
            task.request,
            outcome="converted",
            outputs=outputs,
            sizes=result.sizes,
            digests=result.digests,
            cost=result.cost,
            charged=result.charged,
            attempt=task.attempt,
        )
        self._add(record, task.documents)

    def failed(self, task: FileTask, error: BaseException) -> None:
        """Record a failure; a failure before any request to the service is never final."""
        cost, charged = task.bill
        facts = with_facts(error)
        bars = facts.bars_file or (cost > 0 and facts.bars_paid_file)
        record = self._record(
            task.item,
            task.request,
            outcome="failed",
            timeout=_time_had(task.request, facts, task.attempt),
            bars=bars and task.request is not None,
            outputs_gone=task.item.outputs_gone,
            cost=cost,
            charged=charged,
            attempt=task.attempt,
            **_error_fields(error, self.secrets),
        )
        self._add(record, task.documents)

    def not_attempted(self, items: Iterable[Item], reason: BaseException) -> None:
        """Record files that were not attempted; publish the records of many files in parts."""
        for count, item in enumerate(items, 1):
            fields = _error_fields(reason, self.secrets)
            record = self._record(item, None, outcome="not_attempted", **fields)
            with self._lock:
                self._records.append(record)
            if count % _ITEMS_NOT_ATTEMPTED == 0:
                self.publish()

    @property
    def is_due(self) -> bool:
        """Tell whether a part should be published now."""
        with self._lock:
            late = self.clock.monotonic() >= self._due
            return len(self._records) >= _ITEMS or (late and bool(self._records))

    def publish(self) -> list[str]:
        """Publish the collected records; return the ids of documents that may be deleted now.

        If that fails, everything is kept for the next call: without its record, a conversion can
        only be collected again without paying while its documents exist.
        """
        # The part is written outside the lock, so that threads can add records meanwhile.
        with self._lock:
            records, self._records = self._records, []
            documents, self._documents = self._documents, []
            self._due = self.clock.monotonic() + _SECONDS
        if records:
            try:
                self.manifest.write(part_name(self.task, self._sequence), records)
            except BaseException:  # a task that is out of time publishes once more, too
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

    def _record(self, item: Item, request: ConversionRequest | None, **what: Any) -> Record:
        return Record(
            target=item.target,
            source=record_uri(item.uri),
            fingerprint=item.fingerprint,
            seen=item.seen,
            from_format=request.source_format
            if request
            else self.from_format or extension_of(item.uri),
            to_format=self.request_digest.to_format,
            # Written under the first salt, read under all of them.
            parameters=self.request_digest.digests[0],
            when=datetime.fromtimestamp(self.clock.time(), UTC).isoformat(timespec="microseconds"),
            dag_id=self.task.dag_id,
            task_id=self.task.task_id,
            run_id=self.task.run_id,
            map_index=self.task.map_index,
            try_number=self.task.number,
            plan=self.plan,
            **what,
        )


def _time_had(
    request: ConversionRequest | None, error: ConvertApiError, attempt: int
) -> int | None:
    """Return the longest time limit that the service had, if it timed out for good; else None."""
    if request is None or error.code != TIMEOUT_CODE or error.transient:
        return None
    # The second timeout is final; a direct conversion does not number its attempts.
    return request.timeout_for(max(attempt, 1))


def _error_fields(error: BaseException, secrets: Iterable[str]) -> dict[str, Any]:
    """Return a record's fields for a failure.

    :param secrets: secret parameters, which the service's text may repeat but a record must not.
    """
    code = getattr(error, "code", None)
    return {
        "error": type(error).__name__,
        "code": code if isinstance(code, int) else None,
        "message": redaction.shown(without_secrets(str(error), secrets)),
    }
