"""A conversion, a batch or a plan in one call that waits for the end, as the hook makes it.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import extension_of
from airflow_provider_convertapi.batch.batch import Batch
from airflow_provider_convertapi.batch.made import MADE_NOTHING, with_outputs
from airflow_provider_convertapi.batch.request import check_request
from airflow_provider_convertapi.conversions.checking import check_conversion
from airflow_provider_convertapi.conversions.result import ConversionResult
from airflow_provider_convertapi.conversions.running import run
from airflow_provider_convertapi.storage import shown

if TYPE_CHECKING:
    from airflow_provider_convertapi.batch.arguments import BatchArguments
    from airflow_provider_convertapi.batch.plan import Plan
    from airflow_provider_convertapi.conversions.arguments import ConversionArguments
    from airflow_provider_convertapi.conversions.session import Session


def convert(session: Session, arguments: ConversionArguments) -> ConversionResult:
    """Run one conversion to its end; if its source is a batch that made nothing, do nothing."""
    given = with_outputs(arguments)
    if given is None:
        session.log.info(MADE_NOTHING)
        return ConversionResult([], cost=0, charged=0)
    return run(session, check_conversion(given))


def convert_batch(session: Session, arguments: BatchArguments) -> dict[str, Any]:
    """Run a batch to its end, and return its summary."""
    batch = Batch(session, check_request(arguments))
    plan = batch.plan(only=False)
    skip_if_empty(batch, plan)
    return batch.run(plan)


def skip_if_empty(batch: Batch, plan: Plan) -> None:
    """Raise `AirflowSkipException` if there are no files and the user wants that."""
    if not plan.source_files and batch.request.on_empty == "skip":
        from airflow_provider_convertapi.airflow_names import AirflowSkipException

        raise AirflowSkipException("source has no files, and on_empty='skip'.")


def plan(session: Session, arguments: BatchArguments) -> dict[str, Any]:
    """Return what a batch would do, or what one conversion would if the destination is a file."""
    place = str(arguments.destination)
    if extension_of(place) and not place.endswith("/"):
        return _plan_of_one(arguments)
    batch = Batch(session, check_request(arguments))
    return batch.preview(batch.plan(only=True))


def _plan_of_one(arguments: ConversionArguments) -> dict[str, Any]:
    totals = {"to_convert": 0, "reused": 0, "failed": 0, "least_cost": 0, "examples": []}
    given = with_outputs(arguments)
    if given is None:
        return totals
    checked = check_conversion(given)
    output = shown(checked.target.destination.uri)
    return totals | {
        "to_convert": 1,
        "least_cost": checked.least_cost,
        "examples": [{"source": checked.describe(), "output": output}],
    }
