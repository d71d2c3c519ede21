"""Batches in steps: each file goes through all of them at the service."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest

from airflow_provider_convertapi.errors import (
    BatchFailedError,
    BudgetExceededError,
    ParameterError,
    QuotaExhaustedError,
)
from tests.batch.test_waves import run_deferred
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from tests.batch.nights import Night

STEPS: list[dict[str, Any]] = [{"to_format": "protect", "parameters": {"UserPassword": "sesame"}}]


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferrable"])
def test_files_go_through_all_steps(night: Night, deferrable: bool) -> None:
    """Each becomes a PDF with a password for two conversions; the second night pays nothing."""
    night.write("a.txt", "sub/b.txt", "c.txt")

    if deferrable:
        summary, _ = run_deferred(night, steps=STEPS, defer_batch=2)
    else:
        summary = night.run(steps=STEPS)
    again = night.run(TaskInstance(run_id="two"), steps=STEPS)
    other = night.run(TaskInstance(run_id="three"), destination=str(night.out / "plain"))

    assert {"converted": 3, "cost": 6}.items() <= summary.items()
    assert {"reused": 3, "cost": 0}.items() <= again.items()
    assert {"converted": 3, "cost": 3}.items() <= other.items()
    for name in ("a.pdf", "sub/b.pdf", "c.pdf"):
        assert 1 == len(pypdfium2.PdfDocument(night.out / name, "sesame"))
        with pytest.raises(pypdfium2.PdfiumError):
            pypdfium2.PdfDocument(night.out / name)
    assert {} == night.sandbox.files


def test_first_format_is_part_of_what_is_remembered(night: Night) -> None:
    """Two chains that differ in their first format alone are two conversions."""
    night.write("a.txt")
    to_zip = [{"to_format": "zip"}]
    night.run(TaskInstance(run_id="one"), to_format="pdf", steps=to_zip)
    night.run(TaskInstance(run_id="two"), to_format="jpg", steps=to_zip)

    again = night.run(TaskInstance(run_id="three"), to_format="jpg", steps=to_zip)

    assert 1 == again["reused"]
    assert ["a.jpg"] == zipfile.ZipFile(night.out / "a.zip").namelist()
    assert 4 == night.sandbox.billed


def test_step_that_fails_costs_what_it_costs(night: Night) -> None:
    """The record of a file that failed in its second step counts both conversions."""
    night.write("a.txt")
    night.sandbox.fail("POST /async/convert/pdf/to/protect", verdict=5001)

    with pytest.raises(BatchFailedError, match=r"2 conversions were paid now.*step 2 of 2"):
        night.run(TaskInstance(run_id="one"), steps=STEPS)
    with pytest.raises(BatchFailedError, match="nothing paid"):
        night.run(TaskInstance(run_id="two"), steps=STEPS)

    [record] = night.records()
    assert (2, True, 5001) == (record.cost, record.bars, record.code)
    assert 2 == night.sandbox.billed
    assert {} == night.sandbox.files


@pytest.mark.parametrize("steps", [None, STEPS], ids=["one step", "two steps"])
def test_outputs_that_are_gone_and_cannot_be_made_again(
    night: Night, steps: list[dict[str, Any]] | None
) -> None:
    """A verdict that came after the conversion bars the file, and is what its record says."""
    night.write("a.txt")
    night.run(TaskInstance(run_id="one"), steps=steps)
    (night.out / "a.pdf").unlink()
    last = "pdf/to/protect" if steps else "txt/to/pdf"
    night.sandbox.fail(f"POST /async/convert/{last}", verdict=5001)
    with pytest.raises(BatchFailedError, match="5001"):
        night.run(TaskInstance(run_id="two"), steps=steps)
    paid = night.sandbox.billed

    for number in range(2):
        with pytest.raises(BatchFailedError, match="known from earlier, nothing paid"):
            night.run(TaskInstance(run_id=f"night {number}"), steps=steps)

    assert paid == night.sandbox.billed
    assert ["failed"] == [record.outcome for record in night.records()]


def test_quota_ends_between_steps(night: Night) -> None:
    """What was paid for the first step is not paid again after the quota was raised."""
    night.write("a.txt", "b.txt")
    night.sandbox.balance = 3

    with pytest.raises(QuotaExhaustedError):
        night.run(max_in_flight=1, steps=STEPS)
    night.sandbox.balance = 10
    night.run(TaskInstance(2, 1), steps=STEPS)

    assert ["a.pdf", "b.pdf"] == night.outputs()
    assert 4 == night.sandbox.billed


def test_step_that_was_done_before_the_deferral_is_counted(night: Night) -> None:
    """What a killed try had finished is found, and the next step is posted and counted once."""
    night.write("a.txt")
    night.sandbox.balance = 1
    with pytest.raises(QuotaExhaustedError):
        night.run(steps=STEPS)
    night.sandbox.balance = 10

    summary, _ = run_deferred(night, TaskInstance(2, 1), steps=STEPS)

    assert (2, 1) == (night.sandbox.billed, summary["cost"])
    assert 1 == len(
        night.sandbox.requests.filter(method="POST", path="/async/convert/pdf/to/*")[1:]
    )


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferrable"])
def test_busy_service_at_a_later_step_is_not_counted(night: Night, deferrable: bool) -> None:
    """A 503 costs nothing, at whichever step and however often."""
    night.write("a.txt", "b.txt")
    night.sandbox.fail(
        "POST /async/convert/pdf/to/protect", status=503, headers={"Retry-After": "0"}, times=2
    )

    if deferrable:
        summary, _ = run_deferred(night, steps=STEPS)
    else:
        summary = night.run(steps=STEPS)

    assert 4 == summary["cost"] == night.sandbox.billed


def test_budget_counts_every_step(night: Night) -> None:
    """Two files of two steps take four conversions at least."""
    night.write("a.txt", "b.txt")

    with pytest.raises(BudgetExceededError, match=r"at least 4 conversion\(s\)"):
        night.run(max_conversions=3, steps=STEPS)
    assert 2 == night.run(max_conversions=4, steps=STEPS)["converted"]


def test_file_of_a_step_is_uploaded_once(night: Night) -> None:
    """A stamp for every file is uploaded once; no file is transferred between its steps."""
    night.write("stamp.txt")
    night.run(destination=str(night.source.parent))
    (night.source / "stamp.txt").unlink()
    night.write("a.txt", "b.txt")
    asked = len(night.sandbox.requests)
    stamp = str(night.source.parent / "stamp.pdf")

    night.run(steps=[{"to_format": "pdf-watermark", "parameters": {"OverlayFile": stamp}}])

    sent = night.sandbox.requests[asked:]
    assert 1 == len([entry for entry in sent if entry.path.startswith("/upload")])
    assert 2 == len([entry for entry in sent if entry.method == "GET" and "/d/" in entry.path])
    assert {} == night.sandbox.files


def test_steps_need_jobs(night: Night) -> None:
    """Direct mode stores nothing that a second step could take."""
    night.write("a.txt")

    with pytest.raises(ParameterError, match="durable=True"):
        night.run(steps=STEPS, durable=False)


def test_password_of_a_step_stays_out_of_records(night: Night) -> None:
    """A step's parameters are stored only as a keyed digest."""
    night.write("a.txt")
    night.run(steps=STEPS)

    assert "sesame" not in json.dumps([record.parameters for record in night.records()])
    for path in (night.out / "_convertapi").rglob("*"):
        assert path.is_dir() or b"sesame" not in path.read_bytes()


def test_file_of_a_step_is_not_overwritten(night: Night) -> None:
    """A file among a step's parameters is an input, and no file's output replaces it."""
    night.write("logo.txt", "a.txt")
    night.out.mkdir()
    logo = night.out / "logo.pdf"
    document = pypdfium2.PdfDocument.new()
    document.new_page(200, 100)
    document.save(logo)
    before = logo.read_bytes()
    steps = [{"to_format": "pdf-watermark", "parameters": {"OverlayFile": str(logo)}}]

    with pytest.raises(BatchFailedError, match=r"logo\.txt: .*over the input .*logo\.pdf"):
        night.run(steps=steps, overwrite=True)

    assert before == logo.read_bytes()
    assert 2 == night.sandbox.billed
