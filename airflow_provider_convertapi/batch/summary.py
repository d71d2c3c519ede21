"""Count what became of a batch, and say so while it runs.

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
    """What became of the files of a batch, over all waves of one try.

    :param converted: files that were converted, or collected from an earlier try.
    :param reused: files whose outputs stand from earlier.
    :param failed: files that failed; `known` of them did so before, and `passing` of them may
        end differently on another try.
    :param not_attempted: files that were not begun, because something ended the batch; of
        `halfway` of them earlier steps were paid.
    :param underway: files that were submitted when it ended, and that nobody waits for any more.
    :param cost: conversions that this try paid for.
    """

    converted: int = 0
    reused: int = 0
    failed: int = 0
    known: int = 0
    passing: int = 0
    not_attempted: int = 0
    halfway: int = 0
    underway: int = 0
    cost: int = 0
    examples: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan) -> Summary:
        """Begin to count with what the plan settles."""
        return cls(
            reused=plan.reused,
            failed=plan.known,
            known=plan.known,
            examples=list(plan.known_examples),
        )

    @property
    def total(self) -> int:
        """Return how many files have an outcome."""
        done = self.converted + self.reused + self.failed
        return done + self.not_attempted + self.underway

    def add_failure(self, item: Item, error: BaseException) -> None:
        """Count a file that failed."""
        self.failed += 1
        self.passing += _is_transient(type(error).__name__)
        if len(self.examples) < _SHOWN:
            self.examples.append(f"{shown(item.uri)} ({type(error).__name__}: {error})")

    def add_record(self, record: Record) -> None:
        """Count what an earlier wave of this try recorded."""
        self.cost += record.charged
        if record.outcome == "converted":
            self.converted += 1
        elif record.outcome == "failed":
            self.failed += 1
            self.passing += _is_transient(record.error)
            if len(self.examples) < _SHOWN:
                self.examples.append(f"{record.source} ({record.error}: {record.message})")

    def to_dict(self, manifest: str) -> dict[str, Any]:
        """Return what the operator returns: it does not grow with the batch."""
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
        kind = TransientBatchFailedError if self.passing else BatchFailedError
        known = f"; {self.known} of them are known from earlier, nothing paid" if self.known else ""
        what_next = (
            f"Another try converts the {self.passing} that failed for a passing reason."
            if self.passing
            else "Another try would change nothing: mend the files, or set retry_failed=True to "
            "pay for them once more."
        )
        raise kind(
            f"{self.failed} of {self.total} files failed{known}. {self.converted} were converted "
            f"and {self.reused} reused; {self.cost} conversions were paid now. Failed: "
            f"{'; '.join(self.examples)}{', ...' if self.failed > len(self.examples) else ''}. "
            f"{what_next} All of it: {manifest}"
        )


def _is_transient(error: str | None) -> bool:
    """Tell whether another try may end differently without anybody's help."""
    facts = facts_of(error)
    return facts.transient or facts.transient_in_batch


@dataclass(slots=True)
class Progress:
    """A line every few seconds.

    :param left: files that are still to be converted.
    :param done: files that this try has converted, or seen fail, already.
    :param elapsed: seconds since it began to.
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
        """Say what happened to a file; of very many, the manifest tells."""
        self._logged += 1
        if self._logged <= _LOGGED:
            self.log.warning("%s failed: %s", shown(item.uri), error)
        elif self._logged == _LOGGED + 1:
            self.log.warning("More files fail; the manifest lists them all.")

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
