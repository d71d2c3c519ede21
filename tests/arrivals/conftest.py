"""A triggerer's event loop with one watcher, or several."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.triggers.documents import NewDocumentsTrigger
from tests.storage.conftest import s3_client, s3_store, session_env
from tests.tries import reborn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

__all__ = ["s3_client", "s3_store", "session_env"]

LIMIT = 60.0
INTERVAL = 0.02


@dataclass
class StateStore:
    """An asset's state store, as far as watchers use it.

    :param broken: how many of the next calls fail.
    """

    values: dict[str, Any] = field(default_factory=dict)
    writes: int = 0
    broken: int = 0

    async def aget(self, key: str, default: Any = None) -> Any:
        """Return what is stored."""
        self._fail()
        return self.values.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        """Store a value."""
        self._fail()
        self.values[key] = value
        self.writes += 1

    def _fail(self) -> None:
        if self.broken:
            self.broken -= 1
            raise RuntimeError("the API server does not answer")


@dataclass
class OldStateStore:
    """The same on Airflow 3.3.0, which has no asynchronous methods."""

    new: StateStore = field(default_factory=StateStore)

    def get(self, key: str, default: Any = None) -> Any:
        """Return what is stored; it would block the event loop."""
        return asyncio.run(self.new.aget(key, default))

    def set(self, key: str, value: Any) -> None:
        """Store a value; it would block the event loop."""
        asyncio.run(self.new.aset(key, value))


@dataclass
class Watching:
    """A watcher that runs, without a triggerer that confirms anything."""

    trigger: Any
    events: list[Any] = field(default_factory=list)
    dealt_with: int = 0

    async def _looks(self) -> AsyncIterator[Any]:
        stream = type(self.trigger).open_shared_stream(self.trigger.serialize()[1])
        async for look in stream:
            yield look
            self.dealt_with += 1

    async def run(self) -> None:
        """Collect the payloads of its events."""
        async for event in self.trigger.filter_shared_stream(self._looks()):
            self.events.append(event.payload)

    async def look(self, count: int = 2) -> list[Any]:
        """Wait for further looks, the last of which began after the call; return all events."""
        wanted = self.dealt_with + count
        async with asyncio.timeout(LIMIT):
            while self.dealt_with < wanted:  # noqa: ASYNC110 - a poll is all it needs
                await asyncio.sleep(INTERVAL)
        return self.events


@asynccontextmanager
async def watching(source: Any, store: Any = None, **arguments: Any) -> AsyncIterator[Watching]:
    """Run a watcher as a triggerer makes it from its row in the database; cancel it at the end.

    :param source: its source, or the watcher itself.
    """
    made = source
    if not isinstance(source, NewDocumentsTrigger):
        made = NewDocumentsTrigger(source=source, **{"poll_interval": INTERVAL, **arguments})
    trigger: Any = reborn(made)
    trigger.asset_state_store = store
    watcher = Watching(trigger)
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher
        if task.done():
            task.result()  # why it ended
        assert not task.done(), "the watcher ended"
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Provide an empty folder."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def write(place: Path) -> Callable[..., None]:
    """Write files into the folder."""

    def write(*names: str) -> None:
        for name in names:
            (place / name).write_text(name)

    return write
