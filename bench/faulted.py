"""Conversions under faults: ours, the official SDK's and a deferrable HttpOperator's.

Five faults, each on 5 % of its requests: the answer lost after the work was billed, 503, the
connection lost before the answer, a truncated download, a poll outage.  Every conversion may be
tried four times (`retries=3`).  The sandbox counts what was billed.

The same again through a forwarding proxy, and through a CONNECT proxy with TLS in its tunnels.
Each of the two closes or resets 2 % of the connections, one after the other, whenever a request,
an answer or a handshake begins: before the work, after it, or before the first byte.  A peer goes
the same way.

``python bench/faulted.py [N]`` converts N documents each way with ours (1,000) and N/10 with each
peer.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.proxies import PROXIES, put_before

# Hundreds of failures on purpose: Airflow's log of each would hide the figures.
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "CRITICAL"

if TYPE_CHECKING:
    from collections.abc import Callable

    from convertapi_sandbox import Sandbox
    from tests.proxies import Ending, Turn

TRIES = 4
SHARE = 0.05
PROXY_SHARE = 0.02
WAYS = ("no proxy", *PROXIES)
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


@dataclass(slots=True)
class Faults:
    """End a share of a proxy's connections, every second one by a reset; count when.

    The seed repeats the draws; which request they meet is left to the threads.
    """

    hits: Counter[Turn] = field(default_factory=Counter)
    _random: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - a draw
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, turn: Turn) -> Ending | None:
        """Say how the connection ends as this turn begins; None where it goes on."""
        with self._lock:
            if self._random.random() >= PROXY_SHARE:
                return None
            self.hits[turn] += 1
            return "reset" if self.hits.total() % 2 else "closed"


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
    from airflow.providers.http.operators.http import HttpOperator
    from airflow.sdk.exceptions import TaskDeferred

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
    from convertapi_sandbox import Sandbox

    os.environ["AIRFLOW__CONVERTAPI__SETTLE"] = str(SETTLE)
    kept = True
    with Sandbox(balance=10**6, seed=1) as sandbox, tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            here = Path(folder, way)
            here.mkdir()
            faults = Faults()
            with put_before(sandbox.url, way, here, faults) as (url, environment):
                os.environ.update(environment)
                _connect(sandbox, url)
                kept &= _compare(sandbox, way, here, count)
            for name in environment:
                del os.environ[name]
            if faults.hits:
                print("  the proxy ended connections: " + _told(faults.hits))
    return 0 if kept else 1


def _compare(sandbox: Sandbox, way: str, folder: Path, count: int) -> bool:
    """Run ours and its peers one way; return whether ours paid once for each and lost none."""
    few = max(count // 10, 1)
    print(way, flush=True)
    tally = run(sandbox, folder / "ours", count, ours)
    _tell("ours, durable", tally)
    _tell("official SDK in a task", run(sandbox, folder / "sdk", few, official_sdk))
    if way == "no proxy":  # it asks for no proxy of the environment
        _tell("HttpOperator, deferrable", run(sandbox, folder / "http", few, http_operator))
    return (tally.finished, tally.wrong, tally.billed) == (count, 0, count)


def _tell(name: str, tally: Tally) -> None:
    double = tally.billed - tally.wanted
    print(
        f"  {name:26} {tally.wanted:5} wanted, {tally.finished:5} said done, "
        f"{tally.wrong:3} wrong or missing, {tally.billed:5} billed ({double:+d}), "
        f"{tally.seconds:6.1f} s",
        flush=True,
    )


def _told(hits: Counter[Turn]) -> str:
    when: dict[Turn, str] = {
        "handshake": "in a handshake",
        "request": "before the work",
        "answer": "after it",
    }
    return ", ".join(f"{hits[turn]} {text}" for turn, text in when.items() if hits[turn])


def _connect(sandbox: Sandbox, url: str) -> None:
    import convertapi

    connection = sandbox.airflow_connection | {"host": url}
    os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"] = json.dumps(connection)
    os.environ["AIRFLOW_CONN_BENCH_HTTP"] = json.dumps(_http_connection(sandbox))
    convertapi.api_credentials, convertapi.base_uri = sandbox.token, f"{url}/"


def _http_connection(sandbox: Sandbox) -> dict[str, Any]:
    host, port = sandbox.url.removeprefix("http://").split(":")
    extra = {"Authorization": f"Bearer {sandbox.token}"}
    return {"conn_type": "http", "host": host, "port": int(port), "schema": "http", "extra": extra}


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
