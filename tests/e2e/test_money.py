"""What a task pays when things go wrong: real task runs with three retries, operator and hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dev.stage import DOCUMENTS
from tests.e2e.dags import hook_dag, operator_dag

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

    MakeDag = Callable[..., Any]
    ClearAndRun = Callable[[Any, Any], Any]

pytestmark = [
    pytest.mark.timeout(180),  # the first run in a process loads Airflow's execution API
    pytest.mark.parametrize(
        "make_dag", [pytest.param(operator_dag, id="operator"), pytest.param(hook_dag, id="hook")]
    ),
]


def arguments(tmp_path: Path, **others: Any) -> dict[str, Any]:
    """Return what converts a Word document."""
    source, destination = str(DOCUMENTS / "report.docx"), str(tmp_path / "report.pdf")
    return {"source": source, "to_format": "pdf", "destination": destination} | others


def outcome(run: Any) -> tuple[str, int]:
    """Return how the run's one task ended, and on which try."""
    [task] = run.get_task_instances()
    return str(task.state), task.try_number


@pytest.mark.parametrize(
    "durable", [pytest.param(True, id="job"), pytest.param(False, id="direct")]
)
def test_quota_takes_one_request_and_one_try(
    run_dag: RunDag, sandbox: Sandbox, tmp_path: Path, make_dag: MakeDag, *, durable: bool
) -> None:
    """An exhausted quota fails the task immediately."""
    sandbox.balance = 0
    dag = make_dag(f"quota_{make_dag.__name__}_{durable}", **arguments(tmp_path, durable=durable))

    run = run_dag(dag)

    assert ("failed", 1) == outcome(run)
    assert [403] == [request.status for request in sandbox.requests.filter(method="POST")]
    assert 0 == sandbox.billed


@pytest.mark.parametrize(
    "durable", [pytest.param(True, id="job"), pytest.param(False, id="direct")]
)
def test_damaged_document_is_paid_once(
    run_dag: RunDag, sandbox: Sandbox, tmp_path: Path, make_dag: MakeDag, *, durable: bool
) -> None:
    """A document that cannot be converted costs one conversion, whatever `retries` says."""
    source = tmp_path / "damaged.docx"
    source.write_bytes((DOCUMENTS / "report.docx").read_bytes()[:5000])
    given = arguments(tmp_path, source=str(source), durable=durable)

    run = run_dag(make_dag(f"damaged_{make_dag.__name__}_{durable}", **given))

    assert ("failed", 1) == outcome(run)
    assert 1 == sandbox.billed


def test_lost_answer_is_paid_once(
    run_dag: RunDag, sandbox: Sandbox, tmp_path: Path, make_dag: MakeDag
) -> None:
    """If the response to a submit is lost, the job is looked for and found."""
    sandbox.fail("POST /async/convert", drop="after_work", times=1)

    run = run_dag(make_dag(f"lost_{make_dag.__name__}", **arguments(tmp_path)))

    assert ("success", 1) == outcome(run)
    assert 1 == len(sandbox.requests.filter(method="POST"))
    assert 1 == sandbox.billed


def test_clear_of_a_finished_task_costs_nothing(
    run_dag: RunDag,
    sandbox: Sandbox,
    tmp_path: Path,
    said: Callable[[], str],
    clear_and_run: ClearAndRun,
    make_dag: MakeDag,
) -> None:
    """A cleared task finds the conversion and its output, pays nothing, and says so."""
    dag = make_dag(f"cleared_{make_dag.__name__}", **arguments(tmp_path))
    run = run_dag(dag)
    published = (tmp_path / "report.pdf").stat()
    said()

    task = clear_and_run(dag, run)

    assert ("success", 2) == (task.state, task.try_number)
    assert 1 == sandbox.billed
    assert 1 == len(sandbox.requests.filter(method="POST"))
    assert published == (tmp_path / "report.pdf").stat()
    log = said()
    assert "Reused, no charge" in log
    assert "charged now: 0" in log


def test_clear_after_the_output_was_removed_costs_one_more(
    run_dag: RunDag,
    sandbox: Sandbox,
    tmp_path: Path,
    clear_and_run: ClearAndRun,
    make_dag: MakeDag,
) -> None:
    """After an output is removed, clearing its task makes it again, for exactly one conversion."""
    dag = make_dag(f"removed_{make_dag.__name__}", **arguments(tmp_path))
    output = tmp_path / "report.pdf"
    run = run_dag(dag)
    output.unlink()

    task = clear_and_run(dag, run)

    assert ("success", 2) == (task.state, task.try_number)
    assert output.read_bytes().startswith(b"%PDF")
    assert 2 == sandbox.billed
