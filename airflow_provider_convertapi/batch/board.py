"""Show a batch's progress in Airflow's task state store (Airflow 3.3), without delaying the batch.

This module may change from release to release.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

KEY = "progress"
"""The key under which Airflow's page and its REST API show the progress."""

INTERVAL = 5.0
"""Seconds between two writes."""

LAST_WAIT = 5.0
"""Seconds for which a task waits for its last write before it ends or defers."""


@dataclass(slots=True)
class ProgressBoard:
    """Write the newest progress in a separate thread, one write at a time.

    A write that fails is skipped; one that hangs delays only the writes after it.

    :param keep: writes the progress; it may raise, and may never return.
    :param last_wait: seconds for which `close` waits.
    """

    keep: Callable[[Mapping[str, Any]], None]
    log: logging.Logger
    last_wait: float = LAST_WAIT
    _newest: Mapping[str, Any] | None = field(default=None, init=False)
    _is_writing: bool = field(default=False, init=False)
    _is_closed: bool = field(default=False, init=False)
    _has_failed: bool = field(default=False, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)

    def post(self, values: Mapping[str, Any]) -> None:
        """Write these values soon; they replace values that are not written yet."""
        with self._changed:
            self._newest = values
            if self._thread is None:
                # A daemon: a write that hangs must not keep the process of a finished task alive.
                self._thread = threading.Thread(target=self._work, name="progress", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self, values: Mapping[str, Any]) -> None:
        """Write the last values; wait for that at most `last_wait` seconds."""
        self.post(values)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._newest is None and not self._is_writing, self.last_wait
            )

    def _work(self) -> None:
        while (values := self._next()) is not None:
            try:
                self.keep(values)
            except Exception as error:  # noqa: BLE001 - whatever it is, the batch is what matters
                if not self._has_failed:
                    _warn(self.log, error)
                self._has_failed = True
            finally:
                with self._changed:
                    self._is_writing = False
                    self._changed.notify_all()

    def _next(self) -> Mapping[str, Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._is_closed)
            values, self._newest = self._newest, None
            self._is_writing = values is not None
            return values


@dataclass(slots=True)
class LastOnly:
    """Write only the last progress, in the caller's thread.

    `dag.test()` runs the task in its supervisor's process, which serves one thread at a time.
    """

    keep: Callable[[Mapping[str, Any]], None]
    log: logging.Logger

    def post(self, values: Mapping[str, Any]) -> None:
        """Do nothing."""

    def close(self, values: Mapping[str, Any]) -> None:
        """Write the last values."""
        try:
            self.keep(values)
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch is what matters
            _warn(self.log, error)


Board = ProgressBoard | LastOnly
"""Where a batch shows its progress."""


def _warn(log: logging.Logger, error: Exception) -> None:
    # Only the class: the text of the error may hold the values, or anything else.
    log.warning("Progress cannot be shown (%s); the log has it.", type(error).__name__)


def board_of(context: Mapping[str, Any], log: logging.Logger) -> Callable[[], Board] | None:
    """Return a function that makes the board of a task; None if Airflow has no such store."""
    store = context.get("task_state_store")
    if store is None:
        return None
    keep = partial(store.set, KEY)
    return partial(LastOnly if _is_beside_supervisor() else ProgressBoard, keep, log)


def _is_beside_supervisor() -> bool:
    """Tell whether the task runs in its supervisor's process, which serves one thread at a time."""
    # In a worker, `CommsDecoder` (airflow/sdk/execution_time/comms.py) has a lock around each
    # request. `InProcessSupervisorComms` (supervisor.py in the same directory) has none: a second
    # thread could get the answer to another thread's request.
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    comms = getattr(runner, "SUPERVISOR_COMMS", None)
    return comms is not None and not hasattr(comms, "_thread_lock")
