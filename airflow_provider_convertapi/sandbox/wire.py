"""What uvicorn leaves to others: connections that send no request, or too large a one, are closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from starlette.types import Scope

HEADER_TIMEOUT = 30.0  # seconds from a connection, or a first byte, to the end of the headers
MAX_HEADERS = 64 << 10
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connections:
    """The open connections by their client's address, so that a fault can close one."""

    def __init__(self) -> None:
        self.transports: dict[Any, asyncio.Transport] = {}
        self.header_timeout = HEADER_TIMEOUT

    def abort(self, scope: Scope, at_once: bool) -> None:  # noqa: FBT001 - a callback of two arguments
        """Close the connection of a request: now, or when what was written has gone out."""
        transport = self.transports.get(scope.get("client"))
        if transport is not None:
            (transport.abort if at_once else transport.close)()


def protocol_class(connections: Connections) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol with a watch over the headers."""
    base: Any = AutoHTTPProtocol

    class Watched(base):  # type: ignore[misc]  # uvicorn picks the base when it is imported
        _timer: asyncio.TimerHandle | None = None
        _seen = 0
        _of: Any = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            connections.transports[self.client] = transport
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            connections.transports.pop(self.client, None)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before:
                self._unwatch()
            elif before is None or before.response_complete and not before.more_body:
                self._seen += len(data)
                if self._seen > MAX_HEADERS:
                    self.transport.write(_TOO_LARGE)
                    self.transport.close()
                elif self._timer is None:
                    self._watch()

        def _watch(self) -> None:
            self._timer = self.loop.call_later(connections.header_timeout, self.transport.close)

        def _unwatch(self) -> None:
            self._seen = 0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Watched
