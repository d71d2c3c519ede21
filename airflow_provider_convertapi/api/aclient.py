"""Call endpoints with `aiohttp`: short, free calls in a shared event loop.

This module may change from release to release.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import hdrs

from airflow_provider_convertapi.api.exchange import (
    CONNECT_TIMEOUT,
    LONGEST_ANSWER,
    USER_AGENT,
    Wire,
    broken_off,
    no_answer,
    parse_answer,
    request_headers,
    whole_answer,
)
from airflow_provider_convertapi.api.redaction import hide_ids
from airflow_provider_convertapi.api.retry import Backoff
from airflow_provider_convertapi.api.wire import BLOCK, Credential, is_ok
from airflow_provider_convertapi.errors import AuthenticationError, ConvertApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_convertapi.api.wire import Endpoint, Request, Response

T = TypeVar("T")

_CONNECTIONS = 100
"""The most connections of a client: a process may have only 1,024 file descriptors in all."""

_LONGEST_FIELD = 64 * 1024
"""Bytes of a header, as in `http.client`; aiohttp's own limit is 8 KiB, which the security policy
that a gateway adds may exceed: a job would then look as if it were never done."""

hide_ids("aiohttp.client", "aiohttp.internal")


@dataclass(frozen=True, slots=True)
class _Exchange:
    """The state of one request, for the trace hooks."""

    wire: Wire
    limit: asyncio.Timeout


@dataclass(slots=True)
class AsyncClient:
    """Send short requests to one ConvertAPI host; made inside a running event loop.

    :param base_url: scheme and host, without a path.
    :param token: returns the secret of a kind of credential.
    :param renew: gets a refused secret, and makes the next call of `token` return another one;
        returns False if it cannot be renewed.
    :param both_refused: gets both refusals, and returns the error to raise if the renewed secret
        was refused, too.
    :param http_timeout: seconds without a byte after which a request fails.
    :param clock: returns seconds since the epoch; `monotonic`: seconds from an arbitrary moment.
    :param carry: sends a request with a token, and notes whether it was sent; None: the network.
    """

    base_url: str
    token: Callable[[Credential], Awaitable[str]]
    renew: Callable[[str], bool] = lambda _: False
    both_refused: Callable[[AuthenticationError, AuthenticationError], AuthenticationError] = field(
        default=lambda _, last: last, kw_only=True
    )
    http_timeout: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = field(kw_only=True)
    monotonic: Callable[[], float] = field(kw_only=True)
    carry: Callable[[Request, str, Wire], Awaitable[Response]] | None = field(
        default=None, kw_only=True, repr=False
    )
    session: aiohttp.ClientSession = field(init=False, repr=False)
    _gate: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=_trust()),
            # A compressed body would not have the size that its headers announce.
            headers={hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: USER_AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=_proxy(self.base_url),
            max_field_size=_LONGEST_FIELD,
            trace_configs=[_tracing()],
        )

    async def close(self) -> None:
        """Close the pooled connections."""
        await self.session.close()

    async def call(self, endpoint: Endpoint[T], *, until: float | None = None) -> T:
        """Make a free call; repeat it after transport errors and throttling.

        :param until: monotonic seconds after which a throttled call gives up; None: five waits.
        """
        attempt = 1
        while True:
            try:
                return await self.send(endpoint)
            except ConvertApiError as error:
                left = None if until is None else until - self.monotonic()
                delay = self.backoff.delay_of_free_call(attempt, error, left)
                if delay is None:
                    raise
            await self.pause(delay)
            attempt += 1

    async def send(self, endpoint: Endpoint[T]) -> T:
        """Make a call once; after a 401, which is free, once more with a new JWT."""
        secret = await self.token(endpoint.request.credential)
        try:
            return await self._send_once(endpoint, secret)
        except AuthenticationError as error:
            if endpoint.request.credential is not Credential.TOKEN or not self.renew(secret):
                raise
            first = error
        try:
            return await self._send_once(endpoint, await self.token(Credential.TOKEN))
        except AuthenticationError as last:
            raise self.both_refused(first, last) from None

    async def _send_once(self, endpoint: Endpoint[T], secret: str) -> T:
        request, wire = endpoint.request, Wire()
        try:
            response = await (self.carry or self._exchange)(request, secret, wire)
        except (aiohttp.ClientError, OSError) as error:
            # The cause has the URL, and so an id: it must not reach a traceback.
            raise no_answer(request, wire, error, str(error)) from None
        return parse_answer(endpoint.parse, response, self.clock())

    # aiohttp itself repeats a GET or DELETE if a kept connection turns out to be broken
    # (`aiohttp/client.py`, IDEMPOTENT_METHODS).  That is harmless, since all calls here are free.
    async def _exchange(self, request: Request, secret: str, wire: Wire) -> Response:
        async with self._gate:
            # One request per turn of the loop: a thousand that are due at once would block it.
            await asyncio.sleep(0)
        async with (
            asyncio.timeout(None) as limit,
            self.session.request(
                request.method,
                f"{self.base_url}{request.path}",
                params=dict(request.query),
                headers=request_headers(request) | {hdrs.AUTHORIZATION: f"Bearer {secret}"},
                # Only the call for a token has a body, of a few bytes: reading it does not block.
                data=b"".join(request.body.blocks()) if request.body else None,
                timeout=self._timeout(request),
                allow_redirects=False,  # a redirect could take the token to another host
                trace_request_ctx=_Exchange(wire, limit),
            ) as answer,
        ):
            return await _read(answer)

    def _timeout(self, request: Request) -> aiohttp.ClientTimeout:
        # No total, because it would include the wait for a free connection; the poller has a
        # deadline.
        return aiohttp.ClientTimeout(
            total=None,
            sock_connect=CONNECT_TIMEOUT,
            sock_read=request.timeout or self.http_timeout,
        )


def _tracing() -> aiohttp.TraceConfig:
    """Note when a request's head is sent, and give up on a connection that is never established.

    aiohttp waits for a proxy's answer to CONNECT without a limit, and does not trace the CONNECT.
    """

    async def note(_: object, context: Any, __: object) -> None:
        context.trace_request_ctx.wire.sent = True

    async def connecting(_: object, context: Any, __: object) -> None:
        limit = asyncio.get_running_loop().time() + CONNECT_TIMEOUT
        context.trace_request_ctx.limit.reschedule(limit)

    async def connected(_: object, context: Any, __: object) -> None:
        context.trace_request_ctx.limit.reschedule(None)

    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(note)
    tracing.on_connection_create_start.append(connecting)
    tracing.on_connection_create_end.append(connected)
    return tracing


async def _read(answer: aiohttp.ClientResponse) -> Response:
    """Read a whole answer, or as much of it as `whole_answer` needs."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    body = bytearray()
    try:
        async for block in answer.content.iter_chunked(BLOCK):
            body += block
            if len(body) > LONGEST_ANSWER:
                break
    except (aiohttp.ClientError, OSError) as error:
        # The status of an error is enough without its body.
        if is_ok(answer.status):
            announced = headers.get("content-length", "")
            raise broken_off(len(body), announced, f" ({type(error).__name__})") from None
    return whole_answer(answer.status, headers, body)


def _proxy(url: str) -> str | None:
    """Return the environment's proxy for a host; None if there is none.

    aiohttp's own `trust_env` looks for it, and for a `.netrc`, in a thread for every request: with
    1,000 jobs that blocked the loop for 0.4 s.
    """
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    proxy = proxy if "://" in proxy or not proxy else f"http://{proxy}"
    return proxy if urlsplit(proxy).scheme in {"http", "https"} else None  # aiohttp has no other


def _trust() -> ssl.SSLContext | bool:
    """Return the authorities that `requests` trusts, so that a proxy's CA works in both modes."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return _context(bundle) if bundle else True


@cache
def _context(bundle: str) -> ssl.SSLContext:
    # Cached: reading the authorities blocks the event loop for about 20 ms.
    if Path(bundle).is_dir():
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)
