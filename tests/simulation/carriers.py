"""Carry requests to the model, and what can happen on the way."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from airflow_provider_convertapi.api.session import note_first_byte
from airflow_provider_convertapi.api.wire import Response
from tests.simulation.service import Answer, Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.api.exchange import Wire
    from airflow_provider_convertapi.api.wire import Request
    from tests.simulation.service import Service
    from tests.simulation.trouble import Present
    from tests.simulation.virtual import Moment

_EXCHANGE = 0.05
"""Virtual seconds that a request takes."""

_PAGE = Answer(200, b"<html>Please sign in</html>", {"Content-Type": "text/html"})
_BUSY = Answer.error(503, 503, "Too many.")
_GATEWAY = Answer(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"})


class LostConnectionError(OSError):
    """The connection broke."""


@dataclass
class Carrier:
    """The way to the model."""

    service: Service
    moment: Moment
    present: Present

    def exchange(self, asked: Question, sent: Callable[[], None]) -> Answer:
        """Bring a request to the model and return its answer, or meet a fault.

        :param sent: notes that a byte was sent.
        """
        trouble = self.present.trouble
        kind = asked.path.replace("/", " ").split()
        fault = trouble.next_request(f"{asked.method} {' '.join(kind[:2])[:20]}")
        if fault == "kill before":
            trouble.kill()
        if fault == "unsent":
            raise LostConnectionError
        for name in ("second", "change", "vanish"):
            if fault == name:
                getattr(self.present, name)()
        self.moment.sleep(_EXCHANGE)
        sent()
        if fault == "lost before":
            raise LostConnectionError
        if fault == "busy":
            return _BUSY
        answer = self.service.answer(asked)
        if fault == "kill after":
            trouble.kill()
        if fault == "lost after":
            raise LostConnectionError
        return {"gateway": _GATEWAY, "garbage": _PAGE}.get(fault) or (
            _cut(answer) if fault == "cut" else answer
        )

    async def carry(self, request: Request, token: str, wire: Wire) -> Response:
        """Carry a request of the triggerer."""
        headers = {**request.headers, "Authorization": f"Bearer {token}"}
        asked = Question(request.method, request.path, request.query, headers)

        def sent() -> None:
            wire.sent = True

        answer = self.exchange(asked, sent)
        if answer.headers.get("X-Cut"):
            raise LostConnectionError
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, headers, answer.body)

    def adapter(self) -> BaseAdapter:
        """Return what carries the requests of a session."""
        return _Adapter(self)


def _cut(answer: Answer) -> Answer:
    return Answer(
        answer.status, answer.body[: len(answer.body) // 2], {**answer.headers, "X-Cut": "1"}
    )


class _Adapter(BaseAdapter):
    def __init__(self, carrier: Carrier) -> None:
        super().__init__()
        self._carrier = carrier

    def close(self) -> None:
        """Close nothing."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send a request of a worker."""
        url = urlsplit(str(request.url))
        body: Any = request.body or b""
        data = body if isinstance(body, bytes) else b"".join(body)
        headers = dict(request.headers)
        asked = Question(str(request.method), url.path, dict(parse_qsl(url.query)), headers, data)
        try:
            answer = self._carrier.exchange(asked, note_first_byte)
        except LostConnectionError as error:
            raise requests.ConnectionError(error) from error
        return _response(request, answer)


def _response(request: requests.PreparedRequest, answer: Answer) -> requests.Response:
    length = len(answer.body) * 2 + 1 if "X-Cut" in answer.headers else len(answer.body)
    headers = {**answer.headers, "Content-Length": str(length)}
    if request.method == "HEAD":
        headers["Content-Length"] = str(answer.headers.get("File-Size", 0))
    raw = HTTPResponse(
        io.BytesIO(answer.body),
        headers,
        answer.status,
        preload_content=False,
        request_method=request.method,
    )
    response = requests.Response()
    response.status_code, response.raw = answer.status, raw
    response.headers.update(headers)
    response.request, response.url = request, str(request.url)
    return response
