"""Divide a source into shards, over which a batch is mapped."""

from __future__ import annotations

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
    """Look at a source and return the shards to map a batch over; use it in a ``@task``.

    A file belongs to a shard by its path alone, so shards may move between workers, and their
    number may change from run to run: the manifest knows each file all the same.  An empty source
    is one shard, whose batch does what its `on_empty` says.

    :param source: a directory, a glob or a list, as the batch takes it.
    :param files_per_shard: about how many files a shard has; the shards are as many as that needs.
    :param most_shards: the most shards; never more than Airflow's ``[core] max_map_length``.
    :param max_conversions: a budget for all shards, divided by their files; None for none.

    Each is a `source` for `ConvertApiBatchOperator.expand`.
    """
    from airflow.providers.common.compat.sdk import conf  # noqa: PLC0415 - in a task, where it is loaded

    from airflow_provider_convertapi.batch.inputs import list_paths  # noqa: PLC0415 - as above
    from airflow_provider_convertapi.batch.names import shard_of  # noqa: PLC0415 - as above
    from airflow_provider_convertapi.failures import explicit_failures  # noqa: PLC0415 - as above

    with explicit_failures():
        paths = list(list_paths(source))
    limit = conf.getint("core", "max_map_length", fallback=1024)
    limit = min(most_shards or limit, limit)
    count = max(1, min(-(-len(paths) // max(files_per_shard, 1)), limit))
    members: list[list[str | None]] = [[] for _ in range(count)]
    shards: list[dict[str, Any]]
    for path, uri in paths:
        members[shard_of(path, count)].append(uri)
    if paths and all(uri for _, uri in paths):
        # Of a list each shard has its own part: Airflow stores what is returned here.
        members = [uris for uris in members if uris]
        shards = [{"source": uris, "shard": [0, 1]} for uris in members]
    else:
        shards = [{"source": source, "shard": [index, count]} for index in range(count)]
    if max_conversions is not None:
        budgets = _divided(max_conversions, [len(uris) for uris in members])
        for shard, most in zip(shards, budgets, strict=True):
            shard["max_conversions"] = most
    return shards


def _divided(budget: int, sizes: list[int]) -> list[int]:
    """Divide a whole number in proportion, without loss: what rounding leaves goes to the first."""
    weights = sizes if sum(sizes) else [1] * len(sizes)
    shares = [budget * size // sum(weights) for size in weights]
    for index in range(budget - sum(shares)):
        shares[index] += 1
    return shares
