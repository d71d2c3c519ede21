"""Jobs that nobody will collect: deleted with everything that belongs to them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.api.aclient import AsyncClient
from airflow_provider_convertapi.api.ids import JobIds
from airflow_provider_convertapi.conversions.cancellation import cancel, cancel_jobs
from airflow_provider_convertapi.conversions.chain import Chain
from airflow_provider_convertapi.conversions.running import prepare, proceed
from tests.tries import checked_conversion

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.api.wire import Credential
    from airflow_provider_convertapi.conversions.job import Job
    from convertapi_sandbox import Sandbox
    from tests.core.conversions.worker import Worker

LOG = logging.getLogger("tests.core.cancellation")


def begin(sandbox: Sandbox, worker: Worker, folder: Path, polls: int) -> Chain:
    """Begin a conversion whose input is uploaded; its job answers the first polls with 202."""
    sandbox.jobs_take(polls=polls)
    large = folder / "large.txt"
    large.write_text("a line of text\n" * 80_000)
    conversion = checked_conversion(
        source=large, to_format="zip", destination=folder / "o.zip", timeout=20
    )
    session = worker.session()
    chain = prepare(session, conversion)
    assert isinstance(chain, Chain)
    proceed(session, conversion, chain, defers=True)
    assert (1, True) == (len(sandbox.jobs), "large.txt" in names(sandbox))
    return chain


@pytest.fixture
def begun(sandbox: Sandbox, worker: Worker, tmp_path: Path) -> Chain:
    """Begin a conversion whose job goes on running."""
    return begin(sandbox, worker, tmp_path, polls=1000)


def names(sandbox: Sandbox) -> list[str]:
    """Return the names of the documents that the service has."""
    return [file["name"] for file in sandbox.files.values()]


def only(begun: Chain) -> tuple[Job, tuple[str, ...]]:
    """Return its one job."""
    [found] = begun.jobs
    return found


def test_worker_cancels(sandbox: Sandbox, begun: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """Job and upload are gone, and the log says that it may be billed."""
    caplog.set_level(logging.INFO)

    cancel(*only(begun))

    assert ({}, False) == (sandbox.jobs, "large.txt" in names(sandbox))
    assert "It may be billed" in caplog.text


def test_result_is_deleted_too(sandbox: Sandbox, worker: Worker, tmp_path: Path) -> None:
    """A job that is done has a result by now, which goes before its record does."""
    job, uploads = only(begin(sandbox, worker, tmp_path, polls=0))
    limit = time.monotonic() + 20
    while not job.look(0).conversion and time.monotonic() < limit:
        time.sleep(0.02)
    assert 2 == len(sandbox.files)

    cancel(job, uploads)

    assert ({}, {}) == (sandbox.jobs, sandbox.files)


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
    """A document that cannot be deleted does not fail the task: the service deletes it itself."""
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
        client = AsyncClient(sandbox.url, token, clock=time.time, monotonic=time.monotonic)
        try:
            ids = JobIds(sandbox.token, ref.derivation)
            await cancel_jobs(client, [(ids, ref.attempt, ref.uploads)], LOG, seconds=10)
        finally:
            await client.close()

    asyncio.run(run())

    assert ({}, False) == (sandbox.jobs, "large.txt" in names(sandbox))
    assert "It may be billed" in caplog.text
