"""Uploads on the event loop of a store: none goes on after its task, or after a part has failed."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.storage import loop

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stopped(BaseException):
    """What a signal's handler raises in the task."""


@pytest.fixture
def events() -> Iterator[asyncio.AbstractEventLoop]:
    """Provide a loop that runs in a thread of its own, as fsspec's does."""
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join()
    running.close()


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """Stop the task, once set, as a signal does."""
    due = threading.Event()

    def end(*_: object) -> None:
        raise Stopped

    def watch() -> None:
        due.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    old = signal.signal(signal.SIGUSR1, end)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    yield due
    watcher.join(5)
    signal.signal(signal.SIGUSR1, old)


def test_result(events: asyncio.AbstractEventLoop) -> None:
    """What it returns is returned, and what it raises is raised."""

    async def answer() -> int:
        return 42

    async def fail() -> int:
        raise OSError("no")

    assert 42 == loop.run(events, answer())
    with pytest.raises(OSError, match="no"):
        loop.run(events, fail())


def test_task_is_stopped(events: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
    """The upload ends with its task."""
    has_ended = threading.Event()

    async def upload() -> None:
        await asyncio.sleep(0.2)  # until the task waits; a signal may interrupt even the start
        stop.set()
        try:
            await asyncio.sleep(60)
        finally:
            has_ended.set()

    with pytest.raises(Stopped):
        loop.run(events, upload())
    assert has_ended.wait(5)


def test_one_part_fails(events: asyncio.AbstractEventLoop) -> None:
    """The others are given up, and the first error is the one that counts."""
    begun: list[int] = []
    has_ended = threading.Event()

    async def send() -> None:
        begun.append(len(begun))
        if len(begun) == 3:
            raise OSError("the third")
        try:
            await asyncio.sleep(60)
        finally:
            has_ended.set()

    with pytest.raises(OSError, match="the third"):
        loop.run(events, loop.several(3, send))
    assert has_ended.wait(5)
