"""The arguments of a batch as the user gave them.

This module may change from release to release.  A DAG file that declares an operator imports it, so
it imports nothing else of this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_convertapi.conversions.arguments import (
    DEFAULTS,
    ConversionArguments,
    SharedKeywords,
    SourceArgument,
)

if TYPE_CHECKING:
    from airflow_provider_convertapi.conversions.arguments import Seconds

BatchOnQuota = Literal["fail", "raise", "partial"]
OnCollision = Literal["fail", "suffix"]
OnEmpty = Literal["succeed", "skip", "fail"]
OnInsufficient = Literal["fail", "skip", "partial"]
OnMissingOutput = Literal["convert", "ignore"]
FailurePolicy = Literal["any", "never"] | float

BatchSource = SourceArgument | Mapping[str, Any]
"""A directory, a glob, a list, or a shard of any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchArguments(ConversionArguments):
    """The arguments of a batch; `ConvertApiBatchOperator` documents each of them."""

    max_in_flight: int
    max_conversions: int | None
    on_insufficient: OnInsufficient | None
    failure_policy: FailurePolicy
    on_collision: OnCollision
    defer_batch: int
    retry_failed: bool
    min_age: Seconds
    on_empty: OnEmpty
    on_missing_output: OnMissingOutput
    content_hash: bool


class BatchKeywords(SharedKeywords, total=False):
    """The arguments of `ConvertApiBatchOperator` that have a default."""

    overwrite: bool
    on_quota_exhausted: BatchOnQuota
    max_in_flight: int
    max_conversions: int | None
    on_insufficient: OnInsufficient | None
    failure_policy: FailurePolicy
    on_collision: OnCollision
    retry_failed: bool
    min_age: Seconds
    on_empty: OnEmpty
    on_missing_output: OnMissingOutput
    content_hash: bool


_BATCH_DEFAULTS: dict[str, Any] = DEFAULTS | {
    "overwrite": False,
    "max_in_flight": 4,
    "max_conversions": None,
    "on_insufficient": None,
    "failure_policy": "any",
    "on_collision": "fail",
    "defer_batch": 500,
    "retry_failed": False,
    "min_age": 0,
    "on_empty": "succeed",
    "on_missing_output": "convert",
    "content_hash": False,
}


def batch_arguments(**given: Any) -> BatchArguments:
    """Return the arguments of a batch; `TypeError` for an unknown name."""
    return BatchArguments(**_BATCH_DEFAULTS | given)
