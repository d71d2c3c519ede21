"""A chain at the service: documents to PDF, merged, protected; only the result is downloaded.

Each step takes the results of the one before by id, so nothing is downloaded in between, and each
is a job that a retry finds again. Three documents, one merge and one password are five conversions.
The password is in the Airflow Variable `report_password`.
"""

from __future__ import annotations

import os

# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, Param

from airflow_provider_convertapi.operators.convert import ConvertApiOperator

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="chain",
    schedule=None,
    params={
        "documents": Param(DOCUMENTS, type="string"),
        "results": Param(RESULTS, type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    ConvertApiOperator(
        task_id="merge_and_protect",
        source=[
            "{{ params.documents }}/report.docx",
            "{{ params.documents }}/minutes.md",
            "{{ params.documents }}/notes.txt",
        ],
        to_format="pdf",
        steps=[
            {"to_format": "merge"},
            {
                "to_format": "protect",
                "parameters": {"UserPassword": "{{ var.value.report_password }}"},
            },
        ],
        destination="{{ params.results }}/chained.pdf",
        retries=2,
    )
