"""Resolve the summary of a batch, used as a source, to the files that the batch made.

This module may change from release to release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.manifest import MANIFEST, Manifest
from airflow_provider_convertapi.conversions.task import TaskTry
from airflow_provider_convertapi.conversions.values import flatten, is_summary, wrong
from airflow_provider_convertapi.errors import InputNotFoundError
from airflow_provider_convertapi.storage import OWN_DIRECTORY, Folder, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_convertapi.batch.record import Record
    from airflow_provider_convertapi.conversions.arguments import ConversionArguments

MADE_NOTHING = "source is what a batch made, and it made nothing."

_OWN_PATH = f"{OWN_DIRECTORY}/{MANIFEST}"
_NAMES = ("dag_id", "task_id", "run_id", "map_index")


def names_of(task: TaskTry) -> dict[str, Any]:
    """Return the names of a task instance for its summary."""
    return {name: getattr(task, name) for name in _NAMES}


def made_by(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return URI and path of each output that a batch's task instance made, in all its tries.

    They are sorted by their paths in the batch's destination; reused outputs are left out.
    """
    manifest, names = str(summary["manifest"]), summary.get("task")
    if not isinstance(names, Mapping) or not manifest.endswith(_OWN_PATH):
        raise wrong("source", "is a mapping that is not, or not whole, what a batch returned")
    known: dict[str, Any] = {name: names.get(name) for name in _NAMES}
    task = TaskTry(**known, started=0.0)
    made: dict[str, Record] = {}
    for _, record in Manifest(Folder(manifest)).records():
        if record.outcome == "converted" and record.is_of(task):
            last = made.get(record.target)
            if last is None or record.when >= last.when:
                made[record.target] = record
    if summary["converted"] and not made:
        raise InputNotFoundError(
            f"source: {shown(manifest)} does not have the records of the batch that source stands "
            "for; check what has removed them."
        )
    root = root_of(summary)
    paths = sorted({path for record in made.values() for path in record.outputs})
    return [(root + path, path) for path in paths]


def root_of(summary: Mapping[str, Any]) -> str:
    """Return the destination of the batch that returned a summary."""
    return str(summary["manifest"]).removesuffix(_OWN_PATH)


def with_outputs(arguments: ConversionArguments) -> ConversionArguments | None:
    """Replace the summaries of batches in `source` by their outputs; None if there are none."""
    if not any(map(is_summary, items := flatten(arguments.source))):
        return arguments
    outputs = list(_each_output(items))
    return replace(arguments, source=outputs) if outputs else None


def _each_output(items: list[object]) -> Iterator[object]:
    for item in items:
        if isinstance(item, Mapping) and is_summary(item):
            yield from (uri for uri, _ in made_by(item))
        else:
            yield item
