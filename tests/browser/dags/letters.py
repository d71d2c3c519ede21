"""A batch whose result is an asset."""

from __future__ import annotations

import os

from airflow.sdk import DAG, Asset

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

RESULTS = os.environ["EXAMPLE_RESULTS"]

with DAG("letters", schedule=None):
    ConvertApiBatchOperator(
        task_id="to_pdf",
        source=f"{os.environ['EXAMPLE_DOCUMENTS']}/*.txt",
        to_format="pdf",
        destination=f"{RESULTS}/letters/",
        outlets=[Asset("letters", uri=f"file://{RESULTS}/letters/")],
    )
