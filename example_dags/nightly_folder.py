"""A folder every night: only what is new.

Converts what is new, changed, missing, or failed with a transient error last night; the rest is
"reused, no charge". The manifest next to the PDFs records every file. A run that would need more
than 1,000 conversions fails before anything is paid.
"""

from __future__ import annotations

import os
from datetime import datetime

# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, Param

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="nightly_folder",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - Airflow reads it in the DAG's own time zone
    catchup=False,
    max_active_runs=1,
    params={
        "documents": Param(DOCUMENTS, type="string"),
        "results": Param(f"{RESULTS}/nightly", type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    ConvertApiBatchOperator(
        task_id="to_pdf",
        source=[
            "{{ params.documents }}/**/*.docx",
            "{{ params.documents }}/**/*.md",
            "{{ params.documents }}/**/*.txt",
        ],
        to_format="pdf",
        destination="{{ params.results }}",
        max_in_flight=4,
        max_conversions=1000,
        retries=2,
    )
