"""What a task instance may still pay for: decided right before each paid request.

This module may change from release to release.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.errors import BudgetExceededError

if TYPE_CHECKING:
    from airflow_provider_convertapi.batch.decisions import Item


class PostponedError(BaseException):
    """What the file may cost is not free before another one has ended; it has to wait for that."""


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
    """

    most: int | None
    least: int
    taken: int
    highest: dict[str, int]
    _reserved: dict[str, int] = field(default_factory=dict, init=False)
    """What the files under way will take, by output."""
    _first: str | None = field(default=None, init=False)
    """The output of the file under way that tells what its format costs."""
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def expect(self, item: Item, source_format: str, found: int) -> None:
        """Count a file whose jobs run at the service.

        :param found: conversions of it that an earlier try paid.
        """
        with self._lock:
            self._note(item, source_format, self._share(item, source_format, 0, found))

    def count(self, item: Item, cost: int) -> None:
        """Count what the service had of a file already."""
        with self._lock:
            share = max(self._reserved.get(item.target, 0), cost - item.prepaid)
            if share:
                self._reserved[item.target] = share

    def reserve(self, item: Item, source_format: str, cost: int, charged: int) -> None:
        """Reserve what a file will take, right before each of its paid requests.

        `PostponedError` where others have to end first, `BudgetExceededError` where even that would
        not suffice.

        :param cost: what it has taken so far, of which `charged` were paid here.
        """
        if self.most is None:
            return
        with self._lock:
            own = self._drop(item)
            share = self._share(item, source_format, cost + 1, cost - charged)
            fits = self._fits(sum(self._reserved.values()) + share)
            # A file that has begun cannot wait, since others may be waiting for it.
            if not self._fits(share) or (cost and not fits):
                raise self._exceeded(share)
            is_known = source_format in self.highest and self._first is None
            may_join = is_known or cost or own or not self._reserved
            if not (fits and may_join):
                raise PostponedError
            self._note(item, source_format, share)

    def settle(
        self, item: Item, source_format: str, taken: int, *, learned: int = 0, goes_on: bool = False
    ) -> None:
        """Count what a file took, now that it has ended.

        :param learned: what such a file costs; 0 where this one does not tell.
        :param goes_on: whether its job has not ended, so that it may still take more.
        """
        with self._lock:
            share = self._drop(item)
            self.taken += max(taken, share) if goes_on else taken
            if learned:
                self.highest[source_format] = max(self.highest.get(source_format, 0), learned)

    def release(self, item: Item) -> None:
        """Forget a file that is left undone."""
        with self._lock:
            self._drop(item)

    def _note(self, item: Item, source_format: str, share: int) -> None:
        self._reserved[item.target] = share
        if source_format not in self.highest:
            self._first = item.target

    def _drop(self, item: Item) -> int:
        if self._first == item.target:
            self._first = None
        return self._reserved.pop(item.target, 0)

    def _share(self, item: Item, source_format: str, cost: int, found: int) -> int:
        """Return what a file will add to the conversions taken."""
        total = max(self.least, self.highest.get(source_format, 0), cost)
        # What an earlier try paid is counted already, as far as the service still has it.
        return max(total - min(item.prepaid, found), 0)

    def _fits(self, more: int) -> bool:
        return self.most is None or self.taken + more <= self.most

    def _exceeded(self, share: int) -> BudgetExceededError:
        return BudgetExceededError(
            f"max_conversions={self.most} does not suffice for another file: {self.taken} were "
            f"taken or may be, and the file is counted at {share}, the most that one of its format "
            "has cost. What was converted is saved."
        )
