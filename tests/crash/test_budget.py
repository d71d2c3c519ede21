"""The recipe of a budget, with a person who answers through Airflow's API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow_parts import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.airflow_parts import Airflow, Run

pytestmark = pytest.mark.timeout(600)

FILES = 3


def start(airflow: Airflow, tmp_path: Path, **params: Any) -> Run:
    """Start a night with three documents."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.txt").write_text(f"This is document {number}.\n")
    given = {"documents": f"{folder}", "results": f"{tmp_path}/out"}
    return airflow.trigger("monthly_budget", connection="convertapi_budget", **given, **params)


def state_of(run: Run, task_id: str) -> str | None:
    """Return the state of a task."""
    [state] = [task["state"] for task in run.tasks() if task["task_id"] == task_id]
    found: str | None = state
    return found


def answer(run: Run, choice: str) -> dict[str, Any]:
    """Wait until a person is asked, and answer as a client of that person does."""
    path = f"{run.path}/taskInstances/approve/-1/hitlDetails"

    def asked() -> Any:
        answered = run.airflow.session.get(f"{run.airflow.url}/api/v2/{path}", timeout=30)
        return answered.json() if answered.ok else None

    question: dict[str, Any] = wait_for("the question", asked)
    wait_for("the scheduler to know that the task waits", lambda: run.parked("approve") > 0)
    run.airflow.call("PATCH", path, json={"chosen_options": [choice], "params_input": {}})
    return question


def wait_until_done(run: Run) -> str:
    """Wait for the run's end, and return its state."""
    ends = ("success", "failed")
    state: str = wait_for(
        "the run's end",
        lambda: (s := run.airflow.call("GET", run.path)["state"]) in ends and s,
        limit=180,
    )
    return state


def test_approved_night(airflow: Airflow, service: Sandbox, tmp_path: Path) -> None:
    """A person approves; the night converts, and the month that has ended is reported."""
    service.balance = FILES
    next_month = (datetime.now(UTC).date().replace(day=1) + timedelta(days=32)).replace(day=1)
    run = start(airflow, tmp_path, ask_above=2, day=next_month.isoformat())

    question = answer(run, "Approve")

    assert "Convert 3 documents?" == question["subject"]
    assert "at least 3 conversions" in question["body"]
    assert "success" == wait_until_done(run), run.log()
    assert FILES == len(list((tmp_path / "out" / "pdf").glob("*.pdf")))
    assert (FILES, 0) == (service.billed, service.balance)
    [report] = (tmp_path / "out" / "reports").iterdir()
    assert 1 + FILES == len(report.read_text().splitlines())


def test_rejected_night(airflow: Airflow, service: Sandbox, tmp_path: Path) -> None:
    """A person rejects: nothing is sent, and in the middle of a month nothing reported."""
    run = start(airflow, tmp_path, ask_above=2, day="2026-11-15")

    answer(run, "Reject")

    assert "success" == wait_until_done(run), run.log()
    assert ["skipped", "skipped"] == [state_of(run, name) for name in ("to_pdf", "report")]
    assert 0 == service.billed
    assert not any(entry.paid for entry in service.requests)
