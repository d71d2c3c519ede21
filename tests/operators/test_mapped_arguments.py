"""Wrong arguments of a mapped task, which Airflow makes only when the task runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.decorators.convertapi import convertapi_task
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator
from tests.tries import TaskInstance, execute, fire, reborn, resume

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag


@pytest.mark.parametrize("kind", ["single", "batch", "decorated", "deferrable", "outputs"])
def test_wrong_arguments_are_logged_for_people(
    run_dag: RunDag,
    convertapi_sandbox: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    """What happened, cost and remedy are in the log, and no retry is used up."""
    from tests.airflow_api import DAG

    (tmp_path / "a.txt").write_text("x")
    given: dict[str, Any] = {"task_id": "t", "destination": f"{tmp_path}/out/", "retries": 2}
    given |= {"to_format": "pdf", "retry_delay": timedelta(0)}
    with DAG(f"wrong_{kind}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        if kind == "single":
            ConvertApiOperator.partial(**given).expand(source=[None])
        elif kind == "outputs":
            operator: Any = ConvertApiOperator.partial(**given, multiple_outputs=True)
            operator.expand(source=[f"{tmp_path}/a.txt"])
        elif kind == "batch":
            ConvertApiBatchOperator.partial(**given).expand(source=[{"path": str(tmp_path)}])
        elif kind == "deferrable":
            ConvertApiBatchOperator.partial(source=str(tmp_path), **given).expand(deferrable=["no"])
        else:
            decorated: Any = convertapi_task(never_called, **given | {"to_format": "mp4"})
            decorated.expand(name=["a.txt"])

    [ti] = run_dag(dag).get_task_instances()

    assert ("failed", 1) == (ti.state, ti.try_number)
    assert [] == list(convertapi_sandbox.requests)
    out = capsys.readouterr().out
    # Airflow 2 keeps the stream that it found when it began.
    before, failed, _ = (caplog.text if "Task failed" in caplog.text else out).partition(
        "Task failed with exception"
    )
    assert failed
    for label in ("What happened: ", "Cost: nothing was paid", "What to do: "):
        assert 1 == before.count(label), label


def test_shard_of_an_empty_list(
    run_dag: RunDag, convertapi_sandbox: Sandbox, tmp_path: Path
) -> None:
    """The batch does what its `on_empty` says, as for an empty directory."""
    from airflow_provider_convertapi.shards import find_shards
    from tests.airflow_api import DAG

    with DAG("empty_shard", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        ConvertApiBatchOperator.partial(
            task_id="t", to_format="pdf", destination=f"{tmp_path}/out/", on_empty="skip"
        ).expand(source=find_shards([]))

    [ti] = run_dag(dag).get_task_instances()

    assert "skipped" == ti.state


def never_called(name: str) -> str:
    """Fail if it is called before the arguments are checked."""
    raise AssertionError(name)


@pytest.mark.filterwarnings("ignore:.*ConvertAPI ignores it")
def test_deferred_task_whose_arguments_became_wrong(
    convertapi_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is paid is collected, though a new catalogue would refuse the arguments now."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "0.2")
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__UNKNOWN_PARAMETERS", "warn")
    (tmp_path / "a.txt").write_text("x")

    def made() -> Any:
        operator: Any = ConvertApiOperator(
            task_id="t",
            source=f"{tmp_path}/a.txt",
            to_format="pdf",
            destination=f"{tmp_path}/a.pdf",
            parameters={"BrandNew": "1"},
            deferrable=True,
            _airflow_from_mapped=True,
        )
        return operator

    ti = TaskInstance()
    with pytest.warns(UserWarning, match="BrandNew"), pytest.raises(TaskDeferred) as deferral:
        execute(made(), ti)
    payload = fire(reborn(deferral.value.trigger))
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__UNKNOWN_PARAMETERS", "error")

    outputs = resume(made(), deferral.value.method_name, payload, ti)

    assert ([f"{tmp_path}/a.pdf"], 1) == (outputs, convertapi_sandbox.billed)
