"""Carry endpoints with `requests`: pooled, timed, streamed, never sent twice by accident."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from airflow_provider_convertapi.api.exchange import (
    CONNECT_TIMEOUT,
    LONGEST_ANSWER,
    USER_AGENT,
    broken_off,
    hide_ids,
    no_answer,
    parse_answer,
    request_headers,
)
from airflow_provider_convertapi.api.retry import Backoff
from airflow_provider_convertapi.api.wire import BLOCK, Credential, Response, check, unexpected
from airflow_provider_convertapi.errors import AuthenticationError, ConvertApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_convertapi.api.wire import Body, Endpoint, Request
    from airflow_provider_convertapi.errors import TransportError

T = TypeVar("T")

_IDLE_LIMIT = 3.0
"""Seconds after which a direct conversion opens a new connection: one that a gateway dropped
meanwhile would take the request, and perhaps the money, with it."""

hide_ids("urllib3.connectionpool", "urllib3.util.retry")


class _HostAuth(AuthBase):
    """Set `Authorization` for the connection's host and no other; `.netrc` cannot replace it."""

    def __init__(self, base_url: str, token: Callable[[], str]) -> None:
        self._origin = urlsplit(base_url)[:2]
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if urlsplit(request.url or "")[:2] == self._origin:
            request.headers["Authorization"] = f"Bearer {self._token()}"
        return request


@dataclass(frozen=True, slots=True)
class _Blocks:
    """A body whose length `requests` asks for first, so that it sends `Content-Length`."""

    body: Body

    def __len__(self) -> int:
        return self.body.size

    def __iter__(self) -> Iterator[bytes]:
        return self.body.blocks()


@dataclass(slots=True)
class Client:
    """Send requests to one ConvertAPI host.

    :param base_url: scheme and host, without a path.
    :param token: returns the secret for a kind of credential.
    :param renew: makes the next token a new one; returns false where there is nothing to renew.
    :param http_timeout: seconds without a byte before a request is given up.
    :param pause: waits the given seconds; may raise to interrupt.
    :param clock: seconds since the epoch; `monotonic`: seconds from anywhere.
    """

    base_url: str
    token: Callable[[Credential], str]
    renew: Callable[[], bool] = lambda: False
    http_timeout: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    session: requests.Session = field(init=False, repr=False)
    _last_use: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.session = requests.Session()
        # Retries are decided where their price is known, never by the adapter.
        adapter = HTTPAdapter(max_retries=0, pool_connections=1, pool_maxsize=1)
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)
        self.session.auth = self.auth(Credential.TOKEN)
        # Compression would make the announced sizes untrue.
        self.session.headers["Accept-Encoding"] = "identity"
        self.session.headers["User-Agent"] = USER_AGENT

    def auth(self, credential: Credential) -> AuthBase:
        """Return what authenticates a request at this client's host."""
        return _HostAuth(self.base_url, lambda: self.token(credential))

    def close(self) -> None:
        """Close the pooled connections."""
        self.session.close()

    def call(self, endpoint: Endpoint[T], *, until: float | None = None) -> T:
        """Make a call that costs nothing; trouble on the wire and throttling are waited out.

        :param until: monotonic seconds after which a throttled call is given up; None: five waits.
        """
        attempt = 1
        while True:
            try:
                return self.send(endpoint)
            except ConvertApiError as error:
                left = None if until is None else until - self.monotonic()
                delay = self.backoff.delay_of_free_call(attempt, error, left)
                if delay is None:
                    raise
            self.pause(delay)
            attempt += 1

    def send(self, endpoint: Endpoint[T]) -> T:
        """Make a call once; only a refused JWT is renewed and sent again: a 401 costs nothing."""
        try:
            return self._send_once(endpoint)
        except AuthenticationError:
            if endpoint.request.credential is not Credential.TOKEN or not self.renew():
                raise
        return self._send_once(endpoint)

    def _send_once(self, endpoint: Endpoint[T]) -> T:
        with self._open(endpoint.request) as answer:
            response = _read(answer)
        return parse_answer(endpoint.parse, response, self.clock())

    @contextmanager
    def stream(
        self, request: Request, *, fresh: bool = False
    ) -> Iterator[tuple[Response, Iterator[bytes]]]:
        """Send once and hand over head and body of a 2xx; the body must be read inside the block.

        :param fresh: open a new connection unless the pooled one was in use moments ago.
        """
        if fresh and self.monotonic() - self._last_use > _IDLE_LIMIT:
            self.session.close()
        with self._open_renewed(request) as answer:
            if not 200 <= answer.status_code < 300:
                response = _read(answer)
                verdicts = request.method == "POST"
                parse_answer(lambda r: check(r, verdicts=verdicts), response, self.clock())
            yield Response(answer.status_code, _headers(answer), b""), _body(answer)

    @contextmanager
    def _open_renewed(self, request: Request) -> Iterator[requests.Response]:
        with self._open(request) as answer:
            if (
                answer.status_code != 401
                or request.credential is not Credential.TOKEN
                or not self.renew()
            ):
                yield answer
                return
        with self._open(request) as answer:
            yield answer

    @contextmanager
    def _open(self, request: Request) -> Iterator[requests.Response]:
        """Send the request once; every way not to get an answer is a `TransportError`."""
        try:
            answer = self.session.request(
                request.method,
                f"{self.base_url}{request.path}",
                params=dict(request.query),
                headers=request_headers(request),
                data=_Blocks(request.body) if request.body else None,
                auth=self.auth(request.credential),
                timeout=(CONNECT_TIMEOUT, request.timeout or self.http_timeout),
                allow_redirects=False,
                stream=True,
            )
        except (requests.RequestException, OSError) as error:
            # The cause holds the URL, and so an id: it must not reach a traceback.
            raise _transport_error(request, error) from None
        try:
            yield answer
        finally:
            answer.close()
            self._last_use = self.monotonic()


def _transport_error(request: Request, error: Exception) -> TransportError:
    sent = not _failed_to_connect(error)
    return no_answer(request, sent=sent, error=error, reason=_reason(error))


def _failed_to_connect(error: Exception) -> bool:
    """Tell whether no byte of the request can have left: the connection itself failed."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.exceptions.ConnectTimeout) or isinstance(
        reason, (NewConnectionError, ConnectTimeoutError)
    )


def _reason(error: Exception) -> str:
    """Return the innermost cause without URLs: pools and retries put the whole path into theirs."""
    reason = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    return str(reason).rpartition(": ")[2] if isinstance(reason, Exception) else str(reason)


def _headers(answer: requests.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def _read(answer: requests.Response) -> Response:
    """Read a short answer whole; one that is not short is none of ours."""
    body = bytearray()
    for block in _body(answer):
        body += block
        if len(body) > LONGEST_ANSWER:
            raise unexpected(
                Response(answer.status_code, _headers(answer), bytes(body[:BLOCK])),
                "short JSON answer",
            )
    return Response(answer.status_code, _headers(answer), bytes(body))


def _body(answer: requests.Response) -> Iterator[bytes]:
    """Yield the body's blocks; `TransportError` where it ends before its `Content-Length`."""
    announced = answer.headers.get("Content-Length", "")
    received = 0
    try:
        for block in answer.iter_content(BLOCK):
            received += len(block)
            yield block
    except (requests.RequestException, OSError) as error:
        raise broken_off(received, announced, f" ({type(error).__name__})") from None
    head = answer.request.method == "HEAD"
    if announced.isdigit() and not head and received != int(announced):
        raise broken_off(received, announced)
