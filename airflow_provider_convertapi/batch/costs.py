"""What batches paid, by day, DAG and pair of formats, as their records tell.

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
"""Stands for what a record does not tell; a DAG, where there was none."""


class Costs(NamedTuple):
    """A line of the report.

    :param day: UTC day at which it was recorded, as ISO 8601.
    :param files: records of a file that was paid for, once for each time; `failed` of them have no
        result.
    :param conversions: what was paid, or may have been.
    """

    day: str
    dag_id: str
    from_format: str
    to_format: str
    files: int
    failed: int
    conversions: int


def costs_of(records: Iterable[Record]) -> list[Costs]:
    """Add up what the records say was paid by the try that wrote them, in order of days.

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
