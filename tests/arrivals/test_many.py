"""A bucket of many keys is listed beside other triggers, and does not hold them up."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dev.s3 import airflow_connection
from tests.arrivals.conftest import watching
from tests.arrivals.test_trigger import on_airflow_3

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.long, on_airflow_3, pytest.mark.timeout(300)]

KEYS = 5_000
LONGEST_STALL = 0.1
ROUNDS = 7
OLDEST = 2
"""The generation of objects that a full collection of garbage goes over."""


@pytest.fixture
def many_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Provide the URI of a prefix with many keys."""
    command = [sys.executable, str(Path(__file__).with_name("many_keys.py")), str(KEYS)]
    with subprocess.Popen(
        command, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        monkeypatch.setenv("AIRFLOW_CONN_S3_MANY", airflow_connection(url))
        yield "s3://s3_many@many/in/"
        server.communicate()


class Loop:
    """How late an event loop came, and which collections of all garbage there were.

    Late by the clock is what counts, but on a busy machine other processes take their time, too:
    what this process has used meanwhile is its own part of it.
    """

    def __init__(self) -> None:
        self.late: list[float] = []
        self.used: list[float] = []
        self.collections = 0

    async def measure(self) -> None:
        """Note each pause."""
        while True:
            begun, used = time.monotonic(), time.process_time()
            await asyncio.sleep(0.005)
            self.late.append(time.monotonic() - begun - 0.005)
            self.used.append(min(self.late[-1], time.process_time() - used))

    def collected(self, phase: str, info: dict[str, int]) -> None:
        """Count a collection that goes over all objects of the process."""
        self.collections += phase == "start" and info["generation"] == OLDEST


def test_listing_does_not_stall_the_loop(many_keys: str) -> None:
    """Five pages, ten times: requests, XML, hashes and the collection of garbage.

    What stalls a listing stalls each of them; one that the machine lets run shows it by the clock.
    """
    loop, rounds = Loop(), list[float]()

    async def watch() -> None:
        probe = asyncio.create_task(loop.measure())
        async with watching(many_keys) as watcher:
            [event] = await watcher.look(3)
            assert (KEYS, KEYS) == (event["files"], event["new"])
            gc.callbacks.append(loop.collected)
            for _ in range(ROUNDS):
                loop.late.clear()
                await watcher.look(1)
                rounds.append(max(loop.late))
        probe.cancel()

    try:
        asyncio.run(watch())
    finally:
        gc.callbacks.remove(loop.collected)
    assert max(loop.used) < LONGEST_STALL
    assert min(rounds) < LONGEST_STALL
    assert 0 == loop.collections
