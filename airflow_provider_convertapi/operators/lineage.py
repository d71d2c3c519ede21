"""What a task read, wrote and paid, for OpenLineage and for the events of assets.

This module may change from release to release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.made import root_of
from airflow_provider_convertapi.batch.manifest import StateDirectory
from airflow_provider_convertapi.conversions.checking import what_is_asked
from airflow_provider_convertapi.conversions.request import uri_of
from airflow_provider_convertapi.conversions.steps import converters_of
from airflow_provider_convertapi.conversions.values import flatten, plain_text
from airflow_provider_convertapi.storage import is_url
from airflow_provider_convertapi.storage.listing import listed_from

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_convertapi.batch.batch import Batch
    from airflow_provider_convertapi.conversions.arguments import ConversionArguments
    from airflow_provider_convertapi.conversions.request import CheckedConversion, Step
    from airflow_provider_convertapi.conversions.result import ConversionResult
    from airflow_provider_convertapi.conversions.session import Session

_DIGEST_LENGTH = 16

_ANY = "*"
"""Stands for the source format if each file has its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What one try of a task did; it holds no job id, and no secret except those in its URIs.

    :param converters: one for each step, as ConvertAPI calls them: ``docx/to/pdf``.
    :param inputs: URIs of files, or of the directories that a batch listed; `read` counts files.
    :param outputs: URIs of files, or of a batch's destination; `sizes` are the bytes of each.
    :param written: number of files that were written.
    :param counts: how many files were converted, reused, failed or not attempted.
    :param cost: conversions that it took; `charged` are those that this try paid for. Both are None
        after a failure, whose error states the cost.
    :param digest: keyed digest of parameters and steps, to tell whether they have changed.
    :param manifest: URI of a batch's manifest, in a form that may be shown.
    """

    converters: tuple[str, ...]
    inputs: tuple[str, ...]
    read: int
    outputs: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    written: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    cost: int | None = None
    charged: int | None = None
    digest: str = ""
    manifest: str | None = None

    def extra(self) -> dict[str, Any]:
        """Return the extra of an asset's event, which Airflow stores in clear text."""
        found = {
            "converter": ", ".join(self.converters),
            **self.counts,
            "outputs": self.written,
            "cost": self.cost,
            "charged": self.charged,
            "manifest": self.manifest,
        }
        return {name: value for name, value in found.items() if value is not None}


def digest_of(session: Session, arguments: ConversionArguments) -> str:
    """Return a digest of parameters and steps, keyed with the connection's secret."""
    asked = what_is_asked(arguments)
    parameters = {name: asked[name] for name in ("plain", "files", "timeout", "steps")}
    return session.digest_of(parameters)[:_DIGEST_LENGTH]


def of_conversion(
    conversion: CheckedConversion, digest: str, result: ConversionResult | None
) -> Lineage:
    """Return the lineage of one conversion.

    :param result: None if it has not succeeded.
    """
    inputs = [uri for request in conversion.requests for uri in request.input_uris]
    inputs += _files_of(conversion.steps)
    made = Lineage(
        converters=tuple(converters_of(*_first(conversion), conversion.steps)),
        inputs=tuple(dict.fromkeys(inputs)),
        read=len(inputs),
        digest=digest,
        counts={"converted": int(result is not None), "failed": int(result is None)},
    )
    if result is None:
        return made
    return replace(
        made,
        outputs=tuple(result.outputs),
        sizes=result.sizes,
        written=len(result.outputs),
        cost=result.cost,
        charged=result.charged,
    )


def of_batch(batch: Batch, digest: str) -> Lineage | None:
    """Return the lineage of a batch so far; None before it runs."""
    summary, request = batch.summary, batch.request
    if summary is None:
        return None
    inputs = [*_roots(request.source), *request.files.values(), *_files_of(request.steps)]
    first = (request.from_format or _ANY, request.to_format, request.plain)
    return Lineage(
        converters=tuple(converters_of(*first, request.steps)),
        inputs=tuple(dict.fromkeys(inputs)),
        read=summary.total,
        outputs=(request.destination.uri,),
        sizes=(summary.written,),
        written=summary.outputs,
        counts={
            "converted": summary.converted,
            "reused": summary.reused,
            "failed": summary.failed,
            "not_attempted": summary.not_attempted,
        },
        cost=summary.cost,
        charged=summary.cost,
        digest=digest,
        manifest=str(StateDirectory.beside(request.destination.uri).manifest.files),
    )


def _first(conversion: CheckedConversion) -> tuple[str, str, Mapping[str, str]]:
    first = conversion.requests[0]
    return first.source_format, first.target_format, first.parameters


def _files_of(steps: Sequence[Step]) -> list[str]:
    return [uri_of(file) for step in steps for file in step.files.values()]


def _roots(source: object) -> Iterator[str]:
    """Yield the files, directories and URLs that a batch was given, without access to a store."""
    for item in flatten(source):
        if isinstance(item, Mapping):
            yield root_of(item)
        else:
            uri = plain_text("source", item)
            yield uri if is_url(uri) else listed_from(uri)
