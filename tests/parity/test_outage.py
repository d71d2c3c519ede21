"""Half a minute in which no poll is answered, on a clock that does not wait."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.tries import checked_conversion

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.api.wire import Credential
    from airflow_provider_convertapi.conversions.chain import Chain
    from airflow_provider_convertapi.conversions.deferral import JobRef
    from convertapi_sandbox import Sandbox

FAILED_POLLS = 12
"""They take more than 30 s with `poll_interval=10`."""


@dataclass
class Clock:
    """A clock that advances only when someone waits."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def pause(self, seconds: float) -> None:
        """Wait."""
        self.now += seconds

    async def apause(self, seconds: float) -> None:
        """Wait in an event loop."""
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def begun(convertapi_sandbox: Sandbox, tmp_path: Path) -> tuple[Chain, JobRef]:
    """Begin a conversion, and let its work be done before anybody polls."""
    from airflow_provider_convertapi.conversions.running import prepare
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    (tmp_path / "letter.txt").write_text("Dear reader.\n")
    conversion = checked_conversion(
        source=tmp_path / "letter.txt", destination=tmp_path / "letter.pdf"
    )
    chain: Any = prepare(ConvertApiHook().open_session(), conversion)
    [job] = chain.proceed(defers=True)
    while convertapi_sandbox.at_work:
        time.sleep(0.02)
    convertapi_sandbox.fail("GET /async/job/*", status=502, html=True, times=FAILED_POLLS)
    return chain, job


def test_worker_waits_it_out(begun: tuple[Chain, JobRef], convertapi_sandbox: Sandbox) -> None:
    """The task collects its one conversion once polls are answered again."""
    chain, _ = begun
    client, clock = chain.session.client, Clock()
    client.pause, client.clock, client.monotonic = clock.pause, clock, clock

    result: Any = chain.proceed()

    assert clock.now - Clock.now > 30
    assert (1, 1) == (len(result.outputs), convertapi_sandbox.billed)
    assert FAILED_POLLS == convertapi_sandbox.faults[0].hits


def test_triggerer_waits_it_out(begun: tuple[Chain, JobRef], convertapi_sandbox: Sandbox) -> None:
    """The trigger fires once polls are answered again, in the same rhythm."""
    from airflow_provider_convertapi.api.aclient import AsyncClient
    from airflow_provider_convertapi.api.ids import JobIds
    from airflow_provider_convertapi.conversions.polling import JobPoller

    chain, job = begun
    session, clock = chain.session, Clock()

    async def token(_: Credential) -> str:
        return "none that matters"

    async def watch() -> list[bool]:
        client = AsyncClient(
            convertapi_sandbox.url, token, pause=clock.apause, clock=clock, monotonic=clock
        )
        poller = JobPoller(client, 10, 30, session.log)
        try:
            job_id = JobIds(session.key, job.derivation).job_id(job.attempt)
            return await poller.wait_for([(job_id, clock.now)], enough=1, seconds=20)
        finally:
            await client.close()

    assert [True] == asyncio.run(watch())
    assert clock.now - Clock.now > 30
    assert FAILED_POLLS == convertapi_sandbox.faults[0].hits
