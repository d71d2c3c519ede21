"""DAGs of one task each, which convert one file, with three retries that do not wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.operators.convert import ConvertApiOperator

if TYPE_CHECKING:
    from airflow.sdk import DAG

RETRIES = 3


def new_dag(dag_id: str) -> DAG:
    """Make an empty DAG whose tasks have three retries."""
    from tests.airflow_api import DAG

    dag: DAG = DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        default_args={"retries": RETRIES, "retry_delay": timedelta(0)},
    )
    return dag


def operator_dag(dag_id: str, **arguments: Any) -> DAG:
    """Convert with the operator."""
    with new_dag(dag_id) as dag:
        ConvertApiOperator(task_id="convert", **arguments)
    return dag


def hook_dag(dag_id: str, **arguments: Any) -> DAG:
    """Convert with the hook, in a `@task`."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
    from tests.airflow_api import task

    with new_dag(dag_id) as dag:

        @task
        def convert() -> list[str]:
            return ConvertApiHook().convert(**arguments)

        convert()
    return dag
