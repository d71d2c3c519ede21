"""Outputs of an older version that the new one does not have: removed if they are as recorded.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.storage import shown

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

    from airflow_provider_convertapi.batch.filetask import FileTask
    from airflow_provider_convertapi.conversions.request import CheckedConversion
    from airflow_provider_convertapi.conversions.result import ConversionResult

_SHOWN = 5


def remove_former(task: FileTask, result: ConversionResult, log: logging.Logger) -> None:
    """Remove what earlier versions of a file had beyond its present results.

    Only what still has the content that was recorded, and is no input.  A file that cannot be
    removed does not fail the conversion, which is paid and published.
    """
    if task.conversion is None or not task.item.former_outputs:
        return
    conversion = task.conversion.conversion
    removed: list[str] = []
    kept: list[str] = []
    for path, digest in task.item.former_outputs.items():
        uri = task.converter.request.destination.uri + path
        if uri in result.outputs:
            continue
        try:
            found = _remove(conversion, result.outputs, uri, digest)
        except Exception as error:  # noqa: BLE001 - each store has its own errors
            log.warning("%s, of an older version, cannot be removed: %s", shown(uri), error)
            continue
        if found is not None:
            (removed if found else kept).append(path)
    if removed or kept:
        name = shown(task.item.uri)
        log.info("%s has fewer results than before: %s.", name, _told(removed, kept))


def _told(removed: Sequence[str], kept: Sequence[str]) -> str:
    said = [
        f"{verb} {', '.join(paths[:_SHOWN])}{why}"
        + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
        for verb, paths, why in (
            ("removed", removed, ""),
            ("left", kept, ", which is an input or differs from what was recorded"),
        )
        if paths
    ]
    return "; ".join(said)


def _remove(
    conversion: CheckedConversion, outputs: Sequence[str], uri: str, digest: str
) -> bool | None:
    """Remove a file; None where it is gone, False where it is not ours to remove."""
    files = [file for step in conversion.steps for file in step.files.values()]
    read = [file if isinstance(file, str) else file.uri for file in files]
    place = conversion.target.destination
    try:
        # By what they are, not by name: some stores ignore case, and there are links.
        place.check_not_input([uri], [*conversion.target.inputs, *read, *outputs])
    except ParameterError:
        return False
    return place.remove(uri, digest)
