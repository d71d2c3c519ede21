"""Batches whose service, worker or account fails them in the middle."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from airflow_provider_convertapi.batch.limit import RAMP
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    BatchFailedError,
    BudgetExceededError,
    QuotaExhaustedError,
    TransientBatchFailedError,
)
from airflow_provider_convertapi.manifest import read_costs
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.batch.nights import Night

FILES = 40
NAMES = [f"{number % 7}/file-{number:03d}.txt" for number in range(FILES)]
PROGRESS = re.compile(
    r"(\d+) done, (\d+) failed, (\d+) left; (\d+) a minute, (\d+) conversions paid, "
    r"about (\d+) min left"
)
ONE_TRY = Path(__file__).with_name("one_try.py")


def is_whole(night: Night) -> bool:
    """Tell whether every output is there, and a whole PDF."""
    paths = [night.out / name.replace(".txt", ".pdf") for name in NAMES]
    bodies = [path.read_bytes() for path in paths]
    return all(b"%PDF" == body[:4] and b"%%EOF" in body[-32:] for body in bodies)


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])
@pytest.mark.parametrize("status", [403, 401])
def test_quota_ends_in_the_middle(night: Night, durable: bool, status: Literal[403, 401]) -> None:
    """Finished files are saved, the rest reported; the cleared task pays for nothing twice."""
    night.write(*NAMES)
    night.sandbox.balance = 23
    night.sandbox.settings.quota_status = status
    night.sandbox.settings.quota_code = 4014

    with pytest.raises(QuotaExhaustedError, match="17 are left") as failed:
        night.run(durable=durable)

    refused = [entry for entry in night.sandbox.requests if entry.status == status]
    assert "AirflowFailException" in {cls.__name__ for cls in type(failed.value).__mro__}
    assert 1 <= len(refused) <= 4
    assert 23 == len(night.outputs()) == night.sandbox.billed
    assert 17 == list(night.outcomes().values()).count("not_attempted")
    assert {} == night.sandbox.files
    night.sandbox.balance = 1000

    summary = night.run(TaskInstance(2, 1), durable=durable)

    assert {"converted": 17, "reused": 23, "cost": 17}.items() <= summary.items()
    assert is_whole(night)
    assert FILES == night.sandbox.billed


def test_quota_may_leave_the_rest_for_later(night: Night) -> None:
    """`partial` succeeds with what is done; `raise` leaves the error to Airflow's retries."""
    night.write("a.txt", "b.txt", "c.txt")
    night.sandbox.balance = 1
    summary = night.run(TaskInstance(run_id="one"), on_quota_exhausted="partial")
    with pytest.raises(QuotaExhaustedError) as raised:
        night.run(TaskInstance(run_id="two"), on_quota_exhausted="raise")

    assert {"converted": 1, "not_attempted": 2}.items() <= summary.items()
    assert "AirflowFailException" not in {cls.__name__ for cls in type(raised.value).__mro__}


def test_refused_looks_stop_a_batch_as_quota(night: Night) -> None:
    """A service that answers 403 to looks has no quota: the batch stops, and loses no attempt."""
    night.write("a.txt", "b.txt")
    night.sandbox.fail("* /async/job", status=403, times=None)
    for number in range(1, 7):
        with pytest.raises(QuotaExhaustedError):
            night.run(TaskInstance(try_number=number, max_tries=9))
    assert 0 == night.sandbox.billed
    night.sandbox.clear_faults()

    assert 2 == night.run(TaskInstance(try_number=7, max_tries=9))["converted"]
    assert 2 == night.sandbox.billed


def test_refused_token_stops_at_once(night: Night) -> None:
    """A refused token concerns every file: those in flight are finished, and there is one error."""
    night.write(*NAMES)
    night.sandbox.rotate_token()

    with pytest.raises(AuthenticationError, match="40 are left"):
        night.run()

    sent = night.sandbox.requests.filter(method="POST", path="/async/convert/*")
    assert 4 * 2 >= len(sent)  # each asks once more, with a new JWT


def test_faults_of_every_kind(night: Night) -> None:
    """With a fault in every fifth request, each output is right and each file is billed once."""
    night.write(*NAMES)
    sandbox = night.sandbox
    for share, rule in (
        (0.05, {"drop": "after_work"}),
        (0.04, {"drop": "before"}),
        (0.04, {"status": 503, "code": 503, "headers": {"Retry-After": "0"}}),
        (0.03, {"status": 502, "html": True}),
        (0.02, {"empty": True, "status": 200, "after_work": True}),
        (0.02, {"body": b"nonsense", "status": 200, "after_work": True}),
    ):
        sandbox.fail("* /*", probability=share, times=None, **rule)
    sandbox.fail("GET /d/*", probability=0.1, times=None, truncate=100)

    tries = 0
    while tries < 5:
        tries += 1
        try:
            night.run(TaskInstance(tries, 4), max_in_flight=8)
            break
        except BatchFailedError:
            sandbox.settings.retry_after = 0
    sandbox.clear_faults()
    summary = night.run(TaskInstance(tries + 1, tries + 1))

    assert FILES == summary["reused"] + summary["converted"]
    assert is_whole(night)
    assert FILES == sandbox.billed
    assert {} == sandbox.files


def test_busy_service_sets_the_pace(night: Night) -> None:
    """The batch adapts to a service that takes four at a time: few refusals, and no file fails."""
    night.write(*NAMES)
    night.sandbox.throttle_above(4)
    night.sandbox.settings.retry_after = 1
    night.sandbox.settings.latency = 0.1

    summary = night.run(max_in_flight=32)

    requests = list(night.sandbox.requests)
    first = next(entry.at for entry in requests if entry.status == 503)
    after = [entry.status for entry in requests if entry.at > first + RAMP]
    assert FILES == summary["converted"]
    assert FILES == night.sandbox.billed
    # The benchmark, with five times as many files, holds 0.1; so few requests scatter more.
    assert 0.2 > after.count(503) / len(after)


def _one_try(night: Night, number: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ONE_TRY), str(night.source), str(night.out), str(number)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_worker_killed_twice(night: Night) -> None:
    """Killed in the middle, twice: the third try pays only for what was not submitted yet."""
    night.write(*NAMES)
    night.sandbox.settings.latency = 0.1
    for number, share in ((1, 0.2), (2, 0.5)):
        process = _one_try(night, number)
        while night.sandbox.billed < FILES * share:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()

    process = _one_try(night, 3)

    assert 0 == process.wait()
    assert is_whole(night)
    assert FILES == night.sandbox.billed
    assert ["converted"] * FILES == list(night.outcomes().values())
    assert FILES == sum(line.conversions for line in read_costs(str(night.out)))
    assert {} == night.sandbox.files


def test_killed_before_documents_are_deleted(night: Night) -> None:
    """What a killed try had recorded and not yet deleted at the service, the next one deletes."""
    night.write("a.txt", "b.txt", "c.txt")
    (night.source / "large.txt").write_text("Large." + " " * 1_100_000)
    night.sandbox.fail("DELETE /d*", delay=60, times=None)
    process = _one_try(night, 1)
    while not night.sandbox.faults[0].hits:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 4 == len(night.records())
    night.sandbox.clear_faults()

    summary = night.run(TaskInstance(2, 3))

    assert {"converted": 0, "reused": 4, "cost": 0}.items() <= summary.items()
    assert {} == night.sandbox.files
    assert 4 == night.sandbox.billed


def test_told_to_stop(night: Night) -> None:
    """A task that is told to stop ends soon, begins nothing new, and loses nothing."""
    night.write(*NAMES)
    night.sandbox.jobs_take(polls=3)
    night.stop_when(lambda: night.sandbox.billed >= 8, TaskInstance(1, 1))
    night.sandbox.jobs_take(polls=0)

    night.run(TaskInstance(2, 1))

    assert is_whole(night)
    assert FILES == night.sandbox.billed


def test_told_to_stop_while_others_wait(night: Night) -> None:
    """A file that waits for a permit when the task is told to stop sends nothing."""
    night.write("a.txt", "b.txt", "c.txt")
    night.sandbox.fail("POST /convert/*", verdict=5001, times=1)
    night.sandbox.settings.latency = 0.5

    night.stop_when(lambda: night.paid > 0, TaskInstance(1, 1), max_in_flight=1, durable=False)

    assert 1 == night.paid == night.sandbox.billed


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])
def test_budget_of_files_that_cost_more_than_one(night: Night, durable: bool) -> None:
    """None begins that the budget has no room for, though its cost is known only afterwards."""
    night.write("a.txt", "b.txt", "c.txt", "d.txt", "e.txt")
    night.sandbox.settings.conversion_cost = 5

    with pytest.raises(BudgetExceededError):
        night.run(max_conversions=10, max_in_flight=1, durable=durable)

    assert 10 == night.sandbox.billed


def test_told_to_stop_for_good(night: Night) -> None:
    """On the last try `cancel_on_kill` leaves no job behind, and nothing that was uploaded.

    What the service has made of a running job by then, nobody can name: it deletes that itself.
    """
    (night.source / "large.txt").write_bytes(bytes(1024 * 1024 + 1))
    night.sandbox.settings.latency = 30

    night.stop_when(
        lambda: bool(night.sandbox.requests.filter(method="GET", path="/async/job", status=202)),
        TaskInstance(1, 0),
        to_format="zip",
        cancel_on_kill=True,
    )

    assert {} == night.sandbox.jobs
    assert "large.txt" not in {file["name"] for file in night.sandbox.files.values()}


def test_lost_answer_is_not_sent_again_by_itself(night: Night) -> None:
    """In direct mode it may have been billed: a retry skips it, clearing or another run pays."""
    night.write("a.txt", "b.txt")
    sandbox = night.sandbox
    sandbox.fail("POST /convert/*", drop="after_work", times=1)
    sandbox.fail("POST /convert/*", verdict=50050, times=1)
    given = {"durable": False, "max_in_flight": 1, "retries": 1}

    with pytest.raises(TransientBatchFailedError):
        night.run(TaskInstance(1, 1), **given)
    with pytest.raises(BatchFailedError, match="ResultLostError"):
        night.run(TaskInstance(2, 1), **given)
    assert 3 == sandbox.billed
    night.run(TaskInstance(3, 3), **given)  # cleared: `max_tries` is counted from there

    assert 4 == sandbox.billed
    assert ["a.pdf", "b.pdf"] == night.outputs()


def test_log_tells_totals(night: Night, said: Callable[[], str]) -> None:
    """Totals with what was reused and what was charged, and, folded, what was converted now."""
    night.write("a.txt", "b.txt")
    night.run(TaskInstance(run_id="one"))
    night.write("c.txt")
    said()

    night.run(TaskInstance(run_id="two"))

    text = said()
    assert "3 files: 1 to convert, for at least 1 conversion(s); 2 reused, no charge" in text
    assert text.index("::group::3 files") < text.index("::group::Convert 1 files")
    assert 3 == text.count("::group::") == text.count("::endgroup::")
    assert "Charged now: 1 conversion(s)" in text
    assert 1 == text.count("c.txt ->")
    assert "a.txt" not in text


def test_progress_is_told(night: Night, said: Callable[[], str]) -> None:
    """After ten seconds the log says what is done, what is left, how fast, for how much, how long.

    Four files at a time take four seconds, so two rounds have ended by then; the task is stopped.
    """
    night.write("reused.txt")
    night.run(TaskInstance(run_id="one"))
    night.write(*[f"{number}.txt" for number in range(240)])
    night.sandbox.settings.latency = 4
    night.sandbox.fail("POST /convert/*", verdict=5002, times=1)
    told: list[str] = []

    def lines() -> list[tuple[str, ...]]:
        told.append(said())
        return PROGRESS.findall("".join(told))

    night.stop_when(lambda: bool(lines()), TaskInstance(run_id="two"), durable=False)

    [(done, failed, left, a_minute, paid, minutes)] = lines()
    text = "".join(told)
    # One of those that are done was reused; the one that failed was paid for.
    assert ("8", "1", "232", "8", "5") == (done, failed, left, paid, minutes)
    assert 8 * 6 == pytest.approx(int(a_minute), abs=4)
    assert text.rindex("::group::Convert 240 files") < text.index(" a minute,")
    assert text.index(" a minute,") < text.rindex("::endgroup::")


def test_shared_file_is_uploaded_once(night: Night) -> None:
    """A file parameter of the whole batch travels once, and is deleted last."""
    night.write("a.txt", "b.txt", "c.txt")
    night.run(TaskInstance(run_id="one"))
    asked = len(night.sandbox.requests)
    stamp = night.source.parent / "stamp.pdf"
    stamp.write_bytes((night.out / "a.pdf").read_bytes())
    watermarked = night.source.parent / "watermarked"

    night.run(
        TaskInstance(run_id="two"),
        source=f"{night.out}/*.pdf",
        to_format="pdf-watermark",
        destination=str(watermarked),
        parameters={"OverlayFile": str(stamp)},
    )

    uploads = [
        entry for entry in night.sandbox.requests[asked:] if entry.path.startswith("/upload")
    ]
    assert 1 == len(uploads)
    assert ["a.pdf", "b.pdf", "c.pdf"] == sorted(p.name for p in watermarked.glob("*.pdf"))
    assert {} == night.sandbox.files
