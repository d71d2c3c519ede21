"""A triggerer that dies, and users who clear or end deferred tasks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.airflow_parts import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.airflow_parts import Airflow
    from tests.crash.conftest import Conversion

pytestmark = pytest.mark.timeout(600)


def test_triggerer_restarts_with_twenty_tasks(
    airflow: Airflow, service: Sandbox, tmp_path: Path
) -> None:
    """Twenty deferred tasks survive a triggerer that is killed and started again."""
    service.settings.latency = 45
    run = airflow.trigger("twenty", destination=f"{tmp_path}/out/")
    wait_for("twenty jobs", lambda: len(service.jobs) == 20)
    wait_for("a deferred task", lambda: "deferred" in run.states())
    wait_for("a poll by the triggerer", lambda: len(service.requests) > 60)

    airflow.kill("triggerer")
    time.sleep(3)
    airflow.start("triggerer")

    tasks = run.wait("success", limit=240)
    assert {1} == {task["try_number"] for task in tasks}
    assert 20 == len(list((tmp_path / "out").iterdir()))
    assert (20, {}) == (service.billed, service.files)


def test_running_deferred_task_is_cleared(
    airflow: Airflow, service: Sandbox, conversion: Conversion
) -> None:
    """A task cleared while its old trigger runs finds the running job, and pays nothing."""
    service.settings.latency = 30
    run = airflow.trigger("deferred", **conversion.params())
    run.wait("deferred")

    run.clear()

    run.wait("success", limit=180)
    assert conversion.is_whole()
    assert (1, {}) == (service.billed, service.files)


@pytest.mark.parametrize(("dag_id", "jobs"), [("deferred", 1), ("deferred_cancel", 0)])
def test_deferred_task_is_ended_by_a_user(
    airflow: Airflow, service: Sandbox, conversion: Conversion, dag_id: str, jobs: int
) -> None:
    """A task marked failed leaves its job for a later try; with `cancel_on_kill` it deletes it."""
    service.settings.latency = 30
    run = airflow.trigger(dag_id, **conversion.params())
    run.wait("deferred")
    wait_for("the trigger", lambda: len(service.requests.filter(path="/async/job/*")) > 2)

    run.fail()

    if jobs:
        run.wait("failed")
        run.clear()
        run.wait("success", limit=180)
        assert (1, {}) == (service.billed, service.files)
        assert conversion.is_whole()
    else:
        wait_for("the job to be deleted", lambda: not service.jobs)
