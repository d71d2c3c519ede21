"""Count what a task instance was charged over all its tries, each conversion once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.retry import RETENTION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_convertapi.batch.record import Record

_FOR_NOTHING = frozenset({"ConversionError", "TransientConversionError", "ResultLostError"})
"""Errors of which one conversion has nothing to show."""


@dataclass(slots=True)
class _File:
    """What a file's conversion took.

    :param charged: conversions, in all tries together.
    :param most: the highest cost of a record: who collects what a killed try paid for says so.
    :param kept: conversions whose results the next try finds.
    """

    charged: int = 0
    most: int = 0
    kept: int = 0


@dataclass(slots=True)
class Spending:
    """What the records of one task instance say that it took from the balance.

    A try names the whole cost of what it ends, also what an earlier one had paid of it.
    """

    _files: dict[tuple[str, bytes], _File] = field(default_factory=dict, init=False)

    @property
    def total(self) -> int:
        """Return the conversions."""
        return sum(max(file.charged, file.most) for file in self._files.values())

    def add(self, record: Record) -> None:
        """Count a record of the task instance; each is to be given once, in any order."""
        if not (record.cost or record.charged):
            return
        file = self._files.setdefault((record.target, record.match), _File())
        file.charged += record.charged
        file.most = max(file.most, record.cost)
        if datetime.fromisoformat(record.when) > datetime.now(UTC) - RETENTION:
            file.kept = max(file.kept, record.cost - (record.error in _FOR_NOTHING))

    def kept(self, target: str, matches: Iterable[bytes]) -> int:
        """Return the conversions of a file that were paid and that the next try finds done.

        :param matches: what records of its conversion may be known by.
        """
        files = [self._files.get((target, match)) for match in matches]
        return max((file.kept for file in files if file), default=0)
