"""Jobs that nobody will collect: deleted with everything that belongs to them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.api.aclient import AsyncClient
from airflow_provider_convertapi.api.ids import JobIds
from airflow_provider_convertapi.conversions.cancellation import cancel, cancel_jobs
from airflow_provider_convertapi.conversions.running import prepare, proceed
from tests.tries import checked_conversion

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.api.wire import Credential
    from airflow_provider_convertapi.conversions.chain import Chain
    from airflow_provider_convertapi.conversions.direct import DirectConversion
    from airflow_provider_convertapi.conversions.job import Job
    from convertapi_sandbox import Sandbox
    from tests.core.conversions.worker import Worker

LOG = logging.getLogger("tests.core.cancellation")


@pytest.fixture
def begun(sandbox: Sandbox, worker: Worker, tmp_path: Path) -> Chain | DirectConversion:
    """Begin a conversion whose input is uploaded, and let its job run."""
    sandbox.jobs_take(polls=1000)
    large = tmp_path / "large.txt"
    large.write_text("a line of text\n" * 80_000)
    conversion = checked_conversion(
        source=large, to_format="zip", destination=tmp_path / "o.zip", timeout=20
    )
    session = worker.session()
    chain = prepare(session, conversion)
    proceed(session, conversion, chain, defers=True)
    assert (1, 1) == (len(sandbox.jobs), len(sandbox.requests.filter(path="/upload")))
    return chain


def only(begun: Chain | DirectConversion) -> tuple[Job, tuple[str, ...]]:
    """Return its one job."""
    [found] = begun.jobs
    return found


def test_worker_cancels(sandbox: Sandbox, begun: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """Job and upload are gone, and the log says that it may be billed."""
    caplog.set_level(logging.INFO)

    cancel(*only(begun))

    assert ({}, {}) == (sandbox.jobs, sandbox.files)
    assert "It may be billed" in caplog.text


def test_cancelled_job_is_paid_anew(
    sandbox: Sandbox, worker: Worker, begun: Chain, tmp_path: Path
) -> None:
    """Nobody finds what was cancelled: the next try submits."""
    cancel(*only(begun))
    sandbox.jobs_take(polls=0)

    result = worker.convert(
        "durable",
        number=2,
        source=tmp_path / "large.txt",
        to_format="zip",
        destination=tmp_path / "o.zip",
    )

    assert 1 == result.charged
    assert 2 == len(sandbox.requests.filter(method="POST", path="/async/convert/*"))


def test_trouble_is_only_logged(
    sandbox: Sandbox, begun: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be deleted is no further failure: the service deletes it by itself."""
    sandbox.fail("DELETE *", status=403, times=None)

    cancel(*only(begun))

    assert "Not everything could be deleted" in caplog.text
    assert 1 == len(sandbox.jobs)


def test_triggerer_cancels(
    sandbox: Sandbox, begun: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    """The triggerer knows ids and upload keys from the reference alone."""
    caplog.set_level(logging.INFO)
    [ref] = begun.refs

    async def token(_: Credential) -> str:
        return sandbox.token

    async def run() -> None:
        client = AsyncClient(sandbox.url, token)
        try:
            ids = JobIds(sandbox.token, ref.derivation)
            await cancel_jobs(client, [(ids, ref.attempt, ref.uploads)], LOG, seconds=10)
        finally:
            await client.close()

    asyncio.run(run())

    assert ({}, {}) == (sandbox.jobs, sandbox.files)
    assert "It may be billed" in caplog.text
