"""Shards that wait in the triggerer, in a pool that limits them."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

with DAG(
    "deferred_shards",
    schedule=None,
    params={
        "source": Param("", type="string"),
        "destination": Param("", type="string"),
        "files_per_shard": Param(5, type="integer"),
    },
):

    @task
    def divide(source: str, files_per_shard: str) -> list[dict[str, object]]:
        """Return the shards to map over."""
        from airflow_provider_convertapi.shards import find_shards

        return find_shards(source, files_per_shard=int(files_per_shard))

    ConvertApiBatchOperator.partial(
        task_id="to_pdf",
        to_format="pdf",
        destination="{{ params.destination }}",
        deferrable=True,
        defer_batch=3,
        poll_interval=1,
        pool="convertapi",
        retries=2,
    ).expand(source=divide("{{ params.source }}", "{{ params.files_per_shard }}"))
