"""A run that waits for a person, who answers over Airflow's API."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

from tests.airflow_parts import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.airflow_parts import Airflow, Run


def test_person_enters_what_is_missing(airflow: Airflow, service: Sandbox, tmp_path: Path) -> None:
    """Only the invoice that lacks a field is asked about; the rows hold what was entered."""
    conf = {"invoices": str(tmp_path / "in"), "results": str(tmp_path / "out")}
    (tmp_path / "in").mkdir()
    answers: dict[str, dict[str, Any]] = {
        "ferry": {"Number": "2026-001", "Total": "260.00"},
        "sailing": {"Number": "2026-002"},
        "tug": {"Number": None, "Total": 12.5},
    }
    for name, answer in answers.items():
        (tmp_path / "in" / f"{name}.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
        content = json.dumps(answer).encode()
        service.answer("pdf", "extract", files=[("*.json", content)], name=f"{name}.pdf")

    run = airflow.trigger("invoices_to_rows", **conf)
    questions = wait_for("two questions", lambda: _two_questions(run))
    wait_for("the scheduler to know that both tasks wait", lambda: run.parked("ask") == 2)
    for question in questions:
        asked = "Total" if "sailing" in question["subject"] else "Number"
        _enter(run, question, {asked: "T-7" if asked == "Number" else "99.00"})
    run.wait("success")

    assert {
        "ferry.pdf": {"Number": "2026-001", "Total": "260.00"},
        "sailing.pdf": {"Number": "2026-002", "Total": "99.00"},
        "tug.pdf": {"Number": "T-7", "Total": "12.5"},
    } == _rows(tmp_path / "out")
    assert 3 == service.billed
    assert {} == service.files


def test_nobody_is_asked_about_what_is_whole(
    airflow: Airflow, service: Sandbox, tmp_path: Path
) -> None:
    """If no field is missing, the rows wait for nobody."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ferry.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    content = json.dumps({"Number": "2026-001", "Total": "260.00"}).encode()
    service.answer("pdf", "extract", files=[("*.json", content)])

    conf = {"invoices": str(tmp_path / "in"), "results": str(tmp_path / "out")}
    run = airflow.trigger("invoices_to_rows", **conf)
    wait_for("the rows", lambda: "success" == _states(run).get("rows"))

    assert "skipped" == _states(run)["ask"]
    assert {"ferry.pdf": {"Number": "2026-001", "Total": "260.00"}} == _rows(tmp_path / "out")


def _rows(results: Path) -> dict[str, dict[str, str]]:
    """Return the rows of the only table by the name of their invoice."""
    [table] = (results / "rows").iterdir()
    with table.open(newline="", encoding="utf-8") as file:
        return {row.pop("Invoice").rpartition("/")[2]: row for row in csv.DictReader(file)}


def _states(run: Run) -> dict[str, str]:
    return {task["task_id"]: task["state"] for task in run.tasks()}


def _two_questions(run: Run) -> list[dict[str, Any]]:
    """Return what is asked once both questions are; none before."""
    found = run.airflow.call("GET", f"{run.path}/hitlDetails")
    questions: list[dict[str, Any]] = found["hitl_details"]
    return questions if len(questions) == 2 else []


def _enter(run: Run, question: dict[str, Any], values: dict[str, str]) -> None:
    index = question["task_instance"]["map_index"]
    path = f"{run.path}/taskInstances/ask/{index}/hitlDetails"
    entered = {"Number": None, "Total": None, **values}
    body = {"chosen_options": ["OK"], "params_input": entered}
    run.airflow.call("PATCH", path, json=body)
