"""The hook's arguments: the operators' names, with the operators' defaults.

This module may change from release to release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 - a type checker of users reads them
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_provider_convertapi.batch.arguments import (
    BatchArguments,
)
from airflow_provider_convertapi.conversions.arguments import (
    ConversionArguments,
)

if TYPE_CHECKING:
    from airflow_provider_convertapi.batch.arguments import (
        BatchOnQuota,
        FailurePolicy,
        OnCollision,
        OnEmpty,
        OnInsufficient,
        OnMissingOutput,
    )
    from airflow_provider_convertapi.conversions.arguments import (
        OnQuota,
        ResultCheck,
        Seconds,
        StepArguments,
    )


class _Keywords(TypedDict, total=False):
    from_format: str | None
    parameters: Mapping[str, Any] | None
    steps: Sequence[StepArguments] | None
    timeout: Seconds
    poll_interval: Seconds
    durable: bool
    conversion_key: str | None
    result_check: ResultCheck | None


class ConversionKeywords(_Keywords, total=False):
    """The arguments of `ConvertApiOperator` that have a default."""

    overwrite: bool | None
    on_quota_exhausted: OnQuota


class BatchKeywords(_Keywords, total=False):
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


_DEFAULTS: dict[str, Any] = {
    "from_format": None,
    "parameters": None,
    "steps": None,
    "timeout": 1800,
    "poll_interval": 10,
    "durable": True,
    "overwrite": None,
    "conversion_key": None,
    "result_check": None,
    "on_quota_exhausted": "fail",
}

_BATCH_DEFAULTS: dict[str, Any] = _DEFAULTS | {
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


def conversion_arguments(**given: Any) -> ConversionArguments:
    """Return the arguments of one conversion; `TypeError` for an unknown name."""
    return ConversionArguments(**_DEFAULTS | given)


def batch_arguments(**given: Any) -> BatchArguments:
    """Return the arguments of a batch; `TypeError` for an unknown name."""
    return BatchArguments(**_BATCH_DEFAULTS | given)
