"""A bucket with many thousands of files: one mapped task per thousand files, on any worker.

A file belongs to a shard by its path alone, and all shards write into one destination and one
manifest: shards may move between workers, and tomorrow there may be more of them. The pool bounds
how many run at once, deferred ones included: with 4 slots and `max_in_flight=4` at most 16 requests
are open. Make it with ``airflow pools set convertapi 4 "ConvertAPI" --include-deferred``, and name
it in `EXAMPLE_POOL`.
"""

from __future__ import annotations

import os

# Airflow 2: from airflow.decorators import task
# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, Param, task

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

POOL = os.environ.get("EXAMPLE_POOL", "default_pool")

with DAG(
    dag_id="fan_out_shards",
    schedule=None,
    max_active_runs=1,
    params={
        "source": Param("s3://aws_default@incoming/", type="string"),
        "destination": Param("s3://aws_default@converted/shards/", type="string"),
        "files_per_shard": Param(1000, type="integer", minimum=1),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):

    @task
    def divide(source: str, files_per_shard: str) -> list[dict[str, object]]:
        """List the bucket, and return the shards to map over."""
        from airflow_provider_convertapi.shards import find_shards

        return find_shards(source, files_per_shard=int(files_per_shard))

    ConvertApiBatchOperator.partial(
        task_id="to_pdf",
        to_format="pdf",
        destination="{{ params.destination }}",
        max_in_flight=4,
        pool=POOL,
        retries=2,
        map_index_template="shard {{ task.source.shard[0] + 1 }} of {{ task.source.shard[1] }}",
    ).expand(source=divide("{{ params.source }}", "{{ params.files_per_shard }}"))
