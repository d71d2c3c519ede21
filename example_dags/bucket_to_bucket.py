"""Every document of a bucket to PDF, into another bucket.

The listing is a task, the conversions are mapped over it, through the connection `aws_default`.
The worker streams the bytes; no task needs a disk as large as the bucket.
"""

from __future__ import annotations

# Airflow 2: from airflow.decorators import task
# Airflow 2: from airflow.io.path import ObjectStoragePath
# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_convertapi.operators.convert import ConvertApiOperator

with DAG(
    dag_id="bucket_to_bucket",
    schedule=None,
    params={
        "source": Param("s3://aws_default@incoming/", type="string"),
        "destination": Param("s3://aws_default@converted/", type="string", pattern="/$"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):

    @task
    def list_documents(bucket: str) -> list[str]:
        """Return the URI of every document in the bucket."""
        return sorted(str(path) for path in ObjectStoragePath(bucket).iterdir() if path.is_file())

    ConvertApiOperator.partial(
        task_id="to_pdf",
        to_format="pdf",
        destination="{{ params.destination }}",
        map_index_template="{{ task.source }}",
    ).expand(source=list_documents("{{ params.source }}"))
