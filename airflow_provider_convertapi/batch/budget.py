"""The budget of a task instance, checked right before each paid request.

Two limits apply at once: the user's (`max_conversions`), and the account's balance.

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


# Not an `Exception`: no handler on the way to the pool may take it for a failure of the file.
class PostponedError(BaseException):
    """The budget has no room for the file until another file has ended; it has to wait."""


class _Share(NamedTuple):
    """What a running file adds to the conversions taken, and to those paid in this try."""

    taken: int
    due: int


_NOTHING = _Share(0, 0)


@dataclass(slots=True)
class Budget:
    """Conversions that a task instance may take, over all its tries; it is thread-safe.

    A file's cost is known only when it is done.  Until then it is counted at the highest cost seen
    for its source format, in the manifest or in this batch.  While there is no such cost, one file
    is converted alone.

    :param most: `max_conversions`; None for no limit.
    :param least: the least number of conversions that one file takes.
    :param taken: conversions that were taken before.
    :param highest: the highest cost seen, by source format.
    :param balance: conversions that the account had left when this try began; None if they are not
        a limit.
    :param paid: conversions that were paid since then.
    """

    most: int | None
    least: int
    taken: int
    highest: dict[str, int]
    balance: int | None = None
    paid: int = 0
    _reserved: dict[str, _Share] = field(default_factory=dict, init=False)
    """The shares of the running files, by output."""
    _found: dict[str, int] = field(default_factory=dict, init=False)
    """Conversions of them that were paid before, by output: the balance does not include them."""
    _first: str | None = field(default=None, init=False)
    """The output of the running file that will show what its format costs."""
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def is_bounded(self) -> bool:
        """Tell whether there is any limit."""
        return self.most is not None or self.balance is not None

    def expect(self, item: Item, source_format: str, found: int) -> None:
        """Count a file whose jobs run at the service.

        :param found: conversions of it that an earlier try paid.
        """
        with self._lock:
            self._note(item, source_format, self._share(item, source_format, 0, found))

    def count(self, item: Item, cost: int) -> None:
        """Count conversions of a file that the service has done already."""
        with self._lock:
            self._found[item.target] = cost
            share = self._reserved.get(item.target, _NOTHING)
            share = share._replace(taken=max(share.taken, cost - item.prepaid))
            if share.taken:
                self._reserved[item.target] = share

    def reserve(self, item: Item, source_format: str, cost: int, charged: int) -> None:
        """Reserve a file's cost, right before each of its paid requests.

        `PostponedError` if other files have to end first.  If even that would not suffice,
        `BudgetExceededError` for `max_conversions`, `QuotaExhaustedError` for the balance.

        :param cost: its cost so far, of which this try paid `charged`.
        """
        if not self.is_bounded:
            return
        with self._lock:
            # Dropped even if the file then has to wait: with what waiting files hold, the others
            # might never fit.
            own = self._drop(item)
            share = self._share(item, source_format, cost + 1, cost - charged)
            others = self._reserved.values()
            fits = self._fits(
                sum(one.taken for one in others) + share.taken,
                sum(one.due for one in others) + share.due,
            )
            # A file that has begun cannot wait, because others may be waiting for it.
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
        """Count the cost of a file that has ended.

        :param cost: its total cost, of which this try paid `charged`.
        :param learned: the cost of a file of its format; 0 if this one does not show it.
        :param goes_on: whether its job still runs, so that it may cost more.
        """
        with self._lock:
            # The actual cost replaces the reservation; earlier tries may have paid a part of it.
            taken = item.newly_taken(cost, charged)
            due = cost - min(self._found.pop(item.target, 0), cost - charged)
            share = self._drop(item)
            self.taken += max(taken, share.taken) if goes_on else taken
            self.paid += max(due, share.due) if goes_on else due
            if learned:
                self.highest[source_format] = max(self.highest.get(source_format, 0), learned)

    def release(self, item: Item) -> None:
        """Drop the reservation of a file that is not finished."""
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
        # Conversions that an earlier try paid are counted already, if the service still has them.
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
