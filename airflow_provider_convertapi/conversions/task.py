"""Which task instance a conversion belongs to, and which try of it this is.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.ids import seed_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRIES_CLEANED = 5
"""Tries whose hidden files are cleaned up; each try costs the store one request per result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTry:
    """One try of a task instance, or code outside any task.

    :param number: counted from 1; clearing the task goes on counting.
    :param first_number: the number of the first try since the task was last cleared.
    :param is_again: whether Airflow has run this very try before, and rescheduled it.
    :param is_last: whether Airflow starts no other try by itself.
    :param started: seconds since the epoch at which the try began.
    :param execution_timeout: seconds after which Airflow ends the task; None if it never does.
    :param random: set only outside of tasks, where no other process can derive the same ids.
    """

    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    map_index: int = -1
    number: int = 1
    first_number: int = 1
    is_again: bool = False
    is_last: bool = False
    started: float
    execution_timeout: float | None = None
    random: str = ""

    @classmethod
    def from_context(cls, context: Mapping[str, Any], now: float) -> TaskTry:
        """Return the try of a running task.

        :param now: seconds since the epoch; used if Airflow does not say when the try began.
        """
        ti = context["ti"]
        task = context.get("task") or getattr(ti, "task", None)
        limit = getattr(task, "execution_timeout", None)
        max_tries = getattr(ti, "max_tries", 0)
        # Clearing a task sets its `max_tries` to the tries so far plus `retries`, so that the first
        # try after that is `max_tries` - `retries` + 1: `clear_task_instances` in
        # airflow/models/taskinstance.py
        return cls(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            task_id=ti.task_id,
            map_index=ti.map_index,
            number=max(ti.try_number, 1),
            first_number=max(max_tries - (getattr(task, "retries", None) or 0) + 1, 1),
            # Only Airflow 3 tells: airflow/sdk/execution_time/task_runner.py
            is_again=bool(context.get("task_reschedule_count")),
            is_last=ti.try_number > max_tries,
            started=ti.start_date.timestamp() if isinstance(ti.start_date, datetime) else now,
            execution_timeout=limit.total_seconds() if limit else None,
        )

    @classmethod
    def outside(cls, now: float) -> TaskTry:
        """Return a substitute for a try, outside of tasks.

        :param now: seconds since the epoch.
        """
        random = secrets.token_hex(16)
        return cls(run_id=f"outside-{random[:8]}", started=now, random=random)

    @property
    def is_durable(self) -> bool:
        """Tell whether another process can derive the same ids."""
        return not self.random

    @property
    def is_later(self) -> bool:
        """Tell whether an earlier run of the task may have submitted the same conversion."""
        return self.number > 1 or self.is_again

    @property
    def names(self) -> dict[str, Any]:
        """Return what identifies the task instance, and is the same in all its tries."""
        if self.random:
            return {"random": self.random}
        return {
            "dag": self.dag_id,
            "run": self.run_id,
            "task": self.task_id,
            "map": self.map_index,
        }

    @property
    def marks(self) -> list[str]:
        """Return the marks of this and earlier tries' hidden files, newest first."""
        if self.random:
            return [secrets.token_hex(4)]
        numbers = range(self.number, max(self.number - _TRIES_CLEANED, 0), -1)
        texts = [seed_text({"names": self.names, "try": number}) for number in numbers]
        return [hashlib.sha256(text.encode()).hexdigest()[:8] for text in texts]
