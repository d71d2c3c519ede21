"""The operator that waits in the triggerer: what happens on each side, and in between."""

from __future__ import annotations

import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest

from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConversionError,
    ConversionInterrupted,
    ConversionTimeoutError,
    QuotaExhaustedError,
    ResultExpiredError,
)
from tests.tries import TaskInstance, done_when, execute, fire, reborn, resume, run_try

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
LARGE = 1024 * 1024 + 1
"""Bytes; one more than what travels in the submit itself."""


@pytest.fixture
def make(sandbox: Sandbox, letter: Path) -> Callable[..., Callable[[], Any]]:
    """Provide a function that makes a new operator, as each process does."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    def prepare(**arguments: Any) -> Callable[[], Any]:
        defaults = {
            "task_id": "convert",
            "source": str(letter),
            "to_format": "pdf",
            "destination": str(letter.with_suffix(".pdf")),
            "deferrable": True,
            "poll_interval": 0.2,
            "timeout": 20,
        }
        return lambda: ConvertApiOperator(**{**defaults, **arguments})

    return prepare


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """Provide a PDF of three pages."""
    document = pypdfium2.PdfDocument.new()
    for _ in range(3):
        document.new_page(200, 100)
    path = tmp_path / "pages.pdf"
    document.save(path)
    return path


def submits(sandbox: Sandbox) -> int:
    """Return how many paid requests reached the service."""
    return len(sandbox.requests.filter(method="POST", path="/async/convert/*"))


def deferral_of(operator: Any, ti: TaskInstance) -> Any:
    """Run `execute` until it defers; return what Airflow would store."""
    from tests.airflow_api import TaskDeferred

    with pytest.raises(TaskDeferred) as caught:
        execute(operator, ti)
    return caught.value


# --- in real task runs -----------------------------------------------------------------------


def run_once(run_dag: RunDag, dag_id: str, **arguments: Any) -> Any:
    """Run a DAG of one operator; return its task instance."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator
    from tests.airflow_api import DAG

    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        ConvertApiOperator(
            task_id="convert",
            deferrable=True,
            poll_interval=0.2,
            retry_delay=timedelta(0),
            **arguments,
        )
    [ti] = run_dag(dag, logical_date=WHEN).get_task_instances()
    return ti


def test_several_outputs(run_dag: RunDag, sandbox: Sandbox, pages: Path, tmp_path: Path) -> None:
    """A deferred task returns the URIs of all results, pushes the cost, and leaves nothing."""
    out = tmp_path / "out"

    ti = run_once(run_dag, "deferred", source=str(pages), to_format="png", destination=f"{out}/")

    uris = ti.xcom_pull(task_ids="convert")
    assert ("success", 1) == (ti.state, ti.xcom_pull(task_ids="convert", key="conversion_cost"))
    assert sorted(str(path) for path in out.iterdir()) == sorted(uris)
    assert (3, 1, {}) == (len(uris), sandbox.billed, sandbox.files)


def test_damaged_document_fails_at_once(run_dag: RunDag, sandbox: Sandbox, tmp_path: Path) -> None:
    """With `retries=3` a damaged document is paid once and tried once."""
    damaged = tmp_path / "damaged.pdf"
    damaged.write_bytes(b"%PDF-1.7 and no more")

    ti = run_once(
        run_dag,
        "deferred_damaged",
        source=str(damaged),
        to_format="png",
        destination=f"{tmp_path}/out/",
        retries=3,
    )

    assert ("failed", 1, 1) == (ti.state, ti.try_number, sandbox.billed)


def test_timeout_leaves_the_job_to_the_next_try(
    run_dag: RunDag, sandbox: Sandbox, letter: Path
) -> None:
    """A try whose time is up leaves the job; the next one collects it without paying."""
    sandbox.jobs_take(polls=12)

    ti = run_once(
        run_dag,
        "deferred_timeout",
        source=str(letter),
        to_format="pdf",
        destination=f"{letter}.pdf",
        timeout=1.5,
        retries=3,
    )

    assert "success" == ti.state
    assert ti.try_number > 1
    assert (1, 1) == (sandbox.billed, submits(sandbox))


# --- step by step ----------------------------------------------------------------------------


def test_collects_what_the_trigger_waited_for(make: Any, sandbox: Sandbox, letter: Path) -> None:
    """Worker, triggerer, worker: one job, one charge, one output, nothing left."""
    ti = TaskInstance()

    outputs = run_try(make(), ti)

    assert [str(letter.with_suffix(".pdf"))] == outputs
    assert {"conversion_cost": 1} == ti.xcom
    assert (1, 1, {}) == (sandbox.billed, submits(sandbox), sandbox.files)


def test_uploads_are_deleted_after_a_deferral(make: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    """The places of the uploads travel with the job, so that the worker cleans up behind it."""
    large = tmp_path / "large.txt"
    large.write_text("a line of text\n" * (LARGE // 15 + 1))
    files: list[int] = []

    run_try(
        make(source=str(large), to_format="zip", destination=f"{tmp_path}/out.zip"),
        deferred=lambda: files.append(len(sandbox.files)),
    )

    assert files[0] >= 1
    assert {} == sandbox.files


def test_source_may_be_gone_by_then(make: Any, sandbox: Sandbox, letter: Path) -> None:
    """A running job does not need its source any more."""
    outputs = run_try(make(), deferred=letter.unlink)

    assert [str(letter.with_suffix(".pdf"))] == outputs
    assert not letter.exists()


def test_output_is_never_written_over_the_input(make: Any, sandbox: Sandbox, pages: Path) -> None:
    """An output that would replace its source is refused before anything is paid."""
    from airflow_provider_convertapi.errors import ParameterError

    with pytest.raises(ParameterError):
        run_try(make(source=str(pages), to_format="pdf", destination=str(pages)))

    assert 0 == submits(sandbox)


def test_quota_at_the_submit_never_defers(make: Any, sandbox: Sandbox) -> None:
    """An exhausted quota fails immediately, on the worker."""
    from airflow_provider_convertapi.airflow_names import AirflowFailException

    sandbox.balance = 0

    with pytest.raises(QuotaExhaustedError) as caught:
        run_try(make())

    assert isinstance(caught.value, AirflowFailException)


def test_changed_token_never_submits(
    make: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotated token gives other ids: the error says so, and nothing is sent."""

    def rotate() -> None:
        sandbox.rotate_token()
        monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", sandbox.airflow_connection_json)

    with pytest.raises(AuthenticationError, match="was changed while"):
        run_try(make(), deferred=rotate)
    assert 1 == submits(sandbox)


def test_job_secret_outlives_a_changed_token(
    make: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `job_secret` the ids do not come from the token, so a new one collects the job."""
    import json

    def connect() -> None:
        value = json.dumps(sandbox.airflow_connection | {"extra": {"job_secret": "k" * 20}})
        monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", value)

    def rotate() -> None:
        sandbox.rotate_token()
        connect()

    connect()

    assert run_try(make(), deferred=rotate)
    assert 1 == submits(sandbox)


def test_unknown_job_is_never_submitted_anew(make: Any, sandbox: Sandbox) -> None:
    """A job that the service accepted and forgot raises `ResultExpiredError`."""
    with pytest.raises(ResultExpiredError):
        run_try(make(), deferred=sandbox.vanish_job)
    assert 1 == submits(sandbox)


def test_verdict_is_raised_by_the_worker(make: Any, sandbox: Sandbox) -> None:
    """The error has its class and its Code, as without a deferral."""
    sandbox.fail("POST /async/convert/*", verdict=5003)

    with pytest.raises(ConversionError) as caught:
        run_try(make())

    assert (5003, 1) == (caught.value.code, sandbox.billed)


def test_triggerer_that_cannot_watch_leaves_it_to_the_worker(
    make: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that only the triggerer lacks costs a worker slot, not the conversion."""
    name = "AIRFLOW_CONN_CONVERTAPI_DEFAULT"

    outputs = run_try(
        make(),
        deferred=lambda: monkeypatch.delenv(name),
        fired=lambda: monkeypatch.setenv(name, sandbox.airflow_connection_json),
    )

    assert 1 == len(outputs)


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"status": "success"},
        {"status": "answered", "key_check": "x", "jobs": [], "answered": []},
        {"status": "done", "key_check": "x", "jobs": [["d", 0, 1.0, []]], "answered": [True]},
        {"status": "answered", "key_check": "x", "jobs": [["d", 0]], "answered": [True]},
        "nonsense",
    ],
)
def test_event_that_is_none_of_ours(make: Any, sandbox: Sandbox, event: Any) -> None:
    """Such an event raises a clear, transient error: the next try collects the job."""
    with pytest.raises(ConversionInterrupted, match="no event that this version understands"):
        resume(make()(), "execute_complete", event, TaskInstance())
    assert [] == sandbox.requests


def test_late_result_is_taken_at_the_last_look(make: Any, sandbox: Sandbox) -> None:
    """A job that ends just when the time is up is collected: it is paid."""
    ti = TaskInstance()
    deferral = deferral_of(make(timeout=3)(), ti)
    payload = fire(reborn(deferral.trigger)) | {"status": "timeout", "answered": [False]}

    assert resume(make(timeout=3)(), "execute_complete", payload, ti)


def test_found_result_is_not_deferred(make: Any, sandbox: Sandbox) -> None:
    """A later try that finds the conversion done collects it on the spot."""
    deferral_of(make()(), TaskInstance())
    limit = time.monotonic() + 20
    while any(job["state"] == "running" for job in sandbox.jobs.values()):
        assert time.monotonic() < limit
        time.sleep(0.02)

    assert execute(make()(), TaskInstance(try_number=2))
    assert (1, {}) == (sandbox.billed, sandbox.files)


def test_running_job_is_deferred_again(make: Any, sandbox: Sandbox) -> None:
    """A later try that finds the job running waits for it in the triggerer, and pays nothing."""
    sandbox.jobs_take(polls=6)
    deferral_of(make()(), TaskInstance())

    run_try(make(), TaskInstance(try_number=2))

    assert (1, 1) == (submits(sandbox), sandbox.billed)


def test_direct_mode_has_nothing_to_wait_for(
    make: Any, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    """`durable=False` with `deferrable=True` runs directly, and says so."""
    execute(make(durable=False)(), TaskInstance())

    assert 0 == submits(sandbox)
    assert "runs directly" in capsys.readouterr().out + caplog.text


def test_arguments_of_the_trigger(make: Any, sandbox: Sandbox) -> None:
    """The deadline counts from the start, and ends before Airflow's own timeout."""
    begin = time.time()

    plain = deferral_of(make(timeout=600)(), TaskInstance())
    limited = deferral_of(
        make(timeout=600, execution_timeout=timedelta(seconds=60), cancel_on_kill=True)(),
        TaskInstance(run_id="another"),
    )

    assert (None, timedelta(seconds=60)) == (plain.timeout, limited.timeout)
    assert begin + 590 < plain.trigger.deadline <= time.time() + 600
    assert limited.trigger.deadline <= time.time() + 59
    assert (False, True) == (plain.trigger.cancel_on_kill, limited.trigger.cancel_on_kill)
    assert "execute_complete" == plain.method_name


def test_default_comes_from_the_deployment() -> None:
    """`[operators] default_deferrable` decides where the task does not."""
    import os
    import subprocess
    import sys

    code = (
        "from airflow_provider_convertapi.operators.convert import ConvertApiOperator as O;"
        "from airflow_provider_convertapi.sensors.job import ConvertApiJobSensor as S;"
        "print(O(task_id='o', source='a.md', to_format='pdf', destination='c').deferrable,"
        "S(task_id='s', job_id='j').deferrable)"
    )
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True"},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )

    assert found.stdout.split()[-2:] == ["True", "True"]


# --- kills on the worker ---------------------------------------------------------------------


def interrupt() -> None:
    """Interrupt the test as Ctrl+C does."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.fixture
def is_polled(sandbox: Sandbox) -> Callable[[], bool]:
    """Tell whether the worker waits for a job."""
    return lambda: len(sandbox.requests.filter(path="/async/job/*", status=202)) > 0


@pytest.mark.parametrize(
    ("cancel", "try_number", "jobs"),
    [
        pytest.param(True, 2, 0, id="no try is left"),
        pytest.param(True, 1, 1, id="a try is left"),
        pytest.param(False, 2, 1, id="not asked to"),
    ],
)
def test_kill_on_the_worker(
    make: Any,
    sandbox: Sandbox,
    is_polled: Callable[[], bool],
    cancel: bool,
    try_number: int,
    jobs: int,
) -> None:
    """A stopped task leaves its job to the next try; without one, and asked to, it deletes it."""
    sandbox.jobs_take(polls=1000)
    operator = make(deferrable=False, cancel_on_kill=cancel)()
    ti = TaskInstance(try_number=try_number, max_tries=1)

    with done_when(is_polled, operator.on_kill), pytest.raises(ConversionInterrupted) as caught:
        execute(operator, ti)

    assert jobs == len(sandbox.jobs)
    assert bool(jobs) == ("next try collects it" in str(caught.value))
    assert bool(jobs) != ("is deleted at ConvertAPI" in str(caught.value))


def test_interrupt_cancels_where_asked_to(
    make: Any, sandbox: Sandbox, is_polled: Callable[[], bool]
) -> None:
    """Ctrl+C in `airflow dags test` ends a task for good, so its job is deleted."""
    sandbox.jobs_take(polls=1000)

    with done_when(is_polled, interrupt), pytest.raises(KeyboardInterrupt):
        execute(make(deferrable=False, cancel_on_kill=True)(), TaskInstance())

    assert {} == sandbox.jobs


def test_interrupted_direct_conversion_is_not_paid_twice(make: Any, sandbox: Sandbox) -> None:
    """Airflow retries a task after Ctrl+C, and this one may have been billed."""
    from airflow_provider_convertapi.failures import ResultLostFailure

    sandbox.fail("POST /convert", stall=2)

    with (
        done_when(lambda: sandbox.billed == 1, interrupt),
        pytest.raises(ResultLostFailure, match="may have been billed"),
    ):
        execute(make(deferrable=False, durable=False)(), TaskInstance(max_tries=1))


def test_cancelling_is_no_reason_to_fail_otherwise(make: Any, sandbox: Sandbox) -> None:
    """A service that refuses to delete changes nothing about how the task ends."""
    sandbox.jobs_take(polls=1000)
    sandbox.fail("DELETE /async/job/*", status=400, times=None)

    with pytest.raises(ConversionTimeoutError):
        run_try(make(timeout=1.2, cancel_on_kill=True, deferrable=False), TaskInstance())

    assert 1 == len(sandbox.jobs)


def test_timeout_on_the_last_try_cancels_where_asked_to(make: Any, sandbox: Sandbox) -> None:
    """If no later try can collect the job, `cancel_on_kill` deletes it."""
    sandbox.jobs_take(polls=1000)

    with pytest.raises(ConversionTimeoutError, match="Clear the task to convert and pay again"):
        run_try(make(timeout=1.5, cancel_on_kill=True), TaskInstance(try_number=1, max_tries=0))

    assert {} == sandbox.jobs


# --- what was asked --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"destination": "other.pdf"}, id="destination"),
        pytest.param({"source": "other.txt"}, id="source"),
        pytest.param({"parameters": {"PageSize": "a5"}}, id="parameters"),
        pytest.param({"steps": [{"to_format": "compress"}]}, id="steps"),
        pytest.param({"conversion_key": "again"}, id="conversion_key"),
    ],
)
def test_resume_with_other_arguments_publishes_nothing(
    make: Any, sandbox: Sandbox, letter: Path, change: dict[str, Any]
) -> None:
    """Templates that render differently after a deferral: nothing goes under the new name."""
    paths = {
        name: str(letter.with_name(value)) if name in {"source", "destination"} else value
        for name, value in change.items()
    }
    letter.with_name("other.txt").write_text("Another letter.\n")
    ti = TaskInstance(max_tries=1)
    deferral = deferral_of(make()(), ti)
    event = fire(reborn(deferral.trigger))

    with pytest.raises(ConversionInterrupted, match="arguments changed"):
        resume(make(**paths)(), "execute_complete", event, ti)

    assert not list(letter.parent.glob("*.pdf"))
    assert [str(letter.with_suffix(".pdf"))] == run_try(make(), TaskInstance(2, 1))
    assert 1 == sandbox.billed  # the next try, asked for the same again, collects it


def test_resume_of_a_task_that_nobody_rendered(make: Any, sandbox: Sandbox, letter: Path) -> None:
    """`airflow tasks test` of Airflow 2 renders only the task that defers."""
    ti = TaskInstance()
    context = {"ti": ti, "params": {"name": letter.with_suffix("")}}
    prepare = make(source="{{ params.name }}.txt", destination="{{ params.name }}.pdf")
    rendered = prepare()
    rendered.render_template_fields(context)
    event = fire(reborn(deferral_of(rendered, ti).trigger))

    outputs = prepare().execute_complete(context, event)

    assert ([str(letter.with_suffix(".pdf"))], 1) == (outputs, sandbox.billed)


def test_resume_with_an_event_of_an_earlier_version(
    make: Any, sandbox: Sandbox, letter: Path
) -> None:
    """A task that deferred before an upgrade ends after it: its event tells nothing of this."""
    ti = TaskInstance()
    event = fire(reborn(deferral_of(make()(), ti).trigger))
    del event["asked"]

    assert [str(letter.with_suffix(".pdf"))] == resume(make()(), "execute_complete", event, ti)
    assert 1 == sandbox.billed
