"""Conversions under faults: ours, the official SDK's and a deferrable HttpOperator's.

Five faults, each on 5 % of its requests: the answer lost after the work was billed, 503, a reset
before the answer, a truncated download, a poll outage.  Every conversion may be tried four times
(`retries=3`).  The sandbox counts what was billed.

``python bench/faulted.py [N]`` converts N documents with ours (1,000) and N/10 with each peer.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Hundreds of failures on purpose: Airflow's log of each would hide the figures.
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "CRITICAL"

if TYPE_CHECKING:
    from collections.abc import Callable

    from convertapi_sandbox import Sandbox

TRIES = 4
SHARE = 0.05
SETTLE = 0.5
THREADS = 8


@dataclass(frozen=True, slots=True)
class Tally:
    """How a run ended."""

    wanted: int
    finished: int
    wrong: int
    billed: int
    seconds: float


def inject(sandbox: Sandbox) -> None:
    """Set the five faults; which requests they meet is drawn from the sandbox's seed."""
    for path in ("/async/convert", "/convert"):
        sandbox.fail(f"POST {path}", drop="after_work", probability=SHARE, times=None)
        sandbox.fail(
            f"POST {path}",
            status=503,
            code=503,
            probability=SHARE,
            times=None,
            headers={"Retry-After": "0.1"},
        )
        sandbox.fail(f"POST {path}", drop="before", probability=SHARE, times=None)
    sandbox.fail("GET /d", truncate=100, probability=SHARE, times=None)
    sandbox.fail("GET /async/job", drop="before", probability=SHARE, times=None)


def run(sandbox: Sandbox, folder: Path, count: int, convert: Callable[..., None]) -> Tally:
    """Convert `count` documents with up to four tries each, and open every result."""
    sources, outputs = folder / "in", folder / "out"
    for place in (sources, outputs):
        place.mkdir(parents=True)
    for number in range(count):
        (sources / f"{number}.txt").write_text(f"This is document {number}.\n")
    sandbox.reset()
    inject(sandbox)
    started = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        finished = sum(pool.map(partial(_tries, convert, sources, outputs), range(count)))
    seconds = time.monotonic() - started
    wrong = sum(not _is_right(outputs / f"{n}.zip", n) for n in range(count))
    return Tally(count, finished, wrong, sandbox.billed, seconds)


def _tries(convert: Callable[..., None], sources: Path, outputs: Path, number: int) -> bool:
    for attempt in range(1, TRIES + 1):
        try:
            convert(number, sources / f"{number}.txt", outputs / f"{number}.zip", attempt)
        except BaseException:  # noqa: BLE001, S112 - the SDK's errors are not `Exception`s; any is a failed try
            continue
        return True
    return False


def _is_right(path: Path, number: int) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(f"{number}.txt") == f"This is document {number}.\n".encode()
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def ours(number: int, source: Path, target: Path, attempt: int) -> None:
    """Convert in durable mode, as a task's try would."""
    from airflow_provider_convertapi.conversions.task import TaskTry
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    hook = ConvertApiHook()
    task = TaskTry(
        dag_id="faulted", run_id="bench", task_id=str(number), number=attempt, started=time.time()
    )
    session = hook.open_session(task)
    try:
        hook.convert(source, "zip", target, poll_interval=1)
    finally:
        session.client.close()


def official_sdk(_number: int, source: Path, target: Path, _attempt: int) -> None:
    """Convert as a `@task` with the official SDK does."""
    import convertapi

    convertapi.convert("zip", {"Files": [str(source)]}).file.save(str(target))


def http_operator(number: int, source: Path, target: Path, attempt: int) -> None:
    """Convert with a deferrable HttpOperator: one POST, the JSON answer decoded."""
    from airflow.providers.common.compat.sdk import TaskDeferred
    from airflow.providers.http.operators.http import HttpOperator

    operator = HttpOperator(
        task_id=f"convert_{number}_{attempt}",
        http_conn_id="bench_http",
        endpoint="convert/any/to/zip",
        data=json.dumps(_parameters(source)),
        headers={"Content-Type": "application/json", "Accept": "application/json"},
        response_filter=lambda response: response.json(),
        deferrable=True,
        warn_on_non_idempotent=False,
    )
    try:
        answer = operator.execute({})
    except TaskDeferred as deferred:
        event = asyncio.run(anext(deferred.trigger.run()))
        answer = operator.execute_complete({}, event.payload)
    target.write_bytes(base64.b64decode(answer["Files"][0]["FileData"]))


def _parameters(source: Path) -> dict[str, Any]:
    value = {"Name": source.name, "Data": base64.b64encode(source.read_bytes()).decode()}
    return {"Parameters": [{"Name": "Files", "FileValues": [value]}]}


def main(count: int) -> int:
    """Print a line for each; the exit status says whether ours kept its promise."""
    import convertapi

    from convertapi_sandbox import Sandbox

    os.environ["AIRFLOW__CONVERTAPI__SETTLE"] = str(SETTLE)
    with Sandbox(balance=10**6, seed=1) as sandbox, tempfile.TemporaryDirectory() as folder:
        os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"] = sandbox.airflow_connection_json
        os.environ["AIRFLOW_CONN_BENCH_HTTP"] = json.dumps(_http_connection(sandbox))
        convertapi.api_credentials, convertapi.base_uri = sandbox.token, f"{sandbox.url}/"
        tallies = {
            "ours, durable": run(sandbox, Path(folder, "ours"), count, ours),
            "official SDK in a task": run(
                sandbox, Path(folder, "sdk"), max(count // 10, 1), official_sdk
            ),
            "HttpOperator, deferrable": run(
                sandbox, Path(folder, "http"), max(count // 10, 1), http_operator
            ),
        }
    for name, tally in tallies.items():
        double = tally.billed - tally.wanted
        print(
            f"{name:26} {tally.wanted:5} wanted, {tally.finished:5} said done, "
            f"{tally.wrong:3} wrong or missing, {tally.billed:5} billed ({double:+d}), "
            f"{tally.seconds:6.1f} s"
        )
    kept = tallies["ours, durable"]
    return 0 if (kept.wrong, kept.billed) == (0, count) else 1


def _http_connection(sandbox: Sandbox) -> dict[str, Any]:
    host, port = sandbox.url.removeprefix("http://").split(":")
    extra = {"Authorization": f"Bearer {sandbox.token}"}
    return {"conn_type": "http", "host": host, "port": int(port), "schema": "http", "extra": extra}


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
