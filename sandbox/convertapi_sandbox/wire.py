"""What uvicorn does not handle: connections without a request, huge headers, large bodies."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Scope

HEADER_TIMEOUT = 30.0  # seconds from a connection, or a first byte, to the end of the headers
MAX_HEADERS = 64 << 10
BULK = 1 << 20  # bytes; the rest of a body that is at least as large is read from the socket itself
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\n"
    b"content-length: 0\r\n\r\n"
)


class Bulk:
    """The rest of a large body, read from the socket itself: takes a third of the time (measured).

    The parser does not see these bytes, so the connection cannot serve another request.
    """

    def __init__(self, descriptor: int, left: int, done: Callable[[], None]) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._socket.setblocking(False)  # required by asyncio's debug mode
        self._done = done
        self._buffer = memoryview(bytearray(BULK))
        self.left = left

    async def read(self) -> memoryview:
        """Return the next bytes, which the next call overwrites; empty when the caller has gone."""
        into = self._buffer[: min(self.left, BULK)]
        try:
            size = await asyncio.get_running_loop().sock_recv_into(self._socket, into)
        except ConnectionError:
            size = 0
        self.left -= size
        if not self.left or not size:
            self._done()  # the server listens again, and notices if the caller leaves
        return into[:size]

    def close(self) -> None:
        """Release the socket, which stays open for the answer."""
        self._socket.close()


class Connections:
    """The open connections by client address, so that a fault can close one."""

    def __init__(self) -> None:
        self.transports: dict[Any, asyncio.Transport] = {}
        self.header_timeout = HEADER_TIMEOUT

    def abort(self, scope: Scope, at_once: bool) -> None:
        """Close the connection of a request: now, or after what was written is sent."""
        transport = self._transport(scope)
        if transport is not None:
            (transport.abort if at_once else transport.close)()

    def is_open(self, scope: Scope) -> bool:
        """Tell whether the caller is still connected."""
        transport = self._transport(scope)
        return transport is not None and not transport.is_closing()

    def arrival(self, scope: Scope) -> float:
        """Return the monotonic time at which a request arrived; now, if its caller has gone."""
        transport = self._transport(scope)
        protocol: Any = transport.get_protocol() if transport is not None else None
        return time.monotonic() if protocol is None else protocol.arrived

    def take_over(self, scope: Scope, left: int) -> Bulk | None:
        """Return a reader for the last `left` bytes of a body; all received ones were taken."""
        transport = self._transport(scope)
        if transport is None or transport.is_closing():
            return None
        protocol: Any = transport.get_protocol()
        protocol.flow.pause_reading()  # not the transport itself: uvicorn keeps track of it
        descriptor = transport.get_extra_info("socket").fileno()
        return Bulk(descriptor, left, protocol.flow.resume_reading)

    def _transport(self, scope: Scope) -> asyncio.Transport | None:
        return self.transports.get(scope.get("client"))


# uvicorn chooses httptools or h11 when it is imported; both have what is used here.
_Protocol: Any = AutoHTTPProtocol


class _Watched(_Protocol):  # type: ignore[misc]  # see above
    """uvicorn's HTTP protocol with a watch over the headers of each request."""

    watched_by: Connections
    arrived = 0.0
    _timer: asyncio.TimerHandle | None = None
    _seen = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        # asyncio leaves Nagle's algorithm on if a listening socket has no protocol number: with a
        # caller's delayed acknowledgement, every small answer would take 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.watched_by.transports[self.client] = transport
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self.watched_by.transports.pop(self.client, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before, now = self.cycle, time.monotonic()
        super().data_received(data)
        if self.cycle is not before:
            self.arrived = now  # a busy loop may handle it only later
            self._unwatch()
        elif before is None or (before.response_complete and not before.more_body):
            self._count(len(data))

    def _count(self, size: int) -> None:
        """Count bytes of headers that are not complete yet."""
        self._seen += size
        if self._seen > MAX_HEADERS:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._timer is None:
            self._watch()

    def _watch(self) -> None:
        timeout = self.watched_by.header_timeout
        self._timer = self.loop.call_later(timeout, self.transport.close)

    def _unwatch(self) -> None:
        self._seen = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def protocol_class(connections: Connections) -> type[asyncio.Protocol]:
    """Return the protocol class of a server whose connections are registered here."""
    return type("Watched", (_Watched,), {"watched_by": connections})
