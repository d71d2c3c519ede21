"""Batches that end while their jobs go on: what they report, what they leave, what they delete."""

from __future__ import annotations

import signal
import threading
import time
import tracemalloc
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    AuthenticationError,
    BatchFailedError,
    ConversionTimeoutError,
    QuotaExhaustedError,
    TransientBatchFailedError,
)
from airflow_provider_convertapi.storage import Folder
from tests.batch.test_waves import fire, run_deferred
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.batch.nights import Night

STEPS = [{"to_format": "protect", "parameters": {"UserPassword": "sesame"}}]
POLL = "GET /async/job/*"
THREADS = 2


@contextmanager
def out_of_time(
    due: Callable[[], bool], spent: str = "", error: str = "AirflowTaskTimeout"
) -> Iterator[None]:
    """Raise what Airflow raises at `execution_timeout`, in this thread, once `due`.

    :param spent: what the error's note says, among other things.
    :param error: or what else it raises, by name.
    """
    from airflow_provider_convertapi import airflow_names

    kind: type[BaseException] = getattr(airflow_names, error)

    def end(*_: Any) -> None:
        raise kind

    def watch() -> None:
        while not due():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    old = signal.signal(signal.SIGUSR1, end)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        with pytest.raises(kind) as failure:
            yield
        assert spent in " ".join(getattr(failure.value, "__notes__", []))
    finally:
        watcher.join()
        signal.signal(signal.SIGUSR1, old)


def stamped(night: Night, *names: str) -> dict[str, Any]:
    """Return the arguments of a batch that gives texts a stamp in a second step."""
    night.write("stamp.txt")
    night.run(TaskInstance(run_id="before"), destination=str(night.source.parent))
    (night.source / "stamp.txt").unlink()
    night.write(*names)
    stamp = str(night.source.parent / "stamp.pdf")
    return {"steps": [{"to_format": "pdf-watermark", "parameters": {"OverlayFile": stamp}}]}


def refuse_tokens(night: Night, *, after_submits: int) -> None:
    """Refuse every poll once so many jobs were submitted, and let none of them end before."""
    while night.paid < after_submits:
        time.sleep(0.01)
    night.sandbox.fail(POLL, status=401, code=4013, times=None)


@pytest.mark.parametrize("steps", [None, STEPS], ids=["one", "steps"])
@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferrable"])
def test_token_is_refused_while_jobs_run(
    night: Night, deferrable: bool, steps: list[dict[str, Any]] | None
) -> None:
    """The error counts submitted jobs separately, and the cleared task does not pay for them."""
    from tests.airflow_api import TaskDeferred

    night.write("a.txt", "b.txt", "c.txt", "d.txt", "e.txt")
    given = {"steps": steps, "deferrable": deferrable, "defer_batch": 2, "max_in_flight": 2}
    ti = TaskInstance(1, 0)
    if deferrable:
        with pytest.raises(TaskDeferred) as deferred:
            night.run(ti, **given)
        event = fire(deferred.value.trigger)
        refuse_tokens(night, after_submits=2)
    else:
        night.sandbox.settings.latency = 60
        threading.Thread(target=refuse_tokens, args=(night,), kwargs={"after_submits": 2}).start()

    with pytest.raises(AuthenticationError, match=r"3 are left\. .* none for those") as end:
        night.resume(ti, event, **given) if deferrable else night.run(ti, **given)
    recorded = list(night.outcomes().values())
    night.sandbox.clear_faults()
    night.sandbox.settings.latency = 0
    summary = night.run(TaskInstance(2, 1), steps=steps)

    assert "2 more were submitted, may be billed, and go on at ConvertAPI" in str(end.value)
    assert ["not_attempted"] * 3 == recorded
    assert 5 == summary["converted"]
    assert 5 * (2 if steps else 1) == night.sandbox.billed


def test_quota_after_a_step_that_was_paid(night: Night) -> None:
    """The error counts files with a paid step separately from those that cost nothing."""
    night.write("a.txt", "b.txt")
    night.sandbox.balance = 3

    with pytest.raises(QuotaExhaustedError, match=r"1 are left.*save the steps that 1 of them"):
        night.run(max_in_flight=1, steps=STEPS)


def test_steps_that_were_paid_before_the_quota_ended_are_counted(night: Night) -> None:
    """The cost in the summary is what was billed, including files that are halfway through."""
    night.write("a.txt", "b.txt")
    night.sandbox.balance = 3

    summary = night.run(max_in_flight=1, steps=STEPS, on_quota_exhausted="partial")

    assert {"converted": 1, "not_attempted": 1, "cost": 3}.items() <= summary.items()
    assert 3 == night.sandbox.billed


@pytest.mark.parametrize("error", ["AirflowTaskTimeout", "AirflowTaskTerminated"])
@pytest.mark.parametrize("cancels", [False, True], ids=["leaves", "cancels"])
@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferrable"])
def test_execution_timeout_on_the_last_try(
    night: Night, deferrable: bool, cancels: bool, error: str
) -> None:
    """Jobs go on and the cleared task collects them, or with `cancel_on_kill` none is left.

    Airflow 2 raises `AirflowTaskTerminated` where the process is told to end.
    """
    night.write("a.txt", "b.txt")
    night.sandbox.jobs_take(polls=1000)
    given = {"deferrable": deferrable, "cancel_on_kill": cancels}
    event = None
    if deferrable:
        event = submitted_and_answered(night, TaskInstance(1, 0), **given)

    def is_due() -> bool:
        return len(night.sandbox.requests.filter(method="GET", path="/async/job/*", status=202)) > 8

    with out_of_time(is_due, spent="2 file(s) under way may be billed", error=error):
        ti = TaskInstance(1, 0)
        night.resume(ti, event, **given) if deferrable else night.run(ti, **given)

    assert (0 if cancels else 2) == len(night.sandbox.jobs)


def submitted_and_answered(night: Night, ti: TaskInstance, **given: Any) -> Any:
    """Run the first stretch of a deferrable batch, and return an event that the worker checks."""
    from tests.airflow_api import TaskDeferred

    with pytest.raises(TaskDeferred) as deferred:
        night.run(ti, **given)
    arguments = deferred.value.trigger.serialize()[1]
    return {
        "status": "error",
        "key_check": arguments["key_check"],
        "jobs": arguments["jobs"],
        "answered": [False] * len(arguments["jobs"]),
    }


@pytest.mark.parametrize("cancels", [False, True], ids=["leaves", "cancels"])
def test_trigger_out_of_time_on_the_last_try(night: Night, cancels: bool) -> None:
    """The same if `execution_timeout` passes in the triggerer."""
    night.write("a.txt", "b.txt")
    night.sandbox.jobs_take(polls=1000)
    given = {"deferrable": True, "cancel_on_kill": cancels}
    event = submitted_and_answered(night, TaskInstance(1, 0), **given)

    left = "is deleted" if cancels else "the next try collects it"
    with pytest.raises(ConversionTimeoutError, match=f"2 jobs went on .* {left}"):
        night.resume(TaskInstance(1, 0), event | {"status": "timeout"}, **given)

    assert (0 if cancels else 2) == len(night.sandbox.jobs)


def test_jobs_out_of_time_on_the_last_try(night: Night) -> None:
    """With `cancel_on_kill` a job that did not end in its time is deleted, as a single one is."""
    night.write("a.txt", "b.txt")
    night.sandbox.jobs_take(polls=1000)

    with pytest.raises(TransientBatchFailedError, match="ConversionTimeoutError"):
        night.run(TaskInstance(1, 0), timeout=1, cancel_on_kill=True)

    assert {} == night.sandbox.jobs


def test_records_are_safe_before_threads_have_ended(night: Night) -> None:
    """A task that is out of time writes its records now: it may be killed while it waits."""
    night.write("a.txt", "b.txt")
    night.sandbox.fail("POST /convert/*", skip=1, delay=8.0)
    recorded: list[float] = []

    def watch() -> None:
        while not any((night.out / "_convertapi" / "manifest").glob("*.jsonl")):
            time.sleep(0.01)
        recorded.append(time.monotonic())

    def one_is_published_and_the_other_under_way() -> bool:
        sent = night.sandbox.requests.filter(method="POST", path="/convert/*")
        return bool(night.outputs()) and len(sent) == 2

    watcher = threading.Thread(target=watch, daemon=True)
    with out_of_time(one_is_published_and_the_other_under_way):
        watcher.start()
        night.run(TaskInstance(1, 1), durable=False, max_in_flight=2)

    watcher.join(5)
    assert [True] == [time.monotonic() - moment > 1 for moment in recorded]


@pytest.mark.parametrize("timeout", [1.0, 60.0], ids=["out-of-time", "in-time"])
def test_shared_file_stays_while_jobs_go_on(night: Night, timeout: float) -> None:
    """A job that nobody waits for any more still reads the stamp; else it goes last."""
    given = stamped(night, "a.txt")
    night.sandbox.jobs_take(polls=1000 if timeout == 1 else 0)

    if timeout == 1:
        with pytest.raises(TransientBatchFailedError, match="ConversionTimeoutError"):
            night.run(TaskInstance(1, 1), timeout=timeout, **given)
    else:
        night.run(TaskInstance(1, 1), timeout=timeout, **given)

    names = [file["name"] for file in night.sandbox.files.values()]
    assert (["stamp.pdf"] if timeout == 1 else []) == [n for n in names if n == "stamp.pdf"]


def test_late_chain_is_looked_at_once_more(night: Night) -> None:
    """A first step that is out of time when the task resumes does not hold the worker as long."""
    night.write("a.txt")
    night.sandbox.jobs_take(polls=1000)
    given = {"deferrable": True, "steps": STEPS, "timeout": 30.0, "failure_policy": "never"}
    event = submitted_and_answered(night, TaskInstance(1, 1), **given)
    event["jobs"][0][2] -= 60  # submitted a minute ago

    started = time.monotonic()
    summary = night.resume(TaskInstance(1, 1), event, **given)

    assert 1 == summary["failed"]
    assert 15 > time.monotonic() - started


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferrable"])
def test_late_retries_are_warned_about(
    night: Night, said: Callable[[], str], deferrable: bool
) -> None:
    """A retry after two hours, when ConvertAPI has forgotten the jobs, pays again for them."""
    night.write("a.txt")
    late: dict[str, Any] = {"retries": 1, "retry_delay": timedelta(hours=3)}
    if deferrable:
        run_deferred(night, **late)
    else:
        night.run(**late)

    assert 1 == said().count("ConvertAPI forgets a job after 2:00:00")


def test_manifest_is_compacted_on_nights_that_fail(night: Night) -> None:
    """A folder with one hopeless file fails every night; its manifest does not grow forever."""
    night.write("a.txt", "b.txt")
    night.sandbox.fail("POST /async/convert/*", verdict=5002, times=1)
    with pytest.raises(BatchFailedError):
        night.run(TaskInstance(run_id="one"))
    parts = night.out / "_convertapi" / "manifest"
    [part] = parts.glob("*.jsonl")
    for number in range(60):
        Folder(f"{parts}/").write(f"part-{number}.jsonl", part.read_bytes())

    with pytest.raises(BatchFailedError, match="nothing paid"):
        night.run(TaskInstance(run_id="two"))

    assert 1 == len(list(parts.glob("*.jsonl")))
    assert ["converted", "failed"] == sorted(night.outcomes().values())


def test_progress_counts_the_batch_not_the_wave(night: Night, said: Callable[[], str]) -> None:
    """What is left in the line that comes every ten seconds is left of all files."""
    from tests.airflow_api import TaskDeferred

    night.write(*[f"{number}.txt" for number in range(6)])
    ti = TaskInstance(1, 1)
    event = submitted_and_answered(night, ti, deferrable=True, defer_batch=2)
    night.sandbox.fail(POLL, delay=11.0, times=2)
    said()
    with pytest.raises(TaskDeferred):
        night.resume(ti, event, deferrable=True, defer_batch=2)

    assert "0 done, 0 failed, 6 left" in said()


@pytest.mark.long
@pytest.mark.once
@pytest.mark.timeout(600)
@pytest.mark.parametrize("given", [{"durable": False}, {"deferrable": True, "defer_batch": 50}])
def test_memory_of_a_halted_batch_does_not_grow_with_what_is_left(
    night: Night, given: dict[str, Any]
) -> None:
    """Files that the quota left undone are read and recorded 10,000 at a time."""
    peaks = []
    for files in (1, 20_000, 60_000):  # the first run imports what all of them need
        for number in range(files):
            (night.source / f"{number:05d}.txt").write_text("x")
        night.sandbox.balance = 0
        tracemalloc.start()
        with pytest.raises(QuotaExhaustedError, match=f" {files} are left"):
            night.run(TaskInstance(run_id=str(files)), **given)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert 4_000_000 > peaks[2] - peaks[1]


def test_machine_without_another_thread(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the third thread is refused, what the first two do is stopped or recorded."""
    night.write("a.txt", "b.txt", "c.txt", "d.txt")
    night.sandbox.settings.latency = 0.5
    started = 0

    def start(thread: threading.Thread) -> None:
        nonlocal started
        started += thread.name.endswith("(_work)")
        if started == THREADS + 1:
            raise RuntimeError("can't start new thread")
        real(thread)

    real = threading.Thread.start
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="new thread"):
            night.run(TaskInstance(1, 1), durable=False)
    assert THREADS + 1 == started

    night.run(TaskInstance(2, 1), durable=False)

    assert ["a.pdf", "b.pdf", "c.pdf", "d.pdf"] == night.outputs()
    assert 4 == night.paid
