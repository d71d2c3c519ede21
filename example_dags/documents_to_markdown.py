"""Documents to Markdown, for retrieval: headings survive, so that text can be divided at them.

Two batches fill one folder: Word documents, web pages and PDFs become Markdown directly, slides by
way of PDF, at the service. A result without text, such as that of a scan, is refused. Then a task
divides what this run has made into chunks for an index, so that the next run adds only what is new.
"""

from __future__ import annotations

import os
import re

# Airflow 2: from airflow.decorators import task
# Airflow 2: from airflow.io.path import ObjectStoragePath
# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_convertapi import manifest
from airflow_provider_convertapi.checks import not_empty
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="documents_to_markdown",
    schedule=None,
    max_active_runs=1,
    params={
        "documents": Param(DOCUMENTS, type="string"),
        "results": Param(f"{RESULTS}/markdown", type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    documents = ConvertApiBatchOperator(
        task_id="documents",
        source=[
            "{{ params.documents }}/*.docx",
            "{{ params.documents }}/*.html",
            "{{ params.documents }}/*.pdf",
        ],
        to_format="md",
        destination="{{ params.results }}",
        result_check=not_empty,
        retries=2,
    )
    slides = ConvertApiBatchOperator(
        task_id="slides",
        source="{{ params.documents }}/*.pptx",
        to_format="pdf",
        steps=[{"to_format": "md"}],
        destination="{{ params.results }}",
        result_check=not_empty,
        retries=2,
    )

    @task
    def chunk(results: str, run_id: str | None = None) -> dict[str, int]:
        """Divide the texts that this run has made at their headings; return the chunks of each."""
        chunks = {}
        for record in manifest.read(results, run_id=run_id, outcome="converted"):
            for name in record.outputs:
                text = ObjectStoragePath(results, name).read_text(encoding="utf-8")
                parts = re.split(r"^(?=#+ )", text, flags=re.MULTILINE)
                chunks[name] = len([part for part in parts if part.strip()])
        return chunks

    [documents, slides] >> chunk("{{ params.results }}")  # Airflow gives it the run's id
