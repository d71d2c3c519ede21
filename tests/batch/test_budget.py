"""`max_conversions` bounds what a task instance pays, whatever a file turns out to cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    BatchFailedError,
    BudgetExceededError,
    TransientBatchFailedError,
)
from tests.batch.test_waves import run_deferred
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from tests.batch.nights import Night

STEPS = [{"to_format": "protect", "parameters": {"UserPassword": "x"}}]
MODES = pytest.mark.parametrize(
    "mode",
    [
        {"durable": False},
        {},
        {"deferrable": True},
        {"steps": STEPS},
        {"steps": STEPS, "deferrable": True},
    ],
    ids=["direct", "durable", "deferrable", "steps", "steps deferrable"],
)
JOBS = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferrable"])


def run(night: Night, ti: TaskInstance | None = None, **arguments: Any) -> dict[str, Any]:
    """Run one try to its end, in the worker or with a triggerer."""
    if arguments.get("deferrable"):
        summary: dict[str, Any] = run_deferred(night, ti, **arguments)[0]
        return summary
    return night.run(ti, **arguments)


def priced(night: Night, mode: dict[str, Any], each: int) -> int:
    """Let every conversion cost so much; return what a file costs then."""
    night.sandbox.settings.conversion_cost = each
    return each * (2 if "steps" in mode else 1)


@MODES
def test_cost_is_learned_from_the_first_file(night: Night, mode: dict[str, Any]) -> None:
    """Nobody knows beforehand what a file costs, so that the first one goes alone."""
    night.write(*(f"{number}.txt" for number in range(6)))
    night.sandbox.settings.latency = 0.1
    price = priced(night, mode, 3)

    with pytest.raises(BudgetExceededError, match="2 of 6 files"):
        run(night, max_conversions=3 * price - 1, **mode)

    assert 2 * price == night.sandbox.billed
    assert 2 == len(night.outputs())


@MODES
def test_cost_is_known_from_earlier_nights(night: Night, mode: dict[str, Any]) -> None:
    """What the manifest says of a format counts for the first file already."""
    price = priced(night, mode, 3)
    night.write("a.txt")
    run(night, TaskInstance(run_id="one"), **mode)
    night.write("b.txt", "c.txt")

    with pytest.raises(BudgetExceededError, match="0 of 3 files"):
        run(night, TaskInstance(run_id="two"), max_conversions=price - 1, **mode)

    assert price == night.sandbox.billed


@MODES
def test_budget_that_suffices_is_used_up(night: Night, mode: dict[str, Any]) -> None:
    """Files wait for each other near the end of the budget, and then go on."""
    price = priced(night, mode, 2)
    night.write("a.txt")
    run(night, TaskInstance(run_id="one"), **mode)
    price = priced(night, mode, 1)
    night.write(*(f"{number}.txt" for number in range(7)))

    # With the earlier, higher price for each of four at a time it would not suffice.
    summary = run(night, TaskInstance(run_id="two"), max_conversions=8 * price, **mode)

    assert {"converted": 7, "reused": 1, "cost": 7 * price}.items() <= summary.items()


@MODES
def test_other_formats_are_learned_one_by_one(night: Night, mode: dict[str, Any]) -> None:
    """Each source format has a first file, and no two of those go at once."""
    night.write("a.txt", "b.md", "c.html", "d.txt", "e.md", "f.html")
    night.sandbox.settings.latency = 0.1
    price = priced(night, mode, 3)

    with pytest.raises(BudgetExceededError, match="2 of 6 files"):
        run(night, max_conversions=2 * price, **mode)

    assert 2 * price == night.sandbox.billed


@MODES
def test_failure_says_nothing_about_the_price(night: Night, mode: dict[str, Any]) -> None:
    """A damaged file is billed once; a good one after it still goes alone."""
    night.write(*(f"{number}.txt" for number in range(6)))
    night.sandbox.settings.latency = 0.1
    night.sandbox.fail("POST /*", verdict=5002, times=1)
    price = priced(night, mode, 3)

    with pytest.raises(BudgetExceededError):
        run(night, max_conversions=3 * price - 1, **mode)

    assert night.sandbox.billed <= 3 * price - 1


@MODES
def test_throttled_first_file_does_not_block_the_others(night: Night, mode: dict[str, Any]) -> None:
    """The file whose cost is waited for is refused by a busy service, and tried again."""
    night.write(*(f"{number}.txt" for number in range(6)))
    night.sandbox.fail("POST /*", status=503, headers={"Retry-After": "0"}, times=3)
    price = priced(night, mode, 1)

    summary = run(night, max_conversions=6 * price, **mode)

    assert {"converted": 6, "cost": 6 * price}.items() <= summary.items()


@JOBS
@pytest.mark.once
def test_paid_jobs_that_are_forgotten_are_not_free(night: Night, deferrable: bool) -> None:
    """Where the service forgets early, what was thought to be paid is reserved at the POST."""
    names = [f"{number}.txt" for number in range(5)]
    night.write(*names)
    night.sandbox.fail("POST /async/convert/*", wrong_size=1, times=5)
    given = {"max_conversions": 5, "deferrable": deferrable}
    with pytest.raises(BatchFailedError, match="5 conversions were paid now"):
        run(night, TaskInstance(1, 1), **given)
    night.sandbox.vanish_job()
    night.sandbox.expire_files()

    with pytest.raises(BudgetExceededError, match="max_conversions=5"):
        run(night, TaskInstance(2, 1), **given)

    assert 5 == night.sandbox.billed


@JOBS
def test_forgotten_steps_are_not_free(night: Night, deferrable: bool) -> None:
    """The same for the first step of a chain that a try left half-done."""
    night.write("a.txt", "b.txt")
    night.sandbox.fail("POST /async/convert/pdf/to/protect", drop="before", times=12)
    given = {"steps": STEPS, "max_conversions": 4, "deferrable": deferrable}
    with pytest.raises(TransientBatchFailedError, match=r"\. 2 conversions were paid now"):
        run(night, TaskInstance(1, 1), **given)
    night.sandbox.clear_faults()
    night.sandbox.vanish_job()

    with pytest.raises(BudgetExceededError):
        run(night, TaskInstance(2, 1), **given)

    assert night.sandbox.billed <= 4
