"""A try of a task without Airflow around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass
class TaskInstance:
    """What the operators read of a task instance."""

    run_id: str = "run"
    dag_id: str = "bench"
    task_id: str = "convert"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))

    def xcom_push(self, *, key: str, value: Any) -> None:
        """Drop a value."""
