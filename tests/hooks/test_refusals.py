"""Refusals are not attempts: nothing was paid for them, so they never use the attempts up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConversionTimeoutError,
    QuotaExhaustedError,
    ThrottledError,
    UnexpectedAnswerError,
)
from convertapi_sandbox.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.errors import ConvertApiError
    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook

NO_WAIT = {"Retry-After": "0"}


def submits(sandbox: Sandbox) -> int:
    """Return how many submits reached the service."""
    return len(sandbox.requests.filter(method="POST", path="/async/convert/*"))


def wait_for_job(sandbox: Sandbox) -> None:
    """Return once the service has ended its only job."""
    until = time.monotonic() + 20
    while [job["state"] for job in sandbox.jobs.values()] != ["done"]:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        pytest.param(401, 4011, AuthenticationError, id="401"),
        pytest.param(401, 4014, QuotaExhaustedError, id="4014"),
        pytest.param(403, 403, QuotaExhaustedError, id="403"),
        pytest.param(
            503, 503, ThrottledError, id="503", marks=[pytest.mark.long, pytest.mark.once]
        ),
    ],
)
def test_stored_refusals_are_no_attempts(
    sandbox: Sandbox,
    make_hook: MakeHook,
    letter: Path,
    status: int,
    code: int,
    error: type[ConvertApiError],
) -> None:
    """Five refusals that the service stores leave room for the conversion that is paid."""
    out = letter.parent / "letter.pdf"
    sandbox.fail("GET /async/job", headers=NO_WAIT, times=None)
    sandbox.fail("POST /async/convert", verdict=code, status=status, times=5)
    for number in range(1, 6):
        with pytest.raises(error):
            make_hook(number).convert(letter, "pdf", out)

    make_hook(6).convert(letter, "pdf", out)

    assert out.exists()
    assert 1 == sandbox.billed
    assert 6 == submits(sandbox)


BODIES = pytest.mark.parametrize("html", [False, True], ids=["Code", "no Code"])


@BODIES
def test_refused_looks_are_the_quotas_error(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, html: bool
) -> None:
    """A service that answers 403 to every look has no quota; no attempt is used up."""
    sandbox.fail("* /async/job", status=403, html=html, times=None)
    for number in range(1, 7):
        with pytest.raises(QuotaExhaustedError):
            make_hook(number).convert(letter, "pdf", letter.parent / "letter.pdf")
    assert 0 == submits(sandbox)
    sandbox.clear_faults()

    make_hook(7).convert(letter, "pdf", letter.parent / "letter.pdf")

    assert 1 == sandbox.billed


@BODIES
def test_running_job_survives_refused_looks(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, html: bool
) -> None:
    """A 403 to looks while a paid job runs is not its answer: it is collected later."""
    out = letter.parent / "letter.pdf"
    sandbox.jobs_take(polls=3)
    sandbox.add_fault(Fault(match="GET /async/job", status=403, html=html, skip=2, times=None))
    for number in (1, 2):
        with pytest.raises(QuotaExhaustedError) as caught:
            make_hook(number).convert(letter, "pdf", out)
        assert "nothing was paid" not in str(caught.value)
    sandbox.clear_faults()

    make_hook(3).convert(letter, "pdf", out)

    assert out.exists()
    assert 1 == sandbox.billed


def test_single_refusal_without_a_code_is_the_wires(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """A proxy that refuses one look says nothing about the job, which is paid and goes on."""
    out = letter.parent / "letter.pdf"
    sandbox.jobs_take(polls=3)
    sandbox.add_fault(Fault(match="GET /async/job", status=403, html=True, skip=2, times=1))

    make_hook().convert(letter, "pdf", out)

    assert out.exists()
    assert 1 == sandbox.billed == submits(sandbox)


@pytest.mark.parametrize(
    "status", [401, *(pytest.param(status, marks=pytest.mark.long) for status in (403, 429, 503))]
)
def test_refusals_of_one_job_without_a_code_are_the_wires(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, status: int
) -> None:
    """However often a proxy refuses to tell of a paid job, that is not the job's stored answer."""
    out = letter.parent / "letter.pdf"
    with pytest.raises(ConversionTimeoutError):
        make_hook().convert(letter, "pdf", out, timeout=0.2)  # before the first poll
    [job_id] = sandbox.jobs
    sandbox.fail(f"GET /async/job/{job_id}", status=status, html=True, headers=NO_WAIT, times=4)

    make_hook(2).convert(letter, "pdf", out)

    assert out.exists()
    assert 1 == sandbox.billed == submits(sandbox)


def test_throttled_polls_are_no_answer(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """A busy service is waited for, however often: the job goes on and is collected."""
    out = letter.parent / "letter.pdf"
    sandbox.fail("GET /async/job", status=503, headers=NO_WAIT, times=12)

    make_hook().convert(letter, "pdf", out)

    assert out.exists()
    assert 1 == sandbox.billed


@pytest.mark.parametrize("match", ["GET /d", "HEAD /d"])
def test_refused_download_is_an_access_error(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, match: str
) -> None:
    """A 403 at a download does not say that nothing was paid, and the result stays."""
    out = letter.parent / "letter.pdf"
    if match == "HEAD /d":  # which only a later try asks
        with pytest.raises(ConversionTimeoutError):
            make_hook().convert(letter, "pdf", out, timeout=0.2)  # before the first poll
        wait_for_job(sandbox)
    sandbox.fail(match, status=403, times=None)
    with pytest.raises(AuthenticationError) as caught:
        make_hook(2).convert(letter, "pdf", out)
    assert "nothing was paid" not in str(caught.value)
    sandbox.clear_faults()

    make_hook(3).convert(letter, "pdf", out)

    assert out.exists()
    assert 1 == sandbox.billed


@pytest.mark.parametrize("status", [402, 407, 409, 422, 451])
def test_refused_submit_is_looked_for_once(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, status: int
) -> None:
    """A 4xx in answer to a submit is an answer: one POST, one look after it, then it is raised."""
    sandbox.fail("POST /async/convert", status=status, times=None)

    with pytest.raises(UnexpectedAnswerError, match=str(status)):
        make_hook().convert(letter, "pdf", letter.parent / "letter.pdf")

    assert 1 == submits(sandbox)
    assert 2 == len(sandbox.requests.filter(method="GET", path="/async/job/*"))
    assert 0 == sandbox.billed
