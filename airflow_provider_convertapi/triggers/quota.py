"""The trigger that waits for the account's balance.

This module may change from release to release.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent  # noqa: TID253 - imported in `execute`

from airflow_provider_convertapi.api.account import Account
from airflow_provider_convertapi.api.endpoints import get_user
from airflow_provider_convertapi.errors import ThrottledError, TransportError
from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
from airflow_provider_convertapi.hooks.triggerer import read_settings, shared_client
from airflow_provider_convertapi.surroundings import surroundings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(kw_only=True, eq=False, repr=False)
class ConvertApiQuotaTrigger(BaseTrigger):
    """Fire once enough conversions are left; the worker asks again, and decides.

    It never raises: where the balance cannot be read, it fires, and the worker says why.

    :param convertapi_conn_id: the connection's id.
    :param min_conversions: conversions that have to be left.
    :param deadline: seconds since the epoch at which it fires in any case.
    :param poll_interval: seconds between two looks; each is up to a quarter longer, at random.
    """

    convertapi_conn_id: str
    min_conversions: int
    deadline: float
    poll_interval: float

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow's own has no types

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, which JSON can hold."""
        cls = type(self)
        arguments = {item.name: getattr(self, item.name) for item in fields(self)}
        return f"{cls.__module__}.{cls.__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: a status, ``enough``, ``timeout`` or ``error``."""
        try:
            status = await self._watch()
        except Exception as error:  # noqa: BLE001 - an error of a trigger would hide the typed error from the task
            self.log.warning(
                "The triggerer cannot read the balance (%s); the worker looks for itself.",
                type(error).__name__,
            )
            status = "error"
        yield TriggerEvent({"status": status})

    async def _watch(self) -> str:
        settings = await read_settings(ConvertApiHook(self.convertapi_conn_id))
        async with shared_client(settings) as client:
            while (left := self.deadline - surroundings().clock.time()) > 0:
                # The worker looked before it deferred, so the first look waits, too.
                pause = self.poll_interval * (1 + random.random() / 4)  # noqa: S311 - no secret
                await asyncio.sleep(min(pause, left))
                try:
                    user = await client.send(get_user())
                except (ThrottledError, TransportError):
                    continue
                if Account.read(user).check_remaining(settings.conn_id) >= self.min_conversions:
                    return "enough"
        return "timeout"
