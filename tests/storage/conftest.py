"""Stores to publish to: the local disk, S3 and SFTP servers on loopback, and memory.

What lies in a store is read past the code under test: by boto3, or from the server's own disk.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Store(Protocol):
    """A fresh directory of a store, and what really lies in it.

    :param uri: the directory's URI; it ends in ``/``.
    """

    @property
    def uri(self) -> str:
        """Return the directory's URI."""

    def write(self, name: str, data: bytes) -> None:
        """Put a file there, with its directories."""

    def read(self, name: str) -> bytes:
        """Return a file's content."""

    def names(self) -> list[str]:
        """Return every name in it, hidden ones included, in alphabetical order."""


@dataclass
class DiskStore:
    """A directory of this disk, which a server may show under another URI."""

    uri: str
    root: Path

    def write(self, name: str, data: bytes) -> None:
        """Put a file there."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_bytes(data)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        return (self.root / name).read_bytes()

    def names(self) -> list[str]:
        """Return every name, in alphabetical order."""
        return sorted(
            str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()
        )


@dataclass
class S3Store:
    """A prefix in a bucket of the S3 server."""

    uri: str
    client: Any
    bucket: str
    prefix: str

    def write(self, name: str, data: bytes) -> None:
        """Put a file there."""
        self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=data)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        data: bytes = self.head(name)["Body"].read()
        return data

    def head(self, name: str) -> dict[str, Any]:
        """Return an object with what is said of it."""
        found: dict[str, Any] = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)
        return found

    def names(self) -> list[str]:
        """Return every name, in alphabetical order."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix
        )
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return sorted(key.removeprefix(self.prefix) for key in keys)

    def unfinished_uploads(self) -> list[str]:
        """Return the keys that are being uploaded in parts."""
        found = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [item["Key"] for item in found if item["Key"].startswith(self.prefix)]


@dataclass
class MemoryStore:
    """A directory of fsspec's file system in memory."""

    uri: str
    fs: Any
    path: str = field(init=False)

    def __post_init__(self) -> None:
        self.path = "/" + self.uri.removeprefix("memory://")

    def write(self, name: str, data: bytes) -> None:
        """Put a file there."""
        self.fs.pipe_file(self.path + name, data)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        data: bytes = self.fs.cat_file(self.path + name)
        return data

    def names(self) -> list[str]:
        """Return every name, in alphabetical order."""
        return sorted(
            key.removeprefix(self.path) for key in self.fs.store if key.startswith(self.path)
        )


@pytest.fixture(scope="session")
def session_env() -> Iterator[pytest.MonkeyPatch]:
    """Set environment variables for the whole session."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def s3_client(session_env: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run an S3 server, reachable through the connections `s3_test` and `s3_other`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    for name in ("s3_test", "s3_other"):
        connection = {
            "conn_type": "aws",
            "login": "testing-login",
            "password": "testing-password",
            "extra": {"endpoint_url": url, "region_name": "us-east-1"},
        }
        session_env.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing-login",
        aws_secret_access_key="testing-password",
    )
    client.create_bucket(Bucket="bucket")
    yield client
    client.close()
    server.stop()


@pytest.fixture
def s3_store(s3_client: Any) -> S3Store:
    """Return a fresh prefix of the S3 server."""
    prefix = f"{uuid4().hex}/"
    return S3Store(f"s3://s3_test@bucket/{prefix}", s3_client, "bucket", prefix)


@contextmanager
def sftp_server(root: Path) -> Iterator[str]:
    """Serve `root` by SFTP on loopback; yield an Airflow connection as JSON."""
    started = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        import asyncssh

        connections = []

        class Login(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                connections.append(conn)

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == ("somebody", "sftp-password")

        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Login,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(root).encode()),
        )
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        found.update(port=server.get_port(), stop=lambda: loop.call_soon_threadsafe(stop.set))
        started.set()
        await stop.wait()
        server.close()
        for connection in connections:  # sshfs keeps its own for the life of the process
            connection.abort()
            await connection.wait_closed()
        await server.wait_closed()

    logging.getLogger("asyncssh").setLevel("WARNING")  # its last words come after pytest's log
    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(20)
    connection = {
        "conn_type": "sftp",
        "host": "127.0.0.1",
        "port": found["port"],
        "login": "somebody",
        "password": "sftp-password",
        "extra": {"no_host_key_check": True},
    }
    yield json.dumps(connection)
    found["stop"]()
    thread.join(20)


@pytest.fixture(scope="session")
def sftp_root(
    session_env: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Run an SFTP server, reachable through `sftp_test`; return the directory that it serves."""
    root = tmp_path_factory.mktemp("sftp")
    with sftp_server(root) as connection:
        session_env.setenv("AIRFLOW_CONN_SFTP_TEST", connection)
        yield root


@pytest.fixture(scope="session")
def sftp_elsewhere(
    session_env: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Run a second SFTP server, reachable through `sftp_elsewhere`."""
    root = tmp_path_factory.mktemp("sftp")
    with sftp_server(root) as connection:
        session_env.setenv("AIRFLOW_CONN_SFTP_ELSEWHERE", connection)
        yield root


@pytest.fixture
def sftp_store(sftp_root: Path) -> DiskStore:
    """Return a fresh directory of the SFTP server."""
    name = uuid4().hex
    (sftp_root / name).mkdir()
    return DiskStore(f"sftp://sftp_test@/{name}/", sftp_root / name)


@pytest.fixture
def local_store(tmp_path: Path) -> DiskStore:
    """Return a fresh local directory."""
    (tmp_path / "store").mkdir()
    return DiskStore(f"{tmp_path / 'store'}/", tmp_path / "store")


@pytest.fixture(scope="session")
def memory_fs() -> Any:
    """Give Airflow a file system in memory."""
    from fsspec.implementations.memory import MemoryFileSystem

    return _attach("memory", MemoryFileSystem())


def _attach(protocol: str, fs: Any, conn_id: str | None = None) -> Any:
    """Make Airflow reach `fs`, alike on every Airflow."""
    try:
        module = import_module("airflow.sdk.io")
    except ImportError:
        module = import_module("airflow.io.store")
    module.attach(protocol, conn_id=conn_id, fs=fs)
    return fs


@pytest.fixture
def attach(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], str]:
    """Give Airflow a file system under a connection of its own; return the URI of its root."""

    def under_own_connection(protocol: str, fs: Any) -> str:
        conn_id = f"store_{uuid4().hex}"
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", "generic://host")
        _attach(protocol, fs, conn_id)
        return f"{protocol}://{conn_id}@host/"

    return under_own_connection


@pytest.fixture
def memory_store(memory_fs: Any) -> MemoryStore:
    """Return a fresh directory in memory."""
    return MemoryStore(f"memory://{uuid4().hex}/", memory_fs)


@pytest.fixture(params=["local", "s3", "sftp", "memory"])
def store(request: pytest.FixtureRequest) -> Store:
    """Return a fresh directory of each kind of store in turn."""
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Run a test as nobody where it would run as root, who may write anywhere."""
    if os.geteuid() == 0:
        os.setresuid(65534, 65534, 0)
        yield
        os.setresuid(0, 0, 0)
    else:
        yield
