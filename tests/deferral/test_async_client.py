"""The client of the triggerer: the same meaning as on the worker, and the network as it is."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import logging
import re
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api.aclient import AsyncClient
from airflow_provider_convertapi.api.client import Client
from airflow_provider_convertapi.api.endpoints import JobAnswer, delete_file, get_job, request_token
from airflow_provider_convertapi.api.retry import Backoff
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConvertApiError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
)
from tests.core.api.server import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from airflow_provider_convertapi.api.wire import Credential, Endpoint
    from convertapi_sandbox import Sandbox

JOB = get_job("j" * 32)
TIMES: dict[str, Any] = {"clock": time.time, "monotonic": time.monotonic}
QUICK = Backoff(base=0.01, jitter=lambda: 0.0)


async def token_of(kind: Credential) -> str:
    """Return a secret that says what it is."""
    return f"secret-{kind.value}"


def call(base_url: str, endpoint: Endpoint[Any], **options: Any) -> Any:
    """Make one call with a new client."""

    async def main() -> Any:
        client = AsyncClient(base_url, token_of, **{"backoff": QUICK, **TIMES, **options})
        try:
            return await client.call(endpoint)
        finally:
            await client.close()

    return asyncio.run(main())


def failure_of(call_it: Any) -> ConvertApiError:
    """Return the error that a call ends with."""
    with pytest.raises(ConvertApiError) as caught:
        call_it()
    return caught.value


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 401, "code": 4012}, id="unauthorized"),
        pytest.param({"status": 409, "empty": True}, id="conflict"),
        pytest.param({"status": 429, "headers": {"Retry-After": "0"}}, id="throttled"),
        pytest.param({"status": 503, "empty": True, "headers": {"Retry-After": "0"}}, id="empty"),
        pytest.param({"status": 500, "html": True}, id="html"),
        pytest.param({"status": 200, "body": b"nonsense"}, id="nonsense"),
        pytest.param({"status": 200, "body": b"x" * (9 * 1024 * 1024)}, id="endless"),
        pytest.param({"status": 502, "body": b"x" * (9 * 1024 * 1024)}, id="endless error"),
        pytest.param({"status": 409, "code": 4000, "truncate": 5}, id="torn error"),
        pytest.param({"redirect": "http://127.0.0.1:9/elsewhere"}, id="redirect"),
        pytest.param({"drop": "before"}, id="reset"),
    ],
)
def test_both_clients_say_the_same(convertapi_sandbox: Sandbox, fault: dict[str, Any]) -> None:
    """Whatever the service does, both clients raise the same class for it, as often asked."""
    url = convertapi_sandbox.url
    convertapi_sandbox.fail("GET /async/job/*", times=None, **fault)
    client = Client(
        url, lambda kind: f"secret-{kind.value}", backoff=QUICK, pause=time.sleep, **TIMES
    )

    sync = failure_of(lambda: client.call(JOB))
    count = len(convertapi_sandbox.requests)
    asynchronous = failure_of(lambda: call(url, JOB))

    client.close()
    assert type(sync) is type(asynchronous)
    # aiohttp repeats an idempotent request when a reused connection was closed.
    assert count <= len(convertapi_sandbox.requests) - count <= 2 * count


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"HTTP/1.1 103 Soon\r\n\r\nHTTP/1.1 202 Accepted\r\n", id="interim"),
        pytest.param(
            b"HTTP/1.1 202 Accepted\r\nContent-Security-Policy: " + b"x" * 60_000 + b"\r\n",
            id="long header",
        ),
    ],
)
def test_both_clients_read_the_same_heads(head: bytes) -> None:
    """What the worker can read, the triggerer can, too: a job does not seem to run for ever."""
    server = Server(head + b"Content-Length: 0\r\n\r\n")
    client = Client(server.url, lambda kind: kind.value, pause=time.sleep, **TIMES)

    answers = [client.send(JOB), call(server.url, JOB)]

    client.close()
    server.close()
    assert [JobAnswer(), JobAnswer()] == answers


def test_silence_is_given_up(convertapi_sandbox: Sandbox) -> None:
    """A service that falls silent costs `http_timeout` seconds at most."""
    convertapi_sandbox.fail("GET /async/job/*", status=200, stall=20)

    error = failure_of(
        lambda: call(convertapi_sandbox.url, JOB, http_timeout=0.3, backoff=Backoff(attempts=1))
    )

    assert isinstance(error, TransportError)


def test_clock_that_is_off_is_named(convertapi_sandbox: Sandbox) -> None:
    """A refused token says so where the clocks disagree."""
    convertapi_sandbox.settings.clock_offset = 7200
    convertapi_sandbox.fail("GET /async/job/*", status=401, code=4012, times=None)

    error = failure_of(lambda: call(convertapi_sandbox.url, JOB))

    assert isinstance(error, AuthenticationError)
    assert re.search(r"clock is (7199|7200|7201) s behind", str(error))


def test_refused_token_is_renewed_once(convertapi_sandbox: Sandbox) -> None:
    """The next token is sent once, and what was refused is said."""
    convertapi_sandbox.fail("GET /async/job/*", status=401, code=4012, times=None)
    refused: list[str] = []

    def renew(secret: str) -> bool:
        refused.append(secret)
        return True

    failure_of(lambda: call(convertapi_sandbox.url, JOB, renew=renew))

    assert ["secret-token"] == refused
    assert 2 == len(convertapi_sandbox.requests)


def test_throttling_is_waited_out(convertapi_sandbox: Sandbox) -> None:
    """A caller without a deadline waits for as many attempts as for trouble on the wire."""
    convertapi_sandbox.fail(
        "GET /async/job/*", status=503, headers={"Retry-After": "0"}, times=None
    )

    error = failure_of(lambda: call(convertapi_sandbox.url, JOB))

    assert isinstance(error, ThrottledError)
    assert 5 == len(convertapi_sandbox.requests)


def test_missing_document_is_no_error(convertapi_sandbox: Sandbox) -> None:
    """A document that is already gone counts as deleted."""
    assert call(convertapi_sandbox.url, delete_file("d" * 32)) is False


def test_nobody_listens() -> None:
    """A connection that cannot be made says that nothing was sent."""
    error = failure_of(lambda: call("http://127.0.0.1:9", JOB))

    assert isinstance(error, TransportError)
    assert not error.sent
    assert "j" * 32 not in str(error)


def test_ids_stay_out_of_the_librarys_log(
    convertapi_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever aiohttp says of a request, it names no id."""
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("aiohttp.client").warning("GET /async/job/%s failed", "j" * 32)

    assert "GET /async/job/" in caplog.text
    assert "j" * 32 not in caplog.text


# --- the network as it is --------------------------------------------------------------------


@contextlib.asynccontextmanager
async def service(heads: list[str], context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve one thing, a job that runs, and note the head of each request; yield host:port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"{host}:{port}"


async def ask(base_url: str, endpoint: Endpoint[Any] = JOB) -> Any:
    """Make one call, once."""
    client = AsyncClient(base_url, token_of, **TIMES)
    try:
        return await client.send(endpoint)
    finally:
        await client.close()


def test_netrc_cannot_replace_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.netrc` that names the host neither replaces `Authorization` nor breaks the request."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    heads: list[str] = []

    async def main() -> None:
        async with service(heads) as address:
            await ask(f"http://{address}")

    asyncio.run(main())

    assert "Authorization: Bearer secret-token\r\n" in heads[0]
    assert 1 == heads[0].count("uthorization:")


def test_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is used, NO_PROXY is heeded, and only the host gets the token."""
    proxied: list[str] = []
    direct: list[str] = []

    async def main() -> None:
        async with service(proxied) as proxy, service(direct) as address:
            monkeypatch.setenv("http_proxy", f"http://{proxy}")
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            await ask("http://convertapi.example")
            await ask(f"http://{address}")

    asyncio.run(main())

    assert proxied[0].startswith(f"GET http://convertapi.example/async/job/{'j' * 32} ")
    assert (1, 1) == (len(proxied), len(direct))


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Make a certificate authority of one: a server's context, and the file to trust."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    trusted, private = folder / "ca.pem", folder / "key.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, trusted


def test_proxy_that_speaks_no_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy is ignored, because aiohttp does not support it."""
    direct: list[str] = []

    async def main() -> None:
        async with service(direct) as address:
            monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
            await ask(f"http://{address}")

    asyncio.run(main())

    assert 1 == len(direct)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", None])
def test_certificate_authority_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    """The triggerer trusts the same authorities as the worker, and no others."""
    context, trusted = certificate(tmp_path)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(trusted))

    async def main() -> Any:
        async with service([], context) as address:
            return await ask(f"https://{address}")

    if variable:
        assert not asyncio.run(main()).unknown
    else:
        error = failure_of(lambda: asyncio.run(main()))
        assert isinstance(error, TransportError)
        assert not error.sent


def test_folder_of_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is read as `requests` reads one; who is not in it is not trusted."""
    context, _ = certificate(tmp_path)
    (tmp_path / "nobody").mkdir()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nobody"))

    async def main() -> Any:
        async with service([], context) as address:
            return await ask(f"https://{address}")

    error = failure_of(lambda: asyncio.run(main()))

    assert isinstance(error, TransportError)
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)


def test_body_travels_with_its_length(convertapi_sandbox: Sandbox) -> None:
    """The one request with a body, for a JWT, is understood."""

    async def main() -> str:
        async def token(_: Credential) -> str:
            return convertapi_sandbox.token

        client = AsyncClient(convertapi_sandbox.url, token, **TIMES)
        try:
            return await client.call(request_token(convertapi_sandbox.kid, 60, None))
        finally:
            await client.close()

    assert 2 == asyncio.run(main()).count(".")
    assert "content-length" in convertapi_sandbox.requests[0].headers


def test_unexpected_answer_is_shown_without_ids(convertapi_sandbox: Sandbox) -> None:
    """What came is described by its first bytes; an id among them is hidden."""
    convertapi_sandbox.fail("GET /async/job/*", status=200, body=b"see " + b"k" * 32)

    error = failure_of(lambda: call(convertapi_sandbox.url, JOB))

    assert isinstance(error, UnexpectedAnswerError)
    assert "see <id>" in str(error)
