"""A bucket of many keys is listed beside other triggers, and does not hold them up."""

from __future__ import annotations

import asyncio
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


async def _stalls(found: list[float]) -> None:
    """Note how long the event loop came late because of this process.

    That is not what the clock says: on a busy machine other processes take their time, too.
    """
    while True:
        begun, used = time.monotonic(), time.process_time()
        await asyncio.sleep(0.005)
        late = time.monotonic() - begun - 0.005
        found.append(min(late, time.process_time() - used))


def test_listing_does_not_stall_the_loop(many_keys: str) -> None:
    """Five pages, three times: requests, XML, hashes and the collection of garbage."""
    stalls: list[float] = []

    async def watch() -> None:
        probe = asyncio.create_task(_stalls(stalls))
        async with watching(many_keys) as watcher:
            [event] = await watcher.look(3)
            assert (KEYS, KEYS) == (event["files"], event["new"])
        probe.cancel()

    asyncio.run(watch())
    assert max(stalls) < LONGEST_STALL
