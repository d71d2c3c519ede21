"""What a batch shows while it runs: numbers only, and never at the batch's expense."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import BatchFailedError, QuotaExhaustedError
from tests.airflow_api import TaskDeferred
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from tests.batch.nights import Night

WAIT = 20.0


class Store:
    """Airflow's task state store, as far as a task knows it."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Any]] = []

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self.written.append((key, value))

    @property
    def last(self) -> Any:
        """Return the value that stands."""
        return self.written[-1][1]


class BrokenStore(Store):
    """One that refuses."""

    def set(self, key: str, value: Any) -> None:
        """Fail."""
        raise RuntimeError(key, value)


class SilentStore(Store):
    """One that never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = threading.Event()

    def set(self, key: str, value: Any) -> None:
        """Wait until the test ends."""
        assert self.ends.wait(WAIT)
        super().set(key, value)


def run(night: Night, store: Any, **arguments: Any) -> dict[str, Any]:
    """Run a batch whose Airflow has a task state store."""
    operator = night.operator(arguments)
    context = {"ti": TaskInstance(), "task": operator, "task_state_store": store}
    summary: dict[str, Any] = operator.execute(context=context)
    return summary


@pytest.mark.parametrize("durable", [True, False])
def test_last_progress_is_the_summary(night: Night, durable: bool) -> None:
    """A first value comes before the first file; the last one is what the task returns."""
    night.write("a.txt", "b.txt")
    night.run()
    night.write("c.txt", "d.txt")
    (night.source / "broken.docx").write_bytes(b"no document at all")
    store = Store()

    summary = run(night, store, durable=durable, failure_policy="never")

    assert {"progress"} == {key for key, _ in store.written}
    assert store.last == {
        "done": summary["converted"],
        "failed": summary["failed"],
        "reused": summary["reused"],
        "left": summary["not_attempted"],
        "cost": summary["cost"],
        "throttled": 0,
        "seconds_left": 0,
    }
    assert (2, 1, 2) == (summary["converted"], summary["failed"], summary["reused"])


def test_deferred_batch_shows_it_before_it_sleeps(night: Night) -> None:
    """What is reused is known, and the rest is left."""
    night.write("a.txt")
    night.run()
    night.write("b.txt")
    store = Store()

    with pytest.raises(TaskDeferred):
        run(night, store, deferrable=True)

    assert (0, 1, 1) == tuple(store.last[name] for name in ("done", "reused", "left"))


def test_failed_and_halted_batches_show_their_end(night: Night) -> None:
    """Also where the task raises: what is left, and what the service refused."""
    night.write("a.txt", "b.txt")
    night.sandbox.balance = 0
    store = Store()
    with pytest.raises(QuotaExhaustedError):
        run(night, store)
    assert (0, 2, 0) == tuple(store.last[name] for name in ("done", "left", "cost"))

    night.sandbox.balance = 10
    (night.source / "a.txt").unlink()
    (night.source / "b.txt").unlink()
    (night.source / "broken.docx").write_bytes(b"no document at all")
    with pytest.raises(BatchFailedError):
        run(night, store)
    assert (1, 0, 1) == tuple(store.last[name] for name in ("failed", "left", "cost"))


def test_refusals_for_load_are_counted(night: Night) -> None:
    """A service that is too busy twice."""
    night.write("a.txt")
    night.sandbox.fail("POST /async/convert", status=503, headers={"Retry-After": "0"}, times=2)
    store = Store()

    run(night, store)

    assert (1, 2) == (store.last["done"], store.last["throttled"])


def test_store_that_fails_or_hangs_harms_nothing(night: Night) -> None:
    """The batch converts, and its task ends."""
    night.write("a.txt")
    assert 1 == run(night, BrokenStore())["converted"]

    night.write("b.txt")
    silent = SilentStore()
    assert 1 == run(night, silent)["converted"]
    silent.ends.set()
