"""Seconds of both operators may be given as `timedelta`, and as text that a template rendered."""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import ConversionTimeoutError, TransientBatchFailedError
from tests.tries import TaskInstance, execute, run_try

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox

SHORT: dict[str, Any] = {
    "timeout": timedelta(seconds=1.5),
    "poll_interval": timedelta(milliseconds=100),
}


@pytest.fixture
def sandbox(convertapi_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Give a ConvertAPI whose jobs take long, and a short settle time."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "0.2")
    convertapi_sandbox.jobs_take(polls=1000)
    return convertapi_sandbox


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """Give a small text document, alone in its folder."""
    path = tmp_path / "in" / "letter.txt"
    path.parent.mkdir()
    path.write_text("Dear reader.\n")
    return path


def single(letter: Path, **arguments: Any) -> Any:
    """Make the operator for one conversion."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    arguments |= {"source": str(letter), "to_format": "pdf", "destination": f"{letter}.pdf"}
    return ConvertApiOperator(task_id="convert", **arguments)


def batch(letter: Path, **arguments: Any) -> Any:
    """Make the operator for a folder."""
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

    destination = str(letter.parents[1] / "out")
    arguments |= {"source": str(letter.parent), "to_format": "pdf", "destination": destination}
    return ConvertApiBatchOperator(task_id="convert", **arguments)


def shortest(sandbox: Sandbox) -> float:
    """Return the shortest time between two polls; by default none is below 0.37 s.

    How many there are in all depends on the machine.
    """
    polls = sandbox.requests.filter(method="GET", path="/async/job/*")
    return min(later.at - earlier.at for earlier, later in pairwise(polls))


def test_single(sandbox: Sandbox, letter: Path) -> None:
    """The conversion is polled as often as was said, and given up after the time that was said."""
    with pytest.raises(ConversionTimeoutError, match=r"timeout=1\.5 s"):
        execute(single(letter, **SHORT), TaskInstance())

    assert shortest(sandbox) < 0.3


def test_deferred(sandbox: Sandbox, letter: Path) -> None:
    """The trigger gets plain seconds, which JSON can hold."""
    begin = time.monotonic()

    with pytest.raises(ConversionTimeoutError):
        run_try(lambda: single(letter, deferrable=True, **SHORT))

    assert shortest(sandbox) < 0.3
    assert time.monotonic() - begin < 20


def test_batch(sandbox: Sandbox, letter: Path) -> None:
    """Each file of a batch has the same limits."""
    with pytest.raises(TransientBatchFailedError):
        execute(batch(letter, **SHORT), TaskInstance())

    assert shortest(sandbox) < 0.3
