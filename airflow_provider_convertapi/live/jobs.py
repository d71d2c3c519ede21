"""The jobs of the check: submitted once, polled to their end, and deleted.

This module may change from release to release.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.api.forms import FormBody
from airflow_provider_convertapi.api.wire import Request, error_code, whole_number
from airflow_provider_convertapi.errors import ConvertApiError
from airflow_provider_convertapi.live.wire import (
    THROTTLED_TRIES,
    fields_of,
    is_ok,
    is_throttled,
    status_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_convertapi.api.wire import Response
    from airflow_provider_convertapi.live.documents import Document
    from airflow_provider_convertapi.live.wire import Wire

_PATIENCE = 180.0
"""Seconds within which a conversion of the check should end."""
_VISIBLE = 60.0
"""Seconds within which an accepted job should be known."""
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_GAPS = (0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0)


@dataclass(slots=True)
class Job:
    """One job, with everything that was observed.

    :param stores: whether its results are stored documents, which have to be deleted.
    :param submitted: the answer to its POST; None if that was lost.
    :param born: monotonic time at which the POST was answered.
    """

    id: str = field(repr=False)
    stores: bool
    submitted: Response | None = None
    born: float = 0.0
    final: Response | None = None
    """The answer that showed its end; None until then."""
    final_at: float = 0.0
    unknown_until: float = 0.0
    """Age at the last 404 before it was first known."""
    known_at: float | None = None
    """Age at which it was first known; None if it never was."""
    was_running: bool = False
    is_renamed: bool = False
    """Whether the service gave it another id than the requested one."""
    vanished: bool = False
    """Whether it was known, and then unknown before its end was seen."""

    @property
    def is_accepted(self) -> bool:
        """Tell whether it exists."""
        return is_ok(self.submitted) or self.known_at is not None

    @property
    def is_done(self) -> bool:
        """Tell whether it has succeeded."""
        return is_ok(self.final)

    @property
    def cost(self) -> int | None:
        """Return the cost in its result; None if it has none."""
        return whole_number(fields_of(self.final).get("ConversionCost"))

    @property
    def files(self) -> list[str]:
        """Return the ids of its stored results."""
        if not is_ok(self.final) or not self.stores:
            return []
        try:
            return [file.file_id for file in endpoints.parse_conversion(self.final).files]
        except ConvertApiError:
            return []

    @property
    def names(self) -> list[str]:
        """Return the names of its results."""
        files = fields_of(self.final).get("Files") or []
        return [str(f.get("FileName")) for f in files if isinstance(f, dict)]


@dataclass(slots=True)
class Jobs:
    """Submits, polls and deletes jobs and documents; each is noted before it is created."""

    wire: Wire
    secret: Callable[[], str] = field(repr=False)
    made: list[Job] = field(default_factory=list)
    files: set[str] = field(default_factory=set, repr=False)
    ids: set[str] = field(default_factory=set, repr=False)
    """All ids of the check, which no report may show."""
    kept: set[str] = field(default_factory=set, repr=False)
    """Ids of jobs that are left at the service on purpose."""

    def submit(
        self,
        pair: tuple[str, str],
        fields: Sequence[tuple[str, str | Document]],
        *,
        stores: bool = False,
        job_id: str | None = None,
        looks: bool = True,
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> Job:
        """Submit a conversion once; again, under the same id, only if it was throttled.

        :param looks: whether to look for the job if its answer is lost or throttled.
        """
        job = Job(job_id or secrets.token_hex(16), stores)
        self.made.append(job)
        self.ids.add(job.id)
        request = submission(pair, fields, job.id, stores=stores)
        for attempt in range(THROTTLED_TRIES):
            # Here, too: `clean` follows a job whose POST was interrupted, since it may exist.
            job.born = self.wire.clock.monotonic()
            job.submitted = self.wire.once(request, self.secret())
            job.born = self.wire.clock.monotonic()
            if job.submitted is not None and not is_throttled(job.submitted):
                self._take_id(job)
                break
            if job.submitted is None:
                if looks:
                    self._find_lost(job)
                break
            if looks:
                self.look(job)  # a gateway may have refused after the service had accepted
            if job.known_at is not None or not may_repeat():
                break
            self.wire.pause(job.submitted, attempt)
        self.wire.open_jobs += job.is_accepted
        return job

    def _take_id(self, job: Job) -> None:
        """Use the id that the service gave the job, if it is another one."""
        given = fields_of(job.submitted).get("JobId")
        if isinstance(given, str) and given != job.id and _ID.fullmatch(given):
            job.id, job.is_renamed = given, True
            self.ids.add(given)

    def _find_lost(self, job: Job) -> None:
        for gap in _GAPS:
            self.look(job)
            if job.known_at is not None:
                return
            self.wire.clock.sleep(gap)

    def look(self, job: Job) -> Response | None:
        """Poll a job once, and note the answer."""
        answer = self.ask(job.id)
        age = self.age(job)
        if answer is None or is_throttled(answer):
            return answer
        if answer.status >= 500 and error_code(answer) is None:
            return answer  # a gateway's page is not a verdict
        if answer.status == 404:
            if job.known_at is None:
                job.unknown_until = age
            elif job.final is None:
                job.vanished = True
                self.wire.open_jobs -= 1
            return answer
        if job.known_at is None:
            job.known_at = age
        if answer.status == 202:
            job.was_running = True
        elif job.final is None:
            job.final, job.final_at = answer, age
            self.wire.open_jobs -= 1
            self.files.update(job.files)
            self.ids.update(job.files)
        return answer

    def age(self, job: Job) -> float:
        """Return the seconds since its POST was answered."""
        return self.wire.clock.monotonic() - job.born

    def follow(self, job: Job) -> None:
        """Poll a job until it has ended, or its time is over."""
        gaps = iter(_GAPS)
        told = False
        while job.final is None and not job.vanished:
            age = self.age(job)
            if age > (_VISIBLE if job.known_at is None else _PATIENCE):
                return
            self.look(job)
            if job.final is None and not job.vanished:
                if age > 10 and not told:
                    self.wire.say("Waiting for ConvertAPI to finish a tiny document …")
                    told = True
                fine = max(_GAPS[0], age / 20)
                self.wire.clock.sleep(fine if job.known_at is None else next(gaps, _GAPS[-1]))

    def ask(self, job_id: str) -> Response | None:
        """Poll a job, perhaps of an earlier call."""
        self.ids.add(job_id)
        return self.wire.free(Request("GET", f"/async/job/{job_id}"), self.secret())

    def store(self, file_id: str, document: Document) -> Response | None:
        """Upload a document under an id."""
        # Noted before it is sent: a check that is interrupted now must delete it, too.
        self.files.add(file_id)
        self.ids.add(file_id)
        return self.wire.free(endpoints.upload(document, file_id).request, self.secret())

    # --- removing --------------------------------------------------------------------------------

    def delete(self, job_id: str) -> Response | None:
        """Delete a job's record."""
        return self.wire.free(Request("DELETE", f"/async/job/{job_id}"), self.secret())

    def has(self, file_id: str) -> bool | None:
        """Tell whether a document is stored; None if the answer does not show it."""
        answer = self.wire.free(Request("HEAD", f"/d/{file_id}", accept="*/*"), self.secret())
        return {200: True, 404: False}.get(status_of(answer))

    def remove(self, file_id: str) -> Response | None:
        """Delete a document."""
        answer = self.wire.free(Request("DELETE", f"/d/{file_id}"), self.secret())
        if status_of(answer) in {200, 404}:
            self.files.discard(file_id)
        return answer

    def clean(self) -> list[str]:
        """Delete everything that was made; return what may be left."""
        left = []
        for job in self.made:
            if job.id in self.kept:
                continue
            if job.submitted is None and job.known_at is None:
                self._find_lost(job)
            if job.stores and job.final is None and job.is_accepted:
                self.follow(job)  # the ids of its results are known only after its end
            ended = job.is_done or status_of(job.final) >= 400
            if job.stores and job.is_accepted and not ended:
                left.append("results of a job that never told them")
            if status_of(self.delete(job.id)) not in {200, 404}:
                left.append("a job's record")
        for file_id in list(self.files):
            self.remove(file_id)
        return left + ["a document"] * len(self.files)


def direct(pair: str, document: Document, accept: str = "application/json") -> Request:
    """Return the request of a conversion that makes no job, and whose results are not stored."""
    body = FormBody([("File", document), ("StoreFile", "false")])
    return Request("POST", f"/convert/{pair}", accept=accept, body=body)


def submission(
    pair: tuple[str, str],
    fields: Sequence[tuple[str, str | Document]],
    job_id: str,
    *,
    stores: bool,
) -> Request:
    """Return the request that submits a job."""
    return Request(
        "POST",
        f"/async/convert/{pair[0]}/to/{pair[1]}",
        query={"JobId": job_id},
        body=FormBody([*fields, ("StoreFile", str(stores).lower())]),
    )
