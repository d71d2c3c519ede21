"""When there is no answer: whether a byte was sent, and whose trouble it was."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.api.endpoints import JobAnswer
from airflow_provider_convertapi.api.wire import BLOCK
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    InputChangedError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
)
from tests.core.api.server import FILE_ID, JOB_ID, RESET, Memory, one_by_one, reply, reply_json
from tests.core.api.wire import nobody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.core.api.conftest import MakeClient, Serve

SUBMIT = endpoints.start_conversion("docx", "pdf", JOB_ID, [("File", Memory(b"DATA"))])
DIRECT = endpoints.convert_directly("docx", "pdf", 10, [("File", Memory(b"DATA"))])
POLL = endpoints.get_job(JOB_ID)


def failure(client: Any, endpoint: Any = SUBMIT) -> TransportError:
    """Return the error of a call that gets no answer; streamed or not, it is the same."""
    with pytest.raises(TransportError) as caught:
        client.send(endpoint)
    with pytest.raises(TransportError) as streamed, client.stream(DIRECT):
        pass
    assert caught.value.sent == streamed.value.sent
    return caught.value


# --------------------------------------------------------------------------------------
# No byte was sent
# --------------------------------------------------------------------------------------


def test_refused_port(make_client: MakeClient) -> None:
    """Nobody listens: nothing was sent."""
    with nobody("reset") as port:
        error = failure(make_client(f"http://127.0.0.1:{port}"))

    assert not error.sent
    assert (
        "POST /async/convert/docx/to/pdf: no connection could be made "
        "(ConnectionError: [Errno 111] Connection refused)"
    ) == str(error)


def test_unknown_host(make_client: MakeClient) -> None:
    """A name that nobody knows: nothing was sent."""
    error = failure(make_client("http://nowhere.invalid"))

    assert not error.sent
    assert "nowhere.invalid" in str(error)


def test_connect_time_out(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not take the connection: nothing was sent."""
    monkeypatch.setattr("airflow_provider_convertapi.api.client.CONNECT_TIMEOUT", 0.05)
    with nobody("stalled") as port:
        error = failure(make_client(f"http://127.0.0.1:{port}"))

    assert not error.sent
    assert "no connection could be made (ConnectTimeout" in str(error)


@pytest.mark.parametrize("base_url", ["http://a..b", "http://" + "a" * 64, "ftp://h", "http:///"])
def test_unusable_host(make_client: MakeClient, base_url: str) -> None:
    """A host that no request can be made to: nothing was sent."""
    assert not failure(make_client(base_url)).sent


def test_certificates_that_cannot_be_read(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A bundle of authorities that is not there: nothing was sent, and the text names it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))

    error = failure(make_client("https://127.0.0.1:9"))

    assert not error.sent
    assert "missing.pem" in str(error)


@contextmanager
def listening(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Hand each connection over as it is, and close it; return the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    handle(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_https_to_a_server_without_tls(make_client: MakeClient) -> None:
    """The reason is quoted whole, as OpenSSL gives it."""

    def speak_http(connection: socket.socket) -> None:
        connection.recv(BLOCK)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with listening(speak_http) as port:
        error = failure(make_client(f"https://127.0.0.1:{port}"))

    assert not error.sent
    assert "(SSLError: [SSL: WRONG_VERSION_NUMBER] " in str(error)


def speaking_tls(
    certificate: Path, handle: Callable[[ssl.SSLSocket], None]
) -> Callable[[socket.socket], None]:
    """Return what shakes hands on a connection and then handles it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def shake_hands(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            handle(secured)

    return shake_hands


def answer_once(connection: socket.socket) -> None:
    """Read a request's head, answer it, and hang up."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(BLOCK)
    connection.sendall(reply(202, b"", "Connection: close"))


def test_tls(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """A trusted host over TLS is a host like any other."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with listening(speaking_tls(certificate, answer_once)) as port:
        assert JobAnswer() == make_client(f"https://127.0.0.1:{port}").send(POLL)


def test_certificate_that_nobody_trusts(make_client: MakeClient, certificate: Path) -> None:
    """A host that cannot prove who it is gets nothing."""
    with listening(speaking_tls(certificate, answer_once)) as port:
        error = failure(make_client(f"https://127.0.0.1:{port}"))

    assert not error.sent
    assert "self-signed certificate" in str(error)


def test_proxy_that_refuses_the_tunnel(
    serve: Serve, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that lets nobody through has seen no request of ours."""
    proxy = serve(reply(407))
    monkeypatch.setenv("https_proxy", proxy.url)

    error = failure(make_client("https://service.invalid"))

    assert not error.sent
    assert "407" in str(error)
    assert {"CONNECT"} == {got.method for got in proxy.requests}
    assert not [got for got in proxy.requests if "authorization" in got.headers]


def test_proxy(serve: Serve, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain proxy carries requests, and keeps its connection."""
    proxy = serve(reply(202))
    monkeypatch.setenv("http_proxy", proxy.url)
    client = make_client("http://service.invalid")

    assert [JobAnswer()] * 3 == [client.send(POLL) for _ in range(3)]
    assert f"http://service.invalid/async/job/{JOB_ID}" == proxy.requests[0].target
    assert 1 == proxy.connections


# --------------------------------------------------------------------------------------
# A byte may have been sent
# --------------------------------------------------------------------------------------


def test_reset_on_a_kept_connection(serve: Serve, make_client: MakeClient) -> None:
    """A connection that breaks under the second request may have taken it along."""
    server = serve(one_by_one(reply(202), RESET, RESET))
    client = make_client(server.url)
    client.send(POLL)

    error = failure(client)

    assert error.sent
    assert "the connection broke before the answer was there" in str(error)


def test_gateway_without_an_answer(serve: Serve, make_client: MakeClient) -> None:
    """A gateway's 502 or 504 says nothing of what happened behind it."""
    for status in (502, 504):
        assert failure(make_client(serve(reply(status, b"<html/>")).url)).sent


# --------------------------------------------------------------------------------------
# Tokens that have to be asked for
# --------------------------------------------------------------------------------------


def test_token_that_cannot_be_had(serve: Serve, make_client: MakeClient) -> None:
    """Where the token's answer was lost, the request itself was never sent, nor paid."""
    server = serve(None)
    asking = make_client(server.url)

    def token(_: Any) -> str:
        return str(asking.send(endpoints.request_token("kid", 60, None)))

    error = failure(make_client(server.url, token=token))

    assert not error.sent
    assert "POST /token/jwt" in str(error)
    assert {"/token/jwt"} == {got.target for got in server.requests}


@pytest.mark.parametrize(
    "error",
    [ThrottledError("busy", 7.0), AuthenticationError("no", 4011)],
)
def test_other_trouble_with_the_token(
    serve: Serve, make_client: MakeClient, error: Exception
) -> None:
    """Any other error of the token is what it is, and nothing is sent."""
    server = serve(reply(202))
    asked = []

    def token(kind: Any) -> str:
        asked.append(kind)
        raise error

    with pytest.raises(type(error)) as caught:
        make_client(server.url, token=token, renew=lambda _: True).send(SUBMIT)
    assert error is caught.value
    assert 1 == len(asked)
    assert [] == server.requests


def test_unreadable_token(serve: Serve, make_client: MakeClient) -> None:
    """An answer that holds no token does not mean that the request itself was sent."""
    server = serve(reply(202))

    def token(_: Any) -> str:
        raise UnexpectedAnswerError("what?")

    with pytest.raises(UnexpectedAnswerError, match=r"what\?") as caught:
        make_client(server.url, token=token).send(SUBMIT)
    assert not caught.value.is_answer_lost
    assert [] == server.requests


# --------------------------------------------------------------------------------------
# Files that cannot be read
# --------------------------------------------------------------------------------------


class Broken(Memory):
    """A file whose reading fails after its first block."""

    trouble: Exception

    def open(self) -> BytesIO:
        """Open it."""
        trouble = self.trouble

        class Stream(BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                block = super().read(size)
                if self.tell() > BLOCK:
                    raise trouble
                return block

        return Stream(self.content)


@pytest.mark.parametrize(
    "trouble",
    [
        PermissionError(13, "Permission denied"),
        BrokenPipeError(32, "the store hung up"),
        ConnectionResetError(104, "the store hung up"),
        TimeoutError("the store is slow"),
        ValueError("I/O operation on closed file"),
        KeyError("NoSuchKey"),
    ],
)
def test_file_that_cannot_be_read(
    serve: Serve, make_client: MakeClient, trouble: Exception
) -> None:
    """The store's error is the store's: not the connection's, and not swallowed with it.

    urllib3 ignores some errors of a connection while it sends; the request would hang half-sent.
    """
    file = Broken(b"x" * 3 * BLOCK)
    object.__setattr__(file, "trouble", trouble)
    server = serve(reply_json(200, {"JobId": JOB_ID}))
    client = make_client(server.url)
    endpoint = endpoints.start_conversion("docx", "pdf", JOB_ID, [("File", file)])

    with pytest.raises(type(trouble)) as caught:
        client.send(endpoint)

    assert trouble is caught.value
    assert [] == server.requests
    client.send(SUBMIT)  # the connection of the half-sent request is not used again
    assert 1 == len(server.requests)


def test_cause_of_a_file_that_cannot_be_read(serve: Serve, make_client: MakeClient) -> None:
    """What the store named as cause is kept."""
    cause = ConnectionResetError("by peer")

    class Gone(Memory):
        def open(self) -> BytesIO:
            raise OSError("cannot open") from cause

    server = serve(reply(200))
    with pytest.raises(OSError, match="cannot open") as caught:
        make_client(server.url).send(endpoints.upload(Gone(b"x")))
    assert cause is caught.value.__cause__


@pytest.mark.parametrize(
    "endpoint",
    [
        endpoints.upload(Memory(b"short", announced=BLOCK), FILE_ID),
        endpoints.start_conversion(
            "docx", "pdf", JOB_ID, [("File", Memory(b"short", announced=BLOCK))]
        ),
    ],
)
def test_file_shortened_while_it_is_sent(
    serve: Serve, make_client: MakeClient, endpoint: Any
) -> None:
    """A shortened file ends the connection, so that the service has no whole request to bill."""
    server = serve(reply(200))

    with pytest.raises(InputChangedError, match="shortened while it was sent"):
        make_client(server.url).send(endpoint)

    assert [] == server.requests
