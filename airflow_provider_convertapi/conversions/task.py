"""Which task a conversion belongs to: part of its job id, so that the next try finds it."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.ids import seed_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_calls: dict[str, int] = {}
_calls_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Scope:
    """A task instance's try, or a moment outside any task.

    :param names: what stays the same over tries and clears of one task instance.
    :param try_number: counted from 1.
    :param started: seconds since the epoch at which the try began.
    :param execution_timeout: seconds after which Airflow ends the task; None where it never does.
    :param is_durable: whether another process can make the same names again.
    """

    names: Mapping[str, Any]
    try_number: int = 1
    started: float = field(default_factory=time.time)
    execution_timeout: float | None = None
    is_durable: bool = True

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Scope:
        """Return the scope of a running task."""
        ti = context["ti"]
        task = context.get("task") or getattr(ti, "task", None)
        limit = getattr(task, "execution_timeout", None)
        names = {"dag": ti.dag_id, "run": ti.run_id, "task": ti.task_id, "map": ti.map_index}
        started = ti.start_date.timestamp() if isinstance(ti.start_date, datetime) else time.time()
        return cls(names, max(ti.try_number, 1), started, limit.total_seconds() if limit else None)

    @classmethod
    def outside(cls) -> Scope:
        """Return a random scope, for a conversion that belongs to no task."""
        return cls({"random": secrets.token_hex(16)}, is_durable=False)

    def call_number(self, seed: Mapping[str, Any]) -> int:
        """Return how many equal conversions this try has finished: the next one is another."""
        with _calls_lock:
            return _calls.get(self._call_key(seed), 0)

    def count_call(self, seed: Mapping[str, Any]) -> None:
        """Note that a conversion has ended well."""
        key = self._call_key(seed)
        with _calls_lock:
            _calls[key] = _calls.get(key, 0) + 1

    def _call_key(self, seed: Mapping[str, Any]) -> str:
        # The try is in the key: a process that runs a task twice counts from 0 each time.
        return seed_text(
            {"seed": seed, "names": self.names, "try": self.try_number, "started": self.started}
        )
