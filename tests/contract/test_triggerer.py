"""Many triggers at once, in the process and the loop of Airflow's own triggerer."""

from __future__ import annotations

import json
import os
import time
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.conftest import CONNECTION

if TYPE_CHECKING:
    from collections.abc import Callable

AIRFLOW = version("apache-airflow")
# The triggerer of Airflow 3.0 dies of a message above 64 KiB, whatever the triggers in it are.
TRIGGERS = 60 if AIRFLOW.startswith("3.0.") else 200


@pytest.mark.skipif(
    AIRFLOW.startswith("2."),
    reason="Airflow 2's triggers read the database themselves, and ask no supervisor",
)
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("database")
def test_triggers_start_at_once(airflow: Callable[..., str]) -> None:
    """Each reads its connection from the supervisor, while all the others do; each one fires.

    A lookup that blocks the loop, while another waits for the supervisor's answer, fails or hangs.
    """
    airflow("connections", "add", "stored", "--conn-json", json.dumps(CONNECTION))
    supervisor, workloads = start_triggerer()
    try:
        supervisor.creating_triggers.extend(workloads)
        answered = answers(supervisor)
    finally:
        supervisor.kill(force=True)

    assert [] == list(supervisor.failed_triggers)
    assert TRIGGERS == len(answered)
    assert {"answered"} == {payload["status"] for payload in answered.values()}, answered


def start_triggerer() -> tuple[Any, list[Any]]:
    """Start Airflow's triggerer, without its loop over the database, and triggers for it."""
    from airflow.jobs import triggerer_job_runner as module
    from airflow.jobs.job import Job
    from airflow.models.trigger import Trigger

    from airflow_provider_convertapi.api.ids import key_check
    from airflow_provider_convertapi.triggers.job import ConvertApiJobTrigger

    messages: Any = import_module("airflow.executors.workloads")
    triggers = [
        ConvertApiJobTrigger(
            convertapi_conn_id="stored",
            key_check=key_check(CONNECTION["password"]),
            deadline=time.time() + 120,
            poll_interval=1,
            settle=0,
            jobs=[[f"{index:064x}", 0, None, []]],  # unknown to the service, which says so
        )
        for index in range(TRIGGERS)
    ]
    workloads = []
    for index, trigger in enumerate(triggers, 1):
        row = Trigger.from_object(trigger)
        workloads.append(
            messages.RunTrigger(
                id=index, ti=None, classpath=row.classpath, encrypted_kwargs=row.encrypted_kwargs
            )
        )
    job = Job()
    job.id = os.getpid()
    return module.TriggerRunnerSupervisor.start(job=job, capacity=TRIGGERS), workloads


def answers(supervisor: Any) -> dict[int, Any]:
    """Serve the triggerer's process until each trigger has fired or failed; return the events."""
    limit = time.monotonic() + 120
    ended: set[int] = set()
    while len(ended) < TRIGGERS and time.monotonic() < limit and supervisor.is_alive():
        supervisor._service_subprocess(0.2)  # noqa: SLF001 - what its own loop does
        ended = {entry[0] for entry in (*supervisor.events, *supervisor.failed_triggers)}
    return {entry[0]: entry[1].payload for entry in supervisor.events}
