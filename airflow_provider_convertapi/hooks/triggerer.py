"""Call ConvertAPI from a triggerer: many triggers share an event loop, which must never block.

This module may change from release to release.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.aclient import AsyncClient
from airflow_provider_convertapi.api.auth import CurrentToken, mint
from airflow_provider_convertapi.api.endpoints import request_token
from airflow_provider_convertapi.api.wire import Credential
from airflow_provider_convertapi.connection import ConnectionSettings
from airflow_provider_convertapi.errors import ConvertApiError
from airflow_provider_convertapi.hooks.credentials import turned_to_the_service
from airflow_provider_convertapi.hooks.masking import mask
from airflow_provider_convertapi.surroundings import surroundings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow.sdk import Connection

    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

_log = logging.getLogger(__name__)

_tokens: dict[ConnectionSettings, CurrentToken] = {}
"""One JWT for all triggers of a connection in this process.

Airflow's masker compiles its pattern again for every new secret and never forgets one, so a JWT for
each trigger would slow down a triggerer that runs for weeks.
"""


_lookups: dict[tuple[asyncio.AbstractEventLoop, str], asyncio.Task[Connection]] = {}
"""Connections that are being looked up.

A triggerer that starts a thousand triggers at once would ask Airflow a thousand times, one after
the other: 27 ms each on Airflow 3.1.  Triggers share a lookup while it runs; no result is kept.
"""


async def _find_connection(hook: ConvertApiHook) -> Connection:
    key = asyncio.get_running_loop(), hook.convertapi_conn_id
    lookup = _lookups.get(key)
    if lookup is None:
        lookup = _lookups[key] = asyncio.create_task(_look_up(hook))
        lookup.add_done_callback(lambda _: _lookups.pop(key, None))
    return await asyncio.shield(lookup)  # a cancelled trigger must not end the lookup for others


async def _look_up(hook: ConvertApiHook) -> Connection:
    """Look the connection up without blocking the loop.

    Up to Airflow 3.3.1 `aget_connection` registers the connection's secrets with a blocking call,
    which may fail while another trigger waits for an answer from the supervisor.  Airflow 3.3.2
    fixed that and added `aextra_dejson`; with older versions a thread does the lookup.
    """
    # The failure is Airflow's `DeadlockImminentError` (`airflow/sdk/execution_time/comms.py`), a
    # BaseException, so `ConvertApiTrigger.run` would not turn it into an event.
    from airflow_provider_convertapi.airflow_names import Connection

    if hasattr(Connection, "aextra_dejson"):
        return await hook.aget_connection(hook.convertapi_conn_id)
    from asgiref.sync import sync_to_async

    return await sync_to_async(hook.get_connection)(hook.convertapi_conn_id)


async def read_settings(hook: ConvertApiHook) -> ConnectionSettings:
    """Read a connection in the way that the installed Airflow allows in an event loop."""
    settings = ConnectionSettings.from_connection(await _find_connection(hook))
    if settings not in _tokens:
        # Set before the next `await`: when a triggerer starts, many triggers get here at once.
        _tokens[settings] = CurrentToken(
            settings.jwt_lifetime, surroundings().clock.time, settings.auth == "jwt_remote"
        )
        for secret in settings.secrets:
            await _mask(secret)
    return settings


async def _mask(secret: str) -> None:
    """Register a secret with Airflow's masker, whose synchronous call would block the loop."""
    try:
        from airflow_provider_convertapi.airflow_names import amask_secret
    except ImportError:  # Airflow before 3.3
        from asgiref.sync import sync_to_async

        await sync_to_async(mask)(secret)
    else:
        await amask_secret(secret)


class _Shared:
    """One client for all triggers of a connection in this event loop."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._current = _tokens[settings]
        self._renewing = asyncio.Lock()
        self.users = 0
        self.client = AsyncClient(
            settings.base_url,
            self._credential,
            renew=self._renew,
            both_refused=self._current.both_refused,
            http_timeout=settings.http_timeout,
            clock=surroundings().clock.time,
            monotonic=surroundings().clock.monotonic,
            carry=surroundings().carry,
        )

    async def _credential(self, kind: Credential) -> str:
        if kind is Credential.MASTER:
            return self._settings.master_token or ""
        if kind is Credential.API_TOKEN or self._settings.auth == "api_token":
            return self._settings.api_token
        # Under a lock, so that a thousand triggers that begin at once request one JWT.
        async with self._renewing:
            since = surroundings().clock.time()
            return self._current.get() or self._current.set(await self._new_token(), since)

    async def _new_token(self) -> str:
        settings = self._settings
        if self._current.remote:
            token = await self._ask()
        else:
            token = mint(
                settings.api_token,
                settings.kid or "",
                now=surroundings().clock.time(),
                lifetime=settings.jwt_lifetime,
                client_ip=settings.client_ip,
            )
        await _mask(token)
        return token

    async def _ask(self) -> str:
        settings = self._settings
        endpoint = request_token(settings.kid or "", settings.jwt_lifetime, settings.client_ip)
        try:
            return await self.client.call(endpoint)
        except ConvertApiError as error:
            if error.transient or not self._current.turned:
                raise
            raise self._current.turn_back(error) from None

    def _renew(self, refused: str) -> bool:
        if self._settings.auth == "api_token":
            return False
        if self._current.turn(refused):
            _log.warning(turned_to_the_service(self._settings.conn_id))
        return True


_clients: dict[tuple[asyncio.AbstractEventLoop, ConnectionSettings], _Shared] = {}


@asynccontextmanager
async def shared_client(settings: ConnectionSettings) -> AsyncIterator[AsyncClient]:
    """Lend the client that all triggers of a connection share; the last user closes it.

    :param settings: what `read_settings` returned.

    One client for each trigger would need one socket each, and a TLS handshake for every poll.
    """
    key = asyncio.get_running_loop(), settings
    shared = _clients.get(key)
    if shared is None:
        shared = _clients[key] = _Shared(settings)
    shared.users += 1
    try:
        yield shared.client
    finally:
        shared.users -= 1
        if not shared.users:
            # Before `close`, which waits: a trigger that begins meanwhile must get a new client.
            del _clients[key]
            await shared.client.close()
