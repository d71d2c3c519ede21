"""A watched folder, and a second DAG that goes on with what was converted."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.triggers.documents import NewDocumentsTrigger

INCOMING, RESULTS = os.environ["CRASH_ARRIVALS"], os.environ["CRASH_ARRIVED"]

watcher = AssetWatcher(
    name="arrivals", trigger=NewDocumentsTrigger(source=INCOMING, poll_interval=1)
)
incoming = Asset("incoming", watchers=[watcher])
converted = Asset("converted")

with DAG("arrivals", schedule=[incoming], max_active_runs=1):
    ConvertApiBatchOperator(
        task_id="convert",
        source=INCOMING,
        to_format="pdf",
        destination=RESULTS,
        poll_interval=1,
        retries=2,
        outlets=[converted],
    )

with DAG("arrived", schedule=[converted]):

    @task
    def count(triggering_asset_events: Any = None) -> int:
        """Return how many events started this run."""
        return sum(len(events) for events in triggering_asset_events.values())

    count()
