"""The sensor for a job that something else started, in both modes."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    ConversionError,
    ParameterError,
    QuotaExhaustedError,
    ResultExpiredError,
)
from tests.tries import TaskInstance, execute, reborn, run_try

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag
    from tests.deferral.conftest import StartJob

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferrable"])


@pytest.fixture
def job_id(start_job: StartJob, sandbox: Sandbox) -> Callable[[], str]:
    """Start a job as something else would; return its id."""

    def start() -> str:
        start_job()
        [found] = sandbox.jobs
        return found

    return start


def sensor_of(job_id: str, **arguments: Any) -> Callable[[], Any]:
    """Provide a function that makes a new sensor, as each process does."""
    from airflow_provider_convertapi.sensors.job import ConvertApiJobSensor

    defaults = {"task_id": "wait", "poke_interval": 0.1, "timeout": 20}
    return lambda: ConvertApiJobSensor(job_id=job_id, **{**defaults, **arguments})


@MODES
def test_waits_for_the_result(
    job_id: Callable[[], str], sandbox: Sandbox, deferrable: bool
) -> None:
    """It ends once the job has its result, and returns nothing that opens it."""
    sandbox.jobs_take(polls=3)
    ti = TaskInstance()

    assert run_try(sensor_of(job_id(), deferrable=deferrable), ti) is None
    assert {} == ti.xcom
    assert len(sandbox.requests.filter(method="GET", path="/async/job/*")) >= 4


@MODES
def test_raises_the_verdict(job_id: Callable[[], str], sandbox: Sandbox, deferrable: bool) -> None:
    """A failed job fails the task immediately, with class and Code."""
    from airflow_provider_convertapi.airflow_names import AirflowFailException

    sandbox.fail("POST /async/convert/*", verdict=5000)

    with pytest.raises(ConversionError) as caught:
        run_try(sensor_of(job_id(), deferrable=deferrable))

    assert 5000 == caught.value.code
    assert isinstance(caught.value, AirflowFailException)


@MODES
def test_stored_quota_refusal(
    job_id: Callable[[], str], sandbox: Sandbox, deferrable: bool
) -> None:
    """The error of a job that was refused because no conversions are left says so."""
    sandbox.settings.job_refusals_at = "job"
    sandbox.balance = 0

    with pytest.raises(QuotaExhaustedError):
        run_try(sensor_of(job_id(), deferrable=deferrable))


@MODES
def test_soft_fail_skips(job_id: Callable[[], str], sandbox: Sandbox, deferrable: bool) -> None:
    """With `soft_fail` a verdict skips the task, as Airflow's sensors do."""
    from airflow_provider_convertapi.airflow_names import AirflowSkipException

    sandbox.fail("POST /async/convert/*", verdict=5002)

    with pytest.raises(AirflowSkipException):
        run_try(sensor_of(job_id(), deferrable=deferrable, soft_fail=True))


@MODES
def test_unknown_job_is_said_after_the_settle_time(sandbox: Sandbox, deferrable: bool) -> None:
    """The sensor does not wait for days for a job that does not appear: no test may."""
    begin = time.monotonic()

    with pytest.raises(ResultExpiredError):
        run_try(sensor_of("a" * 32, deferrable=deferrable))

    assert 0.3 <= time.monotonic() - begin


@pytest.mark.long
@MODES
def test_never_fail_skips_an_unknown_job(sandbox: Sandbox, deferrable: bool) -> None:
    """It does so after a deferral, too, on each Airflow."""
    from airflow_provider_convertapi.airflow_names import AirflowSkipException

    with pytest.raises(AirflowSkipException):
        run_try(sensor_of("a" * 32, deferrable=deferrable, never_fail=True))


def test_rescheduled_sensor_counts_from_its_first_start(sandbox: Sandbox) -> None:
    """In reschedule mode each poke is a separate process; the settle time spans all of them."""

    class Rescheduled(TaskInstance):
        def get_first_reschedule_date(self, _: Any) -> datetime:
            return datetime.now(UTC) - timedelta(seconds=10)

    ti = Rescheduled(start_date=datetime.now(UTC) - timedelta(seconds=10))

    with pytest.raises(ResultExpiredError):
        sensor_of("a" * 32, mode="reschedule")().poke({"ti": ti})


@MODES
def test_job_may_become_visible_late(
    job_id: Callable[[], str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """Within the settle time a 404 is not an answer."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "5")
    sandbox.job_visible_after(0.7)

    assert run_try(sensor_of(job_id(), deferrable=deferrable)) is None


@MODES
def test_outage_is_waited_out(
    job_id: Callable[[], str], sandbox: Sandbox, deferrable: bool
) -> None:
    """Polls without an answer, throttled ones included, do not fail the task."""
    job = job_id()
    sandbox.fail("GET /async/job/*", drop="before", times=2)
    sandbox.fail("GET /async/job/*", status=503, headers={"Retry-After": "0"})

    assert run_try(sensor_of(job, deferrable=deferrable)) is None


@MODES
@pytest.mark.parametrize("soft_fail", [False, True])
def test_timeout_is_airflows(
    job_id: Callable[[], str], sandbox: Sandbox, deferrable: bool, soft_fail: bool
) -> None:
    """`timeout` ends as any sensor's does, and the job stays."""
    from airflow_provider_convertapi.airflow_names import AirflowSensorTimeout, AirflowSkipException

    sandbox.jobs_take(polls=1000)
    make = sensor_of(job_id(), deferrable=deferrable, timeout=0.8, soft_fail=soft_fail)

    with pytest.raises(AirflowSkipException if soft_fail else AirflowSensorTimeout):
        run_try(make)

    assert 1 == len(sandbox.jobs)


@MODES
@pytest.mark.parametrize("wrong", ["", "None", "../" + "a" * 29, "A" * 32, "a" * 33, "***"])
def test_what_is_no_job_id(sandbox: Sandbox, deferrable: bool, wrong: str) -> None:
    """What cannot be an id is refused before anything is sent."""
    with pytest.raises(ParameterError, match="job_id"):
        run_try(sensor_of(wrong, deferrable=deferrable))
    assert [] == sandbox.requests


def test_finished_job_is_not_deferred(job_id: Callable[[], str], sandbox: Sandbox) -> None:
    """A finished job needs no deferral."""
    job = job_id()
    while sandbox.jobs[job]["state"] == "running":
        time.sleep(0.02)

    assert execute(sensor_of(job, deferrable=True)(), TaskInstance()) is None


def test_stored_arguments_open_nothing(job_id: Callable[[], str], sandbox: Sandbox) -> None:
    """The id is sealed in the trigger's arguments; the triggerer opens it with the token."""
    from tests.airflow_api import TaskDeferred

    sandbox.jobs_take(polls=1000)
    job = job_id()

    with pytest.raises(TaskDeferred) as caught:
        execute(sensor_of(job, deferrable=True)(), TaskInstance())

    trigger: Any = reborn(caught.value.trigger)
    assert job not in repr(trigger)
    assert [] == trigger.jobs


def test_changed_token_changes_nothing(
    job_id: Callable[[], str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id is the user's own: with a new token the worker goes on without the triggerer."""
    sandbox.jobs_take(polls=3)

    def rotate() -> None:
        sandbox.rotate_token()
        monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", sandbox.airflow_connection_json)

    assert run_try(sensor_of(job_id(), deferrable=True), deferred=rotate) is None


@pytest.mark.parametrize("event", [None, {"status": "success"}])
def test_event_that_is_none_of_ours(
    job_id: Callable[[], str], sandbox: Sandbox, event: Any
) -> None:
    """Such an event fails the try; the job and what it holds stay where they are."""
    from airflow_provider_convertapi.errors import ConversionInterrupted
    from tests.tries import resume

    with pytest.raises(ConversionInterrupted):
        resume(sensor_of(job_id())(), "execute_complete", event, TaskInstance())


def test_id_is_hidden_in_a_real_task_run(
    run_dag: RunDag, job_id: Callable[[], str], sandbox: Sandbox, letter: Path
) -> None:
    """Templated, deferred and resumed: rendered fields, logs and database show no id."""
    import os
    from pathlib import Path

    from airflow_provider_convertapi.sensors.job import ConvertApiJobSensor
    from tests.airflow_api import DAG

    sandbox.jobs_take(polls=3)
    job = job_id()
    with DAG(
        "sensor_hides",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        user_defined_macros={"started": lambda: job},
    ) as dag:
        ConvertApiJobSensor(
            task_id="wait",
            job_id="{{ started() }}",
            poke_interval=1,
            timeout=20,
            deferrable=True,
            retry_delay=timedelta(0),
        )

    [ti] = run_dag(dag).get_task_instances()

    assert "success" == ti.state
    home = Path(os.environ["AIRFLOW_HOME"])
    database = b"".join(path.read_bytes() for path in home.glob("airflow.db*"))
    assert b'"job_id": "***"' in database
    assert job.encode() not in database


def test_no_attribute_shows_the_id() -> None:
    """OpenLineage sends the attributes of a task, and Airflow keeps what its constructor got."""
    from airflow_provider_convertapi.sensors.job import ConvertApiJobSensor

    job_id = "a1b2" * 8
    sensor = ConvertApiJobSensor(task_id="wait", job_id=job_id)

    sensor.render_template_fields({})

    assert [] == [name for name, value in vars(sensor).items() if job_id in repr(value)]
