"""Invoices merged per customer: one PDF for each customer's directory.

A batch turns every invoice into a PDF, whatever it was written with; then a mapped task merges each
customer's PDFs in the order of their names. Run again, it converts only the invoices that are new.
"""

from __future__ import annotations

import os
from pathlib import Path

# Airflow 2: from airflow.decorators import task
# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, Param, task

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="invoices_per_customer",
    schedule=None,
    max_active_runs=1,
    params={
        "invoices": Param(f"{DOCUMENTS}/invoices", type="string"),
        "results": Param(f"{RESULTS}/customers", type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    to_pdf = ConvertApiBatchOperator(
        task_id="to_pdf",
        source="{{ params.invoices }}/",
        to_format="pdf",
        destination="{{ params.results }}/parts",
        retries=2,
    )

    @task
    def per_customer(results: str) -> list[dict[str, object]]:
        """Return what to merge: each customer's PDFs, and the destination of the result."""
        customers = sorted(path for path in Path(results, "parts").glob("[!_]*") if path.is_dir())
        return [
            {
                "source": sorted(str(pdf) for pdf in customer.glob("*.pdf")),
                "destination": f"{results}/{customer.name}.pdf",
            }
            for customer in customers
        ]

    customers = per_customer("{{ params.results }}")
    to_pdf >> customers
    ConvertApiOperator.partial(
        task_id="merge",
        to_format="merge",
        retries=2,
        map_index_template="{{ task.destination }}",
    ).expand_kwargs(customers)
