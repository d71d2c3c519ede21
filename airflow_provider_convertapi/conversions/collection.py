"""Fetch results, publish them whole, and delete the documents at the service.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.endpoints import (
    delete_file,
    download,
    find_file,
)
from airflow_provider_convertapi.conversions.acceptance import Paid
from airflow_provider_convertapi.conversions.result import paid_but_blocked, paid_but_unnamed
from airflow_provider_convertapi.errors import (
    ConvertApiError,
    OutputExistsError,
    OutputNotWritableError,
    ParameterError,
    ResultExpiredError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
    with_facts,
)
from airflow_provider_convertapi.storage import SizeMismatch

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.api.endpoints import (
        Conversion,
        ConvertedFile,
    )
    from airflow_provider_convertapi.conversions.job import Job
    from airflow_provider_convertapi.conversions.session import Session
    from airflow_provider_convertapi.conversions.target import Target
    from airflow_provider_convertapi.storage import Publication


_LONGEST_WAIT = 60.0
"""Seconds; if the service asks for a longer wait, the next try fetches the result for free."""


class ResultGoneError(Exception):
    """A result is no longer at the service; another process may have published it."""


def can_be_fetched(job: Job, conversion: Conversion) -> bool:
    """Tell whether every result is still at the service."""
    # The job's record does not tell that: it may outlive the documents, which we delete ourselves.
    return all(
        job.client.call(find_file(file.file_id), until=job.deadline) is not None
        for file in conversion.files
    )


def collect(
    session: Session, target: Target, conversion: Conversion, what: str, log: logging.Logger
) -> tuple[list[str], tuple[str, ...]]:
    """Fetch every result, then publish all; return their URIs, and their digests if there are any.

    Results that have vanished meanwhile are not lost if another process has published them.

    :param what: the conversion, as it may be logged.
    """
    try:
        return _publish(session, target, conversion, what, log)
    except OutputExistsError as error:
        raise paid_but_blocked(error, conversion.cost, is_stored=True) from None
    except OutputNotWritableError as error:
        raise OutputNotWritableError(
            f"{error} {what} was converted and paid ({conversion.cost} conversion(s)); its result "
            "stays at ConvertAPI for two hours: clear the task to collect it without "
            "paying again.",
            paid=True,
        ) from error.__cause__
    except ResultGoneError:
        outputs = target.published(conversion.files)
    if outputs is None:
        raise ResultExpiredError(
            f"{what} was converted and paid ({conversion.cost}), but ConvertAPI has deleted the "
            "result and the output is not there. Clear the task to convert and pay again."
        )
    return outputs, ()


def _publish(
    session: Session, target: Target, conversion: Conversion, what: str, log: logging.Logger
) -> tuple[list[str], tuple[str, ...]]:
    names = [file.name for file in conversion.files]
    try:
        uris = target.destination.outputs(names)
    except ParameterError as error:
        raise paid_but_unnamed(error, conversion.cost, is_stored=True) from None
    try:
        target.destination.check_not_input(uris, target.inputs)  # before anything is fetched
    except ParameterError as error:
        raise paid_but_unnamed(error, conversion.cost, is_stored=True, bars_file=True) from None
    with target.publication(session.task.marks) as publication:
        for uri, file in zip(uris, conversion.files, strict=True):
            fetch(session.client, publication, uri, file, log)
        # Only once all results are staged, so that a failed download publishes none of them.
        target.accept(publication, names, Paid(what, conversion.cost, is_stored=True))
        return publication.publish(), publication.digests


def fetch(
    client: Client, publication: Publication, uri: str, file: ConvertedFile, log: logging.Logger
) -> None:
    """Stage one result; repeat an interrupted download, which is free.

    `ResultGoneError` if the service no longer has it.
    """
    failures = 0
    while True:
        try:
            with (
                publication.stage(uri, file.size) as sink,
                client.stream(download(file.file_id)) as (_, blocks),
            ):
                for block in blocks:
                    client.pause(0)  # raises if the task was told to stop
                    sink.write(block)
        except (
            TransportError,
            ThrottledError,
            SizeMismatch,
            UnexpectedAnswerError,
            ResultExpiredError,
        ) as error:
            # After any failure: only a lookup tells an expired result from a broken transfer.
            if client.call(find_file(file.file_id)) is None:
                raise ResultGoneError from None
            failures += 1
            _wait_for_another_fetch(client, failures, error, file)
            log.warning("A download broke off and is repeated; that is free. %s", error)
        else:
            return


def _wait_for_another_fetch(
    client: Client, failures: int, error: Exception, file: ConvertedFile
) -> None:
    # The lookup found the file although the download did not, so the download is repeated.
    is_there = isinstance(error, ResultExpiredError)
    facts = TransportError(str(error)) if is_there else with_facts(error)
    delay = client.backoff.delay(failures, facts)
    if delay is None or delay > _LONGEST_WAIT or failures >= client.backoff.attempts:
        if not isinstance(error, SizeMismatch):
            raise error
        raise UnexpectedAnswerError(
            f"A result does not have the size that ConvertAPI announced ({file.size} bytes): "
            f"{error}. It is paid; clear the task to fetch it again without paying."
        ) from None
    client.pause(delay)


def delete_files(client: Client, ids: Sequence[str], until: float, log: logging.Logger) -> None:
    """Delete stored files at the service.

    A document that cannot be deleted does not fail the conversion: the service deletes it within
    three hours.
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
        log.info("The temporary copies at ConvertAPI are deleted (%d).", len(ids))
