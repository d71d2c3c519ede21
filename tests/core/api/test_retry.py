"""When to ask again: bounds, growth, and whose word counts."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.api.retry import Backoff, poll_delays
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConversionTimeoutError,
    QuotaExhaustedError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from airflow_provider_convertapi.errors import (
        ConvertApiError,
    )

BROKEN = TransportError("reset")
BUSY = ThrottledError("busy")


def exact(**changes: float) -> Backoff:
    """Return a backoff without jitter."""
    return Backoff(jitter=lambda: 0.0, **changes)  # type: ignore[arg-type]


def test_trouble_on_the_wire_doubles() -> None:
    """A quarter of a second, doubled; the fifth attempt is the last."""
    assert [0.25, 0.5, 1.0, 2.0, None] == [exact().delay(n, BROKEN) for n in range(1, 6)]


def test_growth_has_a_cap() -> None:
    """However many attempts there are, no wait is longer than the cap."""
    delays = [exact(attempts=5000).delay(n, BROKEN) for n in (5, 6, 7, 100, 4999)]

    assert [4.0, 8.0, 8.0, 8.0, 8.0] == delays


def test_throttling_waits_5_10_15() -> None:
    """ConvertAPI's own advice, without end: the caller's time bounds it."""
    assert [5.0, 10.0, 15.0, 15.0, 15.0] == [exact().delay(n, BUSY) for n in (1, 2, 3, 4, 999)]


@pytest.mark.parametrize(
    ("asked", "waits"), [(7.0, 7.0), (120.0, 120.0), (0.0, 0.25), (0.1, 0.25), (None, 5.0)]
)
def test_retry_after_counts(asked: float | None, waits: float) -> None:
    """What the service asks for is done, but never without a pause."""
    assert waits == exact().delay(1, ThrottledError("busy", asked))


@pytest.mark.parametrize("jitter", [0.0, 0.3, 0.999])
@pytest.mark.parametrize(("error", "least"), [(BROKEN, 0.5), (BUSY, 10.0)])
def test_jitter_adds_up_to_a_quarter(jitter: float, error: ConvertApiError, least: float) -> None:
    """Many tasks do not come back at once, and none comes back early."""
    delay = Backoff(jitter=lambda: jitter).delay(2, error)

    assert pytest.approx(least * (1 + jitter / 4)) == delay


def test_no_wait_is_longer_than_the_retention() -> None:
    """Not even with jitter: by then the job that waits is forgotten."""
    backoff = Backoff(jitter=lambda: 1.0)

    assert 7200 == backoff.delay(1, ThrottledError("busy", 7200.0))
    assert 7200 == backoff.delay(1, ThrottledError("busy", 6500.0))


def test_jitter_is_random_by_default() -> None:
    """Two tasks of the same kind wait differently."""
    assert 1 < len({Backoff().delay(1, BROKEN) for _ in range(20)})


@pytest.mark.parametrize(
    "error", [QuotaExhaustedError("m"), AuthenticationError("m"), UnexpectedAnswerError("m")]
)
def test_permanent_errors_are_not_waited_out(error: ConvertApiError) -> None:
    """An error that waiting does not cure is given up at once."""
    assert None is exact().delay(1, error)
    assert None is exact().delay_of_free_call(1, error, 1000.0)


def test_other_transient_errors_are_counted() -> None:
    """Whatever is transient is bounded like trouble on the wire."""
    assert 0.25 == exact().delay(1, ConversionTimeoutError("m"))


@pytest.mark.parametrize(
    ("attempt", "left", "delay"),
    [(1, 100.0, 5.0), (1, 5.0, None), (1, 5.01, 5.0), (50, 100.0, 15.0), (1, -1.0, None)],
)
def test_throttled_free_call_with_a_deadline(
    attempt: int, left: float, delay: float | None
) -> None:
    """Throttling is waited out as long as the caller has time."""
    assert delay == exact().delay_of_free_call(attempt, BUSY, left)


@pytest.mark.parametrize(
    ("attempt", "asked", "delay"),
    [(1, None, 5.0), (4, None, 15.0), (5, None, None), (1, 3600.0, None)],
)
def test_throttled_free_call_without_a_deadline(
    attempt: int, asked: float | None, delay: float | None
) -> None:
    """Without a deadline it is given up after some waits, or where the service asks for an hour."""
    assert delay == exact().delay_of_free_call(attempt, ThrottledError("busy", asked), None)


@pytest.mark.parametrize("left", [None, -1.0, 100.0])
def test_broken_free_call(left: float | None) -> None:
    """Trouble on the wire is bounded by its attempts alone."""
    delays = [exact().delay_of_free_call(n, BROKEN, left) for n in range(1, 6)]

    assert [0.25, 0.5, 1.0, 2.0, None] == delays


@pytest.mark.parametrize("poll_interval", [0.1, 0.25, 1.0, 10.0, 600.0])
def test_polls_start_soon_and_grow(poll_interval: float) -> None:
    """The first polls come within half a second; none is further off than the user's interval."""
    delays = list(islice(poll_delays(poll_interval), 60))

    assert max(delays[:2]) <= 0.5
    assert sorted(delays) == delays
    assert poll_interval == max(delays) == delays[-1]
    assert min(delays) == min(0.25, poll_interval)


def test_short_conversions_are_noticed_soon() -> None:
    """A conversion of two seconds is not noticed after ten: what is lost is half its length."""
    moments = []
    total = 0.0
    for delay in islice(poll_delays(10.0), 12):
        total += delay
        moments.append(total)

    for length in (0.2, 1.0, 2.0, 5.0, 15.0):
        noticed = next(moment for moment in moments if moment >= length)
        assert noticed - length <= max(0.3, length / 2)
