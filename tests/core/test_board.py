"""Progress is shown by a thread that may fail or hang, and nothing waits for it for long."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.batch.board import LastOnly, ProgressBoard

if TYPE_CHECKING:
    from collections.abc import Mapping

LOG = logging.getLogger("task")
WAIT = 10.0


class Store:
    """A store whose writes the test lets through, one by one."""

    def __init__(self) -> None:
        self.kept: list[Mapping[str, Any]] = []
        self.came = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def keep(self, values: Mapping[str, Any]) -> None:
        """Write once the test lets it."""
        self.came.release()
        assert self.may_end.acquire(timeout=WAIT)
        self.kept.append(values)


def test_last_values_are_written() -> None:
    """Whatever was skipped before: the newest values replace those that still wait."""
    store = Store()
    board = ProgressBoard(store.keep, LOG)

    board.post({"done": 1})
    assert store.came.acquire(timeout=WAIT)
    board.post({"done": 2})
    board.post({"done": 3})
    store.may_end.release(3)
    board.close({"done": 4})

    assert store.kept[0] == {"done": 1}
    assert store.kept[-1] == {"done": 4}
    assert len(store.kept) <= 3


def test_write_that_hangs_holds_up_nothing() -> None:
    """No second thread is started, and the end waits for a bounded time."""
    store, before = Store(), threading.active_count()
    board = ProgressBoard(store.keep, LOG, last_wait=0.01)

    for number in range(100):
        board.post({"done": number})
    board.close({"done": 100})

    assert store.kept == []
    assert threading.active_count() <= before + 1
    store.may_end.release(101)


@pytest.mark.parametrize("kind", [ProgressBoard, LastOnly])
def test_write_that_fails_is_said_once(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The class of the error is enough: its text may hold anything."""

    def keep(values: Mapping[str, Any]) -> None:
        raise OSError(f"secret {values}")

    board = kind(keep, LOG)
    board.post({"done": 1})
    board.close({"done": 2})

    assert caplog.messages == ["Progress cannot be shown (OSError); the log has it."]


def test_thread_ends_with_its_board() -> None:
    """A process may run many batches."""
    kept: list[Any] = []
    others = set(threading.enumerate())
    board = ProgressBoard(kept.append, LOG)

    board.close({"done": 1})

    for thread in set(threading.enumerate()) - others:
        thread.join(WAIT)
        assert not thread.is_alive()
    assert kept == [{"done": 1}]
