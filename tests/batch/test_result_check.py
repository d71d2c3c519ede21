"""What a batch does with results that are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.errors import (
    BatchFailedError,
    ParameterError,
    ResultCheckError,
    ResultLostError,
)
from tests.batch.test_several import forget
from tests.batch.test_waves import run_deferred
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.batch.nights import Night

MODES = pytest.mark.parametrize("mode", ["durable", "direct", "deferred"])


def refuse_b(paths: list[Path]) -> None:
    """Refuse one file of the folder."""
    if paths[0].stem == "b":
        raise ResultCheckError("b is not to be had")


def run(night: Night, mode: str, ti: TaskInstance, **given: Any) -> dict[str, Any]:
    """Run one night in a mode, with the service's memory of the night before gone."""
    if mode == "deferred":
        summary, _ = run_deferred(night, ti, **given)
        return dict(summary)
    return night.run(ti, durable=mode == "durable", **given)


def kept(night: Night) -> list[str]:
    """Return what is kept of refused results."""
    return sorted(path.name for path in (night.out / "_convertapi/refused").rglob("*"))


@MODES
def test_refused_file(night: Night, mode: str) -> None:
    """It counts as failed, is paid once, kept for a look, and not paid for on another night."""
    night.write("a.txt", "b.txt")

    with pytest.raises(BatchFailedError, match=r"b\.txt: ResultCheckError: .*b is not to be had"):
        run(night, mode, TaskInstance(run_id="1"), result_check=refuse_b)
    for number in (2, 3):
        forget(night)
        with pytest.raises(BatchFailedError, match="1 of them known from earlier"):
            run(night, mode, TaskInstance(run_id=str(number)), result_check=refuse_b)

    assert (["a.pdf"], ["b.pdf"]) == (night.outputs(), kept(night))
    assert {"a.pdf": "converted", "b.pdf": "failed"} == night.outcomes()
    [failure] = [record for record in night.records() if record.outcome == "failed"]
    assert ("ResultCheckError", 1, 1, True) == (
        failure.error,
        failure.cost,
        failure.charged,
        failure.bars,
    )
    assert (2, {}) == (night.sandbox.billed, night.sandbox.files)


@MODES
@pytest.mark.parametrize("forgets", [True, False])
def test_retry_failed_pays_once_more(night: Night, mode: str, forgets: bool) -> None:
    """Whoever asks for it gets another conversion, also while the service knows the first."""
    night.write("b.txt")
    with pytest.raises(BatchFailedError):
        run(night, mode, TaskInstance(run_id="1"), result_check=refuse_b)
    if forgets:
        forget(night)

    summary = run(night, mode, TaskInstance(run_id="2"), retry_failed=True)

    assert {"converted": 1, "cost": 1}.items() <= summary.items()
    assert (2, ["b.pdf"]) == (night.sandbox.billed, night.outputs())


@MODES
@pytest.mark.parametrize(
    "changed", [{"conversion_key": "2"}, {"parameters": {"PageRange": "1"}}, {}], ids=str
)
def test_change_converts_again(night: Night, mode: str, changed: dict[str, Any]) -> None:
    """Another key, other parameters or another file is another conversion."""
    night.write("b.txt")
    with pytest.raises(BatchFailedError):
        run(night, mode, TaskInstance(run_id="1"), result_check=refuse_b)
    if not changed:
        night.write("b.txt", text="Another text of another length.\n")

    summary = run(night, mode, TaskInstance(run_id="2"), **changed)

    assert {"converted": 1, "cost": 1}.items() <= summary.items()
    assert 2 == night.sandbox.billed


@MODES
def test_policy_counts_it(night: Night, mode: str) -> None:
    """With `never` the batch succeeds, and says how many failed."""
    night.write("a.txt", "b.txt")

    summary = run(night, mode, TaskInstance(), result_check=refuse_b, failure_policy="never")

    assert {"converted": 1, "failed": 1, "cost": 2}.items() <= summary.items()


@MODES
def test_broken_check(night: Night, mode: str) -> None:
    """No file is barred by it; what was paid is collected, where the service has it."""
    night.write("a.txt", "b.txt")

    def check(paths: list[Path]) -> None:
        raise KeyError(paths[0].name)

    with pytest.raises(BatchFailedError, match="result_check raised KeyError"):
        run(night, mode, TaskInstance(), result_check=check)
    summary = run(night, mode, TaskInstance(2, 1))

    lost = 2 if mode == "direct" else 0
    assert {"converted": 2, "cost": lost}.items() <= summary.items()
    assert (2 + lost, {}) == (night.sandbox.billed, night.sandbox.files)
    assert (["a.pdf", "b.pdf"] if lost else []) == kept(night)


@MODES
def test_check_that_always_fails(night: Night, mode: str) -> None:
    """The batch ends before it has paid for every file, and goes on once the check is fixed."""
    files = [f"{number:02}.txt" for number in range(16)]
    night.write(*files)
    limits: dict[str, Any] = {"max_in_flight": 2, "defer_batch": 8}

    def check(paths: list[Path]) -> None:
        raise ModuleNotFoundError("No module named 'pypdf'")

    with pytest.raises((ParameterError, ResultLostError), match=r"judged none.*No module named"):
        run(night, mode, TaskInstance(), result_check=check, failure_policy="never", **limits)
    paid = night.sandbox.billed
    assert 5 <= paid < len(files)
    summary = run(night, mode, TaskInstance(2, 1), **limits)

    assert {"converted": 16, "failed": 0, "not_attempted": 0}.items() <= summary.items()
    assert len(files) + (paid if mode == "direct" else 0) == night.sandbox.billed


@MODES
def test_check_that_fails_for_odd_files(night: Night, mode: str) -> None:
    """A check that judges some files does not end the batch."""
    night.write(*[f"{number:02}.txt" for number in range(12)])

    def check(paths: list[Path]) -> None:
        if paths[0].stem != "00":
            raise ValueError("odd")

    summary = run(
        night, mode, TaskInstance(), result_check=check, failure_policy="never", max_in_flight=1
    )

    assert {"converted": 1, "failed": 11, "not_attempted": 0}.items() <= summary.items()


@MODES
def test_wrong_first_bytes(night: Night, mode: str) -> None:
    """A result that claims to be something else is never published."""
    night.write("a.txt")
    night.sandbox.fail("POST *convert/*", names=["a.docx"])

    with pytest.raises(BatchFailedError, match=r"a\.pdf is not in DOCX format: it is a PDF"):
        run(night, mode, TaskInstance())

    assert ([], 1) == (night.outputs(), night.sandbox.billed)


def test_check_and_steps(night: Night) -> None:
    """The result of the last step is checked, and what the steps took is recorded."""
    night.write("b.txt")
    steps = [{"to_format": "protect", "parameters": {"UserPassword": "open sesame"}}]

    with pytest.raises(BatchFailedError):
        night.run(TaskInstance(), steps=steps, result_check=refuse_b)

    [failure] = night.records()
    assert (2, 2, True) == (failure.cost, failure.charged, failure.bars)
    assert (2, {}) == (night.sandbox.billed, night.sandbox.files)
