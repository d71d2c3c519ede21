"""Every line of the table that says what a job's answer means before anything is paid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.errors import (
    ConversionError,
    ConversionTimeoutError,
    QuotaExhaustedError,
    ResultExpiredError,
    TransientConversionError,
    TransportError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook

LARGE = 1024 * 1024 + 1
"""Bytes; one more than what travels in the submit itself."""


def submits(sandbox: Sandbox) -> int:
    """Return how many paid requests reached the service."""
    return len(sandbox.requests.filter(method="POST", path="/async/convert/*"))


def test_unknown_job_is_submitted(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """A first try that finds no job submits one, and pays once."""
    out = letter.parent / "letter.pdf"

    outputs = make_hook().convert(letter, "pdf", out)

    assert [str(out)] == outputs
    assert out.read_bytes().startswith(b"%PDF")
    assert 1 == sandbox.billed


def test_finished_and_published_job_is_reused(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """A finished task that is cleared finds its outputs and pays nothing."""
    out = letter.parent / "letter.pdf"
    make_hook().convert(letter, "pdf", out)

    make_hook(2).convert(letter, "pdf", out)

    assert 1 == sandbox.billed
    assert 1 == submits(sandbox)


def test_consumed_job_is_paid_once_more(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """Outputs that were removed after the clean-up cost exactly one more conversion."""
    out = letter.parent / "letter.pdf"
    make_hook().convert(letter, "pdf", out)
    out.unlink()

    make_hook(2).convert(letter, "pdf", out)
    make_hook(3).convert(letter, "pdf", out)

    assert out.exists()
    assert 2 == sandbox.billed


def test_half_published_output_is_collected_again(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """An old file of the same name proves nothing while the results can still be fetched."""
    out = letter.parent / "letter.pdf"
    sandbox.fail("GET /d", status=500, times=50)
    with pytest.raises(TransportError):
        make_hook().convert(letter, "pdf", out)
    sandbox.clear_faults()
    out.write_bytes(b"stale")

    make_hook(2).convert(letter, "pdf", out)

    assert out.read_bytes().startswith(b"%PDF")
    assert 1 == sandbox.billed


def test_running_job_is_waited_for(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """A job that an earlier try left running is collected, not submitted again."""
    out = letter.parent / "letter.pdf"
    sandbox.jobs_take(polls=6)
    with pytest.raises(ConversionTimeoutError):
        make_hook().convert(letter, "pdf", out, timeout=0.6)

    make_hook(2).convert(letter, "pdf", out, poll_interval=0.2)

    assert out.exists()
    assert 1 == sandbox.billed


def test_permanent_verdict_is_raised_again(
    sandbox: Sandbox, make_hook: MakeHook, tmp_path: Path
) -> None:
    """A damaged document costs one conversion, however often the task is cleared."""
    broken = tmp_path / "broken.docx"
    broken.write_bytes(b"no document at all")
    for number in (1, 2, 3):
        with pytest.raises(ConversionError) as caught:
            make_hook(number).convert(broken, "pdf", tmp_path / "out.pdf")
        assert 5002 == caught.value.code

    assert 1 == sandbox.billed
    assert not (tmp_path / "out.pdf").exists()


def test_transient_verdict_gets_one_more_attempt(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """Code 50050 is paid, and worth one further attempt on the next try."""
    sandbox.fail("POST /async/convert", verdict=50050, times=1)
    out = letter.parent / "letter.pdf"
    with pytest.raises(TransientConversionError):
        make_hook().convert(letter, "pdf", out)

    make_hook(2).convert(letter, "pdf", out)

    assert out.exists()
    assert 2 == sandbox.billed


def test_second_transient_verdict_is_final(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """Two transient verdicts end it: the second leaves as a plain, permanent error."""
    sandbox.fail("POST /async/convert", verdict=50050, times=5)
    out = letter.parent / "letter.pdf"
    with pytest.raises(TransientConversionError):
        make_hook().convert(letter, "pdf", out)
    for number in (2, 3):
        with pytest.raises(ConversionError) as caught:
            make_hook(number).convert(letter, "pdf", out)
        assert not isinstance(caught.value, TransientConversionError)

    assert 2 == sandbox.billed


def test_stored_quota_refusal_is_no_receipt(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """A 403 that is stored as the job's answer was not paid: after a purchase it is submitted."""
    sandbox.fail("POST /async/convert", verdict=403, status=403, times=1)
    out = letter.parent / "letter.pdf"
    with pytest.raises(QuotaExhaustedError):
        make_hook().convert(letter, "pdf", out)

    make_hook(2).convert(letter, "pdf", out)

    assert out.exists()
    assert 1 == sandbox.billed


def test_quota_sends_one_paid_request(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """An exhausted quota is reported immediately, with connection, file and remedy."""
    sandbox.balance = 0

    with pytest.raises(QuotaExhaustedError, match=r"'convertapi_default'.*letter\.txt.*[Bb]uy"):
        make_hook().convert(letter, "pdf", letter.parent / "letter.pdf")

    assert 1 == submits(sandbox)
    assert 0 == sandbox.billed


@pytest.mark.parametrize("visible_after", [0.0, 0.15])
def test_lost_answer_to_a_submit_is_looked_for(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, visible_after: float
) -> None:
    """An answer that is lost after the work was billed costs no second conversion."""
    sandbox.job_visible_after(visible_after)
    sandbox.fail("POST /async/convert", drop="after_work", times=1)
    out = letter.parent / "letter.pdf"

    make_hook().convert(letter, "pdf", out)

    assert out.exists()
    assert 1 == sandbox.billed
    assert 1 == submits(sandbox)


def test_request_lost_before_the_work_is_submitted_again(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """A job that does not appear within the settle time was not accepted: same id, once more."""
    sandbox.fail("POST /async/convert", drop="before", times=1)
    out = letter.parent / "letter.pdf"

    make_hook().convert(letter, "pdf", out)

    assert out.exists()
    assert 1 == sandbox.billed
    submitted = sandbox.requests.filter(path="/async/convert/*")
    assert 2 == len(submitted)
    assert 1 == len({entry.query["JobId"] for entry in submitted})


def test_vanished_result_is_expired(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """A result that vanishes inside the try that paid for it is permanent; the next try pays."""
    out = letter.parent / "letter.pdf"
    sandbox.fail("GET /d", status=404, times=50)
    sandbox.fail("HEAD /d", status=404, times=50)
    with pytest.raises(ResultExpiredError):
        make_hook().convert(letter, "pdf", out)
    sandbox.clear_faults()
    sandbox.expire_files()

    make_hook(2).convert(letter, "pdf", out)

    assert out.exists()
    assert 2 == sandbox.billed


def test_vanished_job_is_expired(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """A job that was accepted and is unknown after the settle time is said to be expired."""
    sandbox.fail("GET /async/job", status=404, times=500)

    with pytest.raises(ResultExpiredError, match="accepted"):
        make_hook().convert(letter, "pdf", letter.parent / "letter.pdf", poll_interval=0.2)

    assert 1 == submits(sandbox)


def test_large_input_is_uploaded_once(
    sandbox: Sandbox, make_hook: MakeHook, tmp_path: Path
) -> None:
    """A later try finds the upload of an earlier one and does not send the bytes again."""
    source = tmp_path / "large.txt"
    source.write_text("line of text\n" * (LARGE // 13 + 1))
    sandbox.fail("POST /async/convert", status=400, code=4000, times=1)
    with pytest.raises(Exception, match="4000"):
        make_hook().convert(source, "zip", tmp_path / "out.zip")

    make_hook(2).convert(source, "zip", tmp_path / "out.zip")

    assert 1 == len(sandbox.requests.filter(method="POST", path="/upload"))
    assert {} == dict(sandbox.files)


def test_documents_are_deleted_and_the_record_stays(
    sandbox: Sandbox, make_hook: MakeHook, tmp_path: Path
) -> None:
    """After success the service keeps no document of ours, only the receipt."""
    source = tmp_path / "large.txt"
    source.write_text("line of text\n" * (LARGE // 13 + 1))

    make_hook().convert(source, "zip", tmp_path / "out.zip")

    assert {} == dict(sandbox.files)
    assert 1 == len(sandbox.jobs)


def test_conversion_key_converts_anew(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """Another `conversion_key` is another conversion, and is paid."""
    out = letter.parent / "letter.pdf"
    make_hook().convert(letter, "pdf", out)

    make_hook(2).convert(letter, "pdf", out, conversion_key="again")

    assert 2 == sandbox.billed


def test_equal_calls_of_one_task_are_one_conversion(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """What a task asks for twice is paid once, in whichever places it is wanted."""
    for number in (1, 2):
        hook = make_hook(number)
        for name in ("a.pdf", "b.pdf", "a.pdf"):
            hook.convert(letter, "pdf", letter.parent / name)

    assert 1 == sandbox.billed
    assert (letter.parent / "a.pdf").read_bytes() == (letter.parent / "b.pdf").read_bytes()


def test_four_attempts_are_the_cap(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """A fifth conversion under the same seed is refused and says how to force one."""
    out = letter.parent / "letter.pdf"
    for number in range(1, 5):
        make_hook(number).convert(letter, "pdf", out)
        out.unlink()

    with pytest.raises(ResultExpiredError, match="conversion_key"):
        make_hook(5).convert(letter, "pdf", out)

    assert 4 == sandbox.billed
