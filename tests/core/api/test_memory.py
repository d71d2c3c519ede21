"""Files of any size pass through a client that stays small."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from contextlib import suppress

from tests.core.api.server import FILE_ID, reply_json

SIZE = 200 * 1024 * 1024
BLOCK = b"\x00" * (1 << 20)

CLIENT = """
import io, json, resource, sys, time
from contextlib import closing

from airflow_provider_convertapi.api.answers import AnswerReader
from airflow_provider_convertapi.api.client import Client
from airflow_provider_convertapi.api.endpoints import convert_directly, download, upload

SIZE = int(sys.argv[2])


class Zeros(io.RawIOBase):
    name, size, left = "zeros.bin", SIZE, SIZE

    def open(self):
        self.left = SIZE
        return self

    def read(self, size):
        self.left -= min(size, self.left)
        return bytes(size)


class Counter(io.RawIOBase):
    written = 0

    def write(self, data):
        self.written += len(data)
        return len(data)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


times = {"pause": time.sleep, "clock": time.time, "monotonic": time.monotonic}
with closing(Client(sys.argv[1], lambda kind: "token", **times)) as client:
    client.send(upload(Zeros()))  # all that is loaded late is loaded
    idle = peak()
    client.send(upload(Zeros()))
    with client.stream(download("f" * 32)) as (head, blocks):
        downloaded = sum(map(len, blocks))
    counter = Counter()
    with client.stream(convert_directly("docx", "pdf", 10, [("File", Zeros())])) as (head, blocks):
        reader = AnswerReader(head.headers["content-type"], lambda _: counter, lambda: None)
        reader.read(blocks)
print(json.dumps([downloaded, counter.written, idle, peak()]))
"""


def serve_large(listener: socket.socket) -> None:
    """Take uploads without keeping them, and send as much."""
    with suppress(OSError):
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                headers: dict[bytes, bytes] = {}
                while header := stream.readline().strip():
                    name, _, value = header.partition(b": ")
                    headers[name.lower()] = value
                left = int(headers.get(b"content-length", 0))
                while left:
                    left -= len(stream.read(min(left, len(BLOCK))))
                answer(connection, line.split()[1])


def answer(connection: socket.socket, target: bytes) -> None:
    """Answer an upload, a download, or a direct conversion."""
    if target.startswith(b"/upload"):
        connection.sendall(reply_json(200, {"FileName": "z", "FileSize": SIZE, "FileId": FILE_ID}))
        return
    before, after = (b"", b"") if target.startswith(b"/d/") else (b"--x\r\n\r\n", b"\r\n--x--")
    size = SIZE + len(before) + len(after)
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n"
    connection.sendall(f"{head}Content-Type: multipart/mixed; boundary=x\r\n\r\n".encode() + before)
    for _ in range(SIZE // len(BLOCK)):
        connection.sendall(BLOCK)
    connection.sendall(after)


def test_memory_does_not_depend_on_size() -> None:
    """200 MB up, down, and through a direct conversion: a few blocks are held at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve_large, args=[listener], daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, url, str(SIZE)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )

    downloaded, written, idle, peak = json.loads(done.stdout)
    assert (SIZE, SIZE) == (downloaded, written)
    assert peak - idle < 16 * 1024 * 1024
