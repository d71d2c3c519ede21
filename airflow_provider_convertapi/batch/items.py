"""The files that a batch converts, kept on disk and read in pieces, in order of their outputs.

This module may change from release to release.
"""

from __future__ import annotations

import json
import weakref
from collections import deque
from dataclasses import fields
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.decisions import Item
from airflow_provider_convertapi.batch.tables import open_database, pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SCHEMA = "CREATE TABLE items (target BLOB PRIMARY KEY, row TEXT, is_settled INT) WITHOUT ROWID;"
_AT_ONCE = 500


class Items:
    """The files to convert, in order of their outputs; a million take hardly any memory.

    Any thread may read them.  Settled files stay here, but `unsettled` leaves them out.
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._database = open_database(_SCHEMA)
        weakref.finalize(self, self._database.close)
        self._count = self._settled = 0
        self._least: dict[int, int] = {}
        self.extend(items)

    def extend(self, items: Iterable[Item]) -> None:
        """Add files; no two of them may have the same output."""
        rows = (
            (pack(item.target), json.dumps(as_row(item))) for item in map(self._count_in, items)
        )
        self._database.executemany("INSERT INTO items VALUES (?, ?, 0)", rows)

    def _count_in(self, item: Item) -> Item:
        self._count += 1
        self._least[item.prepaid] = self._least.get(item.prepaid, 0) + 1
        return item

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        return self._read("target > ?")

    def unsettled(self) -> Iterator[Item]:
        """Yield the files for which `settle` was not called."""
        return self._read("target > ? AND NOT is_settled")

    @property
    def unsettled_count(self) -> int:
        """Return how many files are unsettled."""
        return self._count - self._settled

    def settle(self, target: str) -> Item | None:
        """Mark the file of an output as settled and return it; None if no such file is left."""
        changed = self._database.execute(
            "UPDATE items SET is_settled = 1 WHERE target = ? AND NOT is_settled RETURNING row",
            (pack(target),),
        ).fetchall()
        self._settled += len(changed)
        return as_item(json.loads(changed[0][0])) if changed else None

    def least_cost(self, each: int) -> int:
        """Return the least number of conversions that all files still take.

        :param each: the least number of conversions that one file takes.
        """
        return sum(max(each - paid, 0) * count for paid, count in self._least.items())

    def _read(self, condition: str) -> Iterator[Item]:
        # In pieces, each with its own query, because files are settled while others are read.
        query = f"SELECT target, row FROM items WHERE {condition} ORDER BY target LIMIT {_AT_ONCE}"  # noqa: S608 - both are ours
        last = b""
        while rows := self._database.execute(query, (last,)).fetchall():
            yield from (as_item(json.loads(row)) for _, row in rows)
            last = rows[-1][0]


class ItemStream:
    """A counted stream of files that nothing was done for yet.

    :param count: how many there are.
    """

    def __init__(self, items: Iterable[Item] = (), count: int = 0) -> None:
        self._items = iter(items)
        self._put_back: deque[Item] = deque()
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        item = self._put_back.popleft() if self._put_back else next(self._items)
        self._count -= 1
        return item

    def put_back(self, items: Sequence[Item]) -> None:
        """Make these files the next ones of the stream."""
        self._put_back.extendleft(reversed(items))
        self._count += len(items)

    def take(self, most: int) -> list[Item]:
        """Return the next files, at most `most`."""
        return list(islice(self, most))


_values_of = attrgetter(*(one.name for one in fields(Item)))


def as_row(item: Item) -> list[Any]:
    """Return an item as a list of JSON values."""
    return list(_values_of(item))


def as_item(row: list[Any]) -> Item:
    """Return the item of a row; `TypeError` or `ValueError` if it is not one."""
    uri, target, fingerprint, seen, own, foreign, *rest = row
    return Item(uri, target, fingerprint, seen, tuple(own), tuple(foreign), *rest)
