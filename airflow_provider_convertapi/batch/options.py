"""Check the arguments of a batch that can be checked alone.

This module may change from release to release.  It is loaded when a DAG file is parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_convertapi.api.parameters import in_message
from airflow_provider_convertapi.batch.arguments import (
    BatchOnQuota,
    OnCollision,
    OnEmpty,
    OnInsufficient,
    OnMissingOutput,
)
from airflow_provider_convertapi.conversions.values import (
    OPTIONS,
    Options,
    choice,
    flag,
    is_summary,
    seconds,
    to_number,
    whole,
    wrong,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_IN_FLIGHT = 256
_MOST_OF_A_WAVE = 1_000_000
_OF_A_SHARD = frozenset({"source", "shard", "max_conversions"})


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts of a source, counted from 0.

    :param most: the most conversions that the part may take; None for no limit.
    """

    index: int
    count: int
    most: int | None = None


def source_and_shard(source: Any) -> tuple[Any, Shard]:
    """Return the source, and the shard of it that the argument names."""
    if not isinstance(source, Mapping) or is_summary(source):
        return source, Shard(0, 1)
    if "source" not in source or not set(source) <= _OF_A_SHARD:
        raise wrong(
            "source",
            f"is a mapping of {', '.join(map(str, source)) or 'nothing'}; a shard is "
            "{'source': ..., 'shard': [i, n]}",
        )
    most = whole("source['max_conversions']", source.get("max_conversions"), 0, optional=True)
    shard = source.get("shard", [0, 1])
    if not isinstance(shard, list | tuple) or len(shard) != 2:  # noqa: PLR2004 - which, of how many
        raise wrong("source['shard']", f"is {in_message(shard)}; it must be [i, n]")
    count = whole("source['shard'][1]", shard[1], least=1) or 1
    index = whole("source['shard'][0]", shard[0], least=0, most=count - 1) or 0
    return source["source"], Shard(index, count, most)


def failures_allowed(policy: object) -> float | None:
    """Return the share of files that may fail, None for any number."""
    if isinstance(policy, str) and policy in {"any", "never"}:
        return 0.0 if policy == "any" else None
    share = to_number(policy)
    if share is None or not 0 <= share < 1:
        raise wrong(
            "failure_policy",
            f"is {in_message(policy)}; it must be 'any' (fail when a file failed), 'never', or the "
            "share of files that may fail, such as 0.05",
        )
    return share


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    **OPTIONS.checks,
    "on_quota_exhausted": partial(choice, "on_quota_exhausted", choices=get_args(BatchOnQuota)),
    "on_collision": partial(choice, "on_collision", choices=get_args(OnCollision)),
    "on_empty": partial(choice, "on_empty", choices=get_args(OnEmpty)),
    "on_insufficient": partial(
        choice, "on_insufficient", choices=(*get_args(OnInsufficient), None)
    ),
    "on_missing_output": partial(choice, "on_missing_output", choices=get_args(OnMissingOutput)),
    "overwrite": partial(flag, "overwrite"),
    "content_hash": partial(flag, "content_hash"),
    "retry_failed": partial(flag, "retry_failed"),
    "max_in_flight": partial(whole, "max_in_flight", least=1, most=_MOST_IN_FLIGHT),
    "max_conversions": partial(whole, "max_conversions", least=0, optional=True),
    "defer_batch": partial(whole, "defer_batch", least=1, most=_MOST_OF_A_WAVE),
    "failure_policy": failures_allowed,
    "min_age": partial(seconds, "min_age", least=0),
}
BATCH_OPTIONS = Options(_CHECKS)
"""The arguments of a batch."""
