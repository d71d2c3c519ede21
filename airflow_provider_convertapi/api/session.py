"""A `requests` session for one ConvertAPI host: where tokens go, how bodies travel, what broke.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from airflow_provider_convertapi.api.exchange import USER_AGENT, Wire, no_answer, request_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3 import PoolManager, ProxyManager

    from airflow_provider_convertapi.api.wire import Body, Request
    from airflow_provider_convertapi.errors import TransportError

NO_ANSWER = (OSError, HTTPError)
"""What `requests` raises when the wire breaks: its own errors are `OSError`; some of urllib3's
pass through it as they are."""

_SLICE = 128 * 1024
"""Bytes handed to the socket at a time: each slice has the whole time-out to leave, so a slow line
is no broken one."""


class HostAuth(AuthBase):
    """Set `Authorization` for one host and no other; `.netrc` cannot replace it."""

    def __init__(self, base_url: str, token: Callable[[], str]) -> None:
        self._origin = _origin(base_url)
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Authorize a request to the host."""
        if urlsplit(request.url or "")[:2] == self._origin:
            request.headers["Authorization"] = f"Bearer {self._token()}"
        return request


@lru_cache(maxsize=16)
def _origin(url: str) -> tuple[str, str]:
    """Return scheme and host as `requests` writes them: it changes case and encodes IDNs."""
    with suppress(ValueError):  # no host that can be reached; the request will say so
        url = requests.Request("GET", url).prepare().url or url
    return urlsplit(url)[:2]


_HELD = "x-held-content-type"


class _Head:
    """The head of an answer, its content type under another name."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readline(self, limit: int = -1) -> bytes:
        line = self._stream.readline(limit)
        if line[:13].lower() == b"content-type:":
            return _HELD.encode() + line[12:]
        return line

    def close(self) -> None:
        self._stream.close()


class _Answer(HTTPResponse):
    """Read a head for what it is.

    `email`, which reads heads for `http.client`, looks for parts even there, and compiles a pattern
    for the boundary of each multipart answer: that takes 12 to 15 % of a small file's time
    (`bench/client.py`).
    """

    fp: Any

    def begin(self) -> None:
        stream, self.fp = self.fp, _Head(self.fp)
        try:
            super().begin()
        finally:
            self.fp = self.fp and stream  # none where it was closed
        for value in self.headers.get_all(_HELD, []):
            self.headers["Content-Type"] = value
        del self.headers[_HELD]


_wire: ContextVar[Wire | None] = ContextVar("wire", default=None)


@contextmanager
def noting_the_first_byte() -> Iterator[Wire]:
    """Let the connection that carries a request in this block note whether it was begun."""
    wire = Wire()
    token = _wire.set(wire)
    try:
        yield wire
    finally:
        _wire.reset(token)


class _NotesFirstByte(HTTPConnection):
    """Whether a paid request may be sent again depends on it, and no exception's class tells.

    Behind a proxy urllib3 makes a `ProxyError` of a lost answer, too.
    """

    response_class = _Answer

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        """Send the head, which was only collected so far; a proxy's CONNECT never comes here."""
        if self.sock is None:
            self.connect()
        if wire := _wire.get():
            wire.sent = True
        super().endheaders(*args, **kwargs)


class _TlsConnection(_NotesFirstByte, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _NotesFirstByte


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Connections of one host that note the first byte of each request."""

    def __init__(self) -> None:
        # Retries are decided where their price is known, never by the adapter.
        super().__init__(max_retries=0, pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_own_connections(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        _use_own_connections(manager)
        return manager


def _use_own_connections(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


def new_session(auth: AuthBase) -> requests.Session:
    """Return a session whose requests are authorized by `auth`."""
    session = requests.Session()
    session.mount("https://", _Adapter())
    session.mount("http://", _Adapter())
    session.auth = auth
    # Compression would make the announced sizes untrue.
    session.headers["Accept-Encoding"] = "identity"
    session.headers["User-Agent"] = USER_AGENT
    return session


def environment_of(session: requests.Session, base_url: str) -> dict[str, Any]:
    """Return the proxies and certificates that the environment says are for a host."""
    return dict(session.merge_environment_settings(base_url, {}, True, None, None))


class UnreadableBodyError(Exception):
    """A request's body could not be read: the file's trouble, not the connection's.

    :param reason: what reading it raised.
    """

    # urllib3 takes an `OSError` for the connection's, and ignores some; so this is none.
    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Blocks:
    """A body whose length `requests` asks for first, so that it sends `Content-Length`."""

    body: Body
    _size: int = field(init=False)

    def __post_init__(self) -> None:
        self._size = self.body.size  # once: `requests` asks three times, and a form adds it up

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        try:
            for block in self.body.blocks():
                for start in range(0, len(block), _SLICE):
                    yield block[start : start + _SLICE]
        except Exception as error:  # noqa: BLE001 - whatever a store raises
            raise UnreadableBodyError(error) from None


def prepared(
    session: requests.Session,
    request: Request,
    base_url: str,
    timeout: tuple[float, float],
    environment: Mapping[str, Any],
) -> Callable[[str], requests.Response]:
    """Return what sends the request with a token: all is ready that can be before its turn.

    :param timeout: seconds to connect, and without a byte.
    :param environment: proxies and certificates.
    """
    body = Blocks(request.body) if request.body else None
    ready = session.prepare_request(
        requests.Request(
            request.method,
            f"{base_url}{request.path}",
            params=dict(request.query),
            headers=request_headers(request),
            data=body or None,  # an empty one has no length that `requests` believes
            auth=_later,
        )
    )

    def send(token: str) -> requests.Response:
        HostAuth(base_url, lambda: token)(ready)
        return session.send(ready, timeout=timeout, allow_redirects=False, **environment)

    return send


def _later(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authorize nothing yet; without this, the session would."""
    return request


def transport_error(request: Request, error: Exception, wire: Wire) -> TransportError:
    """Return the error for a request that got no answer; it names neither host nor id."""
    return no_answer(request, sent=wire.sent, error=error, reason=_reason(error))


def _reason(error: Exception) -> str:
    """Return the innermost cause without URLs: pools and retries put the whole path into theirs."""
    inner = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
    return _reason(inner) if isinstance(inner, Exception) else str(error).rpartition(": ")[2]
