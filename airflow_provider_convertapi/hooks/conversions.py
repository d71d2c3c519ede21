"""The conversions of the hook, which do what the operators do.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import extension_of
from airflow_provider_convertapi.batch.batch import Batch
from airflow_provider_convertapi.batch.made import with_outputs
from airflow_provider_convertapi.batch.request import check_request
from airflow_provider_convertapi.conversions.checking import check_conversion
from airflow_provider_convertapi.conversions.result import ConversionResult
from airflow_provider_convertapi.conversions.running import run
from airflow_provider_convertapi.conversions.secrets import secrets_in
from airflow_provider_convertapi.hooks.masking import mask
from airflow_provider_convertapi.storage import shown

if TYPE_CHECKING:
    from airflow_provider_convertapi.batch.arguments import BatchArguments
    from airflow_provider_convertapi.conversions.arguments import ConversionArguments
    from airflow_provider_convertapi.conversions.session import Session


def convert(session: Session, arguments: ConversionArguments) -> ConversionResult:
    """Run one conversion to its end; if its source is a batch that made nothing, do nothing."""
    _mask_secrets(arguments)
    source = with_outputs(arguments.source)
    if source is not arguments.source and not source:
        session.log.info("source is what a batch made, and it made nothing.")
        return ConversionResult([], cost=0, charged=0)
    return run(session, check_conversion(replace(arguments, source=source)))


def convert_batch(session: Session, arguments: BatchArguments) -> dict[str, Any]:
    """Run a batch to its end, and return its summary."""
    batch = _batch(session, arguments)
    plan = batch.plan(only=False)
    if not plan.source_files and batch.request.on_empty == "skip":
        from airflow_provider_convertapi.airflow_names import AirflowSkipException

        raise AirflowSkipException("source has no files, and on_empty='skip'.")
    return batch.run(plan)


def plan(session: Session, arguments: BatchArguments) -> dict[str, Any]:
    """Return what a batch would do, or what one conversion would if the destination is a file."""
    place = str(arguments.destination)
    if extension_of(place) and not place.endswith("/"):
        return _plan_of_one(arguments)
    batch = _batch(session, arguments)
    return batch.preview(batch.plan(only=True))


def _plan_of_one(arguments: ConversionArguments) -> dict[str, Any]:
    _mask_secrets(arguments)
    source = with_outputs(arguments.source)
    if source is not arguments.source and not source:  # as `convert`
        return {"to_convert": 0, "reused": 0, "failed": 0, "least_cost": 0, "examples": []}
    checked = check_conversion(replace(arguments, source=source))
    output = shown(checked.target.destination.uri)
    return {
        "to_convert": 1,
        "reused": 0,
        "failed": 0,
        "least_cost": checked.least_cost,
        "examples": [{"source": checked.describe(), "output": output}],
    }


def _batch(session: Session, arguments: BatchArguments) -> Batch:
    _mask_secrets(arguments)
    return Batch(session, check_request(arguments))


def _mask_secrets(arguments: ConversionArguments) -> None:
    given = arguments
    for secret in secrets_in(given.source, given.parameters, given.steps, given.destination):
        mask(secret)
