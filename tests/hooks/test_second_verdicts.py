"""A verdict that one more attempt may change: what counts is what was attempted, not the try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import ConversionError, TransientConversionError
from airflow_provider_convertapi.failures import ConversionFailure

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook

MODES = pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])


def attempts(sandbox: Sandbox) -> int:
    """Return how many paid requests reached the service."""
    return sum(
        entry.paid or entry.status == 500 for entry in sandbox.requests.filter(method="POST")
    )


def fail_at_the_post(sandbox: Sandbox, code: int, times: int) -> None:
    """Let the answer to the paid request be the verdict, so that no job is left."""
    sandbox.fail("POST /async/convert", status=500, code=code, times=times)
    sandbox.fail("POST /convert", status=500, code=code, times=times)


@MODES
def test_first_verdict_on_a_later_try(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, durable: bool
) -> None:
    """A task that was killed before it sent anything has its further attempt all the same."""
    out = letter.parent / "letter.pdf"
    fail_at_the_post(sandbox, 50050, 1)
    with pytest.raises(TransientConversionError):
        make_hook(2).convert(letter, "pdf", out, durable=durable)

    make_hook(3).convert(letter, "pdf", out, durable=durable)

    assert out.exists()
    assert {} == sandbox.files
    assert 2 == attempts(sandbox)


@MODES
def test_second_verdict_is_final(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, durable: bool
) -> None:
    """One further attempt by itself, whichever tries they fall on; clearing the task makes one."""
    given: dict[str, Any] = {"durable": durable}
    fail_at_the_post(sandbox, 50050, 9)
    with pytest.raises(TransientConversionError):
        make_hook(2).convert(letter, "pdf", letter.parent / "o.pdf", **given)

    for number in (3, 4):
        with pytest.raises(ConversionFailure, match="change nothing"):
            make_hook(number).convert(letter, "pdf", letter.parent / "o.pdf", **given)

    assert 3 == attempts(sandbox)


def test_verdicts_with_and_without_a_job(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """One in answer to the POST and one that is a job's answer are two."""
    fail_at_the_post(sandbox, 50050, 1)
    with pytest.raises(TransientConversionError):
        make_hook().convert(letter, "pdf", letter.parent / "o.pdf")
    sandbox.clear_faults()
    sandbox.fail("POST /async/convert", verdict=50050, times=9)

    for number in (2, 3):
        with pytest.raises(ConversionError, match="change nothing") as caught:
            make_hook(number).convert(letter, "pdf", letter.parent / "o.pdf")
        assert not caught.value.transient

    assert 1 == sandbox.billed  # the POST's own was refused by the sandbox before any work


def lengths(sandbox: Sandbox) -> list[int]:
    """Return the bytes of each paid request: `Timeout` 120 takes one more than 60."""
    sent = [entry for entry in sandbox.requests.filter(method="POST") if "/convert/" in entry.path]
    return [int(request.headers["content-length"]) for request in sent]


@MODES
@pytest.mark.parametrize(
    ("code", "more"), [pytest.param(50050, 0, id="other"), pytest.param(5000, 1, id="5000")]
)
def test_timeout_is_doubled_where_one_was_over(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, durable: bool, code: int, more: int
) -> None:
    """A later try has more time where an earlier one ran out of it, and not otherwise."""
    given: dict[str, Any] = {"durable": durable, "parameters": {"Timeout": 60}}
    fail_at_the_post(sandbox, code, 1)
    with pytest.raises(TransientConversionError):
        make_hook().convert(letter, "pdf", letter.parent / "o.pdf", **given)

    make_hook(2).convert(letter, "pdf", letter.parent / "o.pdf", **given)

    first, second = lengths(sandbox)
    assert more == second - first


@MODES
def test_timeout_with_the_longest_time_is_final(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, durable: bool
) -> None:
    """The service takes no longer `Timeout`, so no further attempt is paid by itself."""
    fail_at_the_post(sandbox, 5000, 9)
    given: dict[str, Any] = {"durable": durable, "parameters": {"Timeout": 1200}}

    with pytest.raises(ConversionFailure, match="change nothing"):
        make_hook().convert(letter, "pdf", letter.parent / "o.pdf", **given)


def test_direct_timeout_of_a_later_try(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """A try that follows a killed one gives the service the time that was asked for."""
    given: dict[str, Any] = {"durable": False, "parameters": {"Timeout": 60}}

    make_hook(2).convert(letter, "pdf", letter.parent / "o.pdf", **given)
    make_hook(1, run_id="other").convert(letter, "pdf", letter.parent / "p.pdf", **given)

    later, first = lengths(sandbox)
    assert first == later
