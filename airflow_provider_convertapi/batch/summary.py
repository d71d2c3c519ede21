"""Count what happens to the files of a batch, and log progress.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.made import names_of
from airflow_provider_convertapi.errors import (
    BatchFailedError,
    TransientBatchFailedError,
    facts_of,
)
from airflow_provider_convertapi.storage import shown
from airflow_provider_convertapi.wording import listed, on_one_line, reason

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

    from airflow_provider_convertapi.batch.decisions import Item
    from airflow_provider_convertapi.batch.plan import Plan
    from airflow_provider_convertapi.batch.record import Record
    from airflow_provider_convertapi.clock import Clock
    from airflow_provider_convertapi.conversions.task import TaskTry

_SHOWN = 5
_LOGGED = 20
_LISTED = 50
"""The most files that are named in an error, as they fail, and at the end."""
_MINUTE = 60.0
_INTERVAL = 10.0
"""Seconds between two lines of progress."""


@dataclass(slots=True)
class Summary:
    """What happened to the files of a batch, over all waves of one try.

    :param converted: files that were converted, or collected from an earlier try.
    :param reused: files whose outputs exist from earlier.
    :param failed: files that failed; `known` of them failed before, `transient` of them may end
        differently on another try, and the results of `lost` of them are lost.
    :param not_attempted: files that were not finished because the batch was halted; for `halfway`
        of them earlier steps were paid.
    :param underway: files whose jobs were not collected when the batch ended; those of `ready` of
        them had succeeded, and are among `cost`.
    :param outputs: number of files that were written; `written` are their bytes.
    :param cost: conversions that this try paid for; `unsure` of them may not have been billed.
    :param examples: a few files that failed, with the reason; `conversions`: a few that were
        converted, with their outputs.
    """

    converted: int = 0
    reused: int = 0
    failed: int = 0
    known: int = 0
    transient: int = 0
    lost: int = 0
    not_attempted: int = 0
    halfway: int = 0
    underway: int = 0
    ready: int = 0
    outputs: int = 0
    written: int = 0
    cost: int = 0
    unsure: int = 0
    of_request: int = 0
    """Files that failed because of the request, not because of the document."""
    examples: list[str] = field(default_factory=list)
    conversions: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan) -> Summary:
        """Return the summary of a plan before its run."""
        return cls(
            reused=plan.reused,
            failed=plan.known,
            known=plan.known,
            lost=plan.known_lost,
            examples=list(plan.known_examples),
        )

    @property
    def done(self) -> int:
        """Return the number of files that this try has converted, or that have failed in it."""
        return self.converted + self.failed - self.known

    @property
    def total(self) -> int:
        """Return the number of files that are counted."""
        done = self.converted + self.reused + self.failed
        return done + self.not_attempted + self.underway

    def add_conversion(self, source: str, outputs: Sequence[str], sizes: Sequence[int]) -> None:
        """Count a file that was converted.

        :param source: its name, in a form that may be logged.
        :param outputs: the files that were written; `sizes` their bytes.
        """
        self.converted += 1
        self.outputs += len(outputs)
        self.written += sum(sizes)
        if len(self.conversions) < _LISTED:
            self.conversions.append(on_one_line(f"{source} -> {', '.join(outputs)}"))

    def add_failure(self, source: str, error: str, message: str, charged: int) -> None:
        """Count a file that failed.

        :param source: its name, in a form that may be logged.
        :param error: the error's class; `message` is its text.
        :param charged: conversions that this try paid for, or may have paid for.
        """
        facts = facts_of(error)
        self.failed += 1
        self.transient += facts.transient or facts.transient_in_batch
        self.lost += facts.concerns == "result"
        self.of_request += facts.concerns == "request"
        if facts.concerns in ("request", "result") and facts.paid is None:
            self.unsure += charged
        if len(self.examples) < _LISTED:
            why = reason(message, is_first=not self.examples)
            self.examples.append(on_one_line(f"{source}: {error}: {why}"))

    def add_record(self, record: Record) -> None:
        """Count a record of an earlier wave of this try."""
        self.cost += record.charged
        if record.outcome == "converted":
            self.add_conversion(record.source, record.outputs, record.sizes)
        elif record.outcome == "failed":
            error, message = record.error or "", record.message or ""
            self.add_failure(record.source, error, message, record.charged)

    def to_dict(self, manifest: str, task: TaskTry) -> dict[str, Any]:
        """Return the operator's result; its size does not grow with the batch.

        :param task: the task whose records name the outputs.
        """
        return {
            "converted": self.converted,
            "reused": self.reused,
            "failed": self.failed,
            "not_attempted": self.not_attempted,
            "cost": self.cost,
            "manifest": manifest,
            "task": names_of(task),
        }

    def raise_for_failures(self, allowed: float | None, manifest: str) -> None:
        """Raise `BatchFailedError` if more files failed than the policy allows.

        :param allowed: share of the files that may fail; None for any number.
        """
        if not self.failed or allowed is None or self.failed <= allowed * self.total:
            return
        kind = TransientBatchFailedError if self.transient else BatchFailedError
        known = f" ({self.known} of them known from earlier, nothing paid)" if self.known else ""
        unsure = f", and {self.unsure} more may have been billed" if self.unsure else ""
        named, more = self.examples[:_SHOWN], self.failed - len(self.examples[:_SHOWN])
        said = (
            f"{self.failed} of {self.total} files failed{known}; {self.converted} were converted "
            f"and {self.reused} reused. {self.cost - self.unsure} conversions were paid now"
            f"{unsure}. {self._what_next}"
        )
        where = f"... and {more} more: see {manifest}" if more else f"Details: {manifest}"
        raise kind(listed(said, [*named, where]))

    @property
    def _what_next(self) -> str:
        said = []
        if self.transient:
            said.append(
                f"Another try converts the {self.transient} that failed with a transient error."
            )
        elif self.of_request == self.failed:
            said.append(
                "Another try would change nothing: fix what the batch asks for, such as its "
                "parameters or to_format, and the next run converts these files."
            )
        elif self.lost < self.failed:
            said.append(
                "Another try would change nothing: fix the files, or set retry_failed=True to pay "
                "for them once more."
            )
        if self.lost:
            said.append(
                f"Clear the task, or wait for the next run, to convert and pay again for the "
                f"{self.lost} whose results are lost."
            )
        return " ".join(said)


@dataclass(slots=True)
class Progress:
    """Log a line every few seconds.

    :param wanted: files to convert in all, over all waves.
    :param elapsed: seconds since the batch began.
    """

    log: logging.Logger
    clock: Clock
    summary: Summary
    wanted: int
    elapsed: float
    _started: float = field(init=False)
    _next: float = field(init=False)
    _logged: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        now = self.clock.monotonic()
        self._started, self._next = now - self.elapsed, now + _INTERVAL

    @property
    def left(self) -> int:
        """Return the number of files that are still to be converted."""
        return self.wanted - self.summary.done

    @property
    def seconds_left(self) -> int | None:
        """Return how many seconds the rest takes at the pace so far; None if that is unknown."""
        if not self.left:
            return 0
        elapsed, done = self.clock.monotonic() - self._started, self.summary.done
        return round(self.left * elapsed / done) if done > 0 else None

    def failed(self, item: Item, error: BaseException) -> None:
        """Log a failure; after many, only the manifest lists the rest."""
        self._logged += 1
        if self._logged <= _LOGGED:
            self.log.warning("%s failed: %s", shown(item.uri), error)
        elif self._logged == _LOGGED + 1:
            self.log.warning("More files failed; the manifest lists all of them.")

    def tick(self) -> None:
        """Log a line when it is time."""
        now = self.clock.monotonic()
        if now < self._next:
            return
        self._next = now + _INTERVAL
        summary = self.summary
        a_minute = summary.done / (now - self._started) * _MINUTE
        minutes = f"about {self.left / a_minute:.0f} min" if a_minute else "unknown time"
        self.log.info(
            "%d done, %d failed, %d left; %.0f a minute, %d conversions paid, %s left.",
            summary.converted + summary.reused,
            summary.failed,
            self.left,
            a_minute,
            summary.cost,
            minutes,
        )
