"""Batches that tests disturb."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

with DAG(
    "waves",
    schedule=None,
    params={"source": Param("", type="string"), "destination": Param("", type="string")},
):
    ConvertApiBatchOperator(
        task_id="convert",
        source="{{ params.source }}",
        to_format="pdf",
        destination="{{ params.destination }}",
        deferrable=True,
        max_in_flight=8,
        poll_interval=5,
    )

with DAG(
    "watched",
    schedule=None,
    params={"source": Param("", type="string"), "destination": Param("", type="string")},
):
    ConvertApiBatchOperator(
        task_id="convert",
        source="{{ params.source }}",
        to_format="pdf",
        destination="{{ params.destination }}",
        max_in_flight=8,
        poll_interval=1,
    )
