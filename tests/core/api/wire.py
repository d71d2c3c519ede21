"""A counting service, proxies before it, and every way in which a connection can fail."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FAULTS = ("closed", "reset", "stalled", "half an answer", "unreadable answer")
HALF = b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"JobId'

Handle = Callable[[socket.socket], None]


def make_certificate(path: Path) -> None:
    """Write a certificate for 127.0.0.1 that signs itself, and its key, into one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))


class Listener:
    """Hand each connection to a thread of its own; all of them end with the listener."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.released = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections, and let those that are stalled end."""
        self.released.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), closing(connection):
            connection.settimeout(10)
            self._handle(connection)

    def fail(self, fault: str, connection: socket.socket) -> None:
        """End a connection that way."""
        if fault == "stalled":
            self.released.wait(10)
        elif fault == "half an answer":
            connection.sendall(HALF)
        elif fault == "unreadable answer":
            connection.sendall(b"nonsense\r\n\r\n")
        if fault in {"reset", "closed"}:
            hang_up(connection, reset=fault == "reset")
        else:
            # Unread bytes would make a reset of the close, and the answer would be lost with it.
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 20):
                pass


def hang_up(connection: socket.socket, *, reset: bool) -> None:
    """Close a connection, politely or not."""
    with suppress(OSError):  # the thread of the other direction may have closed it
        if reset:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.shutdown(socket.SHUT_RD)  # or a thread that reads from it would keep it open
    connection.close()


class Service(Listener):
    """Do the work of each request that is here in full, and fail at a moment.

    :param moment: when it fails: in the `handshake`, the `head`, the `body`, or `after the work`.
    :param certificate: speak TLS with it.

    `done` counts the requests whose work was done: those that convert are paid.
    """

    def __init__(self, fault: str, moment: str, certificate: Path | None = None) -> None:
        self.done = 0
        self._fault, self._moment = fault, moment
        self._context: ssl.SSLContext | None = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        super().__init__(self._answer)

    def _answer(self, connection: socket.socket) -> None:
        if self._moment == "handshake":
            self.fail(self._fault, connection)
            return
        if self._context:
            connection = self._context.wrap_socket(connection, server_side=True)
        with closing(connection):
            self._fail_later(connection)

    def _fail_later(self, connection: socket.socket) -> None:
        if self._moment == "head":
            connection.recv(20)
            self.fail(self._fault, connection)
            return
        head, body = read_head(connection)
        size = content_length(head)
        if self._moment == "body":
            self.fail(self._fault, connection)
            return
        while len(body) < size:
            block = connection.recv(1 << 20)
            if not block:
                return
            body += block
        self.done += 1
        self.fail(self._fault, connection)


class Proxy(Listener):
    """Pass on the first request, then everything as it comes, and every end of a connection.

    :param port: where the service listens.
    :param fault: how it fails a CONNECT; None where it lets it through.
    """

    def __init__(self, port: int, fault: str | None = None) -> None:
        self._target, self._fault = ("127.0.0.1", port), fault
        super().__init__(self._pass)

    def _pass(self, connection: socket.socket) -> None:
        head, body = read_head(connection)
        if head.startswith(b"CONNECT"):
            if self._fault:
                self.fail(self._fault, connection)
                return
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            first = body
        else:
            method, _, rest = head.partition(b" http://")
            first = method + b" /" + rest.partition(b"/")[2] + b"\r\n\r\n" + body
        with socket.create_connection(self._target) as service:
            service.sendall(first)
            threading.Thread(target=_pump, args=(connection, service), daemon=True).start()
            _pump(service, connection)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while block := source.recv(1 << 16):
            sink.sendall(block)
    except ConnectionResetError:
        hang_up(sink, reset=True)
    except OSError:
        hang_up(sink, reset=False)
    else:
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return a request's head, and what came of its body with it."""
    received = b""
    while b"\r\n\r\n" not in received:
        block = connection.recv(1 << 16)
        if not block:
            raise ConnectionError
        received += block
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def content_length(head: bytes) -> int:
    """Return the length of the body that a head announces."""
    lines = head.lower().split(b"\r\n")
    return next(
        (int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0
    )
