"""`hook.convert` takes what the operator takes: further steps, and seconds as `timedelta`."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest
from PIL import Image

from airflow_provider_convertapi.errors import ConversionTimeoutError, ParameterError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.conversions.arguments import StepArguments
    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook

STEPS: list[StepArguments] = [
    {"to_format": "merge"},
    {"to_format": "protect", "parameters": {"UserPassword": "open sesame"}},
]


def test_steps(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """Two sources are converted, merged and protected; each step is a job and is paid once."""
    other = letter.with_name("other.txt")
    other.write_text("Dear reader, this is another one.\n")
    out = letter.parent / "all.pdf"

    outputs = make_hook().convert([letter, other], "pdf", out, steps=STEPS)

    assert [str(out)] == outputs
    assert 2 == len(pypdfium2.PdfDocument(out, "open sesame"))
    with pytest.raises(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(out)
    assert (4, {}) == (sandbox.billed, sandbox.files)


def test_steps_of_a_later_try(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """The next try finds what was made, and pays nothing."""
    out = letter.parent / "all.pdf"
    make_hook().convert(letter, "pdf", out, steps=STEPS)

    make_hook(2).convert(letter, "pdf", out, steps=STEPS)

    assert 3 == sandbox.billed


def test_steps_are_checked(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """A step without its format is refused before anything is sent."""
    steps: Any = [{"format": "merge"}]

    with pytest.raises(ParameterError, match=r"steps\[0\] must be a mapping with to_format"):
        make_hook().convert(letter, "pdf", letter.parent / "o.pdf", steps=steps)

    assert [] == list(sandbox.requests)


def test_seconds_as_timedelta(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """`timeout` ends the wait, and `poll_interval` is the longest distance between two polls."""
    place = letter.parent / "o.pdf"
    sandbox.jobs_take(polls=1000)

    with pytest.raises(ConversionTimeoutError, match=r"timeout=1\.5 s"):
        make_hook().convert(letter, "pdf", place, timeout=timedelta(seconds=1.5))
    sandbox.jobs_take(polls=4)
    often = timedelta(milliseconds=100)
    make_hook(run_id="two").convert(letter, "pdf", place, poll_interval=often)

    # The default's shortest distance is 0.37 s.
    polls = sandbox.requests.filter(method="GET", path="/async/job/*")
    polls = polls.filter(path=polls[-1].path)
    assert min(later.at - earlier.at for earlier, later in pairwise(polls)) < 0.3


@pytest.mark.parametrize("name", ["timeout", "poll_interval"])
def test_timedelta_must_be_above_zero(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, name: str
) -> None:
    """No time at all is refused, and named."""
    given: dict[str, Any] = {name: timedelta(0)}

    with pytest.raises(ParameterError, match=rf"{name} is .*above 0"):
        make_hook().convert(letter, "pdf", letter.parent / "o.pdf", **given)

    assert [] == list(sandbox.requests)


def test_choice_whose_name_ends_in_file_is_sent_as_it_is(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """`ColorProfile` is a choice of the converter, and no file is looked for."""
    picture, out = letter.with_name("picture.png"), letter.with_name("picture.pdf")
    Image.new("RGB", (8, 8)).save(picture)

    outputs = make_hook().convert(picture, "pdf", out, parameters={"ColorProfile": "default"})

    assert [str(out)] == outputs
