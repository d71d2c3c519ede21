"""The trigger that waits for jobs; the worker reads their answers."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_convertapi.api.ids import JobIds, key_check, unseal
from airflow_provider_convertapi.conversions.cancellation import cancel_jobs
from airflow_provider_convertapi.conversions.deferral import JobEvent, JobRef
from airflow_provider_convertapi.conversions.polling import JobPoller
from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
from airflow_provider_convertapi.hooks.triggerer import read_settings, shared_client
from airflow_provider_convertapi.surroundings import surroundings
from airflow_provider_convertapi.triggers.base import ConvertApiTrigger

if TYPE_CHECKING:
    import logging

    from airflow_provider_convertapi.connection import ConnectionSettings
    from airflow_provider_convertapi.conversions.deferral import Status

__all__ = ["ConvertApiJobTrigger"]

_SPREAD = 0.1
"""Seconds over which triggers begin, since a triggerer may start a thousand at once."""

_CANCEL_TIMEOUT = 20.0
"""Seconds; Airflow gives `on_kill` 30 by default, its option ``[triggerer] on_kill_timeout``
(`airflow/jobs/triggerer_job_runner.py`)."""


@dataclass(kw_only=True, eq=False, repr=False)
class ConvertApiJobTrigger(ConvertApiTrigger):
    """Fire when jobs have an answer, a result or an error; the worker reads the answers itself.

    Its arguments give no access to documents: job ids are derived here, with the connection's key.
    It never raises; if it cannot watch the jobs, it fires, and the worker waits for them.

    :param convertapi_conn_id: the connection's id.
    :param key_check: digest that shows whether the key is still the one that the jobs were begun
        with.
    :param deadline: seconds since the epoch at which it fires in any case; a restart of the
        triggerer does not move it.
    :param poll_interval: the longest time in seconds between two polls of one job.
    :param settle: seconds that an accepted job may stay invisible at the service.
    :param jobs: `JobRef` entries as lists; one for a single conversion, many for a batch.
    :param sealed_job_id: in place of `jobs`, the encrypted id of a job that something else started.
    :param share: share of the jobs, above 0 and up to 1, whose answers are enough to fire.
    :param report_at: seconds since the epoch at which it fires with the answers so far; None waits
        for `share`.
    :param cancel_on_kill: delete jobs and documents when a user ends the deferred task.
    :param asked: keyed digest of the task's arguments; the event returns it.
    :param sealed_source: the encrypted result of a decorated function; the event returns it.
    """

    convertapi_conn_id: str
    key_check: str
    deadline: float
    poll_interval: float
    settle: float
    jobs: list[list[Any]] = field(default_factory=list)
    sealed_job_id: str | None = None
    share: float = 1.0
    report_at: float | None = None
    cancel_on_kill: bool = False
    asked: str = ""
    sealed_source: str = ""

    async def _watch(self) -> dict[str, Any]:
        return (await self._wait()).payload()

    def _unwatched(self) -> dict[str, Any]:
        return self._event("error").payload()

    async def _wait(self) -> JobEvent:
        await asyncio.sleep(random.uniform(0, _SPREAD))  # noqa: S311 - no secret
        settings = await self._settings()
        if key_check(settings.id_key) != self.key_check:
            return self._event("error")  # the ids would differ; the worker raises the error
        jobs = self._ids(settings)
        ends = self.deadline if self.report_at is None else min(self.deadline, self.report_at)
        enough = max(1, math.ceil(self.share * len(jobs)))
        async with shared_client(settings) as client:
            poller = JobPoller(client, self.poll_interval, self.settle, self._logger)
            answered = await poller.wait_for(
                jobs,
                enough=enough,
                seconds=max(ends - surroundings().clock.time(), 0),
            )
        # Even if the clock was set back meanwhile: the wait was for the deadline.
        is_over = sum(answered) < enough and ends == self.deadline
        is_late = is_over or (not all(answered) and surroundings().clock.time() >= self.deadline)
        return self._event("timeout" if is_late else "answered", answered)

    async def on_kill(self) -> None:
        """Delete jobs and documents if asked to; Airflow 3.3 calls it when a user ends the task."""
        # Clearing the task is a user's act, too; a restart of the triggerer and a time-out are not.
        if not self.cancel_on_kill:
            return
        settings = await self._settings()
        if key_check(settings.id_key) != self.key_check:
            self.log.warning("The token was changed meanwhile: the job cannot be cancelled.")
            return
        jobs = [
            (JobIds(settings.id_key, job.derivation), job.attempt, job.uploads)
            for job in self._watched
        ]
        async with shared_client(settings) as client:
            await cancel_jobs(client, jobs, self._logger, seconds=_CANCEL_TIMEOUT)

    async def _settings(self) -> ConnectionSettings:
        return await read_settings(ConvertApiHook(self.convertapi_conn_id))

    def _ids(self, settings: ConnectionSettings) -> list[tuple[str, float | None]]:
        if self.sealed_job_id is not None:
            return [(unseal(settings.id_key, self.sealed_job_id), None)]
        return [
            (JobIds(settings.id_key, job.derivation).job_id(job.attempt), job.submitted)
            for job in self._watched
        ]

    def _event(self, status: Status, answered: list[bool] | None = None) -> JobEvent:
        jobs = self._watched
        flags = answered if answered is not None and jobs else [False] * len(jobs)
        return JobEvent(status, self.key_check, jobs, tuple(flags), self.asked, self.sealed_source)

    @property
    def _watched(self) -> tuple[JobRef, ...]:
        return tuple(JobRef.from_list(job) for job in self.jobs)

    @property
    def _logger(self) -> logging.Logger:
        # Airflow 3.3 types its mixin's logger wider than what it is at run time.
        return cast("logging.Logger", self.log)
