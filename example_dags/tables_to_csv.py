"""The tables of PDF reports to CSV, read as one table.

Each report becomes a CSV file; then a task sums up all of them with DuckDB, which reads the folder
as one table and guesses the types of its columns. It comes with ``pip install duckdb``.
"""

from __future__ import annotations

import os

# Airflow 2: from airflow.decorators import task
# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, Param, task

from airflow_provider_convertapi.checks import not_empty
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="tables_to_csv",
    schedule=None,
    max_active_runs=1,
    params={
        "reports": Param(f"{DOCUMENTS}/fees", type="string"),
        "results": Param(f"{RESULTS}/fees", type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    to_csv = ConvertApiBatchOperator(
        task_id="to_csv",
        source="{{ params.reports }}/*.pdf",
        to_format="csv",
        destination="{{ params.results }}",
        result_check=not_empty,
        retries=2,
    )

    @task
    def fees_per_berth(results: str) -> dict[str, int]:
        """Return the sum of the fees of each berth, over all reports."""
        import duckdb

        table = duckdb.read_csv(f"{results}/*.csv", header=True)
        return dict(table.aggregate("Berth, CAST(sum(Fees) AS BIGINT)").fetchall())

    to_csv >> fees_per_berth("{{ params.results }}")
