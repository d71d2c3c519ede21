"""A pool of threads that runs the tasks of a batch within its limits.

This module may change from release to release.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow_provider_convertapi.api.retry import Backoff
from airflow_provider_convertapi.batch.budget import PostponedError
from airflow_provider_convertapi.clock import SYSTEM_CLOCK
from airflow_provider_convertapi.errors import ThrottledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_provider_convertapi.batch.limit import ConcurrencyLimit
    from airflow_provider_convertapi.clock import Clock

Slot = TypeVar("Slot")

SPARE = 2
"""Tasks beyond those at the service: while one is published, the next can use the service."""

_CHECK = 0.5
"""The longest time in seconds for which a thread waits before it checks again."""


# Not an `Exception`, for the same reason as `PostponedError`.
class StoppedError(BaseException):
    """The pool was stopped before the task reached the service; `leftover` yields the task."""


@dataclass(slots=True)
class Permit:
    """A task's permission to use the service, of which there is a limited number."""

    pool: WorkerPool[Any] = field(repr=False)
    number: int = 0

    def acquire(self) -> None:
        """Wait until the limit allows one more task; return at once if the permit is held."""
        if not self.number:
            self.number = self.pool.admit()

    def release(self) -> None:
        """Return the permit, so that another task can use the service."""
        if self.number:
            self.number = 0
            self.pool.dismiss()


@dataclass(order=True, slots=True)
class _Entry:
    """A task, and how often the service was too busy for it.

    :param until: when it may start again; at the same time the lowest `order` comes first.
    :param deadline: when it is given up.
    """

    task: Callable[..., None] = field(compare=False)
    until: float = 0.0
    order: int = 0
    refusals: int = field(default=0, compare=False)
    deadline: float = field(default=math.inf, compare=False)


@dataclass(slots=True)
class WorkerPool(Generic[Slot]):
    """Run tasks with one thread for each slot; the limit decides how many may use the service.

    A task that raises `ThrottledError` waits without a slot and starts again, until its time is
    over; then `give_up` is called.  A task that raises `PostponedError` waits until another one has
    ended, and no new task starts meanwhile.  Any other exception ends the pool, and `close` raises
    it.

    :param slots: objects that one task at a time uses: clients with their connections.
    :param tasks: taken one by one when a slot is free; each gets its slot and its permit.
    :param give_up: called with a task and the error when the service was busy for too long.
    :param patience: seconds for which a throttled task is started again.
    :param spare: tasks that may run beyond those at the service.
    """

    slots: Sequence[Slot]
    tasks: Iterator[Callable[[Slot, Permit], None]]
    limit: ConcurrencyLimit
    give_up: Callable[[Callable[..., None], ThrottledError], None]
    patience: float
    backoff: Backoff = field(default_factory=Backoff)
    spare: int = SPARE
    clock: Clock = SYSTEM_CLOCK
    error: BaseException | None = field(default=None, init=False)
    _taken: int = field(default=0, init=False)
    _running: int = field(default=0, init=False)
    _waiting: list[_Entry] = field(default_factory=list, init=False)
    _postponed: deque[_Entry] = field(default_factory=deque, init=False)
    _is_held: bool = field(default=False, init=False)
    """Whether no task has ended since one was postponed."""
    _ended: int = field(default=0, init=False)
    _returned: list[Callable[..., None]] = field(default_factory=list, init=False)
    _cleanups: deque[Callable[[Slot], None]] = field(default_factory=deque, init=False)
    _stopped: bool = field(default=False, init=False)
    _drained: bool = field(default=False, init=False)
    _closing: bool = field(default=False, init=False)
    _next_start: float = field(default=0.0, init=False)
    _order: Iterator[int] = field(default_factory=count, init=False)
    # One lock, and one condition for each event that threads wait for: a file that ends wakes only
    # one thread.  Waking all of them took 72 thread switches for each file, this takes 18.
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)
    _may_enter: threading.Condition = field(init=False)
    _may_take: threading.Condition = field(init=False)
    _all_done: threading.Condition = field(init=False)
    _threads: list[threading.Thread] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._may_enter = threading.Condition(self._lock)
        self._may_take = threading.Condition(self._lock)
        self._all_done = threading.Condition(self._lock)

    def start(self) -> None:
        """Start the threads."""
        for slot in self.slots:
            # Daemons: a thread that hangs in a store must not keep a killed task's process alive.
            thread = threading.Thread(target=self._work, args=(slot,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Start no new task; those at the service may end, and cleanups still run."""
        with self._lock:
            self._stopped = True
            self._wake_all()

    def add_cleanups(self, cleanups: Iterable[Callable[[Slot], None]]) -> None:
        """Add cleanups, which any thread runs between tasks; an exception ends the pool."""
        with self._lock:
            self._cleanups.extend(cleanups)
            self._may_take.notify_all()

    @property
    def is_idle(self) -> bool:
        """Tell whether no task runs or is left; cleanups may be left."""
        with self._lock:
            return self._is_done()

    def wait(self, seconds: float) -> None:
        """Wait until no task runs or is left, at most for `seconds`."""
        with self._lock:
            if not self._is_done():
                self._all_done.wait(seconds)

    def leftover(self) -> Iterator[Callable[..., None]]:
        """Yield the tasks that never reached the service, once the pool has stopped."""
        yield from self._returned
        yield from (entry.task for entry in (*self._waiting, *self._postponed))
        yield from self.tasks

    def close(self) -> None:
        """Wait for all cleanups, and for the threads to end; raise their error."""
        with self._lock:
            self._closing = True
            self._may_take.notify_all()
        for thread in self._threads:
            thread.join()
        if self.error is not None:
            raise self.error

    def abandon(self, seconds: float) -> bool:
        """Stop the threads as soon as possible; tell whether they ended within `seconds`."""
        with self._lock:
            self._stopped = self._closing = True
            self._cleanups.clear()  # what they would delete, the service deletes within three hours
            self._wake_all()
        until = self.clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(until - self.clock.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads)

    # --- permits to be at the service --------------------------------------------------------

    def admit(self) -> int:
        """Wait until one more task may use the service; return its number."""
        with self._lock:
            while not self._stopped:
                now = self.clock.monotonic()
                if self._running < self.limit.limit and self._is_spread(now):
                    self._running += 1
                    return self.limit.start(self._running - 1)
                self._may_enter.wait(self._until_next(now))
        raise StoppedError

    def _is_spread(self, now: float) -> bool:
        """Tell whether one more task may start now; if so, delay the next ones."""
        spacing = self.limit.spacing(self._running)
        if spacing:
            if now < self._next_start:
                return False
            self._next_start = now + spacing
        return True

    def dismiss(self) -> None:
        """Note that the service has answered one task, with or without success."""
        with self._lock:
            self._running -= 1
            self.limit.ended()
            self._may_enter.notify(max(self.limit.limit - self._running, 0))
            self._may_take.notify(max(self.limit.limit + self.spare - self._taken, 0))
        self.clock.sleep(0)  # yield the interpreter to the thread that was woken

    # --- threads -----------------------------------------------------------------------------

    def _work(self, slot: Slot) -> None:
        while (work := self._take()) is not None:
            work(slot)

    def _take(self) -> Callable[[Slot], None] | None:
        """Wait for a cleanup or a task, and return what runs it; None when all is done."""
        with self._lock:
            while True:
                # Cleanups come first: they are short, and no document should stay for long.
                if self._cleanups:
                    return partial(self._do_cleanup, self._cleanups.popleft())
                if self._closing and self._is_done():
                    return None
                now = self.clock.monotonic()
                if not self._stopped and self._taken < self.limit.limit + self.spare:
                    entry = self._next_task(now)
                    if entry is not None:
                        self._taken += 1
                        return partial(self._do, entry)
                self._may_take.wait(self._until_next(now))

    def _next_task(self, now: float) -> _Entry | None:
        if self._waiting and self._waiting[0].until <= now:
            return heapq.heappop(self._waiting)
        if self._postponed:
            return None if self._is_held else self._postponed.popleft()
        if self._drained:
            return None
        task = next(self.tasks, None)
        if task is not None:
            return _Entry(task)
        self._drained = True
        if self._is_done():
            self._wake_all()
        return None

    def _until_next(self, now: float) -> float:
        moments = [self._next_start - now]
        if self._waiting:
            moments.append(self._waiting[0].until - now)
        return min([moment for moment in moments if moment > 0], default=_CHECK)

    def _is_done(self) -> bool:
        if self._stopped:
            return self._taken == 0
        is_left = self._waiting or self._postponed
        return self._drained and not is_left and self._taken == 0

    def _do_cleanup(self, cleanup: Callable[[Slot], None], slot: Slot) -> None:
        try:
            cleanup(slot)
        except BaseException as error:  # noqa: BLE001 - `close` raises it in the main thread
            self._fail(error)

    def _do(self, entry: _Entry, slot: Slot) -> None:
        permit, ended, is_postponed = Permit(self), self._ended, False
        try:
            try:
                entry.task(slot, permit)
            except ThrottledError as error:
                self._refused(entry, permit, error)
            except PostponedError:
                is_postponed = True
                self._postpone(entry, permit, ended)
            except StoppedError:
                self._returned.append(entry.task)
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(error)
        # A task that failed may still hold its permit.
        permit.release()
        with self._lock:
            self._taken -= 1
            if not is_postponed:
                self._ended += 1
                self._is_held = False
            self._may_take.notify()  # another thread: this one may have a cleanup to do first
            if self._is_done():
                self._wake_all()

    def _wake_all(self) -> None:
        for condition in (self._may_enter, self._may_take, self._all_done):
            condition.notify_all()

    def _fail(self, error: BaseException) -> None:
        self.error = self.error or error
        self.stop()

    def _postpone(self, entry: _Entry, permit: Permit, ended: int) -> None:
        """Keep a task until another one has ended.

        :param ended: number of tasks that had ended when it was taken; if more have ended since, it
            may run again at once.
        """
        with self._lock:
            self._leave_service(permit)
            self._postponed.appendleft(entry)
            self._is_held = self._ended == ended

    def _leave_service(self, permit: Permit) -> None:
        """Take a permit back; unlike with `dismiss`, this does not count as an answer."""
        if permit.number:
            self._running -= 1
            permit.number = 0

    def _refused(self, entry: _Entry, permit: Permit, error: ThrottledError) -> None:
        now = self.clock.monotonic()
        entry.refusals += 1
        # The time counts from the first refusal.
        entry.deadline = min(entry.deadline, now + self.patience)
        entry.until = now + (self.backoff.delay(entry.refusals, error) or 0)
        gives_up = entry.until > entry.deadline
        with self._lock:
            if number := permit.number:
                self._leave_service(permit)
                self.limit.refused(number, self._running)
            if not gives_up:
                entry.order = next(self._order)
                heapq.heappush(self._waiting, entry)
                self._wake_all()  # waiting threads must take this task's time into account
        if gives_up:
            self.give_up(entry.task, error)
