"""An exhausted quota.

This DAG fails on purpose: its connection belongs to an account with no conversions left.
The task has three retries and uses none of them, because a retry cannot buy conversions.
Its last log line names the connection, what was not converted, and what to do.
"""

from __future__ import annotations

import os
from datetime import timedelta

# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, Param

from airflow_provider_convertapi.operators.convert import ConvertApiOperator

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="quota_exhausted",
    schedule=None,
    params={
        "source": Param(f"{DOCUMENTS}/report.docx", type="string"),
        "destination": Param(f"{RESULTS}/never.pdf", type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    ConvertApiOperator(
        task_id="to_pdf",
        source="{{ params.source }}",
        to_format="pdf",
        destination="{{ params.destination }}",
        convertapi_conn_id="convertapi_exhausted",
        retries=3,
        retry_delay=timedelta(seconds=10),
    )
