"""Carry endpoints with `requests`: pooled, timed, streamed, never sent twice by accident.

This module may change from release to release.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_convertapi.api.exchange import (
    CONNECT_TIMEOUT,
    LONGEST_ANSWER,
    broken_off,
    parse_answer,
)
from airflow_provider_convertapi.api.redaction import hide_ids
from airflow_provider_convertapi.api.retry import Backoff
from airflow_provider_convertapi.api.session import (
    NO_ANSWER,
    HostAuth,
    UnreadableBodyError,
    environment_of,
    new_session,
    noting_the_first_byte,
    prepared,
    transport_error,
)
from airflow_provider_convertapi.api.wire import (
    BLOCK,
    Credential,
    Response,
    is_ok,
    unexpected,
)
from airflow_provider_convertapi.errors import AuthenticationError, ConvertApiError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests
    from requests.auth import AuthBase

    from airflow_provider_convertapi.api.wire import Endpoint, Request

T = TypeVar("T")

_IDLE_LIMIT = 3.0
"""Seconds after which a direct conversion opens a new connection: one that a gateway dropped
meanwhile would take the request, and perhaps the money, with it."""

_FOLD = re.compile(r"[\r\n]+[ \t]+")

hide_ids("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")


@dataclass(slots=True)
class Client:
    """Send requests to one ConvertAPI host.

    :param base_url: scheme and host, without a path.
    :param token: returns the secret for a kind of credential.
    :param renew: told the secret that was refused, makes the next `token` another one; returns
        false where there is nothing to renew.
    :param http_timeout: seconds without a byte before a request is given up.
    :param pause: waits the given seconds; may raise to interrupt.
    :param clock: seconds since the epoch; `monotonic`: seconds from anywhere.
    """

    base_url: str
    token: Callable[[Credential], str]
    renew: Callable[[str], bool] = lambda _: False
    http_timeout: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)
    pause: Callable[[float], None] = field(kw_only=True)
    clock: Callable[[], float] = field(kw_only=True)
    monotonic: Callable[[], float] = field(kw_only=True)
    session: requests.Session = field(init=False, repr=False)
    _last_use: float = field(default=0.0, init=False)
    _environment: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    """Proxies and certificates, read once: `requests` would read them anew for every request, which
    takes 5 to 10 % of a small file's time (`bench/client.py`)."""

    def __post_init__(self) -> None:
        self.session = new_session(self.auth(Credential.TOKEN))

    def auth(self, credential: Credential) -> AuthBase:
        """Return what authenticates a request at this client's host."""
        return HostAuth(self.base_url, lambda: self.token(credential))

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

        def attempt(token: Callable[[], str]) -> T:
            with self._open(endpoint.request, token) as answer:
                response = _read(answer)
            return parse_answer(endpoint.parse, response, self.clock())

        return self._renewing(endpoint.request, attempt)

    @contextmanager
    def stream(
        self,
        endpoint: Endpoint[None],
        *,
        fresh: bool = False,
        before: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[Response, Iterator[bytes]]]:
        """Send once and hand over head and body of a 2xx; the body must be read inside the block.

        :param endpoint: its `parse` gets no 2xx, and raises for what it gets.
        :param fresh: open a new connection unless the pooled one was in use moments ago.
        :param before: called when the request is ready and no byte of it was sent; may raise.
        """

        def ready() -> None:
            before()
            if fresh and self.monotonic() - self._last_use > _IDLE_LIMIT:
                self.session.close()

        with ExitStack() as exchange:

            def attempt(token: Callable[[], str]) -> requests.Response:
                answer = exchange.enter_context(self._open(endpoint.request, token, ready))
                if not is_ok(answer.status_code):
                    parse_answer(endpoint.parse, _read(answer), self.clock())
                return answer

            answer = self._renewing(endpoint.request, attempt)
            yield Response(answer.status_code, _headers(answer), b""), _body(answer)

    def _renewing(self, request: Request, attempt: Callable[[Callable[[], str]], T]) -> T:
        tokens: list[str] = []

        def token() -> str:
            tokens.append(self._token(request.credential))
            return tokens[-1]

        try:
            return attempt(token)
        except AuthenticationError:
            # Only one that was had can be refused; the trouble of having one is another's.
            if not tokens or request.credential is not Credential.TOKEN:
                raise
            if not self.renew(tokens[-1]):
                raise
        return attempt(token)

    def _token(self, credential: Credential) -> str:
        try:
            return self.token(credential)
        except TransportError as error:
            # The token had to be asked for: of the request itself no byte was sent.
            raise TransportError(error.message, sent=False) from None

    @contextmanager
    def _open(
        self,
        request: Request,
        token: Callable[[], str],
        ready: Callable[[], None] = lambda: None,
    ) -> Iterator[requests.Response]:
        """Send the request once; every way not to get an answer is a `TransportError`."""
        timeout = (CONNECT_TIMEOUT, request.timeout or self.http_timeout)
        with _carried(request):
            if not self._environment:
                self._environment = environment_of(self.session, self.base_url)
            send = prepared(self.session, request, self.base_url, timeout, self._environment)
        ready()
        secret = token()  # now: it may have waited for its turn
        with _carried(request):
            answer = send(secret)
        try:
            yield answer
        finally:
            answer.close()
            self._last_use = self.monotonic()


@contextmanager
def _carried(request: Request) -> Iterator[None]:
    """Translate the library's errors into ours, which say whether a byte was sent."""
    with noting_the_first_byte() as wire:
        try:
            yield
        except UnreadableBodyError as error:
            raise error.reason from error.reason.__cause__
        except NO_ANSWER as error:
            # The cause holds the URL, and so an id: it must not reach a traceback.
            raise transport_error(request, error, wire) from None


def _headers(answer: requests.Response) -> dict[str, str]:
    return {name.lower(): _text(value) for name, value in answer.headers.items()}


def _text(value: str) -> str:
    """Return a header as the UTF-8 that it may be, on one line.

    HTTP libraries read Latin-1, and urllib3 up to 2.7.0 keeps the line breaks of a folded header.
    """
    value = _FOLD.sub(" ", value)
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _read(answer: requests.Response) -> Response:
    """Read a short answer whole; what is not short is none of ours, or an error's that is cut."""
    body = bytearray()
    try:
        for block in _body(answer):
            body += block
            if len(body) > LONGEST_ANSWER:
                break
    except TransportError:
        # The status of an error says enough without its body.
        if is_ok(answer.status_code):
            raise
    response = Response(answer.status_code, _headers(answer), bytes(body[:LONGEST_ANSWER]))
    if is_ok(answer.status_code) and len(body) > LONGEST_ANSWER:
        raise unexpected(response, f"end within {LONGEST_ANSWER // BLOCK} MiB")
    return response


def _body(answer: requests.Response) -> Iterator[bytes]:
    """Yield the body's blocks; `TransportError` where it ends before its `Content-Length`."""
    received = 0
    try:
        for block in answer.iter_content(BLOCK):  # urllib3 counts what comes
            received += len(block)
            yield block
    except NO_ANSWER as error:
        # A block that was not whole is counted by urllib3 alone, and chunks by us alone.
        count, announced = max(received, answer.raw.tell()), answer.headers.get("Content-Length")
        raise broken_off(count, announced or "", f" ({type(error).__name__})") from None
