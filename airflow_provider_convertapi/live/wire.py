"""The requests of the check: an answer of any status is data, and a lost one is None.

This module may change from release to release.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeGuard

from airflow_provider_convertapi.api.client import Client
from airflow_provider_convertapi.api.wire import Endpoint, error_code
from airflow_provider_convertapi.errors import ConvertApiError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.api.wire import Request, Response
    from airflow_provider_convertapi.clock import Clock

_TRIES = 4
_THROTTLED = frozenset({429, 503})
_WAITS = (5.0, 10.0, 15.0, 15.0)
"""Seconds between tries of a throttled request, as ConvertAPI advises:
https://docs.convertapi.com/docs/throttle-and-fallback"""
_LONGEST_WAIT = 60.0
THROTTLED_TRIES = 8
"""How often a throttled conversion is submitted, which takes two minutes."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A throttled request.

    :param beside: conversions of the check that were open at that time.
    """

    status: int
    beside: int
    retry_after: str | None


@dataclass(slots=True)
class Wire:
    """Sends requests to one host.

    :param clock: also used to wait.
    :param say: shows progress to the user.
    """

    base_url: str
    clock: Clock
    say: Callable[[str], None]
    http_timeout: float = 60.0
    refused: list[Refused] = field(default_factory=list)
    open_jobs: int = 0
    trouble: str = ""
    """The reason of the last exchange that failed."""
    _least: float = field(default=-math.inf, init=False)
    _most: float = field(default=math.inf, init=False)
    """Bounds of the seconds by which the service's clock is ahead; each answer narrows them."""
    _secret: str = field(default="", init=False, repr=False)
    _client: Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._client = Client(
            self.base_url,
            lambda _: self._secret,
            http_timeout=self.http_timeout,
            pause=self.clock.sleep,
            clock=self.clock.time,
            monotonic=self.clock.monotonic,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def free(self, request: Request, secret: str) -> Response | None:
        """Send a free request; again if its answer is lost, throttled or a gateway's."""
        answer = None
        for attempt in range(_TRIES):
            answer, _ = self._exchange(request, secret)
            # A 5xx with a Code is the service's own verdict; without one it is a gateway's page.
            if not is_throttled(answer) and (0 < status_of(answer) < 500 or code_of(answer)):
                return answer
            if attempt + 1 < _TRIES:
                self.pause(answer, attempt)
        return answer

    def once(self, request: Request, secret: str) -> Response | None:
        """Send a request that may be billed; again only if no byte of it was sent."""
        for attempt in range(_TRIES):
            answer, sent = self._exchange(request, secret)
            if answer is not None or sent:
                return answer
            self.clock.sleep(0.25 * 2**attempt)
        return None

    def elsewhere(self, method: str, url: str) -> int | None:
        """Send a request without credentials to another host; return the status, None if lost."""
        try:
            with self._client.session.request(
                method,
                url,
                auth=lambda request: request,  # or `requests` would send those of a `.netrc`
                timeout=self.http_timeout,
                allow_redirects=False,
                stream=True,
            ) as answer:
                return answer.status_code
        except OSError:
            return None

    def pause(self, answer: Response | None, attempt: int) -> None:
        """Wait before another try: as long as a throttled answer asks for."""
        seconds = 0.25 * 2**attempt
        if is_throttled(answer):
            asked = answer.headers.get("retry-after", "")
            seconds = _WAITS[min(attempt, len(_WAITS) - 1)]
            if asked.isdigit():
                seconds = min(max(seconds, float(asked)), _LONGEST_WAIT)
            self.say(f"The service is overloaded (HTTP {answer.status}); waiting {seconds:g} s …")
        self.clock.sleep(seconds)

    def _exchange(self, request: Request, secret: str) -> tuple[Response | None, bool]:
        """Return the answer, None if it is lost, and whether a byte of the request was sent."""
        self._secret = secret
        began = self.clock.time()
        try:
            answer = self._client.send(Endpoint(request, lambda response: response))
        except TransportError as error:
            self.trouble = str(error)
            return None, error.sent
        except ConvertApiError as error:  # an endless answer, or a redirect
            self.trouble = str(error)
            return None, True
        self._note(answer, began)
        return answer, True

    def _note(self, answer: Response, began: float) -> None:
        if is_throttled(answer):
            asked = answer.headers.get("retry-after")
            self.refused.append(Refused(answer.status, self.open_jobs, asked))
        try:
            theirs = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        except (TypeError, ValueError, OverflowError):
            return
        # Its date is cut to whole seconds, and was written between our request and now.
        least, most = theirs - self.clock.time(), theirs + 1 - began
        if least > self._most or most < self._least:  # one of the clocks was set meanwhile
            self._least, self._most = least, most
        self._least, self._most = max(self._least, least), min(self._most, most)

    def same_clock_as(self, other: Wire) -> None:
        """Copy what another wire to the same host knows about its clock."""
        self._least, self._most = other._least, other._most

    @property
    def ahead(self) -> float | None:
        """Return the seconds by which the service's clock is ahead; None before its answer."""
        return None if math.isinf(self._most) else (self._least + self._most) / 2

    @property
    def doubt(self) -> float:
        """Return by how many seconds `ahead` may be wrong."""
        return 0.0 if math.isinf(self._most) else (self._most - self._least) / 2


def status_of(answer: Response | None) -> int:
    """Return the status of an answer; 0 if there is no answer."""
    return 0 if answer is None else answer.status


def code_of(answer: Response | None) -> int | None:
    """Return the Code of an error; None if there is none."""
    return None if answer is None else error_code(answer)


def fields_of(answer: Response | None) -> dict[str, Any]:
    """Return the JSON object in a successful answer; empty if there is none."""
    body = answer.json() if is_ok(answer) else None
    return body if isinstance(body, dict) else {}


def told(answer: Response | None) -> str:
    """Describe an answer by its status and Code, without the service's text."""
    if answer is None:
        return "no answer"
    code = error_code(answer)
    return f"{answer.status}" + ("" if code is None else f"/{code}")


def is_throttled(answer: Response | None) -> TypeGuard[Response]:
    """Tell whether the service asks to come again later."""
    return answer is not None and answer.status in _THROTTLED


def is_ok(answer: Response | None) -> TypeGuard[Response]:
    """Tell whether the answer is a 200."""
    return answer is not None and answer.status == 200
