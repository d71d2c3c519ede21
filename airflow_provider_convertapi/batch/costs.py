"""Report what batches paid by day, DAG and pair of formats, from their records.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_convertapi.batch.tables import pack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_convertapi.batch.record import Record

UNKNOWN = "unknown"
"""Stands for a value that a record does not have, or for a DAG outside of tasks."""


class Costs(NamedTuple):
    """A line of the report.

    :param day: UTC day at which it was recorded, as ISO 8601.
    :param files: number of paid records of files; `failed` of them have no result.
    :param conversions: the number that was paid, or may have been.
    """

    day: str
    dag_id: str
    from_format: str
    to_format: str
    files: int
    failed: int
    conversions: int


_Key = tuple[str, str, str, str]
_DIGEST = 16


def costs_of(records: Iterable[Record]) -> list[Costs]:
    """Add up what batches paid; return the sums in order of days.

    A conversion counts where the try that paid for it recorded it.  If that try was stopped before
    that, it counts where another try recorded its result.  A record that comes twice, as it may
    while a manifest is compacted, counts once.
    """
    seen: set[bytes] = set()
    sums: defaultdict[_Key, list[int]] = defaultdict(lambda: [0, 0, 0])
    # By attempt: of a conversion that was made twice, each attempt was paid.
    charged: Counter[bytes] = Counter()
    found: dict[bytes, Record] = {}
    for record in records:
        if not (record.charged or record.cost) or _is_known(record, seen):
            continue
        attempt = _digest(b"%b %d %b" % (record.match, record.attempt, pack(record.target)))
        if record.charged:
            charged[attempt] += record.charged
            _add(sums, record, record.charged, files=1)
        known = found.get(attempt)
        is_more = known is None or (record.cost, known.when) > (known.cost, record.when)
        if is_more and record.cost > record.charged:
            found[attempt] = record
    for attempt, record in found.items():
        if (unrecorded := record.cost - charged[attempt]) > 0:
            _add(sums, record, unrecorded, files=int(not record.charged))
    return [Costs(*key, *sums[key]) for key in sorted(sums)]


def _is_known(record: Record, seen: set[bytes]) -> bool:
    digest = _digest(record.to_line())
    is_known = digest in seen
    seen.add(digest)
    return is_known


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


def _add(sums: defaultdict[_Key, list[int]], record: Record, paid: int, *, files: int) -> None:
    pair = record.from_format or UNKNOWN, record.to_format
    line = sums[record.when[:10], record.dag_id or UNKNOWN, *pair]
    line[0] += files
    line[1] += files * (record.outcome != "converted")
    line[2] += paid
