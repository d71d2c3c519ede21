"""Proxies and a TLS front on loopback, whose connections end as a test or a benchmark wants."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROXIES = ("forwarding proxy", "CONNECT proxy")
Ending = Literal["closed", "reset"]
ENDINGS: tuple[Ending, ...] = ("closed", "reset")
Turn = Literal["handshake", "request", "answer"]
Fate = Callable[[Turn], Ending | None]

_IDLE = 60.0
"""Seconds without a byte after which a connection that nobody closed ends."""

_ABSOLUTE = re.compile(rb"^(\w+) http://[^/ ]+")


def go_on(_: Turn) -> None:
    """Let every connection live."""


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


def server_context(certificate: Path) -> ssl.SSLContext:
    """Return the TLS of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    # A ticket would come between handshake and request, and be taken for the first answer.
    context.num_tickets = 0
    return context


@contextmanager
def put_before(
    url: str, kind: str, folder: Path, fate: Fate = go_on, ending: Ending | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """Put a proxy before a service that speaks plain HTTP, and TLS where it carries tunnels.

    :param kind: one of `PROXIES`, or anything else for none.
    :param folder: where the certificate is written.
    :returns: the service's URL, and the environment in which clients find the proxy.
    """
    if kind not in PROXIES:
        yield url, {}
        return
    port, scheme, environment = urlsplit(url).port or 0, "http", {}
    with ExitStack() as listeners:
        if kind == "CONNECT proxy":
            scheme, certificate = "https", folder / "certificate.pem"
            make_certificate(certificate)
            port = listeners.enter_context(closing(TlsFront(port, certificate))).port
            environment["REQUESTS_CA_BUNDLE"] = str(certificate)
        proxy = listeners.enter_context(closing(Proxy(port, fate, ending)))
        environment[f"{scheme}_proxy"] = f"http://127.0.0.1:{proxy.port}"
        yield f"{scheme}://127.0.0.1:{port}", environment


class Listener:
    """Hand each connection to a thread of its own; all of them end with the listener.

    `ended` is released for each connection that this side has ended.
    """

    def __init__(self, handle: Callable[[socket.socket], None]) -> None:
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.released = threading.Event()
        self.ended = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections, and let those that are stalled end."""
        self.released.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def end(self, connection: socket.socket, how: Ending) -> None:
        """End a connection by a FIN or by a reset."""
        if how == "reset":
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
            self.ended.release()
            return
        # Unread bytes would make a reset of the close, and what was sent would be lost with it.
        connection.shutdown(socket.SHUT_WR)
        self.ended.release()
        while connection.recv(1 << 20):
            pass

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), closing(connection):
            connection.settimeout(_IDLE)
            # As the service does: with a delayed acknowledgement each small answer takes 40 ms.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._handle(connection)


class TlsFront(Listener):
    """Speak TLS in place of a service that does not.

    :param port: where the service listens.
    """

    def __init__(self, port: int, certificate: Path) -> None:
        self._port, self._context = port, server_context(certificate)
        super().__init__(self._front)

    def _front(self, connection: socket.socket) -> None:
        with (
            self._context.wrap_socket(connection, server_side=True) as client,
            _connected(self._port) as service,
        ):
            self.end(client, Relay(client, service).run())


class Proxy(Listener):
    """Forward requests and carry tunnels to one service, whichever host they name.

    :param port: where the service listens.
    :param fate: asked whenever the other side begins to speak; returns how the connection is ended
        before that is passed on, None where it goes on.
    :param ending: how a client is told that the service ended a connection; None: as it was ended.
    """

    def __init__(self, port: int, fate: Fate = go_on, ending: Ending | None = None) -> None:
        self._port, self._fate, self._ending = port, fate, ending
        super().__init__(self._pass)

    def open_tunnel(self, client: socket.socket) -> bool:
        """Answer a CONNECT; return whether there is a tunnel now."""
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return True

    def _pass(self, client: socket.socket) -> None:
        is_tunnel = client.recv(7, socket.MSG_PEEK) == b"CONNECT"
        if is_tunnel:
            read_head(client)
            if not self.open_tunnel(client):
                return
        with _connected(self._port) as service:
            ending = Relay(client, service, self._fate, is_tunnel=is_tunnel).run()
        self.end(client, self._ending or ending)


class Relay:
    """Pass on what two sides send, turn by turn: a client speaks, a service answers.

    :param is_tunnel: pass on bytes and take the first turns for a handshake; otherwise the client
        speaks to a proxy, and each of its turns begins with the request line.
    """

    def __init__(
        self,
        client: socket.socket,
        service: socket.socket,
        fate: Fate = go_on,
        *,
        is_tunnel: bool = True,
    ) -> None:
        self._client, self._service = client, service
        self._fate, self._is_tunnel = fate, is_tunnel
        self._shakes_hands = is_tunnel

    def run(self) -> Ending:
        """Pass on until one side ends or the fate ends both; return how."""
        speaker = self._service
        try:
            for source in self._readable():
                block = source.recv(1 << 16)
                if not block:
                    break
                if source is not speaker:
                    speaker = source
                    if ending := self._fate(self._turn(speaker)):
                        return ending
                    if source is self._client and not self._is_tunnel:
                        block = _ABSOLUTE.sub(rb"\1 ", block)
                (self._service if source is self._client else self._client).sendall(block)
        except ConnectionError:
            return "reset"
        return "closed"

    def _turn(self, speaker: socket.socket) -> Turn:
        if self._shakes_hands:
            self._shakes_hands = speaker is self._client
            return "handshake"
        return "request" if speaker is self._client else "answer"

    def _readable(self) -> Iterator[socket.socket]:
        sides = (self._client, self._service)
        while True:
            # TLS may have decrypted more than was read; the socket does not tell.
            waiting = [s for s in sides if isinstance(s, ssl.SSLSocket) and s.pending()]
            ready = waiting or select.select(sides, [], [], _IDLE)[0]
            if not ready:
                return
            yield from ready


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), _IDLE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_head(connection: socket.socket, received: bytes = b"") -> tuple[bytes, bytes]:
    """Return a request's head, and what came of its body with it."""
    while b"\r\n\r\n" not in received:
        block = connection.recv(1 << 16)
        if not block:
            raise ConnectionError
        received += block
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body
