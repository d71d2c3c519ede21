"""One bucket, many shards, two workers: each file is converted once and paid once."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.manifest import read_manifest
from tests.airflow_parts import task_process, wait_for
from tests.celery.conftest import SLOTS, WORKERS, revealed

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.airflow_parts import Run
    from tests.celery.conftest import Bucket, Cluster

pytestmark = pytest.mark.timeout(500)

FILES = 200
WAVE = 3
"""Jobs of one wave of `deferred_shards`."""

LIMIT = 300.0


def shards_of(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mapped tasks of a run."""
    return [task for task in tasks if task["map_index"] >= 0]


def summaries(run: Run, tasks: list[dict[str, Any]]) -> dict[str, int]:
    """Return the sums of what a run's shards returned."""
    path = f"{run.path}/taskInstances/to_pdf/xcomEntries/return_value"
    found = [
        run.airflow.call("GET", f"{path}?map_index={task['map_index']}&deserialize=true")["value"]
        for task in shards_of(tasks)
    ]
    return {key: sum(one[key] for one in found) for key in ("converted", "reused", "failed")}


def test_worker_is_killed_and_shards_change(
    cluster: Cluster, service: Sandbox, bucket: Bucket
) -> None:
    """Its shards go on with the other worker; other shards, the next night, pay nothing."""
    names = bucket.fill(FILES)
    service.settings.latency = 1
    run = cluster.airflow.trigger("fan_out_shards", **bucket.params, files_per_shard=20)
    wait_for("some of the files", lambda: service.billed >= FILES // 4, LIMIT)
    wait_for("both workers", lambda: set(WORKERS) == cluster.workers_of(run.logs()))

    cluster.airflow.kill(cluster.worker_of(task_process(service).pid))
    tasks = run.wait("success", LIMIT)

    shards = shards_of(tasks)
    records = read_manifest(bucket.destination)
    assert 10 == len(shards)
    assert 1 < max(task["try_number"] for task in shards)
    assert names == bucket.whole_outputs()
    assert names == {record.target for record in records if record.outcome == "converted"}
    assert (FILES, {}) == (service.billed, service.files)

    again = cluster.airflow.trigger("fan_out_shards", **bucket.params, files_per_shard=29)
    tasks = again.wait("success", LIMIT)

    assert 7 == len(shards_of(tasks))
    assert {"converted": 0, "reused": FILES, "failed": 0} == summaries(again, tasks)
    assert FILES == service.billed


def test_worker_is_killed_while_its_shards_are_deferred(
    cluster: Cluster, service: Sandbox, bucket: Bucket
) -> None:
    """They need no worker then: another one collects, in the first try, as the pool lets it."""
    names = bucket.fill(20)
    latency = service.settings.latency = 10
    run = cluster.airflow.trigger("deferred_shards", **bucket.params)
    wait_for("deferred shards", lambda: SLOTS == run.states().count("deferred"))
    started = [log for log in run.logs() if "task_id=to_pdf" in log.parts]
    victim, *_ = sorted(cluster.workers_of(started))

    cluster.airflow.kill(victim)
    shards = shards_of(run.wait("success", LIMIT))

    posts = service.requests.filter(method="POST", path="/async/convert/*")
    sent = [entry.at for entry in posts]
    at_once = max(sum(0 <= at - other < latency for other in sent) for at in sent)
    assert [1] * 4 == [task["try_number"] for task in shards]
    assert names == bucket.whole_outputs()
    assert (20, {}) == (service.billed, service.files)
    assert WAVE < at_once <= SLOTS * WAVE


def test_search_for_secrets_sees_what_is_encoded() -> None:
    """A message of Celery, and bytes in a dump, hide nothing from it."""
    held = json.dumps({"task": "to_pdf", "token": "0123456789abcdef"}).encode()

    message = json.dumps({"body": base64.b64encode(held).decode()})
    row = f"1\t\\\\x{held.hex()}\n"

    assert held.decode() in revealed(message)
    assert held.decode() in revealed(json.dumps(message))
    assert held.decode() in revealed(row)
