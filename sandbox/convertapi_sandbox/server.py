"""The running sandbox: its thread, its socket, and the class `Sandbox` for users."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import shutil
import socket
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import uvicorn

from convertapi_sandbox import requirements
from convertapi_sandbox.app import build
from convertapi_sandbox.bounds import check_number
from convertapi_sandbox.clock import new_loop
from convertapi_sandbox.control import Control
from convertapi_sandbox.controls import Controls
from convertapi_sandbox.settings import Settings
from convertapi_sandbox.state import State
from convertapi_sandbox.wire import Connections, protocol_class

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from convertapi_sandbox.faults import Fault
    from convertapi_sandbox.journal import Requests
    from convertapi_sandbox.remote import RemoteSandbox

T = TypeVar("T")
START_TIMEOUT = 10.0
_STOP_GRACE = 1


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, because the process is the user's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


class Sandbox(Controls):
    """A ConvertAPI on loopback that really converts, in its own thread.

    Use it as a context manager, or call `start` and `stop`.

    Args:
        balance: Conversions on the account.
        latency: Minimum seconds from the arrival of a conversion to its result.
        workers: Processes that convert; None for one per processor.
        state: Folder that keeps documents, finished jobs and the balance for the next start; None
            for a temporary one.
        settings: Switches for what the documentation leaves open; None for the defaults.
        host: Address to listen on. An address other than loopback needs `unsafe_host`.
        port: 0 for a free one.
        seed: Makes ids and random faults repeatable; None for random ones.
        unsafe_host: Allow an address that other machines can reach. The credentials are public, so
            use it only in a closed network.
    """

    def __init__(
        self,
        balance: int = 1000,
        latency: float = 0.0,
        workers: int | None = None,
        state: str | Path | None = None,
        settings: Settings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int | None = None,
        unsafe_host: bool = False,
    ) -> None:
        if not unsafe_host and not _is_loopback(host):
            msg = (
                f"the sandbox listens only on loopback, not on {host!r}; unsafe_host=True "
                "(--unsafe-host) allows it"
            )
            raise ValueError(msg)
        check_number("port", port, most=65535, whole=True)
        check_number("workers", workers, 1, whole=True, optional=True)
        check_number("balance", balance, None, whole=True)
        check_number("latency", latency)
        if state is not None and not str(state):
            msg = "state is empty; name a folder, or leave it out for a temporary one"
            raise ValueError(msg)
        settings = settings or Settings()
        if latency:
            settings.latency = latency
        self._address = (host, port)
        self._temporary = state is None
        self._options: dict[str, Any] = {
            "balance": balance,
            "settings": settings,
            "workers": workers,
            "seed": seed,
        }
        # A process that converts works in a folder of its own.
        self._folder = Path(state).absolute() if state is not None else None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @staticmethod
    def attach(url: str) -> RemoteSandbox:
        """Return the controls of a sandbox that runs in another process."""
        from convertapi_sandbox.remote import RemoteSandbox  # noqa: PLC0415 - rare

        return RemoteSandbox(url)

    # --- start and stop--------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start serving; returns when the sandbox answers requests.

        Raises:
            ImportError: A package that the server or an engine needs is missing or too old.
            OSError: The port is taken, or the address is not one of this machine.
            RuntimeError: It is already running.
        """
        if self._thread is not None:
            msg = "this sandbox is already running"
            raise RuntimeError(msg)
        requirements.check()
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        listener = socket.create_server(self._address, family=family, backlog=512)
        folder = self._folder or Path(tempfile.mkdtemp(prefix="convertapi-sandbox-"))
        self._served_from = folder
        self._state = State(folder, persistent=not self._temporary, **self._options)
        self._operations = Control(self._state)
        host, port = listener.getsockname()[:2]
        self._state.origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(listener,), name="convertapi-sandbox", daemon=True
        )
        self._thread.start()
        self._ready.result(START_TIMEOUT)

    def _run(self, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self.connections = Connections()
        self.front = build(self._state, self.connections)
        config = uvicorn.Config(
            self.front,
            http=protocol_class(self.connections),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.CRITICAL,
            access_log=False,
            proxy_headers=False,  # the caller is the peer of the connection, whatever a header says
            server_header=False,
            date_header=False,  # the answers carry the date of the service's clock
            timeout_keep_alive=60,
            timeout_graceful_shutdown=_STOP_GRACE,
            backlog=512,
        )
        self._server = _Server(config)
        self._loop.call_soon(self._ready.set_result, None)
        try:
            await self._server.serve(sockets=[listener])
        finally:
            await self._state.close()

    def stop(self) -> None:
        """Stop server and workers, delete a temporary folder; a second call does nothing."""
        if self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join()
        self._thread = None
        if self._temporary:
            shutil.rmtree(self._served_from, ignore_errors=True)

    # --- what Controls needs -----------------------------------------------------------------

    def _control(self, operation: str, **arguments: Any) -> Any:
        return self._in_loop(lambda: self._operations.perform(operation, arguments))

    def _in_loop(self, function: Callable[[], T]) -> T:
        """Run a function in the thread that serves the state, between two requests."""
        loop = self._running()

        async def call() -> T:
            return function()

        coroutine: Coroutine[Any, Any, T] = call()
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._thread is None:
            msg = "this sandbox is not running; use it as a context manager, or call start()"
            raise RuntimeError(msg)
        return self._loop

    @property
    def folder(self) -> Path:
        """Return the folder of documents and jobs."""
        self._running()
        return self._served_from

    @property
    def settings(self) -> Settings:
        """Return the switches; assign to them at any time."""
        self._running()
        return self._state.settings

    @property
    def requests(self) -> Requests:
        """Return the journal so far, oldest first."""
        return self._in_loop(self._state.journal.entries)

    @property
    def history(self) -> Requests:
        """Return the journal since the start, whatever was reset in between; oldest first."""
        return self._in_loop(self._state.journal.history)

    @property
    def faults(self) -> list[Fault]:
        """Return the rules in force, with their `hits`."""
        return self._in_loop(lambda: list(self._state.faults.rules))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
