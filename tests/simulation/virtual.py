"""Virtual time: for worker, triggerer and stores, in one thread."""

from __future__ import annotations

import asyncio
import selectors
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.pool import WorkerPool
from airflow_provider_convertapi.clock import Clock

if TYPE_CHECKING:
    import threading

BEGINNING = 1_800_000_000.0
"""Seconds since the epoch at which every story begins."""


@dataclass
class Moment:
    """The present.

    :param elapsed: seconds since the story began; small, so that no rounding can stop the time.
    """

    elapsed: float = 0.0

    @property
    def now(self) -> float:
        """Return seconds since the epoch."""
        return BEGINNING + self.elapsed

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.elapsed += max(seconds, 0.0)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let time pass unless the event is set; nobody sets it meanwhile."""
        if not event.is_set():
            self.sleep(seconds)
        return event.is_set()

    def clock(self) -> Clock:
        """Return the clock that the provider gets."""
        return Clock(lambda: self.now, lambda: self.elapsed, self.sleep, self.wait)


class _Skipping(selectors.SelectSelector):
    """Let virtual time pass where a loop would wait."""

    def __init__(self, moment: Moment) -> None:
        super().__init__()
        self.moment = moment

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready; without anything, time passes at once."""
        if timeout is None:
            return super().select(None)
        if timeout > 0:
            self.moment.sleep(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self, moment: Moment) -> None:
        self.moment = moment
        super().__init__(_Skipping(moment))

    def time(self) -> float:
        """Return the present."""
        return self.moment.elapsed


class _Passing:
    """Stands for a condition of a pool that has one thread: nobody else can meet it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._clock.sleep(seconds)

    def notify(self, count: int = 1) -> None:
        """Do nothing."""

    def notify_all(self) -> None:
        """Do nothing."""


class InlinePool(WorkerPool[Any]):
    """Run the tasks of a batch one after the other, in the thread that waits for them."""

    def __post_init__(self) -> None:
        passing: Any = _Passing(self.clock)
        self._may_enter = self._may_take = self._all_done = passing

    def start(self) -> None:
        """Start nothing."""

    def wait(self, seconds: float) -> None:
        """Run the next task, once there is one."""
        if not self._is_done():
            self._step()

    def _take(self) -> Any:
        """Return what runs the next cleanup or task; None once all is done."""
        while True:
            if self._cleanups:
                return partial(self._do_cleanup, self._cleanups.popleft())
            now = self.clock.monotonic()
            entry = None if self._stopped else self._next_task(now)
            if entry is not None:
                self._taken += 1
                return partial(self._do, entry)
            if self._is_done():
                return None
            self.clock.sleep(self._until_next(now))

    def _step(self) -> bool:
        work = self._take()
        if work is not None:
            work(self.slots[0])
        return work is not None

    def close(self) -> None:
        """Run what is left, and raise the error of a task."""
        self._closing = True
        while self._step():
            pass
        if self.error is not None:
            raise self.error

    def abandon(self, seconds: float) -> bool:
        """Forget what is left."""
        self._stopped = self._closing = True
        self._cleanups.clear()
        return True
