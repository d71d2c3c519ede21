"""Requests to ConvertAPI and its answers as values, without sockets, clocks or Airflow.

An endpoint is a request with a parse function, which says what each status means.  The sources are
ConvertAPI's documentation and OpenAPI document, and the behaviour of its official clients.

This module may change from release to release.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from airflow_provider_convertapi.api.redaction import shown
from airflow_provider_convertapi.api.retry import RETENTION
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConversionError,
    ParameterError,
    QuotaExhaustedError,
    ThrottledError,
    TransientConversionError,
    TransportError,
    UnexpectedAnswerError,
    UnsupportedFormatError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from airflow_provider_convertapi.errors import ConvertApiError

T = TypeVar("T")

BLOCK = 1024 * 1024
"""Bytes read from an answer at a time."""

SLICE = 128 * 1024
"""Bytes that are read from a source, and passed to the socket, at a time: the time-out applies to
each slice, so that a slow connection is not mistaken for a broken one.  Larger ones leave the
processor's cache before they are sent."""

ID_LENGTH = 32
"""Job ids and file ids are 32 characters of ``[a-z0-9]`` (ConvertAPI's OpenAPI document)."""

# A timeout, a remote file or a file id that could not be read, an unexpected exception in the
# service.  For every other Code, another attempt would be billed and end the same way.
# https://docs.convertapi.com/docs/response-codes
TRANSIENT_CODES = frozenset({5000, 5008, 5009, 50050})
QUOTA_CODE = 4014
TIMEOUT_CODE = 5000

_LOOKED_AT, _SHOWN_START = 20_000, 120
"""Bytes of an unknown answer that are examined, and characters of them that are shown."""

CHECK_HOST = "Check that the connection's host is ConvertAPI and not a proxy or a sign-in page."

_MOST_TEXTS = 10
_LONGEST_MESSAGE = 1000
_LONGEST_NUMBER = 18


class Credential(Enum):
    """The kind of a request's credential; a master token only gives access to account calls."""

    TOKEN = "token"  # noqa: S105 - names a kind of credential, holds none
    API_TOKEN = "api_token"  # noqa: S105 - as above
    MASTER = "master"


class Openable(Protocol):
    """A file that can be opened more than once, so that a request can be sent again."""

    @property
    def name(self) -> str:
        """File name with extension."""
        ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open it for reading from its start."""
        ...


class Body(Protocol):
    """A request body of known length; it is read block by block, again for each time it is sent."""

    @property
    def content_type(self) -> str:
        """Value of the header `Content-Type`."""
        ...

    @property
    def size(self) -> int:
        """The total number of bytes that `blocks` yields."""
        ...

    def blocks(self) -> Iterator[bytes]:
        """Yield the body's bytes from its start."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; the client adds the host and `Authorization`.

    :param query: parameters of the query string; the client encodes them.
    :param timeout: seconds without a byte after which the request fails; None: the client's.
    """

    method: str
    path: str
    accept: str = "application/json"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    credential: Credential = Credential.TOKEN
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer whose body was read; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's JSON value; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):  # not JSON, or nested absurdly deep
            return None

    def describe(self) -> str:
        """Describe the answer for a log: status, type, first bytes, no id."""
        kind = shown(self.headers.get("content-type", "no content type"))
        start = shown(self.body[:_LOOKED_AT].decode("utf-8", "replace"))[:_SHOWN_START]
        return f"HTTP {self.status} ({kind}), " + (f"starting {start!r}" if start else "empty")


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[T]):
    """A request and the meaning of each answer to it."""

    request: Request
    parse: Callable[[Response], T]


def whole_number(value: object) -> int | None:
    """Return a number that is not negative; None for anything else.

    JSON and headers are read leniently: 5002, 5002.0 and "5002" are one number.
    """
    if isinstance(value, str):
        text = value.strip()
        is_number = text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER
        return int(text) if is_number else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # The bound excludes numbers that JSON and SQLite cannot hold, infinity and "not a number".
    return int(value) if 0 <= value < 10**_LONGEST_NUMBER and value == int(value) else None


def is_ok(status: int) -> bool:
    """Tell whether a status is a 2xx."""
    return 200 <= status < 300


def check(response: Response, *, verdicts: bool = False) -> None:
    """Raise the error of an answer outside 2xx.

    :param verdicts: whether the call converts. Then a 5xx with a Code is a verdict on the document,
        and a 400 or 415 one on the request; otherwise they say nothing about the conversion.
    """
    if not is_ok(response.status):
        raise error_of(response, verdicts=verdicts)


def error_of(response: Response, *, verdicts: bool = False) -> ConvertApiError:
    """Return the error for an answer, from its status and its Code, never from its text.

    :param verdicts: as for `check`.
    """
    code = error_code(response)
    said = f"ConvertAPI answered {_message(response, code)}"
    error: ConvertApiError
    match response.status:
        # The page on authentication has 403, the one on response codes 401 with Code 4014:
        # https://docs.convertapi.com/docs/authentication
        # https://docs.convertapi.com/docs/response-codes
        # Before 401, since the balance is not a matter of the token: a new one would not help.
        case status if status == 403 or code == QUOTA_CODE:
            error = QuotaExhaustedError(said)
        case 401:
            error = AuthenticationError(said, code)
        case 400:
            error = ParameterError(said, _invalid_parameters(response), bars_file=verdicts)
        case 413:
            error = ParameterError(
                f"{said}. The service, or a proxy before it, does not take requests of this size. "
                "Raise the proxy's limit, or give a smaller file; a batch tries it again in its "
                "next run.",
                bars_file=False,
            )
        case 415:
            error = UnsupportedFormatError(said, bars_file=verdicts)
        case 404 | 405 if verdicts:
            error = UnsupportedFormatError(
                f"{said}. It has no such converter; check both formats, and the connection's host. "
                "A batch tries its files again in its next run.",
                bars_file=False,
            )
        # https://docs.convertapi.com/docs/throttle-and-fallback has 503; a proxy may send 429.
        case 429 | 503:
            error = ThrottledError(said, _retry_after(response), code)
        # These come from a gateway: the service may have accepted the request, so it counts as
        # sent.
        case 408 | 502 | 504:
            error = TransportError(said)
        case status if status >= 500:
            error = _server_error(code, said, verdicts=verdicts)
        case _:
            error = _undocumented(response, said)
    return error


def _server_error(code: int | None, said: str, *, verdicts: bool) -> ConvertApiError:
    # Error pages of proxies have no Code; mistaking one for a verdict would end a paid conversion.
    if code is None or not verdicts:
        return TransportError(said)
    if code in TRANSIENT_CODES:
        return TransientConversionError(said, code)
    return ConversionError(said, code)


def _undocumented(response: Response, said: str) -> UnexpectedAnswerError:
    """Return the error; it names only the host of a redirect's target: the rest may hold an id."""
    if not 300 <= response.status < 400:
        refused = 400 <= response.status < 500
        return UnexpectedAnswerError(f"This status is not documented: {said}", refused)
    try:
        target = urlsplit(response.headers.get("location", ""))
        where = f" to {shown(f'{target.scheme}://{target.hostname}')}" if target.hostname else ""
    except ValueError:  # not a URL
        where = ""
    return UnexpectedAnswerError(
        f"ConvertAPI's host answered with a redirect (HTTP {response.status}){where}. It is not "
        "followed, since tokens are sent to the connection's host only: set that to the API's host."
    )


def error_code(response: Response) -> int | None:
    """Return the `Code` of an error's body; None for a proxy's HTML or an empty body."""
    body = response.json()
    return whole_number(body.get("Code")) if isinstance(body, dict) else None


def _message(response: Response, code: int | None) -> str:
    body = response.json()
    if not isinstance(body, dict):
        return response.describe()
    message = f"HTTP {response.status}" + ("" if code is None else f", Code {code}")
    message += f": {shown(str(body.get('Message') or 'no message'))}"
    named = "; ".join(
        f"{name}: {' '.join(texts)}" for name, texts in _invalid_parameters(response).items()
    )
    return f"{message} {named}".strip()[:_LONGEST_MESSAGE]


def _invalid_parameters(response: Response) -> dict[str, list[str]]:
    """Return the complaints about each parameter, by its name."""
    body = response.json()
    invalid = body.get("InvalidParameters") if isinstance(body, dict) else None
    if not isinstance(invalid, dict):
        return {}
    return {
        shown(name): [
            shown(str(text))
            for text in (texts if isinstance(texts, list) else [texts])[:_MOST_TEXTS]
        ]
        for name, texts in list(invalid.items())[:_MOST_TEXTS]
    }


def _retry_after(response: Response) -> float | None:
    """Return the seconds of a `Retry-After`: a number, or a date by the service's own clock.

    It is cut to the service's retention, after which a waiting job is forgotten anyway.
    """
    value = response.headers.get("retry-after", "")
    seconds: float | None = whole_number(value)
    if seconds is None:
        try:
            until = parsedate_to_datetime(value)
            now = parsedate_to_datetime(response.headers.get("date", ""))
            seconds = max((until - now).total_seconds(), 0.0)
        except (TypeError, ValueError, OverflowError):  # not a date, or only one has a time zone
            return None
    return min(float(seconds), RETENTION.total_seconds())


def unexpected(response: Response, wanted: str) -> UnexpectedAnswerError:
    """Return the error for a 2xx with an unexpected content.

    :param wanted: the expected content.
    """
    return UnexpectedAnswerError(
        f"ConvertAPI's answer holds no {wanted}: {response.describe()}. {CHECK_HOST}"
    )
