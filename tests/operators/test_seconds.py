"""Seconds of both operators may be given as `timedelta`, and as text that a template rendered."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import ConversionTimeoutError, TransientBatchFailedError
from tests.tries import TaskInstance, execute, run_try

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox

SHORT = timedelta(seconds=1.5)
OFTEN = timedelta(milliseconds=100)


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
    """Return the shortest time between the last polls of a job that ran; by default 0.39 s.

    The first ones may be the worker's and the triggerer's, and the one that gets the result too.
    """
    polls = sandbox.requests.filter(method="GET", path="/async/job/*", status=202)
    last = polls.filter(path=polls[-1].path)[-4:]
    return min(later.at - earlier.at for earlier, later in pairwise(last))


def test_single(sandbox: Sandbox, letter: Path) -> None:
    """The conversion is given up after the time that was said, and polled as often as was said."""
    with pytest.raises(ConversionTimeoutError, match=r"timeout=1\.5 s"):
        execute(single(letter, timeout=SHORT), TaskInstance())

    sandbox.jobs_take(polls=6)
    execute(single(letter, poll_interval=OFTEN), TaskInstance(run_id="two"))

    assert shortest(sandbox) < 0.3


def test_deferred(sandbox: Sandbox, letter: Path) -> None:
    """The trigger gets plain seconds, which JSON can hold."""
    with pytest.raises(ConversionTimeoutError, match=r"timeout=1\.5 s"):
        run_try(lambda: single(letter, deferrable=True, timeout=SHORT))

    sandbox.jobs_take(polls=6)
    run_try(
        lambda: single(letter, deferrable=True, poll_interval=OFTEN), TaskInstance(run_id="two")
    )

    assert shortest(sandbox) < 0.3


def test_batch(sandbox: Sandbox, letter: Path) -> None:
    """Each file of a batch has the same limits."""
    with pytest.raises(TransientBatchFailedError):
        execute(batch(letter, timeout=SHORT), TaskInstance())

    sandbox.jobs_take(polls=6)
    letter.write_text("Dear other reader.\n")  # the job of the first is still there
    execute(batch(letter, poll_interval=OFTEN), TaskInstance(run_id="two"))

    assert shortest(sandbox) < 0.3
