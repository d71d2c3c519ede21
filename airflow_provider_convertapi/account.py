"""Read the account with the master token, and write a report of its conversions.

This module may change from release to release.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_convertapi.api.account import COLUMNS, read_rows, refused_master_token
from airflow_provider_convertapi.api.endpoints import stream_statistics
from airflow_provider_convertapi.conversions.values import plain_text, report_format
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConnectionConfigError,
    ConvertApiError,
    UnexpectedAnswerError,
)
from airflow_provider_convertapi.failures import explicit_failures
from airflow_provider_convertapi.spreadsheets import cell
from airflow_provider_convertapi.storage import Destination, Publication, shown
from airflow_provider_convertapi.storage.uris import wrong
from airflow_provider_convertapi.wording import labelled

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable, Iterator
    from datetime import date

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.connection import ConnectionSettings
    from airflow_provider_convertapi.conversions.arguments import PathArgument, ReportFormat


_MOST_COLUMNS = 100
"""An answer with more is not a report; the names of all columns are kept in memory."""


@contextmanager
def account_calls(read_settings: Callable[[], ConnectionSettings]) -> Iterator[None]:
    """Check that there is a master token before calls that need it; errors name the field.

    :param read_settings: reads the connection; its errors end the task, too.
    """
    with explicit_failures():
        settings = read_settings()
        check_master_token(settings)
        try:
            yield
        except AuthenticationError as error:
            raise refused_master_token(settings.conn_id, error) from None


def check_master_token(settings: ConnectionSettings) -> None:
    """Raise `ConnectionConfigError` if the connection has no master token."""
    if not settings.master_token:
        raise ConnectionConfigError(
            f"Connection {settings.conn_id!r}: extra master_token is empty, and ConvertAPI shows "
            "the account to no other token. Enter the Master Token of the ConvertAPI dashboard."
        )


def checked_days(
    first: str | date, last: str | date, fields: tuple[str, str] = ("first_day", "last_day")
) -> tuple[str, str]:
    """Return both days in ConvertAPI's form; `ParameterError` names the one that is wrong.

    :param fields: what the caller calls the days.
    """
    days = _day(fields[0], first), _day(fields[1], last)
    if days[0] > days[1]:
        raise wrong(fields[1], f"is {days[1]}, before {fields[0]}, which is {days[0]}.")
    return days


def _day(field: str, value: str | date) -> str:
    try:
        # `{{ ts }}` renders to a time: take its day.
        return datetime.fromisoformat(str(value).strip()).date().isoformat()
    except ValueError:
        complaint = f"is {str(value)!r}, which is not a day; write YYYY-MM-DD."
        raise wrong(field, complaint) from None


def write_statistics(
    client: Client,
    days: tuple[str, str],
    destination: PathArgument,
    kind: ReportFormat,
    log: logging.Logger,
) -> str:
    """Write the conversions of some days as a report; return its URI.

    The answer is first written to the local disk, so that memory does not grow with it.

    :param days: the first and the last, `YYYY-MM-DD`.
    :param destination: a file, or a directory when it ends in ``/``.
    """
    report_format(kind)
    place = Destination.parse(plain_text("destination", destination))
    place.check_writable()
    [uri] = place.outputs([f"statistics-{days[0]}-{days[1]}.{kind}"])
    with (
        tempfile.TemporaryFile() as answer,
        Publication(place, inputs=[], overwrite=True) as publication,
    ):
        # The answer is read twice: a CSV begins with the names of all columns, and a row need not
        # have all of them.
        columns, count = _fetch(client, days, answer)
        with publication.stage(uri, None) as sink:
            for block in _report(read_rows(answer), columns, kind):
                client.pause(0)  # raises if the task was told to stop
                sink.write(block)
        publication.publish()
    log.info("Wrote %d conversion(s) from %s to %s.", count, *days)
    for line in labelled("Into", shown(uri)):
        log.info("%s", line)
    return uri


def _fetch(client: Client, days: tuple[str, str], answer: BinaryIO) -> tuple[list[str], int]:
    """Fetch the answer and read it once; return its columns and the number of rows.

    An interrupted transfer is repeated, which is free.
    """
    attempt = 1
    while True:
        answer.seek(0)
        answer.truncate()
        try:
            with client.stream(stream_statistics(*days)) as (_, blocks):
                for block in blocks:
                    client.pause(0)
                    answer.write(block)
            answer.seek(0)
            found = _columns(read_rows(answer))
        except ConvertApiError as error:
            delay = client.backoff.delay_of_free_call(attempt, error, None)
            if delay is None:
                raise
        else:
            answer.seek(0)
            return found
        client.pause(delay)
        attempt += 1


def _columns(rows: Iterable[dict[str, Any]]) -> tuple[list[str], int]:
    columns, count = dict.fromkeys(COLUMNS), 0
    for row in rows:
        columns.update(dict.fromkeys(row))
        count += 1
        if len(columns) > _MOST_COLUMNS:
            raise UnexpectedAnswerError(
                f"ConvertAPI's statistics have more than {_MOST_COLUMNS} columns."
            )
    return list(columns), count


def _report(
    rows: Iterable[dict[str, Any]], columns: list[str], kind: ReportFormat
) -> Iterator[bytes]:
    if kind == "jsonl":
        for row in rows:
            yield json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        return
    line = io.StringIO()
    writer = csv.DictWriter(line, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        yield _take_text(line)
        writer.writerow({name: cell(value) for name, value in row.items()})
    yield _take_text(line)


def _take_text(line: io.StringIO) -> bytes:
    text = line.getvalue()
    line.seek(0)
    line.truncate()
    return text.encode("utf-8", "replace")
