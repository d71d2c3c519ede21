"""A `requests` session for one ConvertAPI host: authorization, bodies and transport errors.

This module may change from release to release.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from http.client import HTTPResponse, RemoteDisconnected, parse_headers
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from airflow_provider_convertapi.api.exchange import USER_AGENT, Wire, request_headers
from airflow_provider_convertapi.api.wire import SLICE, is_ok

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from requests.adapters import BaseAdapter
    from urllib3 import PoolManager, ProxyManager

    from airflow_provider_convertapi.api.wire import Body, Request

NO_ANSWER = (OSError, HTTPError)
"""The errors of `requests` for a failed connection: its own are `OSError`s, and some of urllib3's
pass through unchanged."""

_OUTER = re.compile(r"^.*: (?![^\[]*\])", re.DOTALL)
"""All but the last part of an error's text; OpenSSL's `[SSL: WRONG_VERSION_NUMBER]` is one part."""


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
    """Return scheme and host as `requests` writes them: in lower case, with IDNs encoded."""
    with suppress(ValueError):  # not a valid host; the request itself will fail
        url = requests.Request("GET", url).prepare().url or url
    return urlsplit(url)[:2]


_HELD = "x-held-content-type"


class _Head:
    """The head of an answer with its Content-Type renamed, so that `email` ignores it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.is_torn = False

    def readline(self, limit: int = -1) -> bytes:
        line = self._stream.readline(limit)
        self.is_torn = not line.endswith(b"\n")
        if line[:13].lower() == b"content-type:":
            return _HELD.encode() + line[12:]
        return line

    def close(self) -> None:
        self._stream.close()


class _Answer(HTTPResponse):
    """Read the head of an answer: skip interim ones, and do not look for multipart boundaries.

    `http.client` parses heads with `email`, which compiles a pattern for the boundary of each
    multipart answer, in 12 to 15 % of a small file's time (`bench/client.py`).
    """

    fp: Any

    def _read_status(self) -> tuple[str, int, str]:
        # `http.client` skips only a 100.  It takes a 103 (Early Hints) for the answer itself, which
        # is then read as the answer to the connection's next request.
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 101 < status < 200:
                return version, status, reason
            parse_headers(self.fp)

    def begin(self) -> None:
        stream, self.fp = self.fp, (head := _Head(self.fp))
        try:
            super().begin()
        finally:
            self.fp = self.fp and stream  # None if it was closed
        # `http.client` takes a head that is cut off for a whole one, and the answer for an empty
        # one.  The status of an error is enough without its head.
        if head.is_torn and is_ok(self.status):
            raise RemoteDisconnected("the connection was closed within the head of the answer")
        for value in self.headers.get_all(_HELD, []):
            self.headers["Content-Type"] = value
        del self.headers[_HELD]


# Set around each request, because a connection of urllib3 does not know its request.
_wire: ContextVar[Wire | None] = ContextVar("wire", default=None)


@contextmanager
def noting_the_first_byte() -> Iterator[Wire]:
    """Record whether a byte of the request that this block makes was sent."""
    wire = Wire()
    token = _wire.set(wire)
    try:
        yield wire
    finally:
        _wire.reset(token)


def note_first_byte() -> None:
    """Record that a byte of the current request is passed to a connected socket."""
    if wire := _wire.get():
        wire.sent = True


class _NotesFirstByte(HTTPConnection):
    """Record that the first byte of a request was sent.

    It decides whether a paid request may be sent again.  The class of an exception does not show
    it: behind a proxy urllib3 raises `ProxyError` for a lost answer, too.
    """

    response_class = _Answer

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        """Send the head, which was collected so far; a proxy's CONNECT does not call this."""
        # Connected first: a failure to connect must not count as a byte that was sent.
        if self.sock is None:
            self.connect()
        note_first_byte()
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
        # No retries here: only the callers know which requests are paid.  One connection: a
        # batch makes a client for each of its threads.
        super().__init__(max_retries=0, pool_connections=1, pool_maxsize=1)
        self._process = os.getpid()

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        # A forked process has its parent's connections, and would read each other's answers there.
        if self._process != os.getpid():
            self._process = os.getpid()
            self.proxy_manager.clear()
            self.init_poolmanager(1, 1)
        return super().send(*args, **kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_own_connections(self.poolmanager)

    # With a proxy `requests` uses another manager.  Without our connections it would not be known
    # whether a paid request was sent.
    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        _use_own_connections(manager)
        return manager


def _use_own_connections(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


class _Session(requests.Session):
    """A session that looks at where a redirect leads only if it is to follow it.

    For a target that is not a URL `requests` raises a `ValueError`, even if it is told to follow no
    redirect.  The answer may be that of a paid request.
    """

    def resolve_redirects(
        self, *args: Any, yield_requests: bool = False, **kwargs: Any
    ) -> Iterator[requests.Response]:
        """Return the answers of the requests to which a redirect leads."""
        if yield_requests:  # it is not to be followed
            return iter(())
        answers: Iterator[requests.Response] = super().resolve_redirects(*args, **kwargs)
        return answers


def new_session(
    auth: AuthBase, new_adapter: Callable[[], BaseAdapter] | None = None
) -> requests.Session:
    """Return a session whose requests are authorized by `auth`.

    :param new_adapter: returns the transport, which calls `note_first_byte`; None: the network.
    """
    session = _Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, (new_adapter or _Adapter)())
    session.auth = auth
    # A compressed body would not have the size that its headers announce.
    session.headers["Accept-Encoding"] = "identity"
    session.headers["User-Agent"] = USER_AGENT
    return session


class UnreadableBodyError(Exception):
    """A request's body could not be read: the file failed, not the connection.

    :param reason: the error of reading it.
    """

    # Not an `OSError`: urllib3 treats those as failures of the connection, and ignores some.
    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Blocks:
    """A body whose length `requests` asks for first, so that it sends `Content-Length`."""

    body: Body
    _size: int = field(init=False)

    def __post_init__(self) -> None:
        self._size = self.body.size  # only once: `requests` asks three times, and a form sums up

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        try:
            for block in self.body.blocks():
                for start in range(0, len(block), SLICE):
                    yield block[start : start + SLICE]
        except Exception as error:  # noqa: BLE001 - whatever a store raises
            raise UnreadableBodyError(error) from None


def prepared(
    session: requests.Session,
    request: Request,
    base_url: str,
    timeout: tuple[float, float],
    environment: Mapping[str, Any],
) -> Callable[[str], requests.Response]:
    """Prepare a request as far as possible; return the function that sends it with a token.

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
            data=body or None,  # `requests` sends an empty body chunked
            auth=_later,
        )
    )

    def send(token: str) -> requests.Response:
        HostAuth(base_url, lambda: token)(ready)
        # Redirects are not followed: one could take token and document to another host.
        return session.send(ready, timeout=timeout, allow_redirects=False, **environment)

    return send


def _later(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no token yet; without this `auth`, the session would add one."""
    return request


def reason_of(error: Exception) -> str:
    """Return the text of the innermost cause: the outer ones quote the URL, and so an id."""
    inner = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
    return reason_of(inner) if isinstance(inner, Exception) else _OUTER.sub("", str(error))
