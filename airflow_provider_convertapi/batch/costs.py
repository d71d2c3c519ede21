"""Report what batches paid by day, DAG and pair of formats, from their records.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_convertapi.batch.tables import pack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_convertapi.batch.record import Record

_Key = tuple[str, str, str, str]
"""Day, DAG, source format and target format."""

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


def costs_of(records: Iterable[Record]) -> list[Costs]:
    """Add up what all tries paid; return the sums in order of days.

    A try that is killed leaves no record of what it paid.  But the record of the try that collects
    the conversion says what that cost in all, so the difference counts there.  A record that comes
    twice, as it may while a manifest is compacted, counts once.
    """
    seen: set[bytes] = set()
    files: Counter[_Key] = Counter()
    failed, paid = files.copy(), files.copy()
    charged: Counter[bytes] = Counter()
    collected: dict[bytes, Record] = {}
    for record in records:
        if not (record.charged or record.cost):
            continue
        digest = hashlib.blake2b(record.to_line(), digest_size=16).digest()
        if digest in seen:
            continue
        seen.add(digest)
        key, conversion = _key_of(record), pack(record.target) + record.match
        charged[conversion] += record.charged
        if record.charged < record.cost:
            other = collected.setdefault(conversion, record)
            collected[conversion] = min(record, other, key=lambda one: (-one.cost, one.when))
        if record.charged:
            files[key] += 1
            failed[key] += record.outcome != "converted"
            paid[key] += record.charged
    for conversion, record in collected.items():
        unrecorded, key = record.cost - charged[conversion], _key_of(record)
        if unrecorded > 0:
            files[key] += not record.charged
            failed[key] += not record.charged and record.outcome != "converted"
            paid[key] += unrecorded
    return [Costs(*key, files[key], failed[key], paid[key]) for key in sorted(files)]


def _key_of(record: Record) -> _Key:
    pair = record.from_format or UNKNOWN, record.to_format
    return record.when[:10], record.dag_id or UNKNOWN, *pair
