"""Show a person what a batch did: ``python -m airflow_provider_convertapi.manifest DIR``.

DIR is the destination of a batch, or its manifest, on the disk or in a store: a URI is reached
through Airflow's connections.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from airflow_provider_convertapi.batch.manifest import MANIFEST, Manifest, last_records
from airflow_provider_convertapi.errors import ConvertApiError
from airflow_provider_convertapi.storage import OWN_DIRECTORY, Folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_convertapi.batch.record import Record, RecordStatus

__all__ = ["main"]

_OUTCOMES: tuple[RecordStatus, ...] = ("converted", "failed", "not_attempted")


def read_manifest(directory: str) -> list[Record]:
    """Return the last record of each output, sorted by output.

    :param directory: a batch's destination, or its manifest; a path or a URI.
    """
    folder = directory.rstrip("/") + "/"
    own = f"{OWN_DIRECTORY}/{MANIFEST}"
    manifest = Manifest(Folder(folder if folder.endswith(own) else folder + own))
    last = last_records(record for _, record in manifest.records())
    return sorted(last.values(), key=lambda record: record.target)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what the arguments ask for; 1 where there is no manifest."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_convertapi.manifest")
    parser.add_argument("directory", help="destination of a batch, or its manifest; path or URI")
    parser.add_argument("--all", action="store_true", help="list every file, not failures only")
    parser.add_argument("--json", action="store_true", help="print one JSON line for each file")
    given = parser.parse_args(arguments)
    try:
        records = read_manifest(given.directory)
    except ConvertApiError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command speaks to a person
        return 1
    if not records:
        print(f"{given.directory}: no manifest, or an empty one.", file=sys.stderr)  # noqa: T201 - as above
        return 1
    shown = [record for record in records if given.all or record.outcome != "converted"]
    lines = (
        map(_as_json, records if given.all else shown) if given.json else _report(records, shown)
    )
    for line in lines:
        print(line)  # noqa: T201 - as above
    return 0


def _as_json(record: Record) -> str:
    return json.dumps(asdict(record))


def _report(records: Sequence[Record], shown: Sequence[Record]) -> Iterator[str]:
    counts = Counter(record.outcome for record in records)
    said = ", ".join(f"{counts[outcome]} {outcome.replace('_', ' ')}" for outcome in _OUTCOMES)
    cost = sum(record.cost for record in records)
    yield f"{len(records)} files: {said}; {cost} conversions in all."
    yield f"Last change: {max(record.when for record in records)[:19]} UTC"
    for record in shown:
        yield f"{record.outcome:13}  {record.source}"
        if record.outcome == "converted":
            yield f"{'':13}  -> {', '.join(record.outputs)} ({record.when[:19]})"
        else:
            yield f"{'':13}  {record.error}: {record.message} ({record.when[:19]})"


if __name__ == "__main__":
    sys.exit(main())
