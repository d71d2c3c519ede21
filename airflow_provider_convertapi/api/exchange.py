"""The parts of an exchange that do not depend on the HTTP library, without sockets or clocks.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_convertapi import __version__
from airflow_provider_convertapi.api.auth import CLOCK_SKEW
from airflow_provider_convertapi.api.redaction import redact, shown
from airflow_provider_convertapi.api.wire import BLOCK, Response, is_ok, unexpected
from airflow_provider_convertapi.errors import AuthenticationError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_convertapi.api.wire import Request

T = TypeVar("T")

CONNECT_TIMEOUT = 30.0
# The longest known one is the OpenAPI document of all converters, with about 4.4 MB.
LONGEST_ANSWER = 8 * BLOCK
USER_AGENT = f"airflow-provider-convertapi/{__version__}"

_LONGEST_REASON = 200


@dataclass(slots=True)
class Wire:
    """The progress of one exchange.

    :param sent: whether a byte of the request was passed to a connected socket.
    """

    sent: bool = False


def request_headers(request: Request) -> dict[str, str]:
    """Return the headers of a request without `Authorization`, which the client adds."""
    headers = {"Accept": request.accept, **request.headers}
    if request.body:
        headers["Content-Type"] = request.body.content_type
    return headers


def whole_answer(status: int, headers: Mapping[str, str], body: bytearray) -> Response:
    """Return an answer; one that is too long is cut if it is an error, else refused."""
    response = Response(status, headers, bytes(body[:LONGEST_ANSWER]))
    if is_ok(status) and len(body) > LONGEST_ANSWER:
        raise unexpected(response, f"end within {LONGEST_ANSWER // BLOCK} MiB")
    return response


def parse_answer(parse: Callable[[Response], T], response: Response, now: float) -> T:
    """Return the parsed answer; the error for a refused token says if the clocks differ.

    :param now: this machine's time, in seconds since the epoch.
    """
    try:
        return parse(response)
    except AuthenticationError as error:
        raise AuthenticationError(error.message + _skew(response, now), error.code) from None


def _skew(response: Response, now: float) -> str:
    """Return a sentence if the clocks differ, the most common cause of a refused JWT; else ""."""
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (TypeError, ValueError, OverflowError):
        return ""
    off = now - theirs
    if abs(off) < CLOCK_SKEW:  # the claims are that much wider
        return ""
    return (
        f" This machine's clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} "
        "the service's."
    )


def no_answer(request: Request, wire: Wire, error: Exception, reason: str) -> TransportError:
    """Return the error for a request that got no answer.

    :param reason: the library's reason; ids in it are hidden.
    """
    when = (
        "the connection broke before the answer was there"
        if wire.sent
        else "no connection could be made"
    )
    call = f"{request.method} {redact(request.path)}"
    said = shown(reason)[:_LONGEST_REASON]
    return TransportError(f"{call}: {when} ({type(error).__name__}: {said})", wire.sent)


def broken_off(received: int, announced: str, why: str = "") -> TransportError:
    """Return the error for an incomplete answer.

    :param announced: the answer's `Content-Length`; empty if it had none.
    """
    of = f" of {announced}" if announced else ""
    return TransportError(f"the answer broke off after {received}{of} bytes{why}")
