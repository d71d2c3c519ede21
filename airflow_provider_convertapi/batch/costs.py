"""Report what batches paid by day, DAG and pair of formats, from their records.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

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


def costs_of(records: Iterable[Record]) -> list[Costs]:
    """Add up what each record's own try paid; return the sums in order of days.

    A record that comes twice, as it may while a manifest is compacted, counts once.
    """
    seen: set[bytes] = set()
    files: Counter[tuple[str, str, str, str]] = Counter()
    failed, paid = files.copy(), files.copy()
    for record in records:
        if not record.charged:
            continue
        digest = hashlib.blake2b(record.to_line(), digest_size=16).digest()
        if digest in seen:
            continue
        seen.add(digest)
        pair = record.from_format or UNKNOWN, record.to_format
        key = record.when[:10], record.dag_id or UNKNOWN, *pair
        files[key] += 1
        failed[key] += record.outcome != "converted"
        paid[key] += record.charged
    return [Costs(*key, files[key], failed[key], paid[key]) for key in sorted(files)]
