"""The pages of a PDF to images.

One conversion, several results: the destination is a directory, so it ends in `/`.
The task returns one URI for each page.
"""

from __future__ import annotations

import os

# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, Param

from airflow_provider_convertapi.operators.convert import ConvertApiOperator

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="pdf_to_images",
    schedule=None,
    params={
        "source": Param(f"{DOCUMENTS}/brochure.pdf", type="string"),
        "destination": Param(f"{RESULTS}/pages/", type="string", pattern="/$"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    ConvertApiOperator(
        task_id="to_images",
        source="{{ params.source }}",
        to_format="jpg",
        destination="{{ params.destination }}",
        overwrite=True,  # each run writes the same names into this directory
        parameters={"ImageResolution": 150},
    )
