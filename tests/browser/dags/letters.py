"""A batch whose result, in a bucket, is an asset."""

from __future__ import annotations

import os

from airflow.sdk import DAG, Asset

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

with DAG("letters", schedule=None):
    ConvertApiBatchOperator(
        task_id="to_pdf",
        source=f"{os.environ['EXAMPLE_DOCUMENTS']}/*.txt",
        to_format="pdf",
        destination="s3://aws_default@converted/letters/",
        outlets=[Asset("letters", uri="s3://converted/letters/")],
    )
