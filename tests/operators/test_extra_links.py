"""The links of a real task, as Airflow itself hands them to its pages."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

pytestmark = pytest.mark.long

AIRFLOW_2 = version("apache-airflow").startswith("2.")


def links_of(ti: Any, dag: Any) -> list[str | None]:
    """Return the addresses as Airflow's pages get them: of the DAG as it is stored."""
    if AIRFLOW_2:
        serialized = import_module("airflow.serialization.serialized_objects").SerializedDAG
        stored = serialized.from_dict(serialized.to_dict(dag)).get_task(ti.task_id)
        return [
            stored.get_extra_links(ti, name) for name in ("Output location", "ConvertAPI usage")
        ]
    return [
        ti.xcom_pull(
            task_ids=ti.task_id, key=f"_link_ConvertApi{name}Link", map_indexes=ti.map_index
        )
        for name in ("Output", "Usage")
    ]


@pytest.mark.parametrize("mapped", [False, True])
def test_links(run_dag: RunDag, convertapi_sandbox: Sandbox, tmp_path: Path, mapped: bool) -> None:
    """A failed task has them, too: where its output would be, as its template was rendered."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator
    from tests.airflow_api import DAG

    del convertapi_sandbox
    source = str(tmp_path / "missing.docx")
    with DAG(f"links_{mapped}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        how: Any = {"task_id": "t", "to_format": "pdf", "destination": "s3://b/{{ 'out' }}/"}
        if mapped:
            ConvertApiOperator.partial(**how).expand(source=[source])
        else:
            ConvertApiOperator(source=source, **how)

    [ti] = run_dag(dag).get_task_instances()

    output, usage = links_of(ti, dag)
    assert "failed" == ti.state
    assert output == "https://s3.console.aws.amazon.com/s3/buckets/b?prefix=out/"
    assert usage == "https://www.convertapi.com/a"
