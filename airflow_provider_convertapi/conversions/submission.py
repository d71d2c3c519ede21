"""Submit a conversion so that it is paid once, even if the answer is lost.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.endpoints import start_conversion
from airflow_provider_convertapi.conversions.upload import store
from airflow_provider_convertapi.errors import (
    ConvertApiError,
    ThrottledError,
)
from airflow_provider_convertapi.metrics import THROTTLED

if TYPE_CHECKING:
    from airflow_provider_convertapi.conversions.job import Job

_LOST_ANSWERS = 3
"""How many lost answers, after which no job appears, a try allows; all submits have one id."""


class Submission:
    """Submit one attempt of a conversion.

    :param service_timeout: the `Timeout` in seconds that the service is given.
    """

    def __init__(self, job: Job, attempt: int, service_timeout: int) -> None:
        self._job = job
        self._attempt = attempt
        self._service_timeout = service_timeout
        self._throttled = 0

    def submit(self) -> bool:
        """Make sure that the service has the job; return False if an earlier try submitted it."""
        job, task = self._job, self._job.session.task
        # The earlier try may have submitted it and died before it read the answer.
        if task.is_later and job.appears(self._attempt, self._left_to_settle()):
            return False
        uploaded = self._upload()
        # The ids are derived from the old content: a changed file must not be converted under them,
        # or its result would pass for that of the old content.
        job.request.check_unchanged()
        # The upload may have taken an hour, and another process may have submitted it meanwhile.
        if uploaded and not job.look(self._attempt).unknown:
            return False
        self._post(uploaded)
        return True

    def _left_to_settle(self) -> float:
        """Return the seconds for which a job of the try before may still be invisible."""
        job = self._job
        settle, since = job.session.settle, job.client.clock() - job.session.task.started
        return settle - max(since, 0.0)  # the clock may have been set back

    def _upload(self) -> dict[str, str]:
        """Upload the inputs that do not fit into the submit; return their ids."""
        job = self._job
        ids = {key: job.ids.file_id(self._attempt, key) for key in job.request.uploads}
        for key, source in job.request.uploads.items():
            known = job.settings.may_be_known
            job.client.pause(0)  # raises if the task was told to stop
            store(job.client, source, ids[key], may_be_there=known, until=job.deadline)
        return ids

    def _post(self, uploaded: dict[str, str]) -> None:
        job, request = self._job, self._job.request
        endpoint = start_conversion(
            *request.pair,
            job.ids.job_id(self._attempt),
            request.fields(self._service_timeout, uploaded),
        )
        unsent = lost = 0
        while True:
            # Raises if the task was told to stop, for example during the upload: it pays no more.
            job.client.pause(0)
            try:
                job.client.send(endpoint)
            except ThrottledError as error:
                # A busy service asks for the same request again, and has not begun to convert:
                # https://docs.convertapi.com/docs/throttle-and-fallback
                self._wait_out(error)
            except ConvertApiError as error:
                if error.is_refusal:
                    if not self._is_known(after_lost_answer=lost > 0):
                        raise self._final(error) from None
                    return
                if not error.is_answer_lost:
                    unsent += 1
                    self._wait_after(unsent, error)
                elif self._found_after_lost_answer(error):
                    return
                else:
                    # The same id is sent again, so that the service can refuse it if it did accept
                    # the job.  ConvertAPI does not document what it does with a known id.
                    lost += 1
                    if lost == _LOST_ANSWERS:
                        raise
            else:
                return
            # Each way to the next submit waits, and the source may have been written meanwhile.
            request.check_unchanged()

    def _is_known(self, *, after_lost_answer: bool) -> bool:
        """Tell whether the service refused because it has the job: a known id is answered with 4xx.

        After a lost answer the job may have been accepted without being visible yet.
        """
        job = self._job
        if after_lost_answer:
            return job.appears(self._attempt, job.session.settle)
        return not job.look(self._attempt).unknown

    def _wait_out(self, error: ThrottledError) -> None:
        job = self._job
        job.session.count(THROTTLED, 1, job.request.formats)
        if not job.settings.waits_out_throttling:
            raise error
        self._throttled += 1
        delay = job.client.backoff.delay(self._throttled, error) or 0
        if job.client.monotonic() + delay > job.deadline:
            raise error
        job.log.info(
            "ConvertAPI is busy; %s waits %.1f s. Nothing was paid.", job.request.describe(), delay
        )
        job.client.pause(delay)

    def _wait_after(self, failures: int, error: ConvertApiError) -> None:
        delay = self._job.client.backoff.delay(failures, error)
        # A file that was written meanwhile must not be sent under the id of its old content.
        if delay is None or error.concerns == "files":
            raise error
        self._job.client.pause(delay)

    def _found_after_lost_answer(self, error: ConvertApiError) -> bool:
        job = self._job
        job.log.warning(
            "The answer to the submit was lost, so the job is looked for before anything else. %s",
            error,
        )
        found = job.appears(self._attempt, job.session.settle)
        job.log.info(
            "The job %s.",
            "is there: it is not sent again" if found else "did not appear: it was not accepted",
        )
        return found

    def _final(self, error: ConvertApiError) -> ConvertApiError:
        """Return the error of a submit's verdict; a second transient verdict is final."""
        job = self._job
        is_final = job.request.cannot_be_longer(error, self._service_timeout) or job.note.is_second(
            error, job.client
        )
        again = error.transient and not is_final
        return job.settings.with_remedy(error, job.request.describe(), again=again)
