"""Invoices to the rows of a table; what ConvertAPI is not sure of, a person enters.

A field whose confidence is below ``MinimumConfidence`` is not in the answer. Each invoice that
lacks one becomes a form in Airflow's "Required actions", where a person who has read the invoice
fills in what is missing. It needs Airflow 3.1 or later; on older ones, leave out ``questions`` and
``ask``, and let ``rows`` fail where a field is missing.
"""

from __future__ import annotations

import csv
import json
import os
import re
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLEntryOperator

# Airflow 2: from airflow.decorators import task
# Airflow 2: from airflow.models import DAG, Param
# Airflow 2: from airflow.io.path import ObjectStoragePath
from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_convertapi import manifest
from airflow_provider_convertapi.checks import not_empty
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

FIELDS = {
    "Number": "the number of the invoice",
    "Total": "the amount to be paid, as a number without a currency",
}

with DAG(
    dag_id="invoices_to_rows",
    schedule=None,
    max_active_runs=1,
    params={
        "invoices": Param(f"{DOCUMENTS}/bills", type="string"),
        "results": Param(f"{RESULTS}/bills", type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    extract = ConvertApiBatchOperator(
        task_id="extract",
        source="{{ params.invoices }}/*.pdf",
        to_format="extract",
        parameters={
            "DocumentType": "invoice",
            "CustomExtractionData": [
                {"FieldName": name, "Extract": what} for name, what in FIELDS.items()
            ],
            "MinimumConfidence": 0.8,
        },
        destination="{{ params.results }}",
        result_check=not_empty,
        retries=2,
    )

    @task
    def fields(results: str, run_id: str | None = None) -> list[dict[str, Any]]:
        """Return the fields of each invoice that this run has read; None for what is missing."""
        found = []
        for record in manifest.read(results, run_id=run_id, outcome="converted"):
            text = ObjectStoragePath(results, record.outputs[0]).read_text(encoding="utf-8")
            answer = json.loads(text)
            found.append({"Invoice": record.source, **{name: answer.get(name) for name in FIELDS}})
        return found

    @task
    def questions(invoices: Any) -> list[dict[str, str]]:
        """Ask for what is missing."""
        return [
            {
                "subject": f"What does {invoice['Invoice']} say?",
                "body": "\n".join(f"- {name}: {value or ''}" for name, value in invoice.items()),
            }
            for invoice in invoices
            if None in invoice.values()
        ]

    @task(trigger_rule="none_failed")  # nothing is asked where nothing is missing
    def rows(invoices: Any, answers: Any, results: str, run_id: str | None = None) -> str:
        """Write the rows of this run, and return the table's URI."""
        entered = iter(answers or [])
        for invoice in invoices:
            if None in invoice.values():
                answer = next(entered)["params_input"]
                invoice.update({name: value for name, value in answer.items() if value})
        name = re.sub(r"\W+", "-", str(run_id))
        table = ObjectStoragePath(results, "rows", f"{name}.csv")
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["Invoice", *FIELDS])
            writer.writeheader()
            writer.writerows(invoices)
        return str(table)

    found = fields("{{ params.results }}")
    ask = HITLEntryOperator.partial(
        task_id="ask",
        params={
            name: Param(None, type=["null", "string"], description=f"Enter {what}.")
            for name, what in FIELDS.items()
        },
        response_timeout=timedelta(days=3),  # then the row goes without
    ).expand_kwargs(questions(found))
    extract >> found
    rows(found, ask.output, "{{ params.results }}")
