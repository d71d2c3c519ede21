"""The entrance: it logs every request, applies its fault, and always answers."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from convertapi_sandbox.answers import Answer, error_answer
from convertapi_sandbox.errors import (
    SERVER_ERROR,
    UNEXPECTED,
    ServiceError,
    not_found,
)
from convertapi_sandbox.wire import BULK

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from convertapi_sandbox.faults import Fault
    from convertapi_sandbox.journal import Entry
    from convertapi_sandbox.state import State
    from convertapi_sandbox.tokens import ApiToken
    from convertapi_sandbox.wire import Bulk, Connections

logger = logging.getLogger(__name__)

BODY_TIMEOUT = 30.0  # seconds without a byte of a request's body
MAX_HEADERS = 64 << 10
CONTROL = "/_sandbox"
_ERROR_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1><hr>nginx</body></html>"


@dataclass(slots=True)
class Exchange:
    """One request in progress: its journal entry, its fault, its caller's address.

    Attributes:
        began: Monotonic time of arrival.
        api_token: The API token that it comes from, if that is known and there is one.
    """

    entry: Entry
    fault: Fault | None
    client: str
    began: float
    api_token: ApiToken | None = None

    @classmethod
    def of(cls, request: Request) -> Exchange:
        """Return the exchange of a request."""
        exchange: Exchange = request.scope["exchange"]
        return exchange


class _DroppedError(Exception):
    """The connection was closed on purpose."""


class Front:
    """ASGI application around the routes.

    Args:
        app: The routes.
        state: The sandbox.
        connections: The open connections.
    """

    def __init__(self, app: ASGIApp, state: State, connections: Connections) -> None:
        self._app = app
        self._state = state
        self._connections = connections
        self.body_timeout = BODY_TIMEOUT

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope["app"] = self  # makes Starlette raise its 404 and 405 instead of answering
        body = _Body(scope, receive, self._connections, self.body_timeout)
        if scope["path"].startswith(CONTROL):
            await self._serve(scope, body, send)
            return
        fault = self._state.faults.take(scope["method"], scope["path"])
        entry = self._state.journal.begin(scope)
        client = (scope.get("client") or ("", 0))[0]
        scope["exchange"] = Exchange(entry, fault, client, self._connections.arrival(scope))
        out = _Sender(send, scope, self._state, self._connections, body)
        try:
            if fault is not None:
                await self._misbehave(scope, body, out, fault)
            else:
                await self._serve(scope, body, out)
        except _DroppedError:
            await _gone(receive)
        except asyncio.CancelledError:  # the sandbox is stopping
            self._connections.abort(scope, at_once=True)
            raise
        finally:
            body.close()

    async def _misbehave(self, scope: Scope, body: _Body, out: _Sender, fault: Fault) -> None:
        entry = scope["exchange"].entry
        entry.fault = fault.match
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.drop == "before":
            self._drop(scope)
        if fault.waits_for_work:
            # The conversion was done, billed and stored as usual; only its answer is not sent.
            await self._serve(scope, body, _nowhere)
            if fault.drop == "after_work":
                entry.code = None
                self._drop(scope)
        if fault.answers:
            await body.drain()
            await self._send(fault_answer(fault), scope, body, out)
            return
        try:
            await self._serve(scope, body, out)
        except _CutError:
            if fault.stall:
                await asyncio.sleep(fault.stall)
            self._connections.abort(scope, at_once=False)
            raise _DroppedError from None

    def _drop(self, scope: Scope) -> None:
        self._connections.abort(scope, at_once=True)
        raise _DroppedError

    async def _serve(self, scope: Scope, body: _Body, send: Send) -> None:
        """Run the routes; any error becomes an answer from the error table."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            _check_headers(scope)
            await self._app(scope, body.receive, watched)
        except ClientDisconnect:
            return
        except (_CutError, _DroppedError):
            raise
        except Exception as error:
            if started:
                raise  # an answer has begun, so the server closes the connection
            answer = error_answer(self._as_error(error))
            await body.drain()
            await self._send(answer, scope, body, send)

    async def _send(self, answer: Answer, scope: Scope, body: _Body, send: Send) -> None:
        if not body.complete:
            answer.headers["connection"] = "close"
        await answer(scope, body.receive, send)

    def _as_error(self, error: Exception) -> ServiceError:
        if isinstance(error, ServiceError):
            return error
        if isinstance(error, TimeoutError):
            return ServiceError(408, 408, "The body of the request did not arrive in time.")
        if isinstance(error, HTTPException):
            if error.status_code == HTTPStatus.NOT_FOUND:
                return not_found("endpoint", self._state.settings)
            return ServiceError(
                error.status_code, error.status_code, error.detail, headers=error.headers
            )
        logger.error("The sandbox failed", exc_info=error)
        return ServiceError(SERVER_ERROR, UNEXPECTED, "Unexpected exception in the sandbox.")


class _CutError(Exception):
    """The answer has been sent up to the point where a fault cuts it off."""


class _Body:
    """The body of a request: it times out, and is drained before an early answer."""

    def __init__(
        self, scope: Scope, receive: Receive, connections: Connections, timeout: float
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._connections = connections
        self._timeout = timeout
        length = dict(scope["headers"]).get(b"content-length", b"")
        self._left = int(length) if length.isdigit() else 0
        self.bulk: Bulk | None = None
        self.complete = False
        # A caller that waits for "100 Continue" has not sent a body, and need not.
        self._wanted = (b"expect", b"100-continue") not in scope["headers"]

    async def receive(self) -> Message:
        """Return the next message; TimeoutError if the body stops for too long."""
        self._wanted = True
        async with asyncio.timeout(self._timeout):
            message = await self._next()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            self.complete = True
        return message

    async def _next(self) -> Message:
        if self.bulk is not None and self.bulk.left:
            if block := await self.bulk.read():
                return {"type": "http.request", "body": block, "more_body": self.bulk.left > 0}
            self.bulk.left = 0  # the caller has gone; the server reports it next
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        large = "exchange" in self._scope and self._left > BULK
        if large and self.bulk is None and message.get("more_body"):
            self.bulk = self._connections.take_over(self._scope, self._left)
        return message

    def close(self) -> None:
        """Release the connection's socket."""
        if self.bulk is not None:
            self.bulk.close()

    async def drain(self) -> None:
        """Read the rest, so that a caller that is still sending can read the answer."""
        try:
            while self._wanted and not self.complete:
                await self.receive()
        except TimeoutError:
            return


class _Sender:
    """Sends an answer, after logging its status, and corrupts it if a fault says so."""

    def __init__(
        self, send: Send, scope: Scope, state: State, connections: Connections, body: _Body
    ) -> None:
        self._send = send
        self._body = body
        self._scope = scope
        self._exchange: Exchange = scope["exchange"]
        self._state = state
        self._connections = connections
        fault = self._exchange.fault
        self._left = fault.truncate if fault is not None else None
        self._stall = fault.stall if fault is not None and fault.truncate is None else 0.0

    async def __call__(self, message: Message) -> None:
        """Pass one message on."""
        if not self._connections.is_open(self._scope):
            raise _DroppedError  # otherwise a whole file would be read for nothing
        if message["type"] == "http.response.start":
            self._start(message)
            await self._send(message)
            if self._stall:
                await asyncio.sleep(self._stall)
            return
        if self._left is not None:
            body = message.get("body", b"")
            kept, self._left = body[: self._left], self._left - len(body)
            if self._left < 0:
                await self._send({**message, "body": kept, "more_body": True})
                raise _CutError
        await self._send(message)

    def _start(self, message: MutableMapping[str, Any]) -> None:
        # Before the first byte is sent: a caller that has the answer finds it in the journal.
        self._exchange.entry.status = message["status"]
        date = formatdate(self._state.credentials.now(), usegmt=True)
        headers = [*message.get("headers", []), (b"date", date.encode())]
        if self._body.bulk is not None:
            headers.append((b"connection", b"close"))
        if self._exchange.fault is not None:
            for name, value in self._exchange.fault.headers.items():
                headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
        message["headers"] = headers


async def _nowhere(_: Message) -> None:
    """Swallow an answer that must not be sent."""


async def _gone(receive: Receive) -> None:
    """Wait until the server notices that the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _check_headers(scope: Scope) -> None:
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    if size > MAX_HEADERS:
        raise ServiceError(431, 431, "The headers of the request are too large.")


def fault_answer(fault: Fault) -> Answer:
    """Return the answer that a rule defines."""
    status = fault.status
    if fault.redirect is not None:
        return Answer(status or 302, [], {"location": fault.redirect})
    if fault.empty:
        return Answer(status or SERVER_ERROR, [], {})
    if fault.html:
        status = status or 502
        # A gateway's own status, such as 520, has no phrase.
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
        page = _ERROR_PAGE.format(f"{status} {phrase}")
        return Answer(status, [page.encode()], {"content-type": "text/html"})
    if fault.body is not None:
        kind = fault.content_type or "application/json; charset=utf-8"
        return Answer(status or 200, [fault.body], {"content-type": kind})
    code = status if fault.code is None else fault.code
    text = json.dumps({"Code": code, "Message": fault.message}).encode()
    return Answer(status or SERVER_ERROR, [text], {"content-type": "application/json"}, code)
