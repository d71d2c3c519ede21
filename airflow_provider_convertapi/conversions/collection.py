"""Fetch results, publish them whole, and delete the documents at the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.endpoints import (
    delete_file,
    download,
    find_file,
)
from airflow_provider_convertapi.conversions.result import found_too_late
from airflow_provider_convertapi.errors import (
    ConvertApiError,
    OutputExistsError,
    ResultExpiredError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
)
from airflow_provider_convertapi.storage import Publication, SizeMismatch

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.api.endpoints import (
        Conversion,
        ConvertedFile,
    )
    from airflow_provider_convertapi.conversions.job import Work


_LONGEST_WAIT = 60.0
"""Seconds; a service that asks for more is left to the next try, which fetches for free."""


class ResultGoneError(Exception):
    """A result is not at the service any more; another runner may have published it."""


def can_be_fetched(work: Work, conversion: Conversion) -> bool:
    """Tell whether every result still lies at the service."""
    return all(
        work.client.call(find_file(file.file_id), until=work.deadline) is not None
        for file in conversion.files
    )


def published(work: Work, conversion: Conversion) -> list[str] | None:
    """Return our outputs where each stands with its announced size, else None."""
    uris = work.order.destination.outputs([file.name for file in conversion.files])
    sizes = work.order.destination.sizes(uris)
    return uris if sizes == [file.size for file in conversion.files] else None


def collect(work: Work, conversion: Conversion) -> list[str]:
    """Fetch every result, then publish all; return their URIs.

    Results that vanished meanwhile are no loss where another runner published them.
    """
    try:
        return _publish(work, conversion)
    except OutputExistsError as error:
        raise found_too_late(error, conversion.cost) from None
    except ResultGoneError:
        outputs = published(work, conversion)
    if outputs is None:
        raise ResultExpiredError(
            f"{work.order.describe()} was converted and paid ({conversion.cost}), but ConvertAPI "
            "has deleted the "
            "result and the output is not there. Clear the task to convert and pay anew."
        )
    return outputs


def _publish(work: Work, conversion: Conversion) -> list[str]:
    order = work.order
    uris = order.destination.outputs([file.name for file in conversion.files])
    with Publication(
        order.destination, inputs=order.input_uris, overwrite=order.overwrite
    ) as publication:
        for uri, file in zip(uris, conversion.files, strict=True):
            fetch(work.client, publication, uri, file, work.log)
        return publication.publish()


def fetch(
    client: Client, publication: Publication, uri: str, file: ConvertedFile, log: logging.Logger
) -> None:
    """Stage one result; fetching again is free, so a torn one is fetched again.

    Raises `ResultGoneError` when the service does not have it any more.
    """
    failures = 0
    while True:
        try:
            with (
                publication.stage(uri, file.size) as sink,
                client.stream(download(file.file_id)) as (_, blocks),
            ):
                for block in blocks:
                    client.pause(0)
                    sink.write(block)
        except (
            TransportError,
            ThrottledError,
            SizeMismatch,
            UnexpectedAnswerError,
            ResultExpiredError,
        ) as error:
            if client.call(find_file(file.file_id)) is None:
                raise ResultGoneError from None
            failures += 1
            _wait_for_another_fetch(client, failures, error, file)
            log.warning("A download broke off and is made again; that is free. %s", error)
        else:
            return


def _wait_for_another_fetch(
    client: Client, failures: int, error: Exception, file: ConvertedFile
) -> None:
    broken = error if isinstance(error, ConvertApiError) else TransportError(str(error))
    delay = client.backoff.delay(failures, broken)
    if delay is None or delay > _LONGEST_WAIT or failures >= client.backoff.attempts:
        if not isinstance(error, SizeMismatch):
            raise error
        raise UnexpectedAnswerError(
            f"A result does not have the size that ConvertAPI announced ({file.size} bytes): "
            f"{error}. It is paid; clear the task to fetch it again without paying."
        ) from None
    client.pause(delay)


def delete_documents(
    work: Work, attempt: int, uploads: Sequence[str], files: Sequence[ConvertedFile] = ()
) -> None:
    """Delete uploads and results at the service; the job record stays, it is the receipt.

    :param uploads: the places of the inputs that were uploaded.
    """
    ids = [work.ids.file_id(attempt, place) for place in uploads] + [file.file_id for file in files]
    if work.left is not None:
        work.left += ids
    else:
        delete_files(work.client, ids, work.deadline, work.log)


def delete_files(client: Client, ids: Sequence[str], until: float, log: logging.Logger) -> None:
    """Delete stored files at the service.

    A document that cannot be deleted is no failure of the conversion: the service deletes it
    within three hours.
    """
    left = 0
    for file_id in ids:
        try:
            client.call(delete_file(file_id), until=until)
        except ConvertApiError as error:
            left += 1
            log.warning(
                "A document could not be deleted at ConvertAPI, which does so within 3 hours. %s",
                error,
            )
    if ids and not left:
        log.info("Deleted %d document(s) at ConvertAPI.", len(ids))
