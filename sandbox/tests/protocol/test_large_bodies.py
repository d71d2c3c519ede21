"""Bodies of megabytes, which are read from the socket itself."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

import pytest

from convertapi_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    Call = Callable[..., requests.Response]

SIZE = 5 << 20
CONTENT = random.Random(5).randbytes(SIZE)


@pytest.fixture(scope="module")
def impatient() -> Iterator[Sandbox]:
    """Serve with a time limit that a test can wait for."""
    with Sandbox(workers=1) as server:
        server.front.body_timeout = 0.3
        yield server


def halves() -> Iterator[bytes]:
    """Yield a body whose length is not announced."""
    yield CONTENT[: SIZE // 2]
    yield CONTENT[SIZE // 2 :]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"data": CONTENT}, id="raw"),
        pytest.param({"data": halves}, id="chunked"),
        pytest.param({"files": {"file": ("a.bin", CONTENT)}}, id="form"),
    ],
)
def test_upload_is_stored_as_it_was_sent(
    caller: requests.Session, sandbox: Sandbox, body: dict[str, object]
) -> None:
    """Bodies arrive complete and in order, one after another."""
    stored = []
    for _ in range(3):
        given = {name: value() if callable(value) else value for name, value in body.items()}
        answer = caller.post("/upload?filename=a.bin", **given)  # type: ignore[arg-type]  # as requests takes them
        stored.append(answer.json()["FileId"])

    assert {CONTENT} == {caller.get(f"/d/{file_id}").content for file_id in stored}
    assert len(stored) == len(sandbox.files)


def test_connection_is_closed_after_it(caller: requests.Session) -> None:
    """A body that bypassed the parser closes the connection, and says so; a small one keeps it."""
    large = caller.post("/upload?filename=a.bin", data=CONTENT)
    small = caller.post("/upload?filename=a.bin", data=b"few")

    assert "close" == large.headers["connection"]
    assert "connection" not in small.headers


def test_early_refusal_is_readable(caller: requests.Session, sandbox: Sandbox) -> None:
    """A caller that sends megabytes with a bad id, or too many, can read why it was refused."""
    bad_id = caller.post("/upload?filename=a.bin&fileId=no", data=CONTENT)
    sandbox.settings.max_file_size = 1000
    too_large = caller.post("/upload?filename=a.bin", data=CONTENT)

    assert [400, 413] == [bad_id.status_code, too_large.status_code]
    assert {} == sandbox.files


def test_caller_who_goes_away_in_the_middle(caller: requests.Session, sandbox: Sandbox) -> None:
    """Nothing is stored, and the next caller is served."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    head = f"POST /upload?filename=a.bin HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + CONTENT[: SIZE // 2])

    assert caller.post("/upload?filename=a.bin", data=CONTENT).ok
    assert 1 == len(sandbox.files)


def test_silence_in_the_middle(impatient: Sandbox) -> None:
    """A body that stops gets a 408, and the connection is closed."""
    host, port = impatient.url.removeprefix("http://").split(":")
    head = f"POST /upload?filename=a.bin HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + CONTENT[: SIZE // 2])
        heard = b""
        while chunk := connection.recv(65536):
            heard += chunk

    assert b"408" == heard.split()[1]
    assert {} == impatient.files


def test_fault_after_it(caller: requests.Session, sandbox: Sandbox) -> None:
    """Faults act on large bodies as on others, and the journal has every request."""
    sandbox.fail("POST /upload", status=503, times=1)

    answers = [caller.post("/upload?filename=a.bin", data=CONTENT).status_code for _ in range(2)]

    assert [503, 200] == answers == [entry.status for entry in sandbox.requests]
