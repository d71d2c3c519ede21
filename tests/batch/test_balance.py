"""The account's balance before a batch: what the log says, and what `on_insufficient` does."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    BudgetExceededError,
    ConvertApiError,
    QuotaExhaustedError,
    ThrottledError,
    TransientBatchFailedError,
    TransportError,
)
from airflow_provider_convertapi.failures import (
    AuthenticationFailure,
    QuotaExhaustedFailure,
    UnexpectedAnswerFailure,
)
from tests.batch.test_budget import JOBS, MODES, priced, run
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from convertapi_sandbox import Sandbox
    from tests.batch.nights import Night

ENOUGH = 3
"""Conversions of the account; one file less than it takes is written."""


@pytest.fixture
def sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Provide a sandbox whose connection has the master token."""
    connect(sandbox, monkeypatch, master_token=sandbox.master_token)
    return sandbox


def connect(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, **extra: Any) -> None:
    """Let the connection lead to the sandbox with these extras."""
    connection = {**sandbox.airflow_connection, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", json.dumps(connection))


def fill(night: Night, files: int, mode: dict[str, Any]) -> None:
    """Write some files, and leave conversions for three of them."""
    night.write(*(f"{number}.txt" for number in range(files)))
    night.sandbox.balance = ENOUGH * (2 if "steps" in mode else 1)


def skipped() -> type[BaseException]:
    """Return what skips a task."""
    from airflow_provider_convertapi.airflow_names import AirflowSkipException

    return AirflowSkipException


@pytest.mark.parametrize("choice", ["fail", "skip", "partial"])
@JOBS
def test_balance_that_suffices(night: Night, choice: str, *, deferrable: bool) -> None:
    """With as many conversions as files every choice converts everything."""
    mode: dict[str, Any] = {"deferrable": deferrable}
    fill(night, ENOUGH, mode)

    summary = run(night, on_insufficient=choice, **mode)

    assert {"converted": ENOUGH, "not_attempted": 0}.items() <= summary.items()
    assert 0 == night.sandbox.balance


@MODES
def test_fail_pays_nothing(night: Night, mode: dict[str, Any]) -> None:
    """One file more than the balance covers fails the task at once."""
    fill(night, ENOUGH + 1, mode)

    with pytest.raises(QuotaExhaustedFailure, match="Nothing was sent or paid") as failure:
        run(night, on_insufficient="fail", **mode)

    assert failure.value.paid is False
    assert 0 == night.paid == night.sandbox.billed
    assert [] == night.outputs()


@MODES
def test_skip_pays_nothing(night: Night, mode: dict[str, Any]) -> None:
    """The same skips the task."""
    fill(night, ENOUGH + 1, mode)

    with pytest.raises(skipped(), match="on_insufficient='skip'"):
        run(night, on_insufficient="skip", **mode)

    assert 0 == night.paid == night.sandbox.billed


@pytest.mark.parametrize("overage", [False, True], ids=["stops", "bills"])
@MODES
def test_partial_converts_what_is_covered(
    night: Night, mode: dict[str, Any], *, overage: bool
) -> None:
    """Also a plan that would bill more is used up to its size only."""
    night.sandbox.settings.overage = overage
    fill(night, ENOUGH + 1, mode)

    summary = run(night, on_insufficient="partial", **mode)

    assert {"converted": ENOUGH, "not_attempted": 1, "failed": 0}.items() <= summary.items()
    assert 0 == night.sandbox.balance
    assert {"converted": ENOUGH, "not_attempted": 1} == Counter(night.outcomes().values())


def test_partial_goes_on_over_waves(night: Night) -> None:
    """Each wave keeps the balance that was read before the first."""
    night.sandbox.settings.overage = True
    night.write(*(f"{number}.txt" for number in range(7)))
    night.sandbox.balance = 5

    summary = run(night, deferrable=True, defer_batch=2, on_insufficient="partial")

    assert {"converted": 5, "not_attempted": 2, "cost": 5}.items() <= summary.items()
    assert 1 == asked(night)


def asked(night: Night) -> int:
    """Return how often the account was asked for."""
    return sum(entry.path == "/user" for entry in night.sandbox.requests)


@JOBS
def test_partial_learns_what_a_file_costs(night: Night, *, deferrable: bool) -> None:
    """A file that may cost more than what is left is not begun."""
    mode: dict[str, Any] = {"deferrable": deferrable}
    night.sandbox.settings.overage = True
    price = priced(night, mode, 2)
    night.write(*(f"{number}.txt" for number in range(4)))
    night.sandbox.balance = 3 * price - 1

    summary = run(night, on_insufficient="partial", **mode)

    assert {"converted": 2, "not_attempted": 2}.items() <= summary.items()
    assert 2 * price == night.sandbox.billed


@pytest.mark.parametrize("choice", ["fail", "skip"])
def test_plan_counts_the_highest_cost_of_its_format(night: Night, choice: str) -> None:
    """What earlier nights paid for such a file counts, and what is reused does not."""
    night.sandbox.settings.conversion_cost = 3
    night.write("a.txt")
    run(night, TaskInstance(run_id="one"))
    night.write("b.txt", "c.txt", "d.html")
    night.sandbox.balance = 6  # of 3 + 3 for the texts, and 1 for what has no price yet

    expected = QuotaExhaustedError if choice == "fail" else skipped()
    with pytest.raises(expected, match=r"3 file.* counted at 7"):
        run(night, TaskInstance(run_id="two"), on_insufficient=choice)

    assert 3 == night.sandbox.billed


def test_the_smaller_bound_holds(night: Night) -> None:
    """`max_conversions` below the balance ends the batch as ever, also where a part will do."""
    night.sandbox.settings.conversion_cost = 2
    night.write("a.txt", "b.txt")
    night.sandbox.balance = 50

    with pytest.raises(BudgetExceededError, match="max_conversions=3"):
        run(night, on_insufficient="partial", max_conversions=3)

    assert 2 == night.sandbox.billed


def test_balance_below_the_budget_ends_it_first(night: Night) -> None:
    """A balance below `max_conversions` is what a part is measured by."""
    night.write("a.txt", "b.txt", "c.txt")
    night.sandbox.balance = 2

    summary = run(night, on_insufficient="partial", max_conversions=3)

    assert {"converted": 2, "not_attempted": 1}.items() <= summary.items()


def test_partial_accepts_that_others_used_the_balance(night: Night) -> None:
    """A refusal while it runs ends in the same state as a balance that was too small."""
    night.write(*(f"{number}.txt" for number in range(4)))
    night.sandbox.balance = 2
    body = {"Active": True, "ConversionsTotal": 9, "ConversionsConsumed": 0}
    night.sandbox.fail("GET /user", body=json.dumps(body), content_type="application/json")

    summary = run(night, on_insufficient="partial")

    assert {"converted": 2, "not_attempted": 2}.items() <= summary.items()


def test_results_of_an_earlier_try_are_free(night: Night) -> None:
    """What was paid before the balance was read is not counted against it once more."""
    from tests.airflow_api import TaskDeferred

    night.write("a.txt", "b.txt", "c.txt")
    with pytest.raises(TaskDeferred):
        night.run(TaskInstance(1, 1), deferrable=True)
    while night.sandbox.billed < 3:
        time.sleep(0.01)
    night.write("d.txt")
    night.sandbox.balance = 1

    summary = run(night, TaskInstance(2, 1), on_insufficient="partial")

    assert {"converted": 4, "cost": 1}.items() <= summary.items()


@pytest.mark.parametrize("choice", ["fail", "skip", "partial"])
def test_what_is_paid_is_collected_below_zero(night: Night, choice: str) -> None:
    """A plan that costs nothing more fits any balance."""
    night.sandbox.settings.overage = True
    night.sandbox.settings.latency = 60.0
    night.write("a.txt")
    with pytest.raises(TransientBatchFailedError):
        run(night, TaskInstance(1, 1), timeout=0.3)
    night.sandbox.settings.latency = 0.0
    while not night.sandbox.billed:
        time.sleep(0.01)
    night.sandbox.balance = -1

    summary = run(night, TaskInstance(2, 1), on_insufficient=choice)

    assert {"converted": 1, "cost": 0}.items() <= summary.items()
    assert 1 == night.sandbox.billed


def test_nothing_to_pay_asks_for_nothing(night: Night) -> None:
    """A night without new files, and a plan alone, do not read the account."""
    night.write("a.txt")
    run(night, TaskInstance(run_id="one"))
    assert 1 == asked(night)
    night.sandbox.balance = 0

    summary = run(night, TaskInstance(run_id="two"), on_insufficient="fail")
    run(night, TaskInstance(run_id="three"), plan_only=True, overwrite=True)

    assert 1 == summary["reused"]
    assert 1 == asked(night)


@pytest.mark.parametrize(
    ("balance", "sentence"),
    [
        (5, r"nothing paid\. Balance: 5 conversion\(s\)\.(?! T)"),
        (1, r"Balance: 1 conversion\(s\), too few: .* a trial plan or a limited token stops"),
        (-3, r"Balance: -3 conversion\(s\), too few: below 0 means that the plan bills"),
    ],
)
def test_plan_says_the_balance(
    night: Night, said: Callable[[], str], balance: int, sentence: str
) -> None:
    """Without `on_insufficient` the balance is only told in the log."""
    night.sandbox.settings.overage = True
    night.write("a.txt", "b.txt")
    night.sandbox.balance = balance

    assert 2 == run(night)["converted"]

    log = said()
    assert re.search(sentence, log), log


UNKNOWN = pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 401, "code": 4010}, AuthenticationFailure),
        ({"status": 503, "headers": {"Retry-After": "100"}}, ThrottledError),
        ({"drop": "before"}, TransportError),
        ({"body": "<html>", "content_type": "text/html"}, UnexpectedAnswerFailure),
        ({"body": "{}", "content_type": "application/json"}, UnexpectedAnswerFailure),
    ],
    ids=["refused", "busy", "no answer", "a page", "no balance"],
)


@UNKNOWN
def test_batch_goes_on_without_its_balance(
    night: Night, fault: dict[str, Any], error: type[Exception]
) -> None:
    """Whatever becomes of that look, a batch that asked for nothing more converts."""
    assert issubclass(error, ConvertApiError)
    night.write("a.txt")
    night.sandbox.fail("GET /user", **fault, times=None)

    assert 1 == run(night)["converted"]


@UNKNOWN
def test_balance_that_cannot_be_read_fails(
    night: Night, fault: dict[str, Any], error: type[Exception]
) -> None:
    """Whoever wants a batch within its balance gets none without: nothing is paid, for now."""
    night.write("a.txt")
    night.sandbox.fail("GET /user", **fault, times=None)

    with pytest.raises(error) as failure:
        run(night, on_insufficient="partial")

    assert 0 == night.paid
    if error is AuthenticationFailure:
        assert "extra master_token is not accepted" in str(failure.value)


def test_no_master_token(
    night: Night, said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one there is no balance: the log says so, and the batch goes as it always did."""
    connect(night.sandbox, monkeypatch)
    night.write("a.txt", "b.txt")
    night.sandbox.balance = 1

    with pytest.raises(
        QuotaExhaustedError, match=r"1 of 2 files .* 1 conversion\(s\) were paid now"
    ):
        run(night, on_insufficient="partial")

    assert 0 == asked(night)
    assert "on_insufficient has no effect: extra master_token" in said()


@pytest.mark.parametrize("choice", ["fail", "skip", "partial"])
def test_inactive_account(night: Night, choice: str) -> None:
    """An account that may not convert ends the task, whatever it wants: its balance is not low."""
    night.sandbox.settings.account_active = False
    night.write("a.txt")

    with pytest.raises(QuotaExhaustedFailure, match="is not active"):
        run(night, on_insufficient=choice)

    assert 0 == night.paid


def test_hook_does_the_same(night: Night) -> None:
    """`ConvertApiHook.convert_batch` takes the choice, too; a plan needs no balance."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    night.write("a.txt", "b.txt")
    night.sandbox.balance = 1
    given = (str(night.source), "pdf", str(night.out))
    hook = ConvertApiHook()

    assert 2 == hook.plan(*given, on_insufficient="fail")["to_convert"]
    with pytest.raises(QuotaExhaustedFailure):
        hook.convert_batch(*given, on_insufficient="fail")
    with pytest.raises(skipped()):
        hook.convert_batch(*given, on_insufficient="skip")
    assert 0 == night.paid
    summary = hook.convert_batch(*given, on_insufficient="partial")

    assert {"converted": 1, "not_attempted": 1}.items() <= summary.items()


def test_retries_may_wait_for_conversions(night: Night) -> None:
    """With `on_quota_exhausted="raise"` a low balance is left to Airflow's retries, too."""
    night.write("a.txt", "b.txt")
    night.sandbox.balance = 1

    with pytest.raises(QuotaExhaustedError) as failure:
        run(night, on_insufficient="fail", on_quota_exhausted="raise")

    assert QuotaExhaustedError is type(failure.value)


@pytest.mark.parametrize("choice", ["fail", "skip", "partial"])
def test_shards_that_read_the_same_balance(night: Night, choice: Any) -> None:
    """Two at once think that each has all of it; what it does not cover ends as was chosen."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    names = [f"{number}.txt" for number in range(8)]
    night.write(*names)
    night.sandbox.balance = 5
    night.sandbox.settings.latency = 60.0

    def shard(index: int) -> dict[str, Any] | BaseException:
        source = {"source": str(night.source), "shard": [index, 2]}
        try:
            return ConvertApiHook().convert_batch(
                source, "pdf", str(night.out), on_insufficient=choice
            )
        except BaseException as error:  # noqa: BLE001 - what skips a task is none of Exception on Airflow 2
            return error

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(shard, index) for index in range(2)]
        while len(night.sandbox.requests.filter(path="/user", status=200)) < 2:
            assert not any(one.done() for one in running)
            time.sleep(0.01)
        night.sandbox.settings.latency = 0.0  # both have looked before either has paid
        ends = [one.result() for one in running]

    assert 5 == night.sandbox.billed == len(night.outputs())
    summaries = [end for end in ends if isinstance(end, dict)]
    if choice == "partial":
        assert 2 == len(summaries)
        assert 5 == sum(end["converted"] for end in summaries)
        assert 3 == sum(end["not_attempted"] for end in summaries)
    else:
        assert all(isinstance(end, dict | QuotaExhaustedFailure) for end in ends)
        assert len(summaries) < 2


@JOBS
def test_a_balance_that_others_used_up_skips(night: Night, *, deferrable: bool) -> None:
    """Where nothing could be paid any more, "skip" skips, as if the look had seen it."""
    night.write("a.txt", "b.txt")
    night.sandbox.balance = 0
    body = {"Active": True, "ConversionsTotal": 9, "ConversionsConsumed": 0}
    night.sandbox.fail("GET /user", body=json.dumps(body), content_type="application/json")

    with pytest.raises(skipped(), match="on_insufficient='skip'"):
        run(night, on_insufficient="skip", deferrable=deferrable)

    assert 0 == night.sandbox.billed
    assert {"not_attempted": 2} == Counter(night.outcomes().values())
