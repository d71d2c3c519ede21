"""A try that Airflow reschedules runs again under its own number, after a run that may have paid.

Airflow does so for sensors in `reschedule` mode, and from 3.4 on for retry policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.conversions.task import TaskTry
from airflow_provider_convertapi.errors import QuotaExhaustedError
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook


@pytest.mark.parametrize(("count", "again"), [(None, False), (0, False), (1, True), (7, True)])
def test_airflow_says_so(count: int | None, again: bool) -> None:
    """Airflow 3 counts it in the context, earlier ones have no such key."""
    told = {} if count is None else {"task_reschedule_count": count}

    task = TaskTry.from_context({"ti": TaskInstance(), **told}, 0.0)

    assert (again, again, 1) == (task.is_again, task.is_later, task.number)


@pytest.mark.long
def test_what_the_run_before_paid_is_found(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """A job that is visible a moment later only is not submitted a second time."""
    sandbox.settings.known_job_id = "bill"
    sandbox.fail("POST /async/convert/pdf/to/*", status=403, code=403)
    steps: list[Any] = [{"to_format": "protect", "parameters": {"UserPassword": "sesame"}}]
    out = letter.parent / "o.pdf"
    with pytest.raises(QuotaExhaustedError):
        make_hook().convert(letter, "pdf", out, steps=steps)
    # As on a service whose records reach all of its machines with a delay.
    sandbox.fail("GET /async/job/*", status=404, code=404, times=3)

    make_hook(is_again=True).convert(letter, "pdf", out, steps=steps)

    assert 2 == sandbox.billed
