"""One file of a batch while it is processed.

This module may change from release to release.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.conversions.direct import DirectConversion
from airflow_provider_convertapi.conversions.result import ConversionResult
from airflow_provider_convertapi.errors import InputChangedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.batch.budget import Budget
    from airflow_provider_convertapi.batch.converter import Converter
    from airflow_provider_convertapi.batch.decisions import Item
    from airflow_provider_convertapi.batch.pool import Permit
    from airflow_provider_convertapi.conversions.chain import Chain
    from airflow_provider_convertapi.conversions.deferral import JobRef
    from airflow_provider_convertapi.conversions.job import Job
    from airflow_provider_convertapi.conversions.request import ConversionRequest


@dataclass(slots=True)
class FileTask:
    """One file; it may change threads while it waits for the service.

    :param action: one of the methods below; if it returns None, the file's jobs still run.
    :param run: runs the action, and records how it ended.
    :param known: the jobs that an earlier wave has begun, in the order of the steps.
    :param seconds: how long it may take from now on; None means the request's timeout.
    """

    item: Item
    converter: Converter = field(repr=False)
    budget: Budget = field(repr=False)
    action: Action = field(repr=False)
    run: Callable[[FileTask], None] = field(repr=False)
    known: Sequence[JobRef] = ()
    seconds: float | None = None
    conversion: Chain | DirectConversion | None = field(default=None, init=False)
    _permit: Permit = field(init=False, repr=False)

    def __call__(self, client: Client, permit: Permit) -> None:
        """Run with the client of a free slot, and with a permit for the service."""
        self._permit = permit
        with self.converter.session.using(client):
            self.run(self)

    # --- the permit of the current thread ----------------------------------------------------

    def acquire(self) -> None:
        """Wait until it may use the service."""
        self._permit.acquire()

    def release(self) -> None:
        """Let another file use the service."""
        self._permit.release()

    # --- its share of the budget -------------------------------------------------------------

    def reserve(self) -> None:
        """Reserve its cost; raise if the budget has no room for it, or not yet."""
        self.budget.reserve(self.item, self.source_format, *self.bill)

    def found(self, *, is_running: bool) -> None:
        """Count its conversions that the service has already."""
        if is_running:
            self.budget.expect(self.item, self.source_format, self.bill[0])
        else:
            self.budget.count(self.item, self.bill[0])

    def act(self) -> ConversionResult | None:
        """Run the action; if the file cannot be read, raise the error of checking it again."""
        try:
            return self.action(self)
        except (InputChangedError, OSError):  # it may be a directory, or a link to itself, by now
            if not self.bill[0]:  # after payment the first error counts: it says what was paid
                self.converter.check_listed(self.item)
            raise

    # --- actions -----------------------------------------------------------------------------

    def convert(self) -> ConversionResult | None:
        """Convert, from beginning to end."""
        conversion = self._prepared()
        if isinstance(conversion, DirectConversion):
            return conversion.run()
        self._enter()
        return _ended(conversion.proceed(self.known))

    def begin(self) -> ConversionResult | None:
        """Submit the first job that was not submitted before."""
        conversion = self._prepared()
        assert not isinstance(conversion, DirectConversion)  # noqa: S101 - waves are durable
        self._enter()
        return _ended(conversion.proceed(defers=True))

    def collect(self) -> ConversionResult | None:
        """Collect what an earlier wave submitted, if it has an answer."""
        ref = self.known[-1]
        # A lookup is free and returns at once; `convert` would wait for a job that still runs.
        answer = self.converter.job(self.item, ref).look(ref.attempt)
        return self.convert() if answer.conversion or answer.verdict else None

    def _prepared(self) -> Chain | DirectConversion:
        if self.conversion is None:
            self.conversion = self.converter.prepare(self.item, self, is_begun=bool(self.known))
            self.conversion.seconds = self.seconds
        return self.conversion

    def _enter(self) -> None:
        """Wait for the permit; raise if the task was told to stop meanwhile."""
        self.acquire()
        self.converter.session.client.pause(0)

    # --- what it leaves at the service, and what it cost -------------------------------------

    @property
    def request(self) -> ConversionRequest | None:
        """The first converter's request; None if the file failed before there was one."""
        return self.conversion.conversion.requests[0] if self.conversion else None

    @property
    def source_format(self) -> str:
        """Its source format, which decides its expected cost; empty if the file failed early."""
        return self.request.source_format if self.request else ""

    @property
    def attempt(self) -> int:
        """Which attempt of the conversion it was, counted from 0."""
        return self.conversion.attempt if self.conversion else 0

    @property
    def documents(self) -> list[str]:
        """Ids of documents to delete once its record is published."""
        return self.conversion.documents if self.conversion else []

    @property
    def refs(self) -> Sequence[JobRef]:
        """Its jobs at the service."""
        return (self.conversion.refs if self.conversion else ()) or self.known

    @property
    def jobs(self) -> list[tuple[Job, tuple[str, ...]]]:
        """Its jobs, each with the keys of the inputs that it may have uploaded."""
        if self.conversion and self.conversion.jobs:
            return self.conversion.jobs
        return [(self.converter.job(self.item, ref), ref.uploads) for ref in self.known]

    @property
    def bill(self) -> tuple[int, int]:
        """Its cost so far, in conversions, and the part that this try paid."""
        return (self.conversion.cost, self.conversion.charged) if self.conversion else (0, 0)

    @property
    def ended_bill(self) -> tuple[int, int]:
        """The same for the jobs that have succeeded: others may turn out to be unpaid."""
        return self.conversion.ended_bill if self.conversion else (0, 0)

    @property
    def has_ended(self) -> bool:
        """Whether all jobs that it has begun have succeeded."""
        return self.ended_bill[0] > 0 and self.bill == self.ended_bill


Action = Callable[[FileTask], ConversionResult | None]


def _ended(result: ConversionResult | list[JobRef]) -> ConversionResult | None:
    return result if isinstance(result, ConversionResult) else None
