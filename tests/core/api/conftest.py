"""Servers and clients of the unit tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api.client import Client
from airflow_provider_convertapi.api.retry import Backoff
from tests.core.api.server import Answer, Script, Server
from tests.proxies import make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "the-token-of-the-connection"

Serve = Callable[[Script | Answer], Server]
MakeClient = Callable[..., Client]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers; each ends with the test."""
    with ExitStack() as servers:

        def start(script: Script | Answer) -> Server:
            server = Server(script)
            servers.callback(server.close)
            return server

        yield start


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    """Make clients that never wait, unless the test says otherwise."""
    with ExitStack() as clients:

        def make(base_url: str, **changes: Any) -> Client:
            settings: dict[str, Any] = {
                "token": lambda kind: f"{TOKEN}-{kind.value}",
                "pause": lambda _: None,
                "clock": time.time,
                "monotonic": time.monotonic,
                "backoff": Backoff(jitter=lambda: 0.0),
                "http_timeout": 5.0,
            }
            client = Client(base_url, **settings | changes)
            clients.callback(client.close)
            return client

        yield make


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1 that signs itself; it is in one file with its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    make_certificate(path)
    return path
