"""/convert and /async: direct conversions, jobs, polls."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.routing import Route

from convertapi_sandbox import answers, fetch
from convertapi_sandbox.answers import Answer, Style, error_answer, json_answer
from convertapi_sandbox.async_jobs import Job, Outcome
from convertapi_sandbox.conversions import Conversions
from convertapi_sandbox.errors import (
    BAD_REQUEST,
    UNAVAILABLE,
    UNSUPPORTED,
    ServiceError,
    not_found,
    parameter_error,
)
from convertapi_sandbox.front import Exchange
from convertapi_sandbox.request import lower_query
from convertapi_sandbox.store import ID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from convertapi_sandbox.async_jobs import Asked
    from convertapi_sandbox.catalogue import Converter
    from convertapi_sandbox.conversions import Order
    from convertapi_sandbox.faults import Fault
    from convertapi_sandbox.request import Form
    from convertapi_sandbox.spool import Spool
    from convertapi_sandbox.state import State

_OVERLOADED = "The service is overloaded. Please retry in a couple of seconds."
_RUNNING = 202
# Requests in these formats are answered in JSON if they do not say what they accept.
_FORMS = frozenset({"application/json", "application/x-www-form-urlencoded", "multipart/form-data"})


class ConvertRoutes:
    """The endpoints that convert, and those of jobs."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._conversions = Conversions(state)

    def routes(self) -> list[Route]:
        """Return the routes, including older ones."""
        pair = "/convert/{source}/to/{target}"
        return [
            Route(pair, self.convert, methods=["POST", "GET"]),
            Route(pair + "/converter/{name}", self.convert, methods=["POST", "GET"]),
            Route("/async" + pair, self.start, methods=["POST"]),
            Route("/async" + pair + "/converter/{name}", self.start, methods=["POST"]),
            Route("/async/job/{job_id}", self.poll, methods=["GET"]),
            Route("/async/job/{job_id}", self.delete_job, methods=["DELETE"]),
            # The path of jobs before 2022; old client code still uses it.
            Route("/job/{job_id}", self.poll, methods=["GET"]),
            Route("/job/{job_id}", self.delete_job, methods=["DELETE"]),
        ]

    # --- direct ------------------------------------------------------------------------------

    async def convert(self, request: Request) -> Answer:
        """Convert, and answer with the results."""
        if lower_query(request).get("async", "").lower() == "true":
            return await self.start(request)
        exchange = Exchange.of(request)
        spool = self._conversions.spool()
        try:
            async with self._at_work():
                self._admit(request, exchange)
                converter = self._conversions.converter(**self._pair(request))
                form = await self._conversions.read(request, spool)
                order = self._conversions.accept(converter, form, spool, exchange)
                self._conversions.reserve(order)
                # A conversion that has started goes on, and is billed, even if its caller has gone.
                outcome = await asyncio.shield(self._conversions.perform(order))
            answer = self._answer(outcome, self._kind(request, order), exchange.fault)
        except BaseException as error:
            self._state.scratch.give_back(spool.folder)
            if request.method != "GET" or request.url.query:  # clients test tokens like this, free
                self._bill_refused(error, exchange)
            raise
        answer.finish = lambda: self._state.scratch.give_back(spool.folder)
        disposition = answer.headers.get("content-disposition", "")
        if lower_query(request).get("download", "").lower() == "inline" and disposition:
            answer.headers["content-disposition"] = "inline" + disposition.removeprefix(
                "attachment"
            )
        return answer

    def _pair(self, request: Request) -> dict[str, str]:
        return {name: request.path_params[name] for name in ("source", "target")}

    def _admit(self, request: Request, exchange: Exchange) -> None:
        caller = self._state.credentials.converting(request)
        exchange.api_token = caller.api_token
        exchange.entry.authorization_kind = caller.kind
        exchange.entry.claims = dict(caller.claims) if caller.claims is not None else None

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        """Count a conversion while it is open, or refuse it if there are too many."""
        self._throttle()
        self._state.at_work += 1
        try:
            yield
        finally:
            self._state.at_work -= 1

    def _throttle(self) -> None:
        settings = self._state.settings
        if settings.throttle_above is not None and self._open >= settings.throttle_above:
            headers = (
                {} if settings.retry_after is None else {"retry-after": str(settings.retry_after)}
            )
            status = settings.throttle_status
            raise ServiceError(status, status, _OVERLOADED, headers=headers)

    @property
    def _open(self) -> int:
        return self._state.at_work + self._state.jobs.running

    def _bill_refused(self, error: BaseException, exchange: Exchange) -> None:
        """Bill a refusal (400 or 415) if the switch for it is set."""
        refused = isinstance(error, ServiceError) and error.status in (BAD_REQUEST, UNSUPPORTED)
        if refused and self._state.settings.bill_refused:
            exchange.entry.paid, exchange.entry.cost = True, 1
            self._state.account.bill(1)
            if exchange.api_token is not None:
                exchange.api_token.used += 1

    def _kind(self, request: Request, order: Order) -> str:
        """Return the format of the answer that the request asks for."""
        if request.method == "GET":
            # A link in a web page: the browser wants the file, whatever its Accept header says.
            accept = request.headers.get("accept", "")
            return answers.JSON if accept.startswith(answers.JSON) else answers.RAW
        return self._format(_asked(request), store=order.checked.store)

    def _format(self, asked: Asked, *, store: bool) -> str:
        """Return the format for a request's Accept header and content type."""
        settings = self._state.settings
        accept, content_type = asked
        if store and (accept is None or settings.stored_answer == "json"):
            return answers.JSON
        kind = answers.preferred(accept)
        if kind is not None:
            return kind
        if settings.no_accept == "request":
            return answers.JSON if content_type in _FORMS else answers.RAW
        return answers.RAW if settings.no_accept == "raw" else answers.JSON

    def _answer(self, outcome: Outcome, kind: str, fault: Fault | None) -> Answer:
        if outcome.error is not None:
            return error_answer(outcome.error)
        settings = self._state.settings
        files = []
        for position, file in enumerate(outcome.files):
            told = file
            if file.file_id is not None:
                document = self._state.store.find(file.file_id, settings.file_lifetime)
                path = self._state.store.path(document) if document is not None else None
                told = replace(file, path=path, url=self._conversions.url(file, fault))
            if fault is not None:
                name = fault.names[position] if position < len(fault.names) else told.name
                told = replace(told, name=name, size=told.size + fault.wrong_size)
            files.append(told)
        style = Style(
            kind,
            settings.disposition == "extended",
            settings.conversion_time,
            settings.part_cost == "share",
        )
        return answers.result_answer(outcome.cost, files, style)

    # --- asynchronous ------------------------------------------------------------------------

    async def start(self, request: Request) -> Answer:
        """Accept a job and answer with its id, before it is done."""
        exchange = Exchange.of(request)
        spool = self._conversions.spool()
        try:
            async with self._at_work():
                self._admit(request, exchange)
                converter = self._conversions.converter(**self._pair(request))
                exchange.entry.job_id = lower_query(request).get("jobid")
                form = await self._conversions.read(request, spool)
                job = self._begin(request, converter, form, spool)
        except BaseException as error:
            self._state.scratch.give_back(spool.folder)
            self._bill_refused(error, exchange)
            raise
        if job.folder != spool.folder:
            self._state.scratch.give_back(spool.folder)  # joined an existing job
        if exchange.fault is not None and exchange.fault.waits_for_work and job.task is not None:
            await asyncio.wait({job.task})
        return json_answer({"JobId": job.id})

    def _begin(self, request: Request, converter: Converter, form: Form, spool: Spool) -> Job:
        """Return the job for a start: a new one, or the existing one with that id."""
        exchange, settings = Exchange.of(request), self._state.settings
        job_id, hook = self._job_parameters(form)
        exchange.entry.job_id = job_id
        known = self._state.jobs.find(job_id)
        if known is not None and settings.known_job_id == "join":
            return known
        if known is not None and settings.known_job_id == "refuse":
            raise parameter_error({"JobId": ["A job with this JobId already exists."]})
        visible_at = time.time() + settings.job_visible_after
        job = Job(job_id, _asked(request), False, visible_at=visible_at, hook=hook)
        job.fault = exchange.fault
        job.folder, job.polls_left = spool.folder, settings.job_polls
        try:
            order = self._conversions.accept(converter, form, spool, exchange)
            self._conversions.reserve(order)
            job.store, job.waive = order.checked.store, order.waive
            work = self._conversions.perform(order)
        except ServiceError as error:
            if settings.job_refusals_at == "start":
                raise
            self._bill_refused(error, exchange)
            work = _refused(error)
        self._state.jobs.start(job, work)
        return job

    def _job_parameters(self, form: Form) -> tuple[str, str | None]:
        """Return the id of a job, the caller's or a new one, and its web hook."""
        job_id, hook = form.last("JobId"), form.last("WebHook")
        invalid = {}
        if job_id not in (None, "") and not ID.fullmatch(str(job_id)):
            invalid["JobId"] = ["The JobId must be 32 lower-case letters and digits."]
        if hook and not fetch.allowed(str(hook), self._state.settings):
            invalid["WebHook"] = ["The sandbox calls only hosts in its setting allow_hosts."]
        if invalid:
            raise parameter_error(invalid)
        if not self._state.settings.caller_job_ids:
            job_id = None
        return str(job_id or self._state.ids.new()), str(hook) if hook else None

    async def poll(self, request: Request) -> Answer:
        """Answer 202 while a job runs, then its results or its error, as often as it is polled."""
        exchange, settings = Exchange.of(request), self._state.settings
        job = self._job(request)
        if job.visible_at > time.time():
            raise not_found("job", settings)
        if job.open_polls and settings.concurrent_polls == "refused":
            raise ServiceError(UNAVAILABLE, UNAVAILABLE, _OVERLOADED)
        job.open_polls += 1
        try:
            if settings.poll_hold and job.polls:
                await asyncio.sleep(settings.poll_hold)
        finally:
            job.open_polls -= 1
        job.polls += 1
        if job.outcome is None or job.polls_left > 0:
            job.polls_left -= 1
            return Answer(_RUNNING, [], {})
        asked = job.asked if settings.job_format_from == "start" else _asked(request)
        kind = self._format(asked, store=job.store)
        answer = self._answer(job.outcome, kind, exchange.fault or job.fault)
        failed = job.outcome.error is not None
        if not settings.job_keeps_verdict if failed else settings.job_consumed_by_read:
            answer.finish = lambda: self._forget(job)
        return answer

    def _job(self, request: Request) -> Job:
        """Return the job in a path; an expired job is unknown, like one that never existed."""
        job_id = Exchange.of(request).entry.job_id = request.path_params["job_id"]
        job = self._state.jobs.find(job_id)
        if job is None:
            raise not_found("job", self._state.settings)
        return job

    def _forget(self, job: Job) -> None:
        self._state.jobs.forget(job.id)

    async def delete_job(self, request: Request) -> Answer:
        """Forget a job; one that is running is billed as the switch for it says."""
        job, settings = self._job(request), self._state.settings
        if job.outcome is None and not settings.bill_deleted:
            job.waive()
        if settings.job_delete_takes_documents and job.outcome is not None:
            for file in job.outcome.files:
                self._state.store.delete(file.file_id or "")
        self._forget(job)
        return Answer(200, [], {})


def _asked(request: Request) -> Asked:
    """Return the headers that decide the format of an answer."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return request.headers.get("accept"), content_type


async def _refused(error: ServiceError) -> Outcome:
    """Return a refusal as a job's outcome, for a job that is not refused at its start."""
    return Outcome(error=error)
