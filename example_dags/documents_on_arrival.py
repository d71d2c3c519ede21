"""Convert what arrives: no schedule, and a second DAG that goes on with the results.

The triggerer watches the folder. When documents arrive there, or change, the first DAG converts
what is new; what its manifest says is done costs nothing. Its batch then reports to an asset, which
starts the second DAG. It needs Airflow 3, which has asset watchers.

A run that an event starts has no logical date, so there is no `{{ ds }}` in it.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

# Airflow 3 only: Airflow 2 has no asset watchers
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_convertapi import manifest
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.triggers.documents import NewDocumentsTrigger

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents") + "/**/*.docx"
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results") + "/arrived"
AGE = timedelta(seconds=30)  # leave alone what is still being written

documents = Asset(
    "documents",
    watchers=[
        AssetWatcher(
            name="arrivals",
            trigger=NewDocumentsTrigger(source=DOCUMENTS, poll_interval=60, min_age=AGE),
        )
    ],
)
pdfs = Asset("pdfs")

with DAG(
    dag_id="documents_on_arrival",
    schedule=[documents],
    max_active_runs=1,
    doc_md=__doc__,
    tags=["convertapi"],
):
    ConvertApiBatchOperator(
        task_id="to_pdf",
        source=DOCUMENTS,
        to_format="pdf",
        destination=RESULTS,
        min_age=AGE,
        retries=2,
        outlets=[pdfs],
    )

with DAG(dag_id="pdfs_made", schedule=[pdfs], doc_md=__doc__, tags=["convertapi"]):

    @task
    def new_pdfs(triggering_asset_events: Any = None) -> list[str]:
        """Return the names of the PDFs that the runs behind these events have made."""
        return [
            output
            for events in triggering_asset_events.values()
            for event in events
            for record in manifest.read(RESULTS, run_id=event.source_run_id, outcome="converted")
            for output in record.outputs
        ]

    new_pdfs()
