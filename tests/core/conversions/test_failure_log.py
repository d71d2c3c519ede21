"""What a person reads of any error: what happened, to which file, the cost, the remedy."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi import errors
from airflow_provider_convertapi.conversions.failure_log import FailureLog, describe_source
from airflow_provider_convertapi.wording import WIDTH
from tests.core.test_errors import CLASSES

if TYPE_CHECKING:
    from airflow_provider_convertapi.errors import ConvertApiError


def told(
    caplog: pytest.LogCaptureFixture,
    error: ConvertApiError,
    bill: tuple[int, int] | None = None,
    **how: Any,
) -> list[str]:
    """Return the lines about an error; a line that begins with blanks goes on."""
    log = logging.getLogger("task")
    FailureLog(log, lambda: "a.docx", lambda: bill and (lambda: bill), **how).tell(error)
    return "\n".join(caplog.messages).replace("\n    ", " ").split("\n")


@pytest.mark.parametrize(
    ("error", "bill", "cost"),
    [
        (errors.ParameterError("source is empty."), None, "nothing was paid."),
        (errors.ParameterError("It is refused."), (0, 0), "nothing was paid."),
        (
            errors.ConversionError("It is damaged.", 5002),
            (1, 1),
            "1 conversion(s), paid by this try.",
        ),
        (
            errors.ResultLostError("The answer was lost."),
            (1, 1),
            "1 conversion(s), submitted by this try, billed or may be.",
        ),
        (
            errors.ResultExpiredError("It is gone."),
            (3, 0),
            "nothing now; 3 conversion(s) were paid before.",
        ),
        (
            errors.TransportError("No answer."),
            (0, 0),
            "nothing more; what was submitted before may be billed.",
        ),
        (errors.TransportError("No route.", sent=False), (0, 0), "nothing was paid."),
        (
            errors.ResultExpiredError(
                "Tried 4 times. Change the key. 1 conversion(s) were submitted, and may be billed."
            ),
            (1, 0),
            "1 conversion(s) were submitted, and may be billed.",
        ),
        (
            errors.ConversionError("Damaged. Cost: 2 conversion(s); charged now: 1.", 5002),
            (2, 1),
            "2 conversion(s); charged now: 1.",
        ),
        (
            errors.TransportError("No answer. It may have been billed."),
            (0, 0),
            "It may have been billed.",
        ),
    ],
)
def test_cost_is_told_in_any_case(
    caplog: pytest.LogCaptureFixture,
    error: ConvertApiError,
    bill: tuple[int, int] | None,
    cost: str,
) -> None:
    """By the message where it tells it, by the run's own count where it does not."""
    lines = told(caplog, error, bill)

    assert f"Cost: {cost}" in lines
    assert ("What to do: Change the key." in lines) == ("Change the key" in error.message)


def test_resumed_task_does_not_say_that_nothing_was_paid(caplog: pytest.LogCaptureFixture) -> None:
    """Its jobs were submitted before it deferred, whatever fails before they are looked at."""
    lines = told(caplog, errors.ConversionInterrupted("Other arguments."), is_resumed=True)

    assert "Cost: nothing more; what was submitted before may be billed." in lines


@pytest.mark.parametrize("path", ["/in/a.docx", f"/{'deep/' * WIDTH}a.docx"], ids=["short", "long"])
def test_path_stands_beside_its_label(caplog: pytest.LogCaptureFixture, path: str) -> None:
    """A path that is longer than a line is not moved to the next one."""
    log = logging.getLogger("task")
    error = errors.ConversionError("It is damaged.", 5002)
    FailureLog(log, lambda: path, lambda: None).tell(error)

    assert f"File: {path}" in caplog.messages


@pytest.mark.parametrize("kind", CLASSES)
def test_each_class_says_what_to_do(
    caplog: pytest.LogCaptureFixture, kind: type[ConvertApiError]
) -> None:
    """Also where its message does not; and its title is short enough for the first line."""
    code = {"code": 5002} if issubclass(kind, errors.ConversionError) else {}

    lines = told(caplog, kind("It failed.", **code))

    assert ["What happened", "File", "Cost", "What to do"] == [one.split(":")[0] for one in lines]
    assert f"What to do: {kind.advice}" == lines[-1]
    assert 0 < len(kind.title) < WIDTH
    assert kind.title.endswith(".")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, ""),
        ("s3://user:pw@b/a.docx", "s3://user:***@b/a.docx"),
        (Path("/in/a.docx"), "/in/a.docx"),
        (["a", ["b", "c"], "d", "e"], "a, b, c and 2 more"),
        ({"source": "/in/", "shard": [0, 2]}, "/in/"),
        ({"manifest": "/out/_convertapi/manifest/", "converted": 1}, "/out/_convertapi/manifest/"),
    ],
)
def test_source_as_it_is_told(source: object, expected: str) -> None:
    """Every kind of source that a user may give, without what is secret."""
    assert expected == describe_source(source)
