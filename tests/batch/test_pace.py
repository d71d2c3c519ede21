"""The limit and the pool: arithmetic in a simulated service, threads with real ones."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

import pytest

from airflow_provider_convertapi.api.retry import Backoff
from airflow_provider_convertapi.batch.limit import (
    FIRST_SPACING,
    RAMP,
    ConcurrencyLimit,
    PollSchedule,
)
from airflow_provider_convertapi.batch.pool import SPARE, Permit, WorkerPool
from airflow_provider_convertapi.errors import ThrottledError


def simulated(
    limit: ConcurrencyLimit, capacity: int, conversions: int
) -> tuple[int, int, list[int]]:
    """Convert at a service that takes `capacity` at once; return refusals, answers, and limits."""
    now, refused, done, limits = 0.0, 0, 0, []
    running: list[tuple[float, int]] = []
    while done < conversions:
        while len(running) < limit.limit:
            number = limit.start(len(running))
            if len(running) >= capacity:
                refused += 1
                limit.refused(number, len(running))
            else:
                heapq.heappush(running, (now + 1 + (number % 7) / 10, number))
            limits.append(limit.limit)
        now, _ = heapq.heappop(running)
        done += 1
        limit.ended()
    return refused, done + refused, limits


@pytest.mark.parametrize("capacity", [1, 4, 10])
def test_pace_settles_near_what_the_service_takes(capacity: int) -> None:
    """Few refusals on the way down, fewer while it probes, and no collapse."""
    refused, answers, limits = simulated(ConcurrencyLimit(32), capacity, 1000)

    tail = limits[len(limits) // 2 :]
    assert 0.05 > refused / answers
    assert capacity * 0.6 <= sum(tail) / len(tail) <= capacity + 1


def test_pace_goes_back_to_full_speed() -> None:
    """A service that was busy for a moment is used in full again."""
    limit = ConcurrencyLimit(8)
    limit.refused(limit.start(0), 0)

    _, _, limits = simulated(limit, 8, 500)

    assert 8 == limits[-1]


def test_one_round_halves_once() -> None:
    """Refusals of conversions that started together count as one."""
    limit = ConcurrencyLimit(16)
    numbers = [limit.start(others) for others in range(16)]

    for number in numbers:
        limit.refused(number, 15)

    assert 8 == limit.limit


def test_first_starts_are_spread() -> None:
    """A few milliseconds between the first, nothing for the others."""
    limit = ConcurrencyLimit(10)
    spread = 0.0
    for others in range(10):
        spread += limit.spacing(others)
        limit.start(others)

    assert pytest.approx(10 * FIRST_SPACING) == spread
    assert spread < 0.1
    assert 0 == limit.spacing(9)


def test_one_that_takes_the_place_of_another_does_not_wait() -> None:
    """A short conversion that ends while the others are still to start leaves no place empty."""
    limit = ConcurrencyLimit(10)
    for others in range(4):
        limit.start(others)

    assert (0.0, FIRST_SPACING) == (limit.spacing(3), limit.spacing(4))


def test_starts_are_spread_anew_after_a_refusal() -> None:
    """What the service could not carry is not sent again in one burst."""
    limit = ConcurrencyLimit(16)
    numbers = [limit.start(others) for others in range(16)]
    limit.refused(numbers[-1], 15)

    assert RAMP / 8 == limit.spacing(0)


def wait_for(duration: float, schedule: PollSchedule) -> tuple[int, float]:
    """Poll a job that takes some seconds; return the polls and the seconds until it was seen."""
    polls, waited = 0, 0.0
    for delay in schedule.delays():
        waited, polls = waited + delay, polls + 1
        if waited >= duration:
            break
    return polls, waited


def test_rhythm_finds_how_long_jobs_take() -> None:
    """Once it is known, two polls do, and a job is seen within a tenth of its time."""
    schedule = PollSchedule(10.0)
    seen = [wait_for(2.0 + (number % 5) / 10, schedule) for number in range(60)][20:]

    assert 2.6 > sum(polls for polls, _ in seen) / len(seen)
    assert 2.2 * 1.12 > sum(waited for _, waited in seen) / len(seen)


def test_rhythm_keeps_the_longest_distance() -> None:
    """No two polls are further apart than the user wants, however long jobs take."""
    schedule = PollSchedule(1.0)
    wait_for(60, schedule)

    delays = schedule.delays()

    assert 1.0 >= max(next(delays) for _ in range(50))


def run(pool: WorkerPool[str]) -> None:
    """Run a pool to its end."""
    pool.start()
    while not pool.is_idle:
        pool.wait(0.05)
    pool.close()


Task = Callable[[str, Permit], None]


def pool_of(tasks: list[Task], most: int = 3, patience: float = 5.0) -> WorkerPool[str]:
    """Return a pool of two more than may be at the service, for which giving up is an error."""

    def give_up(task: Callable[..., None], error: ThrottledError) -> None:
        raise AssertionError

    names = [str(number) for number in range(most + SPARE)]
    backoff = Backoff(jitter=lambda: 0.0)
    return WorkerPool(names, iter(tasks), ConcurrencyLimit(most), give_up, patience, backoff)


def test_every_task_is_done_once_by_a_free_slot() -> None:
    """Never more at the service than may be; each slot serves one task at a time."""
    lock, done, busy, inside, most = threading.Lock(), list[int](), set[str](), [0], [0]

    def task(number: int) -> Task:
        def do(slot: str, permit: Permit) -> None:
            with lock:
                assert slot not in busy
                busy.add(slot)
            permit.acquire()
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.03)
            with lock:
                inside[0] -= 1
            permit.release()
            with lock:
                busy.remove(slot)
                done.append(number)

        return do

    run(pool_of([task(number) for number in range(40)]))

    assert list(range(40)) == sorted(done)
    assert 3 == most[0]


def test_next_is_at_the_service_while_one_is_published() -> None:
    """What follows the answer takes no permit."""
    order: list[str] = []
    published = threading.Event()

    def first(slot: str, permit: Permit) -> None:
        permit.acquire()
        permit.release()
        assert published.wait(5)
        order.append("first is published")

    def second(slot: str, permit: Permit) -> None:
        permit.acquire()
        order.append("second is at the service")
        published.set()

    run(pool_of([first, second], most=1))

    assert ["second is at the service", "first is published"] == order


def test_throttled_task_waits_without_a_turn() -> None:
    """While one waits for a busy service, the others have their turns."""
    order: list[str] = []
    entered = threading.Event()

    def busy_once(slot: str, permit: Permit) -> None:
        permit.acquire()
        entered.set()
        order.append("refused" if not order else "taken")
        if len(order) == 1:
            raise ThrottledError("busy", 1.5)  # a busy machine lets the others wait, too

    def other(slot: str, permit: Permit) -> None:
        assert entered.wait(5)
        permit.acquire()
        order.append("other")

    run(pool_of([busy_once, other, other], most=1))

    assert "refused" == order[0]
    assert "taken" == order[-1]


def test_task_is_given_up_when_its_time_is_over() -> None:
    """A service that is busy for too long costs the file, not the batch."""
    given_up: list[ThrottledError] = []

    def busy(slot: str, permit: Permit) -> None:
        permit.acquire()
        raise ThrottledError("busy", 0.05)

    pool = WorkerPool(
        ["0"],
        iter([busy]),
        ConcurrencyLimit(1),
        lambda _, error: given_up.append(error),
        0.12,
        Backoff(),
    )
    run(pool)

    assert 1 == len(given_up)


def test_stop_begins_nothing_new() -> None:
    """Tasks at the service may end; all others are reported, including those that wait for it."""
    begun, stopped = threading.Event(), threading.Event()
    ended: list[str] = []

    def slow(slot: str, permit: Permit) -> None:
        permit.acquire()
        begun.set()
        assert stopped.wait(20)
        ended.append("slow")

    def never(slot: str, permit: Permit) -> None:
        permit.acquire()
        raise AssertionError

    pool = pool_of([slow, *[never] * 5], most=1)
    pool.start()
    assert begun.wait(20)
    pool.stop()
    stopped.set()
    while not pool.is_idle:
        pool.wait(0.05)
    pool.close()

    assert ["slow"] == ended
    assert [never] * 5 == list(pool.leftover())


def test_error_of_a_thread_leaves_close() -> None:
    """An error that no task should have ends the pool, and is raised where it is waited for."""

    def broken(slot: str, permit: Permit) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        run(pool_of([broken] * 10, most=2))


def test_cleanups_are_done_between_tasks_and_after_them() -> None:
    """Chores need no turn, and the pool does not close before they are done."""
    done: list[str] = []
    pool = pool_of([lambda slot, turn: done.append("task")] * 3, most=1)
    pool.start()
    while not pool.is_idle:
        pool.wait(0.05)
    pool.add_cleanups([lambda slot: done.append("cleanup")] * 2)
    pool.close()

    assert ["task"] * 3 + ["cleanup"] * 2 == done


def test_burst_comes_down_to_what_was_carried() -> None:
    """Of a burst that is refused but for four, nothing more is started than those four."""
    limit = ConcurrencyLimit(32)
    numbers = [limit.start(others) for others in range(12)]

    for refused, number in enumerate(numbers[4:], 1):
        limit.refused(number, 12 - refused)

    assert 4 == limit.limit
