"""What travels to ConvertAPI and back, as values: no socket, no clock, no Airflow.

An endpoint is a request and a parse function that owns the meaning of every status.  Sources of
the facts: ConvertAPI's documentation and OpenAPI document, and the behaviour of its official
clients.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, BinaryIO, Generic, Protocol, TypeVar, TYPE_CHECKING

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
    from airflow_provider_convertapi.errors import (
        ConvertApiError,
    )
    from contextlib import AbstractContextManager
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

BLOCK = 1024 * 1024
"""Bytes read from a source and handed to the socket at a time."""

ID_LENGTH = 32
"""Job ids and file ids are 32 characters of ``[a-z0-9]`` (ConvertAPI's OpenAPI document)."""

TRANSIENT_CODES = frozenset({5000, 5008, 5009, 50050})
QUOTA_CODE = 4014
TIMEOUT_CODE = 5000

_ID = re.compile(rf"(?<![A-Za-z0-9])[a-z0-9]{{{ID_LENGTH}}}(?![A-Za-z0-9])")
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_URL_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']+")


class Credential(Enum):
    """Which credential a request carries (a master token opens the account calls only)."""

    TOKEN = "token"  # noqa: S105 - names a kind of credential, holds none
    API_TOKEN = "api_token"  # noqa: S105 - as above
    MASTER = "master"


class Openable(Protocol):
    """A file that can be opened more than once, so that a request can be sent again."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    def open(self) -> AbstractContextManager[BinaryIO]: ...


class Body(Protocol):
    """A request body of known length, read block by block."""

    @property
    def content_type(self) -> str: ...
    @property
    def size(self) -> int: ...
    def blocks(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `Authorization` and the host are the client's business.

    :param query: parameters of the query string; the client encodes them.
    :param timeout: seconds without a byte before the request is given up; None means the client's.
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
        """Return the body's JSON value, None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def describe(self) -> str:
        """Say what came, in a form that may be logged: status, type, first bytes, no id, no URL."""
        kind = self.headers.get("content-type", "no content type")
        start = redact(self.body[:120].decode("utf-8", "replace")).strip()
        return (
            f"HTTP {self.status} ({kind}), starting {start!r}"
            if start
            else f"HTTP {self.status} ({kind}), empty"
        )


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[T]):
    """A request and the meaning of each answer to it."""

    request: Request
    parse: Callable[[Response], T]


def redact(text: str) -> str:
    """Return the text without job ids, file ids, JWTs and the queries of URLs: each opens something."""
    text = _URL_QUERY.sub(r"\1?<hidden>", _JWT.sub("<token>", text))
    return _ID.sub("<id>", text)


def check(response: Response, *, verdicts: bool = False) -> None:
    """Raise the error that an answer outside 2xx stands for.

    :param verdicts: the call converts, so that a 5xx with a Code is a verdict on the document;
        elsewhere a 5xx costs nothing and is the service's own trouble.
    """
    if not 200 <= response.status < 300:
        raise error_of(response, verdicts=verdicts)


def error_of(response: Response, *, verdicts: bool = False) -> ConvertApiError:
    """Return the error for an answer: by status first, then by Code, never by text."""
    status = response.status
    code, message, invalid = _error_body(response)
    said = (
        f"ConvertAPI answered HTTP {status}" + (f", Code {code}" if code else "") + f": {message}"
    )
    if status == 403 or code == QUOTA_CODE:
        return QuotaExhaustedError(said)
    if status == 401:
        return AuthenticationError(said, code)
    if status == 400:
        return ParameterError(said, invalid)
    if status == 415:
        return UnsupportedFormatError(said)
    if status in {429, 503}:
        return ThrottledError(said, _retry_after(response))
    if status >= 500:
        return _server_error(status, code, said, verdicts=verdicts)
    return UnexpectedAnswerError(
        f"ConvertAPI gave an answer that fits no documented case: {response.describe()}"
    )


def _server_error(status: int, code: int | None, said: str, *, verdicts: bool) -> ConvertApiError:
    if code is None or not verdicts or status in {502, 504}:
        return TransportError(said)
    if code in TRANSIENT_CODES:
        return TransientConversionError(said, code)
    return ConversionError(said, code)


def _error_body(response: Response) -> tuple[int | None, str, dict[str, list[str]]]:
    """Return Code, message and invalid parameters; a proxy's HTML or an empty body has none."""
    body = response.json()
    if not isinstance(body, dict):
        return None, response.describe(), {}
    code = body.get("Code")
    invalid = body.get("InvalidParameters")
    named = (
        {
            str(name): [
                redact(str(text)) for text in (texts if isinstance(texts, list) else [texts])
            ]
            for name, texts in invalid.items()
        }
        if isinstance(invalid, dict)
        else {}
    )
    message = redact(str(body.get("Message") or "no message"))
    if named:
        message += " " + "; ".join(f"{name}: {' '.join(texts)}" for name, texts in named.items())
    return (code if isinstance(code, int) and not isinstance(code, bool) else None), message, named


def _retry_after(response: Response) -> float | None:
    """Return the seconds of a `Retry-After` header; its date form is left to our own waiting."""
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def unexpected(response: Response, wanted: str) -> UnexpectedAnswerError:
    """Return the error for a 2xx that is not what was asked for."""
    return UnexpectedAnswerError(
        f"ConvertAPI's answer holds no {wanted}: {response.describe()}. "
        "Check that the connection's host is ConvertAPI and not a proxy or a sign-in page."
    )
