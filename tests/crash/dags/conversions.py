"""DAGs of the crash suite; a run's configuration says what to convert, and whether to hang."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_provider_convertapi.operators.convert import ConvertApiOperator


def hang(context: Any, result: Any = None) -> None:
    """Stay between the end of the conversion and Airflow's record of it, where the run asks to."""
    place = context["params"].get("hang")
    if place and not Path(place).exists():
        Path(place).write_text(str(os.getpid()), encoding="utf-8")
        time.sleep(60)


COMMON: dict[str, Any] = {
    "task_id": "convert",
    "to_format": "pdf",
    "poll_interval": 1,
    "retries": 4,
    "retry_delay": timedelta(0),
    "post_execute": hang,
}
ONE = {
    "source": "{{ params.source }}",
    "destination": "{{ params.destination }}",
}
VARIANTS: dict[str, dict[str, Any]] = {
    "on_worker": {**ONE},
    "limited": {**ONE, "execution_timeout": timedelta(seconds=5)},
    "deferred": {**ONE, "deferrable": True},
    "deferred_cancel": {**ONE, "deferrable": True, "cancel_on_kill": True},
}

for name, arguments in VARIANTS.items():
    with DAG(name, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        ConvertApiOperator(**{**COMMON, **arguments})
    globals()[name] = dag

with DAG(
    "twenty", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), max_active_tasks=20
) as twenty:
    ConvertApiOperator.partial(
        **COMMON, destination="{{ params.destination }}", deferrable=True
    ).expand(source=[f"{os.environ['CRASH_DOCUMENTS']}/{number}.txt" for number in range(20)])
