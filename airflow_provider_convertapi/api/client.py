"""Call endpoints with `requests`; no paid request is ever sent twice by accident.

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
    no_answer,
    parse_answer,
    whole_answer,
)
from airflow_provider_convertapi.api.redaction import hide_ids
from airflow_provider_convertapi.api.retry import Backoff
from airflow_provider_convertapi.api.session import (
    NO_ANSWER,
    HostAuth,
    UnreadableBodyError,
    new_session,
    noting_the_first_byte,
    prepared,
    reason_of,
)
from airflow_provider_convertapi.api.wire import (
    Credential,
    Response,
    is_ok,
)
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConvertApiError,
    TransportError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests
    from requests.adapters import BaseAdapter

    from airflow_provider_convertapi.api.wire import Endpoint, Request

T = TypeVar("T")

_IDLE_LIMIT = 3.0
"""Seconds without use after which a direct conversion opens a new connection: a gateway may have
dropped the old one, and the answer to a billed request could be lost."""

_PIECE = 256 * 1024
"""Bytes of a body that are read at a time, so few that they are still in the cache when they are
written: a large file takes two thirds of the processor time of pieces of 1 MiB."""

_FOLD = re.compile(r"[\r\n]+[ \t]+")

hide_ids("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")


@dataclass(slots=True)
class Client:
    """Send requests to one ConvertAPI host.

    :param base_url: scheme and host, without a path.
    :param token: returns the secret of a kind of credential.
    :param renew: gets a refused secret, and makes the next call of `token` return another one;
        returns False if it cannot be renewed.
    :param both_refused: gets both refusals, and returns the error to raise if the renewed secret
        was refused, too.
    :param http_timeout: seconds without a byte after which a request fails.
    :param pause: waits the given seconds; may raise to interrupt.
    :param clock: returns seconds since the epoch; `monotonic`: seconds from an arbitrary moment.
    :param new_adapter: as for `new_session`.
    """

    base_url: str
    token: Callable[[Credential], str]
    renew: Callable[[str], bool] = lambda _: False
    both_refused: Callable[[AuthenticationError, AuthenticationError], AuthenticationError] = field(
        default=lambda _, last: last, kw_only=True
    )
    http_timeout: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)
    pause: Callable[[float], None] = field(kw_only=True)
    clock: Callable[[], float] = field(kw_only=True)
    monotonic: Callable[[], float] = field(kw_only=True)
    new_adapter: Callable[[], BaseAdapter] | None = field(default=None, kw_only=True, repr=False)
    session: requests.Session = field(init=False, repr=False)
    _last_use: float = field(default=0.0, init=False)
    _environment: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    """Proxies and certificates, read once: `requests` would read them for every request, in 5 to
    10 % of a small file's time (`bench/client.py`)."""

    def __post_init__(self) -> None:
        auth = HostAuth(self.base_url, lambda: self.token(Credential.TOKEN))
        self.session = new_session(auth, self.new_adapter)

    def close(self) -> None:
        """Close the pooled connections."""
        self.session.close()

    def call(self, endpoint: Endpoint[T], *, until: float | None = None) -> T:
        """Make a free call; repeat it after transport errors and throttling.

        :param until: monotonic seconds after which a throttled call gives up; None: five waits.
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
        """Make a call once; after a 401, which is free, once more with a new JWT."""

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
        """Send once; yield head and body of a 2xx, whose body must be read inside the block.

        :param endpoint: its `parse` is only called for answers outside 2xx, and raises.
        :param fresh: open a new connection unless the pooled one was used moments ago.
        :param before: called when the request is ready, before any byte of it is sent; may raise.
        """

        def ready() -> None:
            before()
            # Only now: `before` may have waited so long that the pooled connection is old.
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
        # A 401 comes before anything is converted, so even a paid request may be repeated.  No
        # other error may lead there: a failed conversion is billed, too.
        except AuthenticationError as error:
            # Without a token the error came from obtaining one, and renewing does not help.
            is_renewable = tokens and request.credential is Credential.TOKEN
            if not is_renewable or not self.renew(tokens[-1]):
                raise
            first = error
        try:
            return attempt(token)
        except AuthenticationError as last:
            raise self.both_refused(first, last) from None

    def _token(self, credential: Credential) -> str:
        try:
            return self.token(credential)
        except TransportError as error:
            # The call for a token failed, so no byte of the request itself was sent.
            raise TransportError(error.message, sent=False) from None
        except UnexpectedAnswerError as error:
            # It answers the call for a token.  Without `refused`, the request itself would count as
            # sent, and a direct conversion as perhaps billed.
            raise UnexpectedAnswerError(error.message, refused=True) from None

    @contextmanager
    def _open(
        self,
        request: Request,
        token: Callable[[], str],
        ready: Callable[[], None] = lambda: None,
    ) -> Iterator[requests.Response]:
        """Send the request once; `TransportError` if no answer comes."""
        timeout = (CONNECT_TIMEOUT, request.timeout or self.http_timeout)
        # Steps that can fail for free come before `ready`, which may wait for the permit to pay.
        with _carried(request):
            if not self._environment:
                # The third argument, `stream`: a result of any size is read block by block.
                self._environment = dict(
                    self.session.merge_environment_settings(self.base_url, {}, True, None, None)
                )
            send = prepared(self.session, request, self.base_url, timeout, self._environment)
        ready()
        secret = token()  # obtained last: `ready` may have waited until the old one expired
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
            # The cause has the URL, and so an id: it must not reach a traceback.
            raise no_answer(request, wire, error, reason_of(error)) from None


def _headers(answer: requests.Response) -> dict[str, str]:
    return {name.lower(): _text(value) for name, value in answer.headers.items()}


def _text(value: str) -> str:
    """Return a header on one line, decoded as UTF-8 if possible.

    HTTP libraries decode Latin-1, and urllib3 up to 2.7.0 keeps the line breaks of a folded header.
    """
    value = _FOLD.sub(" ", value)
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _read(answer: requests.Response) -> Response:
    """Read a whole answer, or as much of it as `whole_answer` needs."""
    body = bytearray()
    try:
        for block in _body(answer):
            body += block
            if len(body) > LONGEST_ANSWER:
                break
    except TransportError:
        # The status of an error is enough without its body.
        if is_ok(answer.status_code):
            raise
    return whole_answer(answer.status_code, _headers(answer), body)


def _body(answer: requests.Response) -> Iterator[bytes]:
    """Yield the body's blocks; `TransportError` if it ends before its `Content-Length`."""
    received = 0
    try:
        # urllib3 compares the length with Content-Length from 2.0 on, our floor: with an older one
        # a torn file would look whole.
        for block in answer.iter_content(_PIECE):
            received += len(block)
            yield block
    # `http.client` raises a `ValueError` for a chunk of negative size.
    except (*NO_ANSWER, ValueError) as error:
        # Only urllib3 counts an incomplete block, and only this loop counts chunks.
        count, announced = max(received, answer.raw.tell()), answer.headers.get("Content-Length")
        raise broken_off(count, announced or "", f" ({type(error).__name__})") from None
