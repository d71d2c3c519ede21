"""What a task instance may still pay for: decided right before each paid request.

Two bounds hold at once: what the user allows (`max_conversions`), and what the account has left.

This module may change from release to release.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_convertapi.errors import (
    BudgetExceededError,
    QuotaExhaustedError,
)

if TYPE_CHECKING:
    from airflow_provider_convertapi.batch.decisions import Item
    from airflow_provider_convertapi.errors import ConvertApiError


class PostponedError(BaseException):
    """What the file may cost is not free before another one has ended; it has to wait for that."""


class _Share(NamedTuple):
    """What a file under way adds to the conversions taken, and what to those paid now."""

    taken: int
    due: int


_NOTHING = _Share(0, 0)


@dataclass(slots=True)
class Budget:
    """Conversions that a task instance may take, over all its tries; any thread may ask.

    What a file costs is known only when it is done.  Until then it is counted at the highest cost
    seen for its source format, from the manifest or from a file of this batch.  While there is no
    such cost, a file goes alone.

    :param most: None for no limit.
    :param least: conversions that one file takes at least.
    :param taken: conversions that were taken before.
    :param highest: the highest cost seen, by source format.
    :param balance: conversions that the account had left when this try began; None where that is
        no bound.
    :param paid: conversions that were paid since.
    """

    most: int | None
    least: int
    taken: int
    highest: dict[str, int]
    balance: int | None = None
    paid: int = 0
    _reserved: dict[str, _Share] = field(default_factory=dict, init=False)
    """What the files under way will take, by output."""
    _found: dict[str, int] = field(default_factory=dict, init=False)
    """What the service had converted of them before, by output: the balance lacks it already."""
    _first: str | None = field(default=None, init=False)
    """The output of the file under way that tells what its format costs."""
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def is_bounded(self) -> bool:
        """Tell whether there is any bound."""
        return self.most is not None or self.balance is not None

    def expect(self, item: Item, source_format: str, found: int) -> None:
        """Count a file whose jobs run at the service.

        :param found: conversions of it that an earlier try paid.
        """
        with self._lock:
            self._note(item, source_format, self._share(item, source_format, 0, found))

    def count(self, item: Item, cost: int) -> None:
        """Count what the service had of a file already."""
        with self._lock:
            self._found[item.target] = cost
            share = self._reserved.get(item.target, _NOTHING)
            share = share._replace(taken=max(share.taken, cost - item.prepaid))
            if share.taken:
                self._reserved[item.target] = share

    def reserve(self, item: Item, source_format: str, cost: int, charged: int) -> None:
        """Reserve what a file will take, right before each of its paid requests.

        `PostponedError` where others have to end first; where even that would not suffice,
        `BudgetExceededError` for `max_conversions`, `QuotaExhaustedError` for the balance.

        :param cost: what it has taken so far, of which `charged` were paid here.
        """
        if not self.is_bounded:
            return
        with self._lock:
            own = self._drop(item)
            share = self._share(item, source_format, cost + 1, cost - charged)
            others = self._reserved.values()
            fits = self._fits(
                sum(one.taken for one in others) + share.taken,
                sum(one.due for one in others) + share.due,
            )
            # A file that has begun cannot wait, since others may be waiting for it.
            if not self._fits(*share) or (cost and not fits):
                raise self._exceeded(share)
            is_known = source_format in self.highest and self._first is None
            may_join = is_known or cost or own.taken or not self._reserved
            if not (fits and may_join):
                raise PostponedError
            self._note(item, source_format, share)

    def settle(
        self,
        item: Item,
        source_format: str,
        cost: int,
        charged: int,
        *,
        learned: int = 0,
        goes_on: bool = False,
    ) -> None:
        """Count what a file took, now that it has ended.

        :param cost: what it took in all, of which `charged` were paid here.
        :param learned: what such a file costs; 0 where this one does not tell.
        :param goes_on: whether its job has not ended, so that it may still take more.
        """
        with self._lock:
            # The reservation becomes the actual cost, of which earlier tries may have paid a part.
            taken = item.newly_taken(cost, charged)
            due = cost - min(self._found.pop(item.target, 0), cost - charged)
            share = self._drop(item)
            self.taken += max(taken, share.taken) if goes_on else taken
            self.paid += max(due, share.due) if goes_on else due
            if learned:
                self.highest[source_format] = max(self.highest.get(source_format, 0), learned)

    def release(self, item: Item) -> None:
        """Forget a file that is left undone."""
        with self._lock:
            self._drop(item)

    def _note(self, item: Item, source_format: str, share: _Share) -> None:
        self._reserved[item.target] = share
        if source_format not in self.highest:
            self._first = item.target

    def _drop(self, item: Item) -> _Share:
        if self._first == item.target:
            self._first = None
        return self._reserved.pop(item.target, _NOTHING)

    def _share(self, item: Item, source_format: str, cost: int, found: int) -> _Share:
        """Return what a file will add to the conversions taken, and to those paid."""
        total = max(self.least, self.highest.get(source_format, 0), cost)
        # What an earlier try paid is counted already, as far as the service still has it.
        return _Share(
            max(total - min(item.prepaid, found), 0),
            max(total - min(self._found.get(item.target, 0), found), 0),
        )

    def _fits(self, taken: int, due: int) -> bool:
        return (self.most is None or self.taken + taken <= self.most) and (
            self.balance is None or self.paid + due <= self.balance
        )

    def _exceeded(self, share: _Share) -> ConvertApiError:
        counted = (
            f"and the file is counted at {share.taken}, the most that one of its format has cost. "
            "What was converted is saved."
        )
        if self.most is not None and self.taken + share.taken > self.most:
            return BudgetExceededError(
                f"max_conversions={self.most} does not suffice for another file: {self.taken} were "
                f"taken or may be, {counted}"
            )
        return QuotaExhaustedError(
            f"The balance of {self.balance} conversion(s), read when the batch began, does not "
            f"cover another file: {self.paid} were paid since or may be, {counted}"
        )
