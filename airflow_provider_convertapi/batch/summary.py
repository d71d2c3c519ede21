"""Count what happens to the files of a batch, and log progress.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.errors import (
    BatchFailedError,
    TransientBatchFailedError,
    facts_of,
)
from airflow_provider_convertapi.storage import shown

if TYPE_CHECKING:
    import logging

    from airflow_provider_convertapi.batch.decisions import Item
    from airflow_provider_convertapi.batch.plan import Plan
    from airflow_provider_convertapi.batch.record import Record
    from airflow_provider_convertapi.clock import Clock

_SHOWN = 5
_LOGGED = 20
_MINUTE = 60.0


@dataclass(slots=True)
class Summary:
    """What happened to the files of a batch, over all waves of one try.

    :param converted: files that were converted, or collected from an earlier try.
    :param reused: files whose outputs exist from earlier.
    :param failed: files that failed; `known` of them did so before, and `transient` of them may end
        differently on another try.
    :param not_attempted: files that were not started because the batch was halted; for `halfway` of
        them earlier steps were paid.
    :param underway: files whose jobs were still under way when the batch ended.
    :param cost: conversions that this try paid for.
    """

    converted: int = 0
    reused: int = 0
    failed: int = 0
    known: int = 0
    transient: int = 0
    not_attempted: int = 0
    halfway: int = 0
    underway: int = 0
    cost: int = 0
    examples: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan) -> Summary:
        """Return the summary of a plan before its run."""
        return cls(
            reused=plan.reused,
            failed=plan.known,
            known=plan.known,
            examples=list(plan.known_examples),
        )

    @property
    def total(self) -> int:
        """Return how many files are counted."""
        done = self.converted + self.reused + self.failed
        return done + self.not_attempted + self.underway

    def add_failure(self, item: Item, error: BaseException) -> None:
        """Count a file that failed."""
        self.failed += 1
        self.transient += _is_transient(type(error).__name__)
        if len(self.examples) < _SHOWN:
            self.examples.append(f"{shown(item.uri)} ({type(error).__name__}: {error})")

    def add_record(self, record: Record) -> None:
        """Count what an earlier wave of this try recorded."""
        self.cost += record.charged
        if record.outcome == "converted":
            self.converted += 1
        elif record.outcome == "failed":
            self.failed += 1
            self.transient += _is_transient(record.error)
            if len(self.examples) < _SHOWN:
                self.examples.append(f"{record.source} ({record.error}: {record.message})")

    def to_dict(self, manifest: str) -> dict[str, Any]:
        """Return the summary that the operator returns; its size does not grow with the batch."""
        return {
            "converted": self.converted,
            "reused": self.reused,
            "failed": self.failed,
            "not_attempted": self.not_attempted,
            "cost": self.cost,
            "manifest": manifest,
        }

    def raise_for_failures(self, allowed: float | None, manifest: str) -> None:
        """Raise `BatchFailedError` where more files failed than the policy allows.

        :param allowed: share of the files that may fail; None for any number.
        """
        if not self.failed or allowed is None or self.failed <= allowed * self.total:
            return
        kind = TransientBatchFailedError if self.transient else BatchFailedError
        known = f"; {self.known} of them are known from earlier, nothing paid" if self.known else ""
        what_next = (
            f"Another try converts the {self.transient} that failed with a transient error."
            if self.transient
            else "Another try would change nothing: fix the files, or set retry_failed=True to "
            "pay for them once more."
        )
        raise kind(
            f"{self.failed} of {self.total} files failed{known}. {self.converted} were converted "
            f"and {self.reused} reused; {self.cost} conversions were paid now. Failed: "
            f"{'; '.join(self.examples)}{', ...' if self.failed > len(self.examples) else ''}. "
            f"{what_next} Details: {manifest}"
        )


def _is_transient(error: str | None) -> bool:
    """Tell whether another try may end differently with no change made."""
    facts = facts_of(error)
    return facts.transient or facts.transient_in_batch


@dataclass(slots=True)
class Progress:
    """Log a line every few seconds.

    :param left: files that are still to be converted.
    :param done: files that this try has already converted, or that have failed.
    :param elapsed: seconds since the batch began.
    """

    log: logging.Logger
    clock: Clock
    left: int
    done: int = 0
    elapsed: float = 0.0
    interval: float = 10.0
    _started: float = field(init=False)
    _next: float = field(init=False)
    _logged: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        now = self.clock.monotonic()
        self._started, self._next = now - self.elapsed, now + self.interval

    def count(self) -> None:
        """Note that a file has an outcome."""
        self.done += 1
        self.left -= 1

    def failed(self, item: Item, error: BaseException) -> None:
        """Log what happened to a file; after many, leave it to the manifest."""
        self._logged += 1
        if self._logged <= _LOGGED:
            self.log.warning("%s failed: %s", shown(item.uri), error)
        elif self._logged == _LOGGED + 1:
            self.log.warning("More files failed; the manifest lists all of them.")

    def tick(self, summary: Summary) -> None:
        """Log a line when it is time."""
        now = self.clock.monotonic()
        if now < self._next:
            return
        self._next = now + self.interval
        a_minute = self.done / (now - self._started) * _MINUTE
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
