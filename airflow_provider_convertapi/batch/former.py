"""Remove outdated results, and parts of killed tasks, from the destination if they are ours.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.storage import published_name, shown

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_provider_convertapi.batch.filetask import FileTask
    from airflow_provider_convertapi.batch.index import Index
    from airflow_provider_convertapi.conversions.request import CheckedConversion
    from airflow_provider_convertapi.conversions.result import ConversionResult
    from airflow_provider_convertapi.storage import Folder, Found

_SHOWN = 5
_ABANDONED_AFTER = 12 * 3600.0
"""Seconds after which a hidden file is abandoned, so that the next night's batch removes it."""


def remove_former(task: FileTask, result: ConversionResult, log: logging.Logger) -> None:
    """Remove results of earlier versions of a file that its new version does not have.

    Only files that are not inputs and still have the recorded content are removed.  A file that
    cannot be removed does not fail the conversion, which is paid and published.
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
    """Remove a file; return None if it is gone, False if it must not be removed."""
    files = [file for step in conversion.steps for file in step.files.values()]
    read = [file if isinstance(file, str) else file.uri for file in files]
    place = conversion.target.destination
    try:
        # Compared by identity, not by name: some stores ignore case, and there are links.
        place.check_not_input([uri], [*conversion.target.inputs, *read, *outputs])
    except ParameterError:
        return False
    return place.remove(uri, digest)


def without_leftovers(
    files: Iterable[Found], destination: Folder, index: Index, now: float
) -> Iterator[Found]:
    """Yield the files of a listing of the destination; remove unpublished parts of killed tasks.

    Only old hidden files of this batch's own outputs are removed: another task may be writing.

    :param now: seconds since the epoch.
    """
    for file in files:
        directory, slash, name = file.path.rpartition("/")
        target = published_name(name)
        is_old = file.modified is not None and file.modified < now - _ABANDONED_AFTER
        if target and is_old and index.knows(f"{directory}{slash}{target}"):
            with suppress(OSError):  # the next run tries again
                destination.delete(file.path)
        else:
            yield file
