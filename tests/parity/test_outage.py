"""Half a minute in which no poll is answered, on a clock that does not wait."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.api.wire import Credential
    from airflow_provider_convertapi.conversions.durable import DurableConversion, Underway
    from airflow_provider_convertapi.sandbox import Sandbox

FAILED_POLLS = 12
"""They take more than 30 s in the rhythm of `poll_interval=10`."""


@dataclass
class Clock:
    """Time that passes when somebody waits."""

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
def begun(convertapi_sandbox: Sandbox, tmp_path: Path) -> tuple[DurableConversion, Underway]:
    """Begin a conversion, and let its work be done before anybody polls."""
    from airflow_provider_convertapi.conversions.durable import Underway
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    (tmp_path / "letter.txt").write_text("Dear reader.\n")
    hook = ConvertApiHook()
    order = hook.place_order(
        source=str(tmp_path / "letter.txt"),
        to_format="pdf",
        destination=str(tmp_path / "letter.pdf"),
        timeout=1800,
        poll_interval=10,
        overwrite=True,
    )
    conversion = hook.durable(order)
    job = conversion.begin()
    assert isinstance(job, Underway)
    while convertapi_sandbox.at_work:
        time.sleep(0.02)
    convertapi_sandbox.fail("GET /async/job/*", status=502, html=True, times=FAILED_POLLS)
    return conversion, job


def test_worker_waits_it_out(
    begun: tuple[DurableConversion, Underway], convertapi_sandbox: Sandbox
) -> None:
    """The task collects its one conversion once polls are answered again."""
    conversion, job = begun
    client, clock = conversion.work.client, Clock()
    client.pause, client.clock, client.monotonic = clock.pause, clock, clock
    conversion.work.deadline = clock.now + 1800

    outcome = conversion.finish(job)

    assert clock.now - Clock.now > 30
    assert (1, 1) == (len(outcome.outputs), convertapi_sandbox.billed)
    assert FAILED_POLLS == convertapi_sandbox.faults[0].hits


def test_triggerer_waits_it_out(
    begun: tuple[DurableConversion, Underway], convertapi_sandbox: Sandbox
) -> None:
    """The trigger fires once polls are answered again, in the same rhythm."""
    from airflow_provider_convertapi.api.aclient import AsyncClient
    from airflow_provider_convertapi.conversions.polling import Watch

    conversion, job = begun
    work, clock = conversion.work, Clock()

    async def token(_: Credential) -> str:
        return "none that matters"

    async def watch() -> list[bool]:
        client = AsyncClient(
            convertapi_sandbox.url, token, pause=clock.apause, clock=clock, monotonic=clock
        )
        watching = Watch(client, 10, 30, work.log)
        try:
            job_id = work.ids.job_id(job.attempt)
            return await watching.watch([(job_id, clock.now)], enough=1, seconds=20)
        finally:
            await client.close()

    assert [True] == asyncio.run(watch())
    assert clock.now - Clock.now > 30
    assert FAILED_POLLS == convertapi_sandbox.faults[0].hits
