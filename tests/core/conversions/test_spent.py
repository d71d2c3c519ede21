"""What a failed conversion has spent stands in its message, whatever ended it."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import ConvertApiError, QuotaExhaustedError

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.core.conversions.worker import Worker

STEPS = [{"to_format": "protect", "parameters": {"UserPassword": "x"}}]
PRICE = 3
"""Conversions that each one costs."""

MODES = pytest.mark.parametrize("mode", ["durable", "deferred", "direct"])
JOBS = pytest.mark.parametrize("mode", ["durable", "deferred"])


def failure_of(worker: Worker, mode: str, letter: Path, **given: Any) -> str:
    """Convert a document, and return the text of the error."""
    given = {"destination": f"{letter.parent}/out/", **given}
    with pytest.raises(ConvertApiError) as failure:
        worker.convert(mode, source=str(letter), **given)
    return str(failure.value)


def refuse(_: list[str]) -> bool:
    """Accept no result."""
    return False


@MODES
def test_refused_result(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """It is paid at the price that the service told."""
    sandbox.settings.conversion_cost = PRICE

    said = failure_of(worker, mode, letter, result_check=refuse)

    assert "In all, 3 conversion(s) were paid, 3 of them now." in said
    assert 3 == sandbox.billed


@MODES
def test_output_in_the_way(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """A file that shows only at publishing does not hide what was paid."""
    sandbox.settings.conversion_cost = PRICE
    (letter.parent / "out").mkdir()
    (letter.parent / "out" / "other.pdf").write_text("not ours")
    sandbox.fail("POST /*", names=["other.pdf"])

    said = failure_of(worker, mode, letter)

    assert "In all, 3 conversion(s) were paid, 3 of them now." in said


@JOBS
def test_quota_ends_a_chain(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """Where an earlier step was paid, nobody is told that nothing was."""
    sandbox.balance = 1

    said = failure_of(worker, mode, letter, steps=STEPS)

    assert "In all, 1 conversion(s) were paid, 1 of them now." in said
    assert "nothing was paid for it" not in said
    assert 1 == sandbox.billed


def test_quota_ends_a_single_conversion(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """Where nothing was paid, it still says so."""
    sandbox.balance = 0

    with pytest.raises(QuotaExhaustedError, match="nothing was paid for it") as failure:
        worker.convert("durable", source=str(letter), destination=f"{letter.parent}/out/")

    assert "In all" not in str(failure.value)
    assert failure.value.paid is False


@JOBS
def test_verdict_on_a_step(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """The total of all steps stands there, and what another try pays."""
    sandbox.settings.conversion_cost = PRICE
    sandbox.fail("POST /async/convert/pdf/to/protect", verdict=5002)
    given: dict[str, Any] = {"steps": STEPS, "destination": f"{letter.parent}/out/"}

    first = failure_of(worker, mode, letter, **given)
    again = failure_of(worker, mode, letter, **given, number=2)

    assert f"were paid, {sandbox.billed} of them now." in first
    assert "were paid, 0 of them now." in again


def test_job_that_goes_on(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """A job that was not waited for has been submitted, and that is what is known of it."""
    sandbox.settings.latency = 30

    said = failure_of(worker, "durable", letter, timeout=0.5)

    assert "1 conversion(s) were submitted, 1 of them now, and may be billed." in said


def test_stop(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """A task that is told to stop says what it leaves behind."""
    sandbox.settings.latency = 30
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(failure_of, worker, "durable", letter)
        while not sandbox.requests.filter(method="GET", path="/async/job/*")[1:]:
            time.sleep(0.01)
        worker.stopped.set()

        said = running.result(timeout=15)

    assert "1 conversion(s) were submitted, 1 of them now, and may be billed." in said


@JOBS
def test_refused_token(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """A token that is refused once the job runs leaves a job that may be billed."""
    sandbox.fail("GET /async/job/*", skip=1, times=None, status=401, code=4010)

    said = failure_of(worker, mode, letter)

    assert "1 conversion(s) were submitted, 1 of them now, and may be billed." in said
    assert "A refused request costs nothing" in said


def test_result_that_is_gone(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """What the service has deleted was paid all the same."""
    sandbox.settings.conversion_cost = PRICE
    sandbox.fail("GET /d/*", times=None, status=404)
    sandbox.fail("HEAD /d/*", times=None, status=404)

    said = failure_of(worker, "durable", letter)

    assert "In all, 3 conversion(s) were paid, 3 of them now." in said


@MODES
def test_error_that_is_not_ours(
    worker: Worker, letter: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A user's own check may raise anything: a note and the log say what it cost."""

    def broken(_: list[str]) -> bool:
        raise KeyboardInterrupt

    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt) as failure:
        worker.convert(
            mode, source=str(letter), destination=f"{letter.parent}/out/", result_check=broken
        )

    assert ["In all, 1 conversion(s) were paid, 1 of them now."] == failure.value.__notes__
    assert "was not finished. In all, 1 conversion(s) were paid, 1 of them now." in caplog.text
