"""Upload a file once, under an id that we choose.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.endpoints import delete_file, find_file, upload
from airflow_provider_convertapi.conversions.request import check_unchanged
from airflow_provider_convertapi.errors import (
    InputChangedError,
    ParameterError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
)
from airflow_provider_convertapi.storage import shown

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.errors import ConvertApiError
    from airflow_provider_convertapi.storage import Source


def store(
    client: Client,
    source: Source,
    file_id: str,
    *,
    may_be_there: bool,
    until: float | None = None,
) -> None:
    """Upload a file under the id, unless it is there already.

    After a lost answer it looks for the file before it sends the bytes again.  If a broken upload
    has taken the id, which the service answers with 400, it frees the id first.

    :param may_be_there: whether an earlier try may have uploaded it.
    :param until: monotonic seconds after which a throttled call gives up; None means five waits.
    """
    if may_be_there and _is_stored(client, file_id, source.size, until):
        return
    failures = 0
    while True:
        try:
            kept = client.send(upload(source, file_id))
        except (ThrottledError, TransportError, UnexpectedAnswerError, ParameterError) as error:
            # A file that grows or shrinks breaks its own upload off: no other upload would help.
            check_unchanged(source)
            if _is_stored(client, file_id, source.size, until):
                return
            failures += 1
            delay = _delay(client, failures, error)
            if delay is None:
                raise
            client.pause(delay)
            # The upload that failed may have taken the id.
            client.call(delete_file(file_id), until=until)
        else:
            # A file that arrived in part would be converted, and billed, as a damaged document.
            if kept.file_id == file_id and kept.size == source.size:
                return
            check_unchanged(source)
            raise InputChangedError(
                f"{shown(source.uri)} has {source.size} bytes but {kept.size} arrived at "
                "ConvertAPI; nothing was paid. Another try reads it again."
            )


def _delay(client: Client, failures: int, error: ConvertApiError) -> float | None:
    """Return the seconds before the next upload, None to give up."""
    if error.is_refusal:
        return 0.0 if failures == 1 else None  # a second refusal is not about a taken id
    if failures >= client.backoff.attempts:
        return None
    return client.backoff.delay(failures, error)


def _is_stored(client: Client, file_id: str, size: int, until: float | None) -> bool:
    # The size is enough: the id is derived from the file's fingerprint, so that only this file,
    # whole or in part, can be stored under it.
    found = client.call(find_file(file_id), until=until)
    return found is not None and found.size == size
