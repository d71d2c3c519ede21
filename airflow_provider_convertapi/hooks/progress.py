"""Show a task's progress in Airflow's task state store, which Airflow has from 3.3 on.

This module may change from release to release.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.board import LastOnly, ProgressBoard

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

    from airflow_provider_convertapi.batch.board import Board

KEY = "progress"
"""The key under which Airflow's page and its REST API show the progress."""


def board_of(context: Mapping[str, Any], log: logging.Logger) -> Callable[[], Board] | None:
    """Return a function that makes the board of a task; None if Airflow has no such store."""
    store = context.get("task_state_store")
    if store is None:
        return None
    keep = partial(store.set, KEY)
    return partial(LastOnly if _is_beside_supervisor() else ProgressBoard, keep, log)


def _is_beside_supervisor() -> bool:
    """Tell whether the task runs in its supervisor's process, which serves one thread at a time."""
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    comms = getattr(runner, "SUPERVISOR_COMMS", None)
    return comms is not None and not hasattr(comms, "_thread_lock")
