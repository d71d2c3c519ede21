"""A counting service, what may stand before it, and every way in which a connection can fail."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

from tests.proxies import Listener, Proxy, read_head, server_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PAGE = b"<html>Please sign in.</html>"
_SAID = {
    "half a head": b"HTTP/1.1 2",
    "half a body": b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"JobId',
    "no HTTP": b"nonsense\r\n\r\n",
    "a page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s"
    % (len(_PAGE), _PAGE),
}
FAULTS = ("closed", "reset", "stalled", *_SAID)
_WELCOME = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


class Faulty(Listener):
    """A listener whose connections fail in a named way."""

    def fail(self, fault: str, connection: socket.socket) -> None:
        """End a connection that way; what is said is the last."""
        if fault == "stalled":
            self.released.wait(10)
            return
        connection.sendall(_SAID.get(fault, b""))
        self.end(connection, "reset" if fault == "reset" else "closed")


class Service(Faulty):
    """Do the work of each request that is here in full, and fail at a moment.

    :param moment: when it fails: once a connection is `accepted`, in the `handshake`, the `head`,
        the `body`, `after the work`; `kept`: after the answer to a connection's first request.
    :param certificate: speak TLS with it.

    `begun` counts the requests of which a byte came, `done` those whose work was done: of those,
    the ones that convert are paid.
    """

    def __init__(self, fault: str, moment: str, certificate: Path | None = None) -> None:
        self.begun = self.done = 0
        self._fault, self._moment = fault, moment
        self._changed = threading.Condition()
        self._context = server_context(certificate) if certificate else None
        super().__init__(self._answer)

    def has(self, *, begun: int, done: int) -> bool:
        """Tell whether that many requests come to be begun and done, and no more."""
        with self._changed:
            self._changed.wait_for(lambda: self.begun >= begun and self.done >= done, 10)
            return (begun, done) == (self.begun, self.done)

    def _count(self, *, begun: int = 0, done: int = 0) -> int:
        with self._changed:
            self.begun += begun
            self.done += done
            self._changed.notify_all()
            return self.begun

    def _answer(self, connection: socket.socket) -> None:
        if self._moment in {"accepted", "handshake"}:
            self.fail(self._fault, connection)
            return
        if self._context:
            connection = self._context.wrap_socket(connection, server_side=True)
        with closing(connection):
            self._answer_request(connection)

    def _answer_request(self, connection: socket.socket) -> None:
        start = connection.recv(20)
        if not start:
            return
        number = self._count(begun=1)
        if self._moment != "head":
            head, body = read_head(connection, start)
            if self._moment != "body":
                self._finish(connection, content_length(head) - len(body))
            if self._moment == "kept" and number == 1:
                connection.sendall(_WELCOME)
        self.fail("a page" if self._moment == "kept" and number > 1 else self._fault, connection)

    def _finish(self, connection: socket.socket, left: int) -> None:
        """Read the rest of a body and do the work."""
        while left > 0:
            block = connection.recv(1 << 20)
            if not block:
                raise ConnectionError
            left -= len(block)
        self._count(done=1)


class ClosedProxy(Faulty, Proxy):
    """A proxy that fails each CONNECT."""

    def __init__(self, fault: str) -> None:
        self._fault = fault
        Proxy.__init__(self, 0)

    def open_tunnel(self, client: socket.socket) -> bool:
        """Open none."""
        self.fail(self._fault, client)
        return False


@contextmanager
def nobody(fault: str) -> Iterator[int]:
    """Give a port that refuses each connection (`reset`), or on which none comes about."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        if fault == "reset":
            listener.close()
        else:
            for _ in range(8):  # fill the queue of connections that nobody accepts
                filler = sockets.enter_context(socket.socket())
                filler.setblocking(False)
                with suppress(BlockingIOError):
                    filler.connect(address)
        yield address[1]


def content_length(head: bytes) -> int:
    """Return the length of the body that a head announces."""
    lines = head.lower().split(b"\r\n")
    return next(
        (int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0
    )
