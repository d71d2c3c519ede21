"""What our own code for HTTP saves on a small file, compared with what the library does.

A service in a process of its own answers at once, so that only the client's time is measured.  The
hook converts a file directly, from disk to disk: first as always, then with one of our replacements
switched off at a time.  A bare loop with `requests` does the same.  The rounds take turns, and the
best of each counts.  There is no limit: a replacement that saves less than 5 % should go.

``python bench/client.py [FILES]`` (300 a round).
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from typing import TYPE_CHECKING

from dev.bench import scratch

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

ROUNDS = 7
SENT, CONVERTED = b"y" * 10_000, b"%PDF-1.7\n" + b"x" * 20_000
PART = (
    b"ConversionCost: 1\r\nContent-Type: application/octet-stream\r\n"
    b'Content-Disposition: attachment; filename="letter.pdf"; size=%d\r\n\r\n%b\r\n'
) % (len(CONVERTED), CONVERTED)

Convert = Callable[[], object]


def serve(listener: socket.socket) -> None:
    """Answer every request at once, each with a boundary of its own as the service does."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    """Answer the requests of one connection."""
    number = 0
    with suppress(OSError), connection, connection.makefile("rb") as stream:
        while stream.readline():
            size = 0
            while (line := stream.readline().lower()) not in (b"\r\n", b""):
                if line.startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            stream.read(size)
            number += 1
            edge = b"%032d" % number
            body = b"--%b\r\n%b--%b--\r\n" % (edge, PART, edge)
            head = (
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\n"
                b'Content-Type: multipart/mixed; boundary="%b"\r\n\r\n'
            ) % (len(body), edge)
            connection.sendall(head + body)


def ways(url: str, folder: Path) -> dict[str, Convert]:
    """Return what converts one file, by what it does without."""
    from requests.adapters import HTTPAdapter

    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    source, target = folder / "letter.docx", folder / "letter.pdf"
    source.write_bytes(SENT)

    def convert(hook: ConvertApiHook) -> object:
        return hook.convert(str(source), "pdf", str(target), durable=False)

    def reading_the_environment() -> object:
        forgetful.open_session().client._environment = {}  # noqa: SLF001 - as it is before the first request
        return convert(forgetful)

    ours, with_library_heads, forgetful = ConvertApiHook(), ConvertApiHook(), ConvertApiHook()
    with_library_heads.open_session().client.session.mount("http://", HTTPAdapter(max_retries=0))
    return {
        "ours": lambda: convert(ours),
        "heads read by http.client": lambda: convert(with_library_heads),
        "environment read each time": reading_the_environment,
        "a bare loop with requests": bare(url, source, target),
    }


def bare(url: str, source: Path, target: Path) -> Convert:
    """Return what posts a file and writes the answer's part, and looks at nothing else."""
    import requests
    from python_multipart.multipart import MultipartParser

    session = requests.Session()

    def convert() -> None:
        with source.open("rb") as file, target.open("wb") as sink:
            got = session.post(
                f"{url}/convert/docx/to/pdf",
                files={"File": file},
                data={"StoreFile": "false"},
                headers={"Authorization": "Bearer token", "Accept": "multipart/mixed"},
                stream=True,
                timeout=60,
            )
            boundary = got.headers["Content-Type"].partition("=")[2].strip('"')
            writing = {"on_part_data": lambda data, start, end: sink.write(data[start:end])}
            parser = MultipartParser(boundary, writing)  # type: ignore[arg-type]
            for block in got.iter_content(1 << 20):
                parser.write(block)
            os.fsync(sink.fileno())

    return convert


def measure(converting: dict[str, Convert], files: int) -> dict[str, float]:
    """Return the best milliseconds of the processor that a file took, by way."""
    best = dict.fromkeys(converting, float("inf"))
    for _ in range(ROUNDS):
        for way, convert in converting.items():
            convert()
            started = time.process_time()
            for _ in range(files):
                convert()
            best[way] = min(best[way], (time.process_time() - started) / files * 1000)
    return best


def main(files: int = 300) -> None:
    """Measure, and print what each way is worth."""
    with scratch() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
        connection = {"conn_type": "convertapi", "host": url, "password": "token"}
        os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"] = json.dumps(connection)
        service = get_context("fork").Process(target=serve, args=(listener,), daemon=True)
        service.start()
        try:
            best = measure(ways(url, folder), files)
        finally:
            service.terminate()
    ours = best["ours"]
    for way, took in best.items():
        print(f"{way:28} {took:.3f} ms a file, {took / ours:.2f} times as much as ours")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
