"""A task's lineage in OpenLineage's form; imported only if OpenLineage's provider is installed.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attr
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    RunFacet,
    input_statistics_input_dataset,
    output_statistics_output_dataset,
)

from airflow_provider_convertapi import __version__
from airflow_provider_convertapi.storage.datasets import datasets_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_convertapi.operators.lineage import Lineage

_REPOSITORY = "convertapi/airflow-provider-convertapi"
_PRODUCER = f"https://github.com/{_REPOSITORY}/tree/v{__version__}"
SCHEMA = "docs/openlineage/1-0-0/ConvertApiConversionRunFacet.json"
"""The schema's path in the repository; a change of the facet needs a new version of the schema."""

_MOST = 20
"""The most datasets of inputs, and of outputs; above that, directories stand for their files."""


@attr.define
class ConvertApiConversionRunFacet(RunFacet):
    """What one try of a task converted, and what that cost."""

    converters: list[str]
    parametersDigest: str  # noqa: N815 - as in OpenLineage
    deferrable: bool
    converted: int
    failed: int
    reused: int | None = None
    notAttempted: int | None = None  # noqa: N815 - as in OpenLineage
    cost: int | None = None
    charged: int | None = None
    manifest: str | None = None

    @staticmethod
    def _get_schema() -> str:
        name = ConvertApiConversionRunFacet.__name__
        return f"https://raw.githubusercontent.com/{_REPOSITORY}/main/{SCHEMA}#/$defs/{name}"


def operator_lineage(lineage: Lineage | None, *, deferrable: bool) -> OperatorLineage[Any, Any]:
    """Return what OpenLineage's extractor expects; empty if nothing was converted.

    :param deferrable: whether the task waits in the triggerer.
    """
    if lineage is None:
        return OperatorLineage()
    counts = lineage.counts
    fields: dict[str, Any] = {
        "converters": list(lineage.converters),
        "parametersDigest": lineage.digest,
        "deferrable": deferrable,
        "converted": counts["converted"],
        "failed": counts["failed"],
        "reused": counts.get("reused"),
        "notAttempted": counts.get("not_attempted"),
        "cost": lineage.cost,
        "charged": lineage.charged,
        "manifest": lineage.manifest,
        "producer": _PRODUCER,
    }
    return OperatorLineage(
        inputs=list(_inputs(lineage)),
        outputs=list(_outputs(lineage)),
        run_facets={"convertapi_conversion": ConvertApiConversionRunFacet(**fields)},
    )


def _inputs(lineage: Lineage) -> Iterator[InputDataset]:
    found = datasets_of(lineage.inputs, _MOST)
    for namespace, name in found:
        facets: dict[str, Any] = {}
        if len(found) == 1:  # with several datasets, the number of files in each is not known
            facets["inputStatistics"] = (
                input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                    fileCount=lineage.read, producer=_PRODUCER
                )
            )
        yield InputDataset(namespace, name, inputFacets=facets)


def _outputs(lineage: Lineage) -> Iterator[OutputDataset]:
    found = datasets_of(lineage.outputs, _MOST)
    are_files = len(found) == len(lineage.sizes) == lineage.written
    for index, (namespace, name) in enumerate(found):
        facets: dict[str, Any] = {}
        if are_files or len(found) == 1:
            size = lineage.sizes[index] if are_files else sum(lineage.sizes)
            facets["outputStatistics"] = (
                output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                    size=size, fileCount=1 if are_files else lineage.written, producer=_PRODUCER
                )
            )
        yield OutputDataset(namespace, name, outputFacets=facets)
