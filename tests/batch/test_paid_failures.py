"""Failures after payment: counted, reported, and not paid again without being asked."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    BatchFailedError,
    BudgetExceededError,
    ConvertApiError,
    OutputNotWritableError,
    TransientBatchFailedError,
)
from tests.batch.test_several import MODES, forget, run, write_pages
from tests.batch.test_steps import STEPS
from tests.batch.test_waves import run_deferred
from tests.tries import TaskInstance, execute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.batch.nights import Night


def put_in_the_way(night: Night) -> None:
    """Convert a file of one page; then give it two, and the second's place to somebody else."""
    write_pages(night, "scan.pdf", 100)
    run(night, 1)
    forget(night)
    write_pages(night, "scan.pdf", 300, 400)
    (night.out / "scan-2.jpg").write_text("mine")


@MODES
def test_file_in_the_way_is_paid_for_once(night: Night, durable: bool) -> None:
    """Found when the results are there, it costs what it cost, and bars a retry and a night."""
    put_in_the_way(night)

    with pytest.raises(BatchFailedError, match="1 conversions were paid now") as failed:
        run(night, 2, durable=durable)
    assert "Move it away; overwrite" in str(failed.value)  # not: "and the next run converts it"
    for ti in (TaskInstance(2, 1, run_id="2"), TaskInstance(run_id="3")):
        forget(night)
        with pytest.raises(BatchFailedError, match="known from earlier, nothing paid"):
            night.run(ti, to_format="jpg", durable=durable, retries=1)

    [failure] = night.records()
    assert ("failed", 1, 1, True) == (
        failure.outcome,
        failure.cost,
        failure.charged,
        failure.bars,
    )
    assert 2 == night.sandbox.billed


@MODES
def test_two_tasks_at_once_with_other_arguments(night: Night, durable: bool) -> None:
    """The second result overwrites nothing, and its task says that it was paid."""
    night.write("a.txt")
    night.sandbox.settings.latency = 1.0
    tasks = [
        night.operator({"durable": durable, "parameters": {"PageSize": size}})
        for size in ("a4", "a5")
    ]

    with ThreadPoolExecutor(2) as workers:
        running = [
            workers.submit(execute, task, TaskInstance(dag_id=str(number)))
            for number, task in enumerate(tasks)
        ]
        failed = [error for one in running if (error := one.exception())]

    [failure] = failed
    assert isinstance(failure, BatchFailedError)
    assert "perhaps another task at the same time" in str(failure)
    assert "It was converted and paid (1 conversion(s))" in str(failure)
    assert ["a.pdf"] == night.outputs()
    assert 2 == night.sandbox.billed


def test_cleared_task_fetches_what_had_no_place(night: Night) -> None:
    """Once the file is moved away, the cleared task collects the paid result for free."""
    put_in_the_way(night)
    with pytest.raises(BatchFailedError):
        run(night, 2)
    (night.out / "scan-2.jpg").unlink()

    summary = night.run(TaskInstance(2, 1, run_id="2"), to_format="jpg")

    assert {"converted": 1, "cost": 0}.items() <= summary.items()
    assert 2 == night.sandbox.billed


def test_budget_holds_for_what_cannot_be_fetched(night: Night) -> None:
    """In direct mode the cleared task would pay again, and the budget counts what was lost."""
    put_in_the_way(night)
    with pytest.raises(BatchFailedError):
        run(night, 2, durable=False, max_conversions=1)
    (night.out / "scan-2.jpg").unlink()
    cleared = TaskInstance(2, 1, run_id="2")

    with pytest.raises(BudgetExceededError, match="earlier tries took 1"):
        night.run(cleared, to_format="jpg", durable=False, max_conversions=1)

    assert 2 == night.sandbox.billed


def test_another_night_pays_again_when_told_to(night: Night) -> None:
    """`retry_failed` pays once more for a result whose name was taken."""
    put_in_the_way(night)
    with pytest.raises(BatchFailedError):
        run(night, 2)
    (night.out / "scan-2.jpg").unlink()
    forget(night)

    summary = run(night, 3, retry_failed=True)

    assert {"converted": 1, "cost": 1}.items() <= summary.items()


def test_result_of_a_wrong_size(night: Night) -> None:
    """A retry fetches it again for free, and it is not held against the file on another night."""
    night.write("a.txt")
    night.sandbox.fail("POST /async/convert/*", wrong_size=1)

    with pytest.raises(BatchFailedError, match="1 conversions were paid now"):
        night.run(TaskInstance(run_id="one"))
    with pytest.raises(BatchFailedError, match=r"\. 0 conversions were paid now"):
        night.run(TaskInstance(2, 1, run_id="one"), retries=1)
    assert 1 == night.sandbox.billed
    forget(night)

    assert 1 == night.run(TaskInstance(run_id="two"))["converted"]


NOT_THEIRS = [
    # After the looks at four attempts.
    pytest.param("GET /async/job", {"status": 200, "html": True, "skip": 4}, id="page for a poll"),
    pytest.param("POST /async/convert", {"status": 200, "html": True}, id="page for a submit"),
    pytest.param("GET /d", {"status": 200, "html": True}, id="page for a result"),
    pytest.param("GET /d", {"status": 400, "html": True}, id="400 for a result"),
    pytest.param("HEAD /d", {"status": 400}, id="400 for a look at a file"),
    pytest.param("HEAD /d", {"status": 415}, id="415 for a look at a file"),
    pytest.param("POST /upload", {"status": 200, "html": True}, id="page for an upload"),
    pytest.param("POST /upload", {"status": 400, "html": True}, id="400 for an upload"),
    pytest.param("POST /convert", {"status": 200, "html": True}, id="page, direct"),
]


@pytest.mark.long
@pytest.mark.once
@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferrable"])
@pytest.mark.parametrize(("match", "fault"), NOT_THEIRS)
def test_what_a_proxy_says_is_not_held_against_a_file(
    night: Night, match: str, fault: dict[str, Any], deferrable: bool
) -> None:
    """The run may end with it; when it has passed, another night converts the file."""
    direct = match == "POST /convert"
    if direct and deferrable:
        pytest.skip("direct mode does not defer")
    # A look at a file is asked for an upload of an earlier try, or for a result.
    night.write("a.txt", text="Hello.\n" * (200_000 if match.endswith(("/upload", " /d")) else 1))
    night.sandbox.fail(match, times=None, **fault)
    given = {"durable": not direct, "to_format": "zip"}  # which takes no time, however large
    run_one = partial(run_deferred, night) if deferrable else night.run
    with suppress(ConvertApiError):
        run_one(TaskInstance(1, 0, run_id="one"), **given)
    night.sandbox.clear_faults()
    forget(night)

    assert 1 == night.run(TaskInstance(run_id="two"), **given)["converted"]


def test_page_in_answer_to_a_poll_is_not_held_against_a_file(night: Night) -> None:
    """One of the above."""
    night.write("a.txt")
    night.sandbox.fail("GET /async/job", status=200, html=True, skip=4, times=None)
    with pytest.raises(BatchFailedError, match="UnexpectedAnswerError"):
        night.run(TaskInstance(run_id="one"))
    night.sandbox.clear_faults()
    forget(night)

    assert 1 == night.run(TaskInstance(run_id="two"))["converted"]


def test_lost_answer_counts(night: Night) -> None:
    """Conversions that may have been billed count in the summary and in the budget."""
    night.write("a.txt", "b.txt", "c.txt")
    night.sandbox.fail("POST /convert/*", drop="after_work")

    summary = night.run(durable=False, failure_policy="never", max_conversions=3)

    assert {"converted": 2, "failed": 1, "cost": 3}.items() <= summary.items()
    assert [1, 1, 1] == [record.cost for record in night.records()]
    assert 3 == night.sandbox.billed


def test_lost_result_is_not_paid_for_by_a_retry(night: Night) -> None:
    """A job that the service accepted and lost counts, and is only repeated when cleared."""
    night.write("a.txt", "b.txt")
    night.sandbox.settings.latency = 60.0
    night.sandbox.fail("POST /async/convert/*", verdict=5008, skip=1)

    def vanish() -> None:
        while not night.sandbox.jobs:
            time.sleep(0.01)
        night.sandbox.vanish_job()
        night.sandbox.settings.latency = 0.0

    thief = threading.Thread(target=vanish)
    thief.start()
    unsure = r"\. 1 conversions were paid now, and 1 more may have been billed"
    lost = "Clear the task, or wait for the next run, to convert and pay again for the 1 whose"
    with pytest.raises(TransientBatchFailedError, match=f"{unsure}.*{lost}"):
        night.run(TaskInstance(1, 1), max_in_flight=1)
    thief.join()
    with pytest.raises(BatchFailedError, match="ResultExpiredError") as known:
        night.run(TaskInstance(2, 1), retries=1)

    assert lost in str(known.value)
    assert "fix the files" not in str(known.value)

    assert 1 == len(night.outputs())
    assert 3 == night.sandbox.billed


@contextmanager
def spoiling(night: Night) -> Iterator[None]:
    """Put a file where a directory is, as soon as a conversion that is paid has begun."""
    night.sandbox.fail("POST */convert/*", delay=1.0)
    place = night.out / "sub"

    def spoil() -> None:
        while not night.sandbox.requests.filter(method="POST"):
            time.sleep(0.02)
        place.rmdir()
        place.write_text("a file where a directory belongs")

    thread = threading.Thread(target=spoil, daemon=True)
    thread.start()
    yield
    thread.join()


def test_result_that_cannot_be_saved_is_not_paid_for_again(night: Night) -> None:
    """In direct mode the answer is the only copy: its loss is said, counted, and not repeated."""
    night.write("sub/a.txt")

    with (
        spoiling(night),
        pytest.raises(BatchFailedError, match=r"billed \(1 conversion\(s\)\), but its result"),
    ):
        night.run(TaskInstance(1, 1), durable=False)
    with pytest.raises(BatchFailedError, match="nothing paid"):
        night.run(TaskInstance(2, 1), durable=False, retries=1)

    assert [1] == [record.cost for record in night.records()]
    assert 1 == night.sandbox.billed


def test_durable_result_that_cannot_be_saved_counts_once(night: Night) -> None:
    """The next try fetches it within the budget."""
    night.write("sub/a.txt")
    counted = "1 more were converted and paid, which is counted here, and wait at ConvertAPI"
    with spoiling(night), pytest.raises(OutputNotWritableError, match=counted) as blocked:
        night.run(TaskInstance(1, 1), max_conversions=1)
    assert "In all, 1 conversion(s) were paid now" in str(blocked.value)
    assert "may be billed" not in str(blocked.value)
    (night.out / "sub").unlink()

    summary = night.run(TaskInstance(2, 1), max_conversions=1)

    assert {"converted": 1, "cost": 0}.items() <= summary.items()
    assert 1 == night.sandbox.billed


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferrable"])
def test_budget_counts_a_half_paid_chain_once(night: Night, deferrable: bool) -> None:
    """Ten files of two steps end within twenty conversions, though one needs another try."""
    night.write(*(f"{number}.txt" for number in range(10)))
    night.sandbox.fail("POST /async/convert/pdf/to/protect", drop="before", times=3)
    given = {"steps": STEPS, "max_conversions": 20, "max_in_flight": 1}

    with pytest.raises(TransientBatchFailedError, match=r"\. 19 conversions were paid now"):
        night.run(TaskInstance(1, 1), **given)
    again = TaskInstance(2, 1)
    summary = run_deferred(night, again, **given)[0] if deferrable else night.run(again, **given)

    assert {"converted": 1, "reused": 9}.items() <= summary.items()
    assert 20 == night.sandbox.billed


def test_budget_holds_over_many_tries_of_a_chain(night: Night) -> None:
    """A try that follows on two half-paid ones has all of the budget that is left."""
    night.write("a.txt", "b.txt")
    given = {"steps": STEPS, "max_conversions": 4}
    for number in (1, 2):
        night.sandbox.fail("POST /async/convert/pdf/to/protect", drop="before", times=6)
        with pytest.raises(TransientBatchFailedError):
            night.run(TaskInstance(number, 2), **given)

    assert 2 == night.run(TaskInstance(3, 2), **given)["converted"]
    assert 4 == night.sandbox.billed


def test_failure_of_a_later_version_counts_by_its_own_record(night: Night) -> None:
    """A manifest may name an error that this version does not know: what it bars stays barred."""
    night.write("a.txt", "b.txt")
    night.sandbox.fail("POST /async/convert/*", status=500, code=5002, times=1)
    with pytest.raises(BatchFailedError):
        night.run(TaskInstance(run_id="one"), max_in_flight=1)
    [part] = (night.out / "_convertapi" / "manifest").iterdir()
    text = part.read_text()
    part.write_text(text.replace('"ConversionError"', '"ErrorOfALaterVersion"'))
    assert text != part.read_text()

    for ti in (TaskInstance(2, 1, run_id="one"), TaskInstance(run_id="two")):
        with pytest.raises(BatchFailedError, match=r"known: ErrorOfALaterVersion \(Code 5002\)"):
            night.run(ti)
    assert 1 == night.run(TaskInstance(run_id="three"), retry_failed=True)["converted"]


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])
def test_first_passing_verdict_on_a_later_try(night: Night, durable: bool) -> None:
    """A file that was attempted once is not barred, whatever number its try has."""
    night.write("a.txt")
    night.sandbox.fail("POST */convert/*", status=500, code=50050, times=1)
    with pytest.raises(TransientBatchFailedError):
        night.run(TaskInstance(2, 2), durable=durable)

    assert 1 == night.run(TaskInstance(run_id="later"), durable=durable)["converted"]


@pytest.mark.parametrize(
    ("code", "more"), [pytest.param(50050, 0, id="other"), pytest.param(5000, 1, id="5000")]
)
def test_direct_file_gets_the_time_that_was_asked_for(night: Night, code: int, more: int) -> None:
    """`Timeout` is doubled, from 60 to 120, for a file that ran out of it, and for no other."""
    night.write("a.txt")
    night.sandbox.fail("POST /convert/*", verdict=code, times=1)
    with pytest.raises(TransientBatchFailedError):
        night.run(TaskInstance(1, 1), durable=False, parameters={"Timeout": 60})

    night.run(TaskInstance(2, 1), durable=False, parameters={"Timeout": 60})

    sent = night.sandbox.requests.filter(method="POST", path="/convert/*")
    first, second = (int(request.headers["content-length"]) for request in sent)
    assert more == second - first


@pytest.mark.parametrize("is_remembered", [False, True], ids=["forgotten", "remembered"])
def test_second_verdict_that_a_killed_try_did_not_record(night: Night, is_remembered: bool) -> None:
    """The next try finds it, and does not take it for the first, which stands in the manifest."""
    night.write("a.txt")
    night.sandbox.fail("POST /async/convert/*", verdict=50050, times=2)
    with pytest.raises(TransientBatchFailedError):
        night.run(TaskInstance(run_id="one"))
    manifest = night.out / "_convertapi"
    before = shutil.copytree(manifest, night.out.parent / "before")
    if not is_remembered:
        forget(night)
    with pytest.raises(BatchFailedError):
        night.run(TaskInstance(1, 2, run_id="two"))
    shutil.rmtree(manifest)
    shutil.copytree(before, manifest)  # as if it was killed before it wrote its record

    for number in (2, 3):
        with pytest.raises(BatchFailedError) as raised:
            night.run(TaskInstance(number, 2, run_id="two"))
        assert not isinstance(raised.value, TransientBatchFailedError)

    assert 2 == night.sandbox.billed
