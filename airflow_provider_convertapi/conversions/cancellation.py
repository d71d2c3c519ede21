"""Delete jobs and their documents at the service when no try will collect them.

This module may change from release to release.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.endpoints import delete_file, delete_job, get_job
from airflow_provider_convertapi.api.ids import MAX_ATTEMPTS
from airflow_provider_convertapi.errors import ConvertApiError

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Sequence

    from airflow_provider_convertapi.api.aclient import AsyncClient
    from airflow_provider_convertapi.api.endpoints import JobAnswer
    from airflow_provider_convertapi.api.ids import JobIds
    from airflow_provider_convertapi.api.wire import Endpoint
    from airflow_provider_convertapi.conversions.job import Job

_CANCELLED = (
    "Cancelled: the job and its documents are deleted at ConvertAPI. It may be billed, and the "
    "service deletes what it still produces within three hours."
)
_NOT_CANCELLED = "Not everything could be deleted; ConvertAPI does so within three hours. %s"


def cancel(job: Job, uploads: Iterable[str]) -> None:
    """Delete every attempt of a conversion, and its documents.

    :param uploads: the keys of the inputs that may have been uploaded.
    """
    keys = list(uploads)
    try:
        # All attempts, since earlier tries may have left some.
        for attempt in range(MAX_ATTEMPTS):
            answer = job.look(attempt)
            for endpoint in _leftovers(job.ids, attempt, keys, answer):
                job.client.call(endpoint, until=job.deadline)
    except ConvertApiError as error:
        job.log.warning(_NOT_CANCELLED, error)
    else:
        job.log.info(_CANCELLED)


async def cancel_jobs(
    client: AsyncClient,
    jobs: Sequence[tuple[JobIds, int, Sequence[str]]],
    log: logging.Logger,
    *,
    seconds: float,
) -> None:
    """Delete jobs and their documents concurrently, within a time limit.

    :param jobs: for each job its ids, its attempt and the keys of its uploads.
    :param seconds: the time limit.
    """

    async def one(ids: JobIds, attempt: int, uploads: Sequence[str]) -> None:
        answer = await client.call(get_job(ids.job_id(attempt)))
        for endpoint in _leftovers(ids, attempt, uploads, answer):
            await client.call(endpoint)

    try:
        # Airflow ends `on_kill` after 30 s, or [triggerer] on_kill_timeout, without a log line that
        # says what was left: airflow/jobs/triggerer_job_runner.py
        async with asyncio.timeout(seconds):
            # One job that cannot be deleted must not keep the others from being deleted.
            found = await asyncio.gather(*(one(*job) for job in jobs), return_exceptions=True)
    except TimeoutError:
        log.warning(_NOT_CANCELLED, f"There was not enough time ({seconds:g} s).")
        return
    errors = [error for error in found if isinstance(error, BaseException)]
    if errors:
        log.warning(_NOT_CANCELLED, errors[0])
    else:
        log.info(_CANCELLED)


def _leftovers(
    ids: JobIds, attempt: int, uploads: Iterable[str], answer: JobAnswer
) -> list[Endpoint[Any]]:
    """Return the calls that delete what the service has of one attempt, in their order."""
    # The job comes last: without its record the ids of its results would be unknown, and another
    # try could not delete what this one failed to delete.
    files = answer.conversion.files if answer.conversion else ()
    documents = [ids.file_id(attempt, key) for key in uploads]
    documents += [file.file_id for file in files]
    return [*map(delete_file, documents), delete_job(ids.job_id(attempt))]
