"""Scans to a searchable archive: each page keeps its picture and gets the text that is in it.

Scans of any depth below the folder keep their place in the archive. A scan in which hardly a word
was found, such as a page that was upside down, is refused: it is kept for a look and named in the
error, and it is paid once. ``min_characters`` needs the extra ``checks`` of the provider.
"""

from __future__ import annotations

import os
from datetime import timedelta

# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, Param

from airflow_provider_convertapi.checks import min_characters
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="scans_to_archive",
    schedule=None,
    max_active_runs=1,
    params={
        "scans": Param(f"{DOCUMENTS}/scans", type="string"),
        "archive": Param(f"{RESULTS}/archive", type="string"),
        "language": Param("en", type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    ConvertApiBatchOperator(
        task_id="recognise",
        source="{{ params.scans }}/**/*.pdf",
        to_format="ocr",
        parameters={"OcrLanguage": "{{ params.language }}"},
        destination="{{ params.archive }}",
        min_age=timedelta(seconds=30),  # a scanner may still be writing
        result_check=min_characters(20),
        retries=2,
    )
