"""What became of a request whose exchange failed, over real sockets: it decides what is paid twice.

A cell is a client, a route, a moment, a fault and a call.  `left_out` says by rule which make no
sense, and `expected` what each of the others comes to: the table of docs/retries-and-money.md.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import astuple, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.api.aclient import AsyncClient
from airflow_provider_convertapi.errors import TransportError, UnexpectedAnswerError
from tests.core.api.server import FILE_ID, JOB_ID, Memory
from tests.core.api.wire import FAULTS, ClosedProxy, Service, nobody
from tests.proxies import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.api.wire import Endpoint
    from tests.core.api.conftest import MakeClient
    from tests.proxies import Listener

pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning"  # Python leaves sockets open whose TLS handshake was broken
)

SILENCE = 0.1
"""Seconds after which a stalled cell is given up; longer ones would come to the same."""

CLIENTS = ("requests", "aiohttp")
ROUTES = ("no proxy", "no proxy, TLS", "forwarding proxy", "CONNECT proxy")
MOMENTS = (
    "connecting",
    "CONNECT",
    "handshake",
    "kept",
    "accepted",
    "head",
    "body",
    "after the work",
)
CALLS = ("convert", "async/convert", "upload", "job", "d", "token")

POLL = endpoints.get_job(JOB_ID)


@dataclass(frozen=True)
class Cell:
    """One way in which one request fails.

    :param moment: `connecting`, before anybody takes the connection; in the `CONNECT` or the
        `handshake`; on a `kept` connection between two requests; once it is `accepted`, before a
        byte of the request was read; within `head` or `body`; `after the work`.
    """

    client: str
    route: str
    moment: str
    fault: str
    call: str

    @property
    def is_secure(self) -> bool:
        """Whether the service speaks TLS."""
        return self.route in {"no proxy, TLS", "CONNECT proxy"}

    @property
    def has_body(self) -> bool:
        """Whether the call sends one."""
        return self.call not in {"job", "d"}

    @property
    def expected(self) -> tuple[str, int]:
        """What the request counts as, and how often its work was done; paid if it converts.

        The note is made when our connection hands the first byte to a connected socket.
        """
        match self.moment:
            case "connecting" | "CONNECT" | "handshake":
                return "unsent", 0
            case "kept":  # the end was seen, so that the request went over a new connection
                return "answered", 1
        done = int(self.moment == "after the work")
        # A whole HTTP answer is one, whatever it says: its reader decides what it means.
        return ("answered" if self.fault == "a page" else "lost"), done


LEFT_OUT: dict[str, Callable[[Cell], bool]] = {
    "the triggerer polls and asks for tokens; it makes no other call": lambda cell: (
        cell.client == "aiohttp" and cell.call not in {"job", "token"}
    ),
    "a GET has no body": lambda cell: cell.moment == "body" and not cell.has_body,
    "only this proxy is sent a CONNECT": lambda cell: (
        cell.moment == "CONNECT" and cell.route != "CONNECT proxy"
    ),
    "plain HTTP has no handshake": lambda cell: cell.moment == "handshake" and not cell.is_secure,
    "with TLS the handshake comes before the request": lambda cell: (
        cell.moment == "accepted" and cell.is_secure
    ),
    "who takes no connection can only refuse it, or be silent": lambda cell: (
        cell.moment == "connecting" and cell.fault not in {"reset", "stalled"}
    ),
    "silence between two requests is not a fault": lambda cell: (
        cell.moment == "kept" and cell.fault == "stalled"
    ),
    "aiohttp sees the end of a kept connection, or sends once more what is no POST": lambda cell: (
        cell.client == "aiohttp" and cell.moment == "kept" and cell.has_body
    ),
    "when aiohttp reads what nobody asked for, its loop decides": lambda cell: (
        cell.client == "aiohttp"
        and cell.moment == "kept"
        and cell.fault not in {"closed", "reset", "stalled"}
    ),
}

ALL = [Cell(*axes) for axes in product(CLIENTS, ROUTES, MOMENTS, FAULTS, CALLS)]
CELLS = [cell for cell in ALL if not any(rule(cell) for rule in LEFT_OUT.values())]


def test_cells() -> None:
    """Each rule leaves something out, and none leaves out a value."""
    assert all(any(rule(cell) for cell in ALL) for rule in LEFT_OUT.values())
    for axis, values in enumerate((CLIENTS, ROUTES, MOMENTS, FAULTS, CALLS)):
        assert set(values) == {astuple(cell)[axis] for cell in CELLS}


def is_long(cell: Cell) -> bool:
    """Tell whether the cell is much like another one, so that it need not run each time."""
    return cell.route == "no proxy, TLS" or cell.fault == "half a head"


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(cell, id="-".join(astuple(cell)), marks=[pytest.mark.long] * is_long(cell))
        for cell in CELLS
    ],
)
def test_cell(
    cell: Cell, make_client: MakeClient, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands between and fails, what an error says of the request is what happened."""
    counts_as, done = cell.expected
    with wired(cell, certificate, monkeypatch) as (service, front, url):
        if cell.client == "requests":
            said = ask(make_client(url), cell, front)
        else:
            said = asyncio.run(ask_asynchronously(url, cell, front))
        if cell.client == "aiohttp" or cell.moment == "handshake":
            # What asyncio or ssl left open is to be named while nobody minds: another test would.
            gc.collect()

        assert counts_as == said
        if cell.moment == "accepted":
            assert 0 == service.done
        elif cell.client == "requests" or cell.has_body:
            warm_up = int(cell.moment == "kept")
            begun = int(counts_as != "unsent")
            assert service.has(begun=begun + warm_up, done=done + warm_up)
        else:  # aiohttp itself sends a GET once more on a new connection
            assert bool(done) == bool(service.done)


@contextmanager
def wired(
    cell: Cell, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Service, Listener, str]]:
    """Start a service that fails, and what stands before it; give it, who is met first, its URL."""
    scheme = "https" if cell.is_secure else "http"
    with ExitStack() as listeners:
        service = Service(cell.fault, cell.moment, certificate if cell.is_secure else None)
        front: Listener = listeners.enter_context(closing(service))
        port = service.port
        if cell.route.endswith("proxy"):
            front = ClosedProxy(cell.fault) if cell.moment == "CONNECT" else Proxy(service.port)
            listeners.enter_context(closing(front))
        met = front.port
        if cell.moment == "connecting":
            met = listeners.enter_context(nobody(cell.fault))
        if cell.route.endswith("proxy"):
            monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{met}")
        else:
            port = met
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        if is_impatient(cell):
            for module in ("client", "aclient"):
                name = f"airflow_provider_convertapi.api.{module}.CONNECT_TIMEOUT"
                monkeypatch.setattr(name, SILENCE)
        yield service, front, f"{scheme}://127.0.0.1:{port}"


def is_impatient(cell: Cell) -> bool:
    """Tell whether a cell stalls where the time for a connection counts, and only there.

    It counts for a body, too; but then a slow handshake could be taken for it.
    """
    before = cell.moment in {"connecting", "CONNECT", "handshake"}
    return cell.fault == "stalled" and (before or not cell.is_secure)


def call_of(cell: Cell) -> Endpoint[Any]:
    """Return the call; it waits for silence to end no longer than it has to."""
    stalled = cell.fault == "stalled"
    # The sockets on the way hold the small one; the large one is still being sent when they fail.
    is_large = cell.moment == "body" and not (stalled and cell.is_secure)
    document = Memory(b"x" * (8 << 20) if is_large else b"x" * 1000)
    fields = [("File", document)]
    calls: dict[str, Endpoint[Any]] = {
        "convert": endpoints.convert_directly("docx", "pdf", 10, fields),
        "async/convert": endpoints.start_conversion("docx", "pdf", JOB_ID, fields),
        "upload": endpoints.upload(document, FILE_ID),
        "job": POLL,
        "d": endpoints.download(FILE_ID),
        "token": endpoints.request_token("kid", 60, None),
    }
    call = calls[cell.call]
    return replace(call, request=replace(call.request, timeout=SILENCE if stalled else 60.0))


def counted(error: Exception | None) -> str:
    """Return what a call's end says of its request."""
    if isinstance(error, TransportError):
        return "lost" if error.sent else "unsent"
    return "answered"


def ask(client: Client, cell: Cell, front: Listener) -> str:
    """Make a call as the worker does: what answers with a file is streamed."""
    if cell.moment == "kept":
        client.send(POLL)
        front.ended.acquire(timeout=10)
    call = call_of(cell)
    try:
        if "application/json" in call.request.accept or cell.call == "token":
            client.send(call)
        else:
            with client.stream(call) as (_, blocks):
                list(blocks)
    except (TransportError, UnexpectedAnswerError) as error:
        return counted(error)
    return counted(None)


async def ask_asynchronously(url: str, cell: Cell, front: Listener) -> str:
    """Make a call as the triggerer does."""

    async def token(_: Any) -> str:
        return "token"

    client = AsyncClient(url, token, clock=time.time, monotonic=time.monotonic)
    try:
        if cell.moment == "kept":
            await client.send(POLL)
            await asyncio.to_thread(front.ended.acquire, timeout=10)
        await client.send(call_of(cell))
    except (TransportError, UnexpectedAnswerError) as error:
        return counted(error)
    finally:
        await client.close()
    return counted(None)


@pytest.mark.parametrize("route", ROUTES)
def test_second_connection_of_a_client(
    make_client: MakeClient, certificate: Path, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    """Each request has its own note: one that was sent says nothing of the next, unsent one."""
    cell = Cell("requests", route, "after the work", "closed", "job")
    with wired(cell, certificate, monkeypatch) as (_, front, url):
        client = make_client(url)
        first = ask(client, cell, front)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    assert ("lost", "unsent") == (first, ask(client, cell, front))
