"""Callers that violate HTTP get a 4xx or a closed connection, never a hang or a traceback."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from convertapi_sandbox import Sandbox
from convertapi_sandbox.answers import Answer
from convertapi_sandbox.clock import new_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

    import requests

    Call = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def impatient() -> Iterator[Sandbox]:
    """Serve with time limits that a test can wait for."""
    with Sandbox(workers=1) as server:
        server.front.body_timeout = 0.3
        server.connections.header_timeout = 0.3
        yield server


def spoken(sandbox: Sandbox, data: bytes) -> bytes:
    """Send bytes, and return everything received until the connection is closed.

    Who waits for ten seconds has waited in vain: by default the sandbox's patience is thirty.
    """
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        try:
            connection.sendall(data)
            heard = b""
            while chunk := connection.recv(65536):
                heard += chunk
        except ConnectionError:
            return b""
    return heard


POST = b"POST /upload?filename=a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"GET /info", b"", id="half a request line"),
        pytest.param(b"GET /info HTTP/1.1\r\nHost: x\r\nX-A: ", b"", id="half a header"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400", id="TLS"),
        pytest.param(b"NONSENSE\r\n\r\n", b"400", id="no HTTP"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400", id="bytes in the path"),
        pytest.param(b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n", b"400", id="bad header name"),
        pytest.param(POST + b"Content-Length: ten\r\n\r\n", b"400", id="length not a number"),
        pytest.param(POST + b"Content-Length: -5\r\n\r\n", b"400", id="negative length"),
        pytest.param(POST + b"Content-Length: 10\r\n\r\nhalf", b"408", id="half a body"),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", b"408", id="half a chunk"
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400", id="bad chunk size"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
            b"431",
            id="one huge header",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 5_000,
            b"431",
            id="endless headers",
        ),
    ],
)
def test_broken_http(
    impatient: Sandbox,
    sandbox: Sandbox,
    data: bytes,
    status: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The connection is answered or closed in time, and nothing is stored or logged."""
    # What is answered at once is not said to a server that may lose its patience before.
    server = impatient if status in {b"", b"408"} else sandbox

    heard = spoken(server, data)

    # A caller that is still sending may miss the answer if the connection is closed.
    assert heard[9:12] == status or (status == b"431" and not heard)
    assert {} == server.files
    assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR]


PART = b'Content-Disposition: form-data; name="File"; filename="a.txt"'
VALUE = b'{"Name":"File","FileValue":{"Name":"a.txt","Data":"eA=="}}'
FORMS = [
    (b"multipart/form-data; boundary=b", b"--b\r\n" + PART + b"\r\n\r\nhello\r\n--b--\r\n"),
    (b"application/json", b'{"Parameters":[' + VALUE + b"]}"),
    (b"application/x-www-form-urlencoded", b"File=http%3A%2F%2F127.0.0.1%2Fd%2Faa&Timeout=20"),
    (b"application/octet-stream", b"data"),
]
PATHS = [
    b"/convert/txt/to/pdf",
    b"/async/convert/txt/to/pdf",
    b"/upload?filename=a.txt",
    b"/token/jwt",
]


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Return data with a few bytes changed, removed, doubled or inserted."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 5)):
        place = dice.randrange(len(changed) + 1)
        match dice.randrange(4):
            case 0:
                changed[place : place + 1] = dice.randbytes(1)
            case 1:
                del changed[place : place + dice.randint(1, 20)]
            case 2:
                changed[place:place] = dice.randbytes(dice.randint(1, 10))
            case _:
                changed[place:place] = changed[place : place + 30]
    return bytes(changed)


def test_mutated_requests(impatient: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """300 requests with mutated bodies and headers: an answer or a closed connection each time."""
    dice = random.Random(4)
    impatient.reset()
    for _ in range(300):
        kind, form = dice.choice(FORMS)
        body = mutated(form, dice) if dice.random() < 0.8 else form
        named = b"Content-Disposition: attachment; filename*=UTF-8''a%20b.txt\r\n"
        headers = b"Content-Type: " + kind + b"\r\n" + named + b"Accept: text/plain;q=0.5, */*\r\n"
        head = (
            b"POST " + dice.choice(PATHS) + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Authorization: Bearer " + impatient.token.encode() + b"\r\n"
            b"Content-Length: %d\r\n" % len(body)
        )
        heard = spoken(impatient, head + mutated(headers, dice) + b"\r\n" + body)
        assert b'"Code":50050' not in heard
        assert not heard or heard.startswith(b"HTTP/1.1 ")
    while impatient.at_work:
        time.sleep(0.01)
    assert sum(entry.cost for entry in impatient.requests) == impatient.billed
    assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_half_a_second_request(impatient: Sandbox) -> None:
    """A connection that was used is also closed if its next request does not end."""
    host, port = impatient.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET /info/a/to/b HTTP/1.1\r\nHost: x\r\n\r\n")
        heard = b""
        while not heard.endswith(b"\r\n\r\n[]"):
            heard += connection.recv(65536)
        connection.sendall(b"GET /info/a/to/b HTTP/1.1\r\nHo")
        assert b"" == connection.recv(65536)  # within ten seconds; by default it takes thirty


def test_no_web_sockets(sandbox: Sandbox) -> None:
    """A request to upgrade the protocol is answered as a plain request."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")


def test_early_answer_to_a_large_body(sandbox: Sandbox, caller: requests.Session) -> None:
    """A caller refused while still sending can read why, and use the connection again."""
    body = b"x" * (1 << 20)
    headers = {"Authorization": "Bearer wrong", "Content-Disposition": "attachment; filename=a.txt"}

    answer = caller.post("/convert/txt/to/pdf", data=body, headers=headers)

    assert (401, 4013) == (answer.status_code, answer.json()["Code"])
    assert "connection" not in answer.headers


def test_refused_before_the_body_is_asked_for(sandbox: Sandbox) -> None:
    """A caller that waits for "100 Continue" is refused without sending a body."""
    heard = spoken(
        sandbox,
        b"POST /convert/txt/to/pdf HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
        b"Expect: 100-continue\r\n\r\n",
    )

    assert heard.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in heard.lower()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/nowhere", 404),
        ("PUT", "/upload", 405),
        ("GET", "/token/jwt", 405),
        ("POST", "/async/job/" + "a" * 32, 405),
        ("OPTIONS", "/convert/txt/to/pdf", 405),
        ("GET", "/d/" + "a" * 32 + "/../../../etc/passwd", 404),
        ("GET", "/convert/%2e%2e/to/%00", 401),
    ],
)
def test_unknown_endpoint(caller: requests.Session, method: str, path: str, status: int) -> None:
    """An unknown endpoint is answered in JSON, with the status as Code."""
    answer = caller.request(method, path, headers={"Authorization": None})

    assert status == answer.status_code
    assert answer.json()["Code"] in (status, 4013)


def test_engine_that_breaks_is_a_failed_conversion(
    caller: requests.Session, sandbox: Sandbox
) -> None:
    """Any error in a conversion gets an answer from the error table, and is billed."""
    answer = caller.post("/convert/pdf/to/txt", files={"File": ("a.pdf", b"\x00" * 1000)})

    assert 500 == answer.status_code
    assert answer.json()["Code"] in (5001, 5002)
    assert 1 == sandbox.billed


@pytest.mark.parametrize("path", ["/convert/txt/to/pdf", "/async/convert/txt/to/pdf"])
def test_client_that_leaves_while_it_sends(sandbox: Sandbox, path: str) -> None:
    """A body that does not end is not a conversion: nothing is billed or stored."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sandbox.token}\r\n"
        "Content-Disposition: attachment; filename=a.txt\r\nContent-Length: 100\r\n\r\nhalf"
    )
    host, port = sandbox.url.removeprefix("http://").split(":")
    deadline = time.monotonic() + 10
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode())
        while not sandbox.at_work:
            assert time.monotonic() < deadline
    while sandbox.at_work or list(sandbox.folder.glob("scratch/*/*.*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)

    assert (0, {}) == (sandbox.billed, sandbox.jobs)
    assert not sandbox.requests[-1].paid


def test_client_that_leaves_pays_for_begun_work(sandbox: Sandbox) -> None:
    """A started conversion is billed although its caller has gone; its status is None."""
    sandbox.settings.latency = 60.0
    part = b'Content-Disposition: form-data; name="Files[0]"; filename="a.txt"'
    body = b"--b\r\n" + part + b"\r\n\r\nx\r\n--b--\r\n"
    head = (
        "POST /convert/file/to/zip HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {sandbox.token}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        deadline = time.monotonic() + 10
        while not [entry for entry in sandbox.requests if entry.paid]:
            assert time.monotonic() < deadline
    sandbox.settings.latency = 0.0
    while sandbox.at_work:
        assert time.monotonic() < deadline
        time.sleep(0.01)

    [entry] = sandbox.requests
    assert (1, 1, True, None) == (sandbox.billed, entry.cost, entry.paid, entry.status)
    assert [] == list(sandbox.folder.glob("scratch/*/*.*"))


def test_latency_counts_from_the_arrival(sandbox: Sandbox) -> None:
    """The time that a caller takes to send its body counts towards the latency.

    Counted from the end of the body, it would pass in full after each of them.
    """
    latency = sandbox.settings.latency = 0.8
    head = (
        "POST /convert/txt/to/pdf HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {sandbox.token}\r\n"
        "Content-Disposition: attachment; filename=a.txt\r\nContent-Length: 1\r\n\r\n"
    )
    host, port = sandbox.url.removeprefix("http://").split(":")
    left = []
    for _ in range(3):  # a busy machine may take longer for some
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            begun = time.monotonic()
            connection.sendall(head.encode())
            time.sleep(0.5)
            sent = time.monotonic()
            connection.sendall(b"x")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        ended = time.monotonic()
        assert latency <= ended - begun
        left.append(ended - sent)
        if left[-1] < latency:
            break

    assert min(left) < latency


def test_small_answer_is_one_piece(sandbox: Sandbox) -> None:
    """Parts and boundaries are sent together, because each packet wakes the caller."""
    sent: list[bytes] = []
    pieces = [b"a" * 10, b"b" * 20, b"c" * (1 << 17), b"d"]

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message.get("body", b""))

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError

    scope = {"type": "http", "method": "GET"}
    asyncio.run(Answer(200, pieces, {})(scope, receive, send))

    assert [10 + 20, 1 << 17, 1] == [len(body) for body in sent if body]
    assert b"".join(pieces) == b"".join(sent)


@pytest.mark.skipif(sys.platform != "linux", reason="only epoll counts in milliseconds")
def test_timers_are_exact() -> None:
    """The sandbox's event loop wakes earlier than Python's, but never too early."""

    async def shortest() -> float:
        seconds = []
        for _ in range(20):
            started = time.monotonic()
            await asyncio.sleep(0.0102)
            seconds.append(time.monotonic() - started)
        return min(seconds)

    with asyncio.Runner(loop_factory=new_loop) as ours, asyncio.Runner() as python:
        assert 0.0102 <= ours.run(shortest()) < python.run(shortest())


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])
def test_other_hosts_only_in_so_many_words(host: str) -> None:
    """A sandbox listens only on loopback, unless `unsafe_host` allows more."""
    with pytest.raises(ValueError, match="loopback"):
        Sandbox(host=host)


def test_every_interface_where_told_so() -> None:
    """`unsafe_host=True` opens it to the network."""
    with Sandbox(host="0.0.0.0", unsafe_host=True, workers=1) as server:
        assert server.url.startswith("http://0.0.0.0:")
