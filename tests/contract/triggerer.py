"""Start Airflow's triggerer with many triggers, without its loop over the database.

``python triggerer.py CONNECTION COUNT`` prints the statuses with which they fired, and failures.
It is a program of its own because the triggerer's process is a fork: it would inherit the threads
that tests have used, as `sync_to_async` would believe, and wait for them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from typing import Any

from airflow_provider_convertapi.api.ids import key_check
from airflow_provider_convertapi.triggers.job import ConvertApiJobTrigger

LIMIT = 120.0


def workloads(conn_id: str, token: str, count: int) -> list[Any]:
    """Return triggers as the supervisor hands them to the triggerer's process."""
    from airflow.models.trigger import Trigger

    messages: Any = import_module("airflow.executors.workloads")
    made = []
    for index in range(1, count + 1):
        trigger = ConvertApiJobTrigger(
            convertapi_conn_id=conn_id,
            key_check=key_check(token),
            deadline=time.time() + LIMIT,
            poll_interval=1,
            settle=0,
            jobs=[[f"{index:064x}", 0, None, []]],  # unknown to the service, which says so
        )
        row = Trigger.from_object(trigger)
        made.append(
            messages.RunTrigger(
                id=index, ti=None, classpath=row.classpath, encrypted_kwargs=row.encrypted_kwargs
            )
        )
    return made


def main(conn_id: str, count: int) -> list[list[Any]]:
    """Serve the triggerer's process until each trigger has fired or failed."""
    from airflow.jobs.job import Job
    from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor

    token = json.loads(os.environ["CONTRACT_CONNECTION"])["password"]
    job = Job()
    job.id = os.getpid()
    supervisor: Any = TriggerRunnerSupervisor.start(job=job, capacity=count)
    limit = time.monotonic() + LIMIT
    ended: set[int] = set()
    try:
        supervisor.creating_triggers.extend(workloads(conn_id, token, count))
        while len(ended) < count and time.monotonic() < limit and supervisor.is_alive():
            supervisor._service_subprocess(0.2)  # noqa: SLF001 - what its own loop does
            ended = {entry[0] for entry in (*supervisor.events, *supervisor.failed_triggers)}
    finally:
        supervisor.kill(force=True)
    fired = {entry[0]: entry[1].payload["status"] for entry in supervisor.events}
    return [list(fired.values()), [str(entry) for entry in supervisor.failed_triggers]]


if __name__ == "__main__":
    outcome = main(sys.argv[1], int(sys.argv[2]))
    print(json.dumps(outcome))  # noqa: T201 - the result
