"""One document to PDF.

The smallest useful DAG: one document in, one PDF out.
`source` and `destination` may be local paths or object storage URIs such as
`s3://aws_default@invoices/2026/0001.docx`.
"""

from __future__ import annotations

import os

# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, Param

from airflow_provider_convertapi.operators.convert import ConvertApiOperator

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="document_to_pdf",
    schedule=None,
    params={
        "source": Param(f"{DOCUMENTS}/report.docx", type="string"),
        "destination": Param(f"{RESULTS}/report.pdf", type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    ConvertApiOperator(
        task_id="to_pdf",
        source="{{ params.source }}",
        to_format="pdf",
        destination="{{ params.destination }}",
    )
