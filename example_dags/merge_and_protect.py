"""Several documents to one merged, protected PDF.

Each document becomes a PDF in its own mapped task; the PDFs are merged in the order in which
they are listed; the merged PDF gets a password, which lives in the Airflow Variable
`report_password` and in no DAG file, log or rendered field.
"""

from __future__ import annotations

import os

# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, Param

from airflow_provider_convertapi.operators.convert import ConvertApiOperator

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="merge_and_protect",
    schedule=None,
    params={
        "documents": Param(DOCUMENTS, type="string"),
        "results": Param(RESULTS, type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    to_pdf = ConvertApiOperator.partial(
        task_id="to_pdf",
        to_format="pdf",
        destination="{{ params.results }}/parts/",
        overwrite=True,  # each run writes the same names into this directory
    ).expand(
        source=[
            "{{ params.documents }}/report.docx",
            "{{ params.documents }}/minutes.md",
            "{{ params.documents }}/notes.txt",
        ]
    )
    merge = ConvertApiOperator(
        task_id="merge",
        source=to_pdf.output,
        to_format="merge",
        destination="{{ params.results }}/parts/merged.pdf",
    )
    ConvertApiOperator(
        task_id="protect",
        source=merge.output,
        to_format="protect",
        destination="{{ params.results }}/harbour.pdf",
        parameters={"UserPassword": "{{ var.value.report_password }}"},
    )
