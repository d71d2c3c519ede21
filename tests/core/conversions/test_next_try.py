"""What one try leaves, the next one collects, and nobody pays twice."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    ConversionError,
    ConversionInterrupted,
    TransientConversionError,
)
from tests.core.conversions.worker import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.core.conversions.conftest import StartWorker
    from tests.core.conversions.worker import Worker

pytestmark = pytest.mark.long

MERGE: list[dict[str, Any]] = [{"to_format": "merge"}]


def states(sandbox: Sandbox) -> list[str]:
    """Return the states of the jobs that the service knows."""
    return [job["state"] for job in sandbox.jobs.values()]


@pytest.mark.parametrize("mode", ["durable", "direct", "deferred"])
def test_whole_conversion_loads_no_airflow(
    start_worker: StartWorker, tmp_path: Path, mode: str
) -> None:
    """Local files never need it, whether they are uploaded or not."""
    large = tmp_path / "large.txt"
    large.write_text("a line of text\n" * 80_000)

    process = start_worker(mode=mode, source=large, to_format="zip", destination=f"{large}.zip")

    said = json.loads(process.communicate(timeout=60)[0])
    assert {"outputs": [f"{large}.zip"], "airflow": []} == said


def test_killed_while_the_job_runs(
    sandbox: Sandbox, worker: Worker, start_worker: StartWorker, letter: Path
) -> None:
    """The job outlives its task, and the next try collects it without paying."""
    given: dict[str, Any] = {"source": letter, "destination": letter.parent / "letter.pdf"}
    sandbox.jobs_take(polls=10)
    process = start_worker(mode="durable", **given)
    wait_until(lambda: bool(sandbox.jobs))
    process.kill()
    process.wait()

    result = worker.convert("durable", number=2, **given)

    assert (1, 0, 1) == (result.cost, result.charged, sandbox.billed)
    assert {} == sandbox.files


def test_killed_between_two_steps(
    sandbox: Sandbox, worker: Worker, start_worker: StartWorker, texts: list[Path]
) -> None:
    """The next try finds the first step done and pays for the second alone."""
    given: dict[str, Any] = {
        "source": texts,
        "destination": texts[0].parent / "all.pdf",
        "steps": MERGE,
    }
    sandbox.fail("POST /async/convert/pdf/to/merge", delay=60, drop="before")
    process = start_worker(mode="durable", **given)
    wait_until(lambda: ["done"] * 3 == states(sandbox))
    process.kill()
    process.wait()
    sandbox.clear_faults()

    result = worker.convert("durable", number=2, **given)

    assert (4, 1) == (result.cost, result.charged)
    assert (4, {}) == (sandbox.billed, sandbox.files)


@pytest.mark.parametrize("mode", ["durable", "deferred"])
def test_killed_while_a_later_step_runs(
    sandbox: Sandbox, worker: Worker, start_worker: StartWorker, texts: list[Path], mode: str
) -> None:
    """That step needs its input no more: the steps before it are not made again for it."""
    given: dict[str, Any] = {
        "source": texts[:1],
        "destination": texts[0].parent / "all.pdf",
        "steps": [*MERGE, {"to_format": "protect", "parameters": {"UserPassword": "sesame"}}],
    }
    sandbox.jobs_take(polls=2)
    sandbox.fail("POST /async/convert/pdf/to/protect", delay=60, drop="before")
    process = start_worker(mode="durable", **given)
    wait_until(lambda: ["done"] * 2 == states(sandbox))
    process.kill()
    process.wait()
    sandbox.clear_faults()
    [first, *_] = sandbox.files
    sandbox.expire_files(first)

    result = worker.convert(mode, number=2, **given)

    assert (3, 1) == (result.cost, result.charged)
    assert (3, {}) == (sandbox.billed, sandbox.files)


@pytest.mark.parametrize("mode", ["durable", "deferred"])
def test_stopped_while_it_waits(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """A task that is stopped leaves its job, which the next try collects, in either mode."""
    out = letter.parent / "letter.pdf"
    sandbox.jobs_take(polls=3)

    def stop() -> None:
        wait_until(lambda: bool(sandbox.jobs))
        worker.session().stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(ConversionInterrupted):
        worker.convert("durable", source=letter, destination=out, poll_interval=5)
    stopper.join()
    worker.stopped.clear()

    result = worker.convert(mode, number=2, source=letter, destination=out)

    assert (1, 0, 1) == (result.cost, result.charged, sandbox.billed)
    assert out.exists()


@pytest.mark.parametrize("mode", ["durable", "deferred"])
def test_finished_before(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """A task that is run again after it published finds its output, and pays nothing."""
    given: dict[str, Any] = {"source": letter, "destination": letter.parent / "letter.pdf"}
    first = worker.convert(mode, **given)

    second = worker.convert(mode, number=2, **given)

    assert first.outputs == second.outputs
    assert (1, 0, 1) == (second.cost, second.charged, sandbox.billed)


def test_output_removed_since(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """Where output and documents are gone, it is converted and paid once more."""
    out = letter.parent / "letter.pdf"
    worker.convert("durable", source=letter, destination=out)
    out.unlink()

    result = worker.convert("durable", number=2, source=letter, destination=out)

    assert (1, 2) == (result.charged, sandbox.billed)
    assert out.exists()


def test_further_attempt_is_the_last(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """A verdict that may change is paid for once more; a second one is final, and stays so."""
    given: dict[str, Any] = {"source": letter, "destination": letter.parent / "letter.pdf"}
    sandbox.fail("POST /async/convert/*", verdict=50050, times=2)
    with pytest.raises(TransientConversionError):
        worker.convert("durable", **given)

    for number in (2, 3):
        with pytest.raises(ConversionError, match="change nothing") as caught:
            worker.convert("durable", number=number, **given)
        assert not caught.value.transient

    assert 2 == sandbox.billed
