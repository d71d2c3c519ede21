"""What a user asked for with a batch, checked before anything is listed.

This module may change from release to release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.made import is_summary
from airflow_provider_convertapi.conversions.arguments import values_of
from airflow_provider_convertapi.conversions.checking import check_steps
from airflow_provider_convertapi.conversions.request import CheckedSettings, check_settings
from airflow_provider_convertapi.conversions.values import (
    choice,
    plain_text,
    seconds,
    to_number,
    wrong,
)
from airflow_provider_convertapi.storage import Destination

if TYPE_CHECKING:
    from airflow_provider_convertapi.batch.arguments import (
        BatchArguments,
        BatchOnQuota,
        OnCollision,
        OnEmpty,
        OnMissingOutput,
    )

_CHOICES = {
    "on_quota_exhausted": ("fail", "raise", "partial"),
    "on_collision": ("fail", "suffix"),
    "on_empty": ("succeed", "skip", "fail"),
    "on_missing_output": ("convert", "ignore"),
}
_MOST_IN_FLIGHT = 256


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts of a source, counted from 0; its budget is `most` conversions."""

    index: int
    count: int
    most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest(CheckedSettings):
    """A batch, checked; the fields are the operator's arguments of the same names.

    :param failures_allowed: share of the files that may fail, None for any number.
    """

    source: Any = field(repr=False)
    shard: Shard
    destination: Destination
    max_in_flight: int
    max_conversions: int | None
    failures_allowed: float | None
    on_collision: OnCollision
    on_quota_exhausted: BatchOnQuota
    on_empty: OnEmpty
    on_missing_output: OnMissingOutput
    min_age: float
    content_hash: bool
    retry_failed: bool
    defer_batch: int


def check_request(arguments: BatchArguments, *, find_step_files: bool = True) -> BatchRequest:
    """Check every argument; `ParameterError` names the wrong one and the remedy.

    :param find_step_files: False leaves the files of steps as the URIs they were given as.
    """
    given: Any = arguments
    for name, choices in _CHOICES.items():
        choice(name, getattr(given, name), choices)
    source, shard = _source(given.source)
    budget = _whole("max_conversions", given.max_conversions, least=0, optional=True)
    budgets = [most for most in (budget, shard.most) if most is not None]
    in_flight = _whole("max_in_flight", given.max_in_flight, least=1, most=_MOST_IN_FLIGHT)
    steps = check_steps(arguments.steps, find_files=find_step_files)
    return BatchRequest(
        **values_of(check_settings(arguments, steps), CheckedSettings),
        source=source,
        shard=shard,
        destination=_directory(given.destination),
        max_in_flight=in_flight or 1,
        max_conversions=min(budgets, default=None),
        failures_allowed=_failures_allowed(given.failure_policy),
        on_collision=given.on_collision,
        on_quota_exhausted=given.on_quota_exhausted,
        on_empty=given.on_empty,
        on_missing_output=given.on_missing_output,
        min_age=seconds("min_age", given.min_age, least=0),
        content_hash=bool(given.content_hash),
        retry_failed=bool(given.retry_failed),
        defer_batch=_whole("defer_batch", given.defer_batch, least=1) or 1,
    )


def _source(source: Any) -> tuple[Any, Shard]:
    """Return the source, and the shard of it that is meant."""
    if not isinstance(source, Mapping) or is_summary(source):
        return source, Shard(0, 1)
    if "source" not in source or not set(source) <= {"source", "shard", "max_conversions"}:
        raise wrong(
            "source",
            f"is a mapping of {', '.join(map(str, source)) or 'nothing'}; a shard is "
            "{'source': ..., 'shard': [i, n]}",
        )
    most = _whole("source['max_conversions']", source.get("max_conversions"), 0, optional=True)
    shard = source.get("shard", [0, 1])
    if not isinstance(shard, list | tuple) or len(shard) != 2:  # noqa: PLR2004 - which, of how many
        raise wrong("source['shard']", f"is {shard!r}; it must be [i, n]")
    count = _whole("source['shard'][1]", shard[1], least=1) or 1
    index = _whole("source['shard'][0]", shard[0], least=0, most=count - 1) or 0
    return source["source"], Shard(index, count, most)


def _directory(destination: object) -> Destination:
    text = plain_text("destination", destination)
    return Destination.parse(text if text.endswith("/") else f"{text}/")


def _whole(
    name: str, value: object, least: int, most: int | None = None, *, optional: bool = False
) -> int | None:
    if value is None and optional:
        return None
    number = to_number(value)
    above = most is not None and number is not None and number > most
    if number is None or number != int(number) or number < least or above:
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise wrong(name, f"is {value!r}; it must be a whole number {bounds}")
    return int(number)


def _failures_allowed(policy: object) -> float | None:
    if policy in {"any", "never"}:
        return 0.0 if policy == "any" else None
    share = to_number(policy)
    if share is None or not 0 <= share < 1:
        raise wrong(
            "failure_policy",
            f"is {policy!r}; it must be 'any' (fail when a file failed), 'never', or the share "
            "of files that may fail, such as 0.05",
        )
    return share
