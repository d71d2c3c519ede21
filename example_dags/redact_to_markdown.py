"""Redact, then Markdown: a second stage that takes what the first one has made.

The first batch removes telephone numbers, addresses and names from PDFs; the second one makes
Markdown of the redacted PDFs, never of the originals. Its check reads each text and refuses one
that still holds a telephone number. `source=redacted.output` stands for what this run has made, so
the second stage, too, converts only what is new; where that is nothing, it is skipped.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, Param

from airflow_provider_convertapi.errors import ResultCheckError
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

TELEPHONE = r"\d{3}-\d{4}"
MAIL = r"[\w.]+@[\w.]+"
WITHHELD = [{"Regex": TELEPHONE}, {"Regex": MAIL}, {"Text": "Grace Tidewell"}]


def without_telephone(paths: list[Path]) -> None:
    """Refuse a text from which not everything was removed."""
    for path in paths:
        if re.search(TELEPHONE, path.read_text(encoding="utf-8")):
            raise ResultCheckError(f"{path.name} still holds a telephone number")


with DAG(
    dag_id="redact_to_markdown",
    schedule=None,
    max_active_runs=1,
    params={
        "letters": Param(f"{DOCUMENTS}/complaints", type="string"),
        "results": Param(f"{RESULTS}/complaints", type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    redacted = ConvertApiBatchOperator(
        task_id="redact",
        source="{{ params.letters }}/*.pdf",
        to_format="redact",
        parameters={"Preset": "manual", "RedactionData": json.dumps(WITHHELD)},
        destination="{{ params.results }}/redacted",
        retries=2,
    )
    ConvertApiBatchOperator(
        task_id="to_markdown",
        source=redacted.output,
        to_format="md",
        destination="{{ params.results }}/markdown",
        result_check=without_telephone,
        on_empty="skip",
        retries=2,
    )
