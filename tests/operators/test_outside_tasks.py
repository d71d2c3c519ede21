"""`execute` and `poke` called without a task, as in a notebook or in a unit test of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator
from airflow_provider_convertapi.sensors.job import ConvertApiJobSensor

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox


@pytest.mark.parametrize("kind", [ConvertApiOperator, ConvertApiBatchOperator])
@pytest.mark.parametrize("context", [{}, {"ds": "2026-11-28"}, None], ids=str)
@pytest.mark.parametrize("deferrable", [False, True])
def test_execute_without_a_task(
    convertapi_sandbox: Sandbox, tmp_path: Path, kind: Any, context: Any, deferrable: bool
) -> None:
    """The error says what is missing, and what works there; nothing is sent."""
    (tmp_path / "a.txt").write_text("x")
    operator = kind(
        task_id="t",
        source=f"{tmp_path}/a.txt",
        to_format="pdf",
        destination=f"{tmp_path}/out/",
        deferrable=deferrable,
    )

    with pytest.raises(ParameterError, match=r"has no task instance.*ConvertApiHook"):
        operator.execute(context)

    assert [] == list(convertapi_sandbox.requests)


def test_poke_without_a_task(convertapi_sandbox: Sandbox) -> None:
    """A job that is not there may still appear."""
    sensor = ConvertApiJobSensor(task_id="t", job_id="a" * 32)

    assert not sensor.poke({})
