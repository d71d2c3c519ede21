"""The log of a real task that fails, as Airflow's page shows it: first what a person must know."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

pytestmark = pytest.mark.long


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a document that no converter can read."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "0.2")
    path = tmp_path / "in" / "broken.docx"
    path.parent.mkdir()
    path.write_bytes(b"no document at all")
    return path


def task_of(kind: str, broken: Path, **how: Any) -> Any:
    """Make a DAG with one task that converts a broken document, and return it."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator
    from tests.airflow_api import DAG, task

    out = str(broken.parent.parent / "out.pdf")
    with DAG(f"fails_{kind}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        if kind == "hook":
            task(task_id="t")(lambda: ConvertApiHook().convert(str(broken), "pdf", out))()
        elif kind == "batch":
            ConvertApiBatchOperator(
                task_id="t", source=str(broken.parent), to_format="pdf", destination=out, **how
            )
        else:
            steps: Any = [{"to_format": "jpg"}] if kind == "chain" else None
            ConvertApiOperator(
                task_id="t",
                source=str(broken),
                to_format="pdf",
                destination=f"{out}/" if steps else out,
                steps=steps,
                **how,
            )
    return dag


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("single", {}),
        ("single", {"deferrable": True}),
        ("single", {"durable": False}),
        ("chain", {"deferrable": True}),
        ("batch", {}),
        ("batch", {"deferrable": True}),
        ("hook", {}),
    ],
    ids=str,
)
def test_what_to_do_stands_above_the_traceback(
    run_dag: RunDag,
    convertapi_sandbox: Sandbox,
    broken: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    kind: str,
    how: dict[str, Any],
) -> None:
    """File, cost and remedy are lines of their own, before Airflow's own line and the traceback."""
    run = run_dag(task_of(kind, broken, **how))

    assert "failed" == run.state
    assert 1 == convertapi_sandbox.billed
    out = capsys.readouterr().out
    # Airflow 2 keeps the stream that it found when it began.
    text = caplog.text if "Task failed" in caplog.text else out
    before, failed, after = text.partition("Task failed with exception")
    assert failed
    assert 1 == before.count("Cost: ")
    for label in ("What happened: ", "File: /", "What to do: "):
        assert (1, 0) == (before.count(label), after.count(label)), label
