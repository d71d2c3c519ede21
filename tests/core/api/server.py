"""A server of a test's own: it sees each request as bytes, and says what the test scripted."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from airflow_provider_convertapi.api.wire import Response

JOB_ID = "0123456789abcdef0123456789abcdef"
FILE_ID = "zyxwvutsrqponmlkjihgfedcba987654"


@dataclass(frozen=True)
class Received:
    """A request as it came over the socket.

    :param headers: by lower-case name.
    :param connection: which connection it came over, counted from 1.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Reset:
    """An answer: the connection is reset."""


RESET = Reset()

Answer = bytes | Iterable[bytes] | Reset | None
"""What goes back, byte by byte; None closes the connection without a word."""

Script = Callable[[Received], Answer]


def one_by_one(*answers: Answer) -> Script:
    """Give these answers, one a request."""
    left = iter(answers)
    return lambda _: next(left)


def reply(status: int = 200, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """Return an HTTP answer; `length` announces another length than the body has."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {size}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def reply_json(status: int, value: object, *headers: str) -> bytes:
    """Return an HTTP answer with a JSON body."""
    return reply(status, json.dumps(value).encode(), "Content-Type: application/json", *headers)


def response(status: int, body: Any = b"", **headers: str) -> Response:
    """Return an answer as the client hands it to a parse function; `a_b` is the header `a-b`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {k.replace("_", "-"): v for k, v in headers.items()}, content)


class Server:
    """Answer the requests of many connections, on loopback; each connection stays open.

    `ended` counts the connections that came to their end.
    """

    def __init__(self, script: Script | Answer) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.ended = threading.Semaphore(0)
        self._script = script if callable(script) else lambda _: script
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Close the port and every connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connections that are open now."""
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                serving = (connection, self.connections)
                threading.Thread(target=self._serve, args=serving, daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            while received := _receive(stream, number):
                self.requests.append(received)
                if not _send(connection, self._script(received)):
                    break
        self.ended.release()


def _receive(stream: BinaryIO, number: int) -> Received | None:
    line = stream.readline().decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = {}
    while header := stream.readline().decode("latin-1").strip():
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    size = int(headers.get("content-length", 0))
    body = stream.read(size)
    return Received(line[0], line[1], headers, body, number) if len(body) == size else None


def _send(connection: socket.socket, answer: Answer) -> bool:
    """Send an answer; return whether the connection may take another request."""
    if isinstance(answer, Reset):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if answer is None:
        return False
    for block in [answer] if isinstance(answer, bytes) else answer:
        connection.sendall(block)
    return isinstance(answer, bytes) and not _is_torn(answer)


def _is_torn(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    lengths = [int(v.split(b":")[1]) for v in head.split(b"\r\n") if b"Content-Length:" in v]
    return bool(lengths) and 0 < len(body) < lengths[0]


@dataclass(frozen=True)
class Memory:
    """A file in memory; the size may lie, as that of a file does which is written meanwhile."""

    content: bytes
    name: str = "letter.docx"
    announced: int | None = None

    @property
    def size(self) -> int:
        """Bytes, as announced."""
        return len(self.content) if self.announced is None else self.announced

    def open(self) -> BytesIO:
        """Open it from its start."""
        return BytesIO(self.content)
