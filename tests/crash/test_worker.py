"""A worker that dies, or is stopped, at every step: one conversion, one charge, one output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.airflow_parts import task_process, wait_for

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.airflow_parts import Airflow
    from tests.crash.conftest import Conversion

pytestmark = pytest.mark.timeout(600)

STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "before the submit": ("GET /async/job/*", {"delay": 1}),
    "after the submit": ("POST /async/convert/*", {"stall": 1}),
    "while polling": ("GET /async/job/*", {"delay": 1, "skip": 1}),
    "while downloading": ("GET /d", {"truncate": 1000, "stall": 1}),
    "before the clean-up": ("DELETE /d", {"delay": 1}),
}
"""The request that the service holds at each step, and how; the one second is replaced."""


def hold(service: Sandbox, step: str, seconds: float) -> None:
    """Let the service hold the step's request, once."""
    match, effect = STEPS[step]
    held = {name: seconds if name in {"delay", "stall"} else v for name, v in effect.items()}
    service.fail(match, **held)


def held_task(service: Sandbox) -> psutil.Process:
    """Wait until the service holds a request; return the process that waits for its answer."""
    wait_for("the step", lambda: service.faults[0].hits)
    return task_process(service)


def check(service: Sandbox, conversion: Conversion) -> None:
    """Make sure that one conversion was paid, its output is whole, and nothing is left."""
    assert conversion.is_whole()
    assert (1, {}) == (service.billed, service.files)


@pytest.mark.parametrize("step", STEPS)
def test_task_is_killed(
    airflow: Airflow, service: Sandbox, conversion: Conversion, step: str
) -> None:
    """`kill -9` of the task's process: the next try collects, or submits what was not."""
    hold(service, step, 60)
    run = airflow.trigger("on_worker", **conversion.params())

    held_task(service).kill()

    [task] = run.wait("success")
    assert task["try_number"] > 1
    check(service, conversion)


@pytest.mark.parametrize("step", STEPS)
def test_supervisor_is_told_to_stop(
    airflow: Airflow, service: Sandbox, conversion: Conversion, step: str
) -> None:
    """SIGTERM to the task's supervisor, as an eviction sends it: the next try collects."""
    hold(service, step, 6)
    run = airflow.trigger("on_worker", **conversion.params())

    supervisor = held_task(service).parent()
    assert supervisor is not None
    supervisor.terminate()

    run.wait("success")
    check(service, conversion)


@pytest.mark.parametrize("step", STEPS)
def test_execution_timeout(
    airflow: Airflow, service: Sandbox, conversion: Conversion, step: str
) -> None:
    """`execution_timeout` in the middle of a request: the next try goes on from there."""
    hold(service, step, 60)
    run = airflow.trigger("limited", **conversion.params())

    [task] = run.wait("success")

    assert task["try_number"] > 1
    check(service, conversion)


def test_killed_before_airflow_records_the_end(
    airflow: Airflow, service: Sandbox, conversion: Conversion
) -> None:
    """Converted, published and cleaned up, but not recorded: the next try reuses it."""
    run = airflow.trigger("on_worker", **conversion.params(hang=True))
    wait_for("the end of the conversion", conversion.hang.exists)
    pid = wait_for("its process", conversion.hang.read_text)

    psutil.Process(int(pid)).kill()

    [task] = run.wait("success")
    assert task["try_number"] > 1
    assert "Reused, no charge" in run.log()
    check(service, conversion)


def test_whole_worker_is_killed(airflow: Airflow, service: Sandbox, conversion: Conversion) -> None:
    """Supervisor and task are killed: Airflow misses the heartbeat, the next try collects."""
    hold(service, "while polling", 60)
    run = airflow.trigger("on_worker", **conversion.params())
    task = held_task(service)
    supervisor = task.parent()
    assert supervisor is not None

    supervisor.kill()
    task.kill()

    [found] = run.wait("success", limit=240)
    assert found["try_number"] > 1
    check(service, conversion)
