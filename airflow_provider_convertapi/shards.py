"""Divide a source into shards, over which a batch is mapped."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

__all__ = ["find_shards"]

DEFAULT_SIZE = 1000


def find_shards(
    source: Any,
    *,
    files_per_shard: int = DEFAULT_SIZE,
    most_shards: int | None = None,
    max_conversions: int | None = None,
) -> list[dict[str, Any]]:
    """List a source and return the shards to map a batch over; call it in a ``@task``.

    Each is a `source` for `ConvertApiBatchOperator.expand`.

    A file's shard depends only on its path, so shards may move between workers, and their number
    may change from run to run: the manifest still knows each file.  An empty source is one shard,
    whose batch does what its `on_empty` says.

    :param source: a directory, a glob or a list, as the batch takes it.
    :param files_per_shard: about how many files each shard has; this decides the number of shards.
    :param most_shards: the most shards; never more than Airflow's ``[core] max_map_length``.
    :param max_conversions: a budget for all shards, divided in proportion to their files; None for
        no limit.
    """
    from airflow_provider_convertapi.airflow_names import conf  # noqa: PLC0415 - in a task, where it is loaded
    from airflow_provider_convertapi.batch.inputs import list_paths  # noqa: PLC0415 - as above
    from airflow_provider_convertapi.batch.names import shard_number  # noqa: PLC0415 - as above
    from airflow_provider_convertapi.conversions.values import whole  # noqa: PLC0415 - as above
    from airflow_provider_convertapi.failures import explicit_failures  # noqa: PLC0415 - as above

    numbers, uris = array("Q"), []  # numbers, not names: a directory may have a million files
    with explicit_failures():
        size = whole("files_per_shard", files_per_shard, least=1) or 1
        most = whole("most_shards", most_shards, least=1, optional=True)
        budget = whole("max_conversions", max_conversions, least=0, optional=True)
        for path, uri in list_paths(source):
            numbers.append(shard_number(path))
            if uri is not None:
                uris.append(uri)
    # Airflow fails a task whose XCom is longer than this and is mapped over; the fallback is its
    # default (`max_map_length` in airflow/config_templates/config.yml).
    limit = conf.getint("core", "max_map_length", fallback=1024)
    count = max(1, min(-(-len(numbers) // size), most or limit, limit))
    indexes = array("Q", (number % count for number in numbers))
    parts = _parts(source, uris, indexes, count)
    if budget is not None:
        budgets = _divided(budget, [files for _, files in parts])
        for (shard, _), share in zip(parts, budgets, strict=True):
            shard["max_conversions"] = share
    return [shard for shard, _ in parts]


def _parts(
    source: Any, uris: list[str], indexes: array[int], count: int
) -> list[tuple[dict[str, Any], int]]:
    """Return the shards, each with its number of files.

    :param uris: the files that a list names; all of the files if the source is such a list.
    :param indexes: the shard of each file.
    """
    if uris and len(uris) == len(indexes):
        # Each shard gets only its part of a list, because Airflow stores the result as an XCom.
        members: dict[int, list[str]] = {index: [] for index in sorted(set(indexes))}
        for index, uri in zip(indexes, uris, strict=True):
            members[index].append(uri)
        return [({"source": part, "shard": [0, 1]}, len(part)) for part in members.values()]
    sizes = Counter(indexes)
    return [({"source": source, "shard": [index, count]}, sizes[index]) for index in range(count)]


def _divided(budget: int, sizes: list[int]) -> list[int]:
    """Divide a whole number in proportion; the first shares get the remainder of rounding."""
    weights = sizes if sum(sizes) else [1] * len(sizes)
    shares = [budget * size // sum(weights) for size in weights]
    for index in range(budget - sum(shares)):
        shares[index] += 1
    return shares
