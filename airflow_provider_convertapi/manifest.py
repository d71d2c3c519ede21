"""Read the records of batches, here or with ``python -m airflow_provider_convertapi.manifest DIR``.

DIR is the destination of a batch, or its manifest, on the local disk or in a store: a URI is
reached through Airflow's connections.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_convertapi.api.parameters import is_a
from airflow_provider_convertapi.batch.costs import Costs, costs_of
from airflow_provider_convertapi.batch.manifest import MANIFEST, Manifest, last_records
from airflow_provider_convertapi.batch.record import Record, RecordStatus
from airflow_provider_convertapi.conversions.values import choice, plain_text, wrong
from airflow_provider_convertapi.errors import ConvertApiError
from airflow_provider_convertapi.spreadsheets import cell
from airflow_provider_convertapi.storage import OWN_DIRECTORY, Folder
from airflow_provider_convertapi.wording import on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from os import PathLike

__all__ = ["Record", "main", "read"]

_OUTCOMES = get_args(RecordStatus)
_COLUMNS = ("source", "target", "outcome", "error", "code", "message", "cost", "when", "run_id")


def read(
    destination: str | PathLike[str],
    *,
    run_id: str | None = None,
    outcome: RecordStatus | None = None,
    since: datetime | str | None = None,
) -> Iterator[Record]:
    """Yield the last record of each file that batches converted into a destination, by output.

    A success outranks a later failure of the same version of a file.  Without a manifest nothing is
    yielded.  `ParameterError` names a wrong argument.

    :param destination: the destination of the batch, or its manifest; a path or a URI.
    :param run_id: yield the last record of each file of this DAG run; None means all runs.
    :param outcome: ``converted``, ``failed`` or ``not_attempted``; None means any.
    :param since: the earliest time of the records: a datetime, which is UTC if it has no time zone,
        or its ISO 8601 text; None means any time.
    """
    if outcome is not None:
        choice("outcome", outcome, _OUTCOMES)
    least = None if since is None else _moment(since)
    return _selected(plain_text("destination", destination), run_id, outcome, least)


def _selected(
    destination: str, run_id: str | None, outcome: str | None, least: str | None
) -> Iterator[Record]:
    for record in read_manifest(destination, run_id):
        if outcome in (None, record.outcome) and (least is None or record.when >= least):
            yield record


def _moment(since: object) -> str:
    """Return a time in the form of records."""
    moment = since
    if isinstance(since, str):
        try:
            moment = datetime.fromisoformat(since)
        except ValueError:
            raise wrong("since", f"is {since!r}; it must be a date, such as 2026-11-27") from None
    if not isinstance(moment, datetime):
        raise wrong("since", f"{is_a(since)}; it must be a datetime or its text")
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="microseconds")


def read_manifest(directory: str, run_id: str | None = None) -> list[Record]:
    """Return the last record of each output, sorted by output.

    :param directory: a batch's destination, or its manifest; a path or a URI.
    :param run_id: the run whose records count; None means all runs.
    """
    manifest = _manifest_of(directory)
    records = (record for _, record in manifest.records() if run_id in (None, record.run_id))
    return sorted(last_records(records).values(), key=lambda record: record.target)


def read_costs(directory: str) -> list[Costs]:
    """Return what batches paid into a destination, by day, DAG and pair of formats.

    :param directory: a batch's destination, or its manifest; a path or a URI.
    """
    return costs_of(record for _, record in _manifest_of(directory).records())


def _manifest_of(directory: str) -> Manifest:
    folder = plain_text("directory", directory).rstrip("/") + "/"
    own = f"{OWN_DIRECTORY}/{MANIFEST}"
    return Manifest(Folder(folder if folder.endswith(own) else folder + own))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 if there is no manifest."""
    given = _parser().parse_args(arguments)
    try:
        costs = read_costs(given.directory) if given.cost else []
        # Read also if nothing was paid: only a record tells that from a missing manifest.
        records = [] if costs else read_manifest(given.directory)
        found = costs or records
        complaint = "" if found else f"{given.directory}: no manifest, or none that can be read."
    except ConvertApiError as error:
        complaint = str(error)
    except Exception as error:  # noqa: BLE001 - each store has its own errors
        complaint = f"{given.directory} cannot be read: {error}"
    if complaint:
        print(complaint, file=sys.stderr)  # noqa: T201 - a command speaks to a person
        return 1
    if given.cost:
        _print(given, Costs._fields, [line._asdict() for line in costs], _cost_report(costs))
        return 0
    shown = [record for record in records if given.all or _is_shown(record, given.failed)]
    _print(given, _COLUMNS, map(asdict, shown), _report(records, shown))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_convertapi.manifest")
    parser.add_argument("directory", help="destination of a batch, or its manifest; path or URI")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="list every file, not failures only")
    which.add_argument("--failed", action="store_true", help="list failed files only")
    which.add_argument(
        "--cost", action="store_true", help="list what was paid, by day, DAG and pair of formats"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON line for each file")
    form.add_argument("--csv", action="store_true", help="print a table of comma-separated values")
    return parser


def _is_shown(record: Record, only_failed: bool) -> bool:
    return record.outcome == "failed" if only_failed else record.outcome != "converted"


def _print(
    given: argparse.Namespace,
    columns: Sequence[str],
    rows: Iterable[dict[str, Any]],
    report: Iterable[str],
) -> None:
    """Print rows in the form that was asked for, or the report that stands for them."""
    if given.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([cell(row[name]) for name in columns] for row in rows)
        return
    for line in map(json.dumps, rows) if given.json else report:
        print(on_one_line(line))  # noqa: T201 - as above


def _cost_report(costs: Sequence[Costs]) -> Iterator[str]:
    if not costs:
        yield "Nothing was paid."
        return
    names = [f"{line.from_format} to {line.to_format}" for line in costs]
    dag, pair = (max(map(len, column)) for column in ([one.dag_id for one in costs], names))
    for line, name in zip(costs, names, strict=True):
        failed = f", {line.failed} of them failed" if line.failed else ""
        yield (
            f"{line.day}  {line.dag_id:{dag}}  {name:{pair}}  {line.conversions:>7} conversion(s) "
            f"for {line.files} file(s){failed}"
        )
    files, paid = (sum(column) for column in zip(*(line[4::2] for line in costs), strict=True))
    yield f"{paid} conversion(s) for {files} file(s) in all; days are those of UTC."


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
    from airflow_provider_convertapi.command_line import run

    run(main)
