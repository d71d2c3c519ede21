"""Watch jobs in an event loop until a worker can read their answers.

This module may change from release to release.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.endpoints import get_job
from airflow_provider_convertapi.api.retry import poll_delays
from airflow_provider_convertapi.conversions.job import ODD_ANSWERS
from airflow_provider_convertapi.errors import ConvertApiError

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

    from airflow_provider_convertapi.api.aclient import AsyncClient

_SPREAD = 0.5
"""Seconds over which first polls are spread: a triggerer may start with a thousand jobs."""


@dataclass(frozen=True, slots=True)
class JobPoller:
    """Poll jobs, each on its own schedule and never twice at the same time.

    :param poll_interval: the longest time in seconds between two polls of a job.
    :param settle: seconds that a job may stay invisible after it was submitted or seen.
    """

    client: AsyncClient
    poll_interval: float
    settle: float
    log: logging.Logger

    async def wait_for(
        self,
        jobs: Sequence[tuple[str, float | None]],
        *,
        enough: int,
        seconds: float,
    ) -> list[bool]:
        """Watch jobs until enough have an answer, or the time is up; return which have one.

        :param jobs: job id, and when it was submitted (seconds since the epoch; None: unknown).
        :param enough: number of answers to wait for.
        :param seconds: the longest time to watch.
        """
        answered = [False] * len(jobs)
        is_enough = asyncio.Event()

        async def one(index: int) -> None:
            await self.answer(*jobs[index])
            answered[index] = True
            if sum(answered) >= enough:
                is_enough.set()

        with suppress(TimeoutError):  # the worker decides what a late job means
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(index)) for index in range(len(jobs))]
                await is_enough.wait()
                # The group would wait for the other jobs, which may run for hours.
                for task in tasks:
                    task.cancel()
        return answered

    async def answer(self, job_id: str, submitted: float | None) -> None:
        """Return once the job has an answer, good or bad, or was unknown for longer than `settle`.

        Transport errors and throttling do not count as answers; the caller limits the time.
        """
        await self.client.pause(_SPREAD * self.client.backoff.jitter())
        # The wall clock is read only once: setting it meanwhile must not end the watch.
        age = 0.0 if submitted is None else max(self.client.clock() - submitted, 0.0)
        last_seen = self.client.monotonic() - age
        failures = 0
        for delay in poll_delays(self.poll_interval):
            try:
                found = await self.client.send(get_job(job_id))
            except ConvertApiError as error:
                failures += 1
                # A single odd answer may be a proxy's page.  The worker would find the job still
                # running, and hold its slot until that ends.
                is_odd = error.concerns == "service" and failures < ODD_ANSWERS
                if not (error.transient or is_odd):
                    return  # the worker makes the same call, and raises the error
                await self._handle_failed_poll(error, failures)
            else:
                failures = 0
                if found.conversion or found.verdict:
                    return
                if not found.unknown:
                    last_seen = self.client.monotonic()
                elif self.client.monotonic() - last_seen > self.settle:
                    return
            # Jobs that were submitted together must not be polled together for ever.
            await self.client.pause(delay * (1 + self.client.backoff.jitter() / 4))

    async def _handle_failed_poll(self, error: ConvertApiError, failures: int) -> None:
        """Log a poll without an answer; if it was throttled, wait longer with this job."""
        if failures == 1:
            self.log.warning("A poll had no answer; the job goes on. %s", error)
        if error.asks_to_wait:
            await self.client.pause(self.client.backoff.delay(failures, error) or 0)
