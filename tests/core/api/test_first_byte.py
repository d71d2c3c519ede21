"""Whether a byte of a request was sent, over real sockets: it decides what is paid twice.

Each cell is a route, a moment and a way to fail; it says what the error tells the caller and how
much work the service did.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.api.aclient import AsyncClient
from airflow_provider_convertapi.errors import TransportError
from tests.core.api.server import FILE_ID, JOB_ID, Memory
from tests.core.api.wire import FAULTS, Proxy, Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.api.wire import Endpoint
    from tests.core.api.conftest import MakeClient

pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning"  # Python leaves sockets open whose TLS handshake was broken
)

ROUTES = ("plain", "TLS", "forwarding proxy", "CONNECT proxy")
SILENCE = 0.3
"""Seconds after which a cell that stalls is given up, connected or not."""

SMALL, LARGE = Memory(b"x" * 1000), Memory(b"x" * (8 << 20))
"""The sockets on the way hold the small one; the large one is still being sent when they fail."""

POLL = endpoints.get_job(JOB_ID)
DOWNLOAD = endpoints.download(FILE_ID)
TOKEN = endpoints.request_token("kid", 60, None)

CELLS = [
    pytest.param(route, moment, fault, id=f"{route}-{moment}-{fault}")
    for route in ROUTES
    for moment in ("head", "body", "after the work")
    for fault in FAULTS
]
BEFORE = [
    pytest.param(route, moment, fault, id=f"{route}-{moment}-{fault}")
    for route, moment in [
        ("TLS", "handshake"),
        ("CONNECT proxy", "handshake"),
        ("CONNECT proxy", "CONNECT"),
    ]
    for fault in FAULTS
]


@contextmanager
def served(
    route: str, moment: str, fault: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Service, str]]:
    """Start a service that fails, and what stands before it; give it and its URL."""
    secure = route in {"TLS", "CONNECT proxy"}
    with ExitStack() as listeners:
        service = listeners.enter_context(
            closing(Service(fault, moment, certificate if secure else None))
        )
        for name in ("no_proxy", "NO_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        if route.endswith("proxy"):
            proxy = Proxy(service.port, fault if moment == "CONNECT" else None)
            listeners.enter_context(closing(proxy))
            scheme = "https" if secure else "http"
            monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        if fault == "stalled":
            for module in ("client", "aclient"):
                name = f"airflow_provider_convertapi.api.{module}.CONNECT_TIMEOUT"
                monkeypatch.setattr(name, SILENCE)
        yield service, f"{'https' if secure else 'http'}://127.0.0.1:{service.port}"


def impatient(endpoint: Endpoint[Any], fault: str) -> Endpoint[Any]:
    """Return a call that waits for silence to end no longer than it has to."""
    timeout = SILENCE if fault == "stalled" else 20.0
    return replace(endpoint, request=replace(endpoint.request, timeout=timeout))


def calls_of(fault: str, moment: str) -> list[Endpoint[Any]]:
    """Return the calls of a cell; in a body only those that have one."""
    document = SMALL if fault == "stalled" else LARGE
    file = [("File", document)]
    direct = endpoints.convert_directly("docx", "pdf", 10, file)
    submit = endpoints.start_conversion("docx", "pdf", JOB_ID, file)
    calls: list[Endpoint[Any]] = [
        direct,
        submit,
        endpoints.upload(document, FILE_ID),
        POLL,
        DOWNLOAD,
    ]
    chosen = calls[:3] if moment == "body" else calls
    return [impatient(call, fault) for call in chosen]


def sent_of_each(client: Client, calls: list[Endpoint[Any]]) -> list[bool]:
    """Make calls that fail; return what each error says of whether a byte was sent."""
    sent = []
    for call in calls:
        with pytest.raises(TransportError) as caught:
            make(client, call)
        sent.append(caught.value.sent)
    return sent


def make(client: Client, call: Endpoint[Any]) -> None:
    """Make a call as the provider makes it: what answers with a file is streamed."""
    if "application/json" in call.request.accept:
        client.send(call)
    else:
        with client.stream(call) as (_, blocks):
            list(blocks)


@pytest.mark.parametrize(("route", "moment", "fault"), CELLS)
def test_lost_answer(
    make_client: MakeClient,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    route: str,
    moment: str,
    fault: str,
) -> None:
    """Once a byte was sent, no failure says otherwise, whatever stands between."""
    with served(route, moment, fault, certificate, monkeypatch) as (service, url):
        calls = calls_of(fault, moment)

        assert [True] * len(calls) == sent_of_each(make_client(url), calls)
        assert (len(calls) if moment == "after the work" else 0) == service.done


@pytest.mark.parametrize(("route", "moment", "fault"), BEFORE)
def test_before_the_first_byte(
    make_client: MakeClient,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    route: str,
    moment: str,
    fault: str,
) -> None:
    """Where no connection to the service came about, nothing was sent: it may be sent again."""
    with served(route, moment, fault, certificate, monkeypatch) as (service, url):
        calls = calls_of(fault, moment)

        assert [False] * len(calls) == sent_of_each(make_client(url), calls)
        assert 0 == service.done


@pytest.mark.parametrize("route", ["plain", "TLS", "forwarding proxy", "CONNECT proxy"])
def test_second_connection_of_a_client(
    make_client: MakeClient, certificate: Path, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    """Each request has its own note: one that was sent says nothing of the next, unsent one."""
    with served(route, "after the work", "closed", certificate, monkeypatch) as (_, url):
        client = make_client(url)
        first = sent_of_each(client, [POLL])
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    assert ([True], [False]) == (first, sent_of_each(client, [POLL]))


# --------------------------------------------------------------------------------------
# The client of the triggerer, which makes free calls only
# --------------------------------------------------------------------------------------


def sent_asynchronously(url: str, call: Endpoint[Any]) -> bool:
    """Make a call that fails."""

    async def main() -> bool:
        async def token(_: Any) -> str:
            return "token"

        client = AsyncClient(url, token, clock=time.time, monotonic=time.monotonic)
        try:
            with pytest.raises(TransportError) as caught:
                await client.send(call)
        finally:
            await client.close()
        return caught.value.sent

    sent = asyncio.run(main())
    gc.collect()  # what asyncio left open is to be named while nobody minds
    return sent


@pytest.mark.parametrize(("route", "moment", "fault"), CELLS)
def test_lost_answer_of_the_asynchronous_client(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, route: str, moment: str, fault: str
) -> None:
    """It says the same of polls, and of its one request with a body."""
    with served(route, moment, fault, certificate, monkeypatch) as (service, url):
        assert sent_asynchronously(url, impatient(TOKEN if moment == "body" else POLL, fault))

        # Of what costs nothing, aiohttp itself sends some once more on a new connection.
        assert (moment == "after the work") == bool(service.done)


@pytest.mark.parametrize(("route", "moment", "fault"), BEFORE)
def test_before_the_first_byte_of_the_asynchronous_client(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, route: str, moment: str, fault: str
) -> None:
    """Neither a CONNECT nor a handshake is the request."""
    with served(route, moment, fault, certificate, monkeypatch) as (service, url):
        assert not sent_asynchronously(url, impatient(POLL, fault))

        assert 0 == service.done
