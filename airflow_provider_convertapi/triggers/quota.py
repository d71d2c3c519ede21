"""The trigger that waits for the account's balance.

This module may change from release to release.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any

from airflow_provider_convertapi.api.account import Account
from airflow_provider_convertapi.api.endpoints import get_user
from airflow_provider_convertapi.errors import ThrottledError, TransportError
from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
from airflow_provider_convertapi.hooks.triggerer import read_settings, shared_client
from airflow_provider_convertapi.surroundings import surroundings
from airflow_provider_convertapi.triggers.base import ConvertApiTrigger


@dataclass(kw_only=True, eq=False, repr=False)
class ConvertApiQuotaTrigger(ConvertApiTrigger):
    """Fire when enough conversions are left; the worker reads the balance again, and decides.

    It never raises: if the balance cannot be read, it fires, and the worker reports why.

    :param convertapi_conn_id: the connection's id.
    :param min_conversions: conversions that have to be left.
    :param deadline: seconds since the epoch at which it fires in any case.
    :param poll_interval: seconds between two requests, plus up to a quarter at random.
    """

    convertapi_conn_id: str
    min_conversions: int
    deadline: float
    poll_interval: float

    def _unwatched(self) -> dict[str, Any]:
        return {"status": "error"}

    async def _watch(self) -> dict[str, Any]:
        return {"status": "enough" if await self._wait() else "timeout"}

    async def _wait(self) -> bool:
        """Tell whether there were enough conversions before the deadline."""
        clock = surroundings().clock
        # The wall clock is read only once: setting it meanwhile must not move the deadline.
        ends = clock.monotonic() + self.deadline - clock.time()
        settings = await read_settings(ConvertApiHook(self.convertapi_conn_id))
        async with shared_client(settings) as client:
            while (left := ends - clock.monotonic()) > 0:
                # The worker has just read the balance, so the first request waits, too.
                pause = self.poll_interval * (1 + random.random() / 4)  # noqa: S311 - no secret
                await asyncio.sleep(min(pause, left))
                try:
                    user = await client.send(get_user())
                except (ThrottledError, TransportError):
                    continue
                if Account.read(user).check_remaining(settings.conn_id) >= self.min_conversions:
                    return True
        return False
