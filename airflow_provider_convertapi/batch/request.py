"""The checked arguments of a batch, before anything is listed.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.options import BATCH_OPTIONS, source_and_shard
from airflow_provider_convertapi.configuration import load_catalogue
from airflow_provider_convertapi.conversions.arguments import values_of
from airflow_provider_convertapi.conversions.catalogued import check_catalogue
from airflow_provider_convertapi.conversions.checking import check_steps, steps_given
from airflow_provider_convertapi.conversions.request import CheckedSettings, check_settings
from airflow_provider_convertapi.conversions.values import plain_text
from airflow_provider_convertapi.storage import Destination

if TYPE_CHECKING:
    from airflow_provider_convertapi.batch.arguments import (
        BatchArguments,
        BatchOnQuota,
        OnCollision,
        OnEmpty,
        OnInsufficient,
        OnMissingOutput,
    )
    from airflow_provider_convertapi.batch.options import Shard

_AS_CHECKED = (
    *("max_in_flight", "on_collision", "on_quota_exhausted", "on_empty", "on_missing_output"),
    *("on_insufficient", "min_age", "content_hash", "retry_failed", "defer_batch"),
)
"""The fields of a request that are the checked arguments themselves."""


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
    on_insufficient: OnInsufficient | None
    on_missing_output: OnMissingOutput
    min_age: float
    content_hash: bool
    retry_failed: bool
    defer_batch: int


def check_request(arguments: BatchArguments, *, find_step_files: bool = True) -> BatchRequest:
    """Check every argument; `ParameterError` names the wrong one and the remedy.

    :param find_step_files: False, for a batch that resumes, leaves the files of steps as the URIs
        they were given as, and asks the catalogue nothing.
    """
    load_catalogue()
    given = values_of(arguments, type(arguments))
    checked = {name: BATCH_OPTIONS.check(name, value) for name, value in given.items()}
    source, shard = source_and_shard(given["source"])
    budgets = [most for most in (checked["max_conversions"], shard.most) if most is not None]
    if find_step_files:
        _check_catalogue(arguments)
    steps = check_steps(arguments.steps, find_files=find_step_files)
    return BatchRequest(
        **values_of(check_settings(arguments, steps), CheckedSettings),
        source=source,
        shard=shard,
        destination=_directory(given["destination"]),
        failures_allowed=checked["failure_policy"],
        **{name: checked[name] for name in _AS_CHECKED},
        max_conversions=min(budgets, default=None),
    )


def _check_catalogue(arguments: BatchArguments) -> None:
    """Raise an error if no converter for the batch's files takes the arguments."""
    steps = check_steps(arguments.steps, find_files=False)
    settings = check_settings(arguments, steps)
    origins = None if settings.from_format is None else [settings.from_format]
    given = arguments.parameters or {}
    check_catalogue(origins, settings.to_format, given, steps_given(steps))


def _directory(destination: object) -> Destination:
    text = plain_text("destination", destination)
    return Destination.parse(text if text.endswith("/") else f"{text}/")
