"""The hook, in your own task.

`ConvertApiHook` does in a `@task` what the operator does: a retry looks for the conversion before
it pays, and a permanent failure burns no retries.
"""

from __future__ import annotations

import os

# Airflow 2: from airflow.decorators import task
# Airflow 2: from airflow.io.path import ObjectStoragePath
# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, ObjectStoragePath, Param, task

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="hook_in_task",
    schedule=None,
    params={
        "source": Param(f"{DOCUMENTS}/brochure.pdf", type="string"),
        "destination": Param(f"{RESULTS}/brochure.txt", type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):

    @task
    def count_words(source: str, destination: str) -> int:
        """Convert a PDF to text, and return the number of words."""
        from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

        [text] = ConvertApiHook().convert(source, "txt", destination)
        return len(ObjectStoragePath(text).read_text(encoding="utf-8").split())

    count_words("{{ params.source }}", "{{ params.destination }}")
