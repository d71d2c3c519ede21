"""A batch of small files: time against the limit N·L/C, connections, memory, plans, and peers.

N files, a service that takes L seconds for each, C at a time: nothing can be faster than N·L/C.
The official SDK in a thread pool and mapped HttpOperator tasks do a smaller N, scaled.  Then the
plan of 100,000 files, on the disk and on S3, and a service that takes four at a time.

``python bench/batch.py [FILES [PLANNED]]`` (1,000 and 100,000).  Each measurement has a process of
its own; so have the sandbox and the S3 server.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_convertapi.hooks.batch.batch import Batch

CONCURRENCY = 16
DIRECT_LATENCY, DURABLE_LATENCY = 0.2, 2.0
DIRECT_SHARE, DURABLE_SHARE = 0.95, 0.8
MOST_MEMORY, MEMORY_PER_SLOT = 64, 24
RAMP = 0.5
BUSY_CAPACITY, BUSY_FLIGHT, BUSY_SHARE = 4, 32, 0.1
MAPPED = 12
PART = 200  # records in a part of a manifest
PAIR = ("png", "jpg")  # the cheapest that the sandbox really makes: its own work is not measured


@dataclass
class TaskInstance:
    """What the operator reads of a task instance."""

    run_id: str = "run"
    dag_id: str = "bench"
    task_id: str = "batch"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))

    def xcom_push(self, *, key: str, value: Any) -> None:
        """Drop a value."""


@contextmanager
def sandbox_process(latency: float) -> Iterator[str]:
    """Run a sandbox in a process of its own, and give its URL."""
    command = [sys.executable, "-m", "airflow_provider_convertapi.sandbox", "--balance", "1000000"]
    command += ["--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            export = next(line for line in process.stdout or () if line.startswith("export "))
            connection = export.partition("=")[2].strip().strip("'")
            os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"] = connection
            yield json.loads(connection)["host"]
        finally:
            process.terminate()


@contextmanager
def s3_process(objects: int) -> Iterator[str]:
    """Run an S3 server in a process of its own, with a bucket of so many objects."""
    command = [sys.executable, __file__, "--s3", str(objects)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = (process.stdout or sys.stdin).readline().strip()
            extra = {"endpoint_url": url, "region_name": "us-east-1"}
            connection = {"conn_type": "aws", "login": "x", "password": "x", "extra": extra}
            os.environ["AIRFLOW_CONN_S3_BENCH"] = json.dumps(connection)
            yield url
        finally:
            process.terminate()


def serve_s3(objects: int) -> None:
    """Serve S3 from memory until the process is ended."""
    import boto3
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    logging.disable(logging.INFO)  # its server logs every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",  # noqa: S106 - of a server on loopback
    )
    client.create_bucket(Bucket="bucket")
    backend = s3_backends["123456789012"]["aws"]
    with tempfile.TemporaryDirectory() as name:
        make_files(Path(name), 1)
        picture = Path(name, "000000.png").read_bytes()
    for number in range(objects):
        backend.put_object("bucket", f"in/{number % 317:03d}/{number:06d}.png", picture)
    print(url, flush=True)
    threading.Event().wait()


def memory(name: str) -> float:
    """Return a figure of the kernel's in MB: `VmRSS` is now, `VmHWM` the peak of this program."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0]) / 1024


def execute(run_id: str = "run", **arguments: Any) -> dict[str, Any]:
    """Run one batch in this process."""
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

    operator = ConvertApiBatchOperator(task_id="batch", **arguments)
    context: Any = {"ti": TaskInstance(run_id), "task": operator}
    return operator.execute(context)


class Connections:
    """Count the TCP connections of this process to a port: each has a port of its own here."""

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port
        self._ports: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        import psutil

        process = psutil.Process()
        while not self._stop.wait(0.05):
            for connection in process.net_connections("tcp4"):
                if connection.raddr and connection.raddr.port == self._port:
                    self._ports.add(connection.laddr.port)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def __len__(self) -> int:
        return len(self._ports)


def convert(source: str, destination: str, mode: str, url: str, files: int) -> dict[str, Any]:
    """Convert a batch here, after a small one that loads everything; return what was measured."""
    common: dict[str, Any] = {
        "to_format": PAIR[1],
        "durable": mode == "durable",
        "max_in_flight": CONCURRENCY,
    }
    warm = tempfile.mkdtemp()
    make_files(Path(warm), 1)
    execute(source=warm, destination=f"{destination}warm-{mode}/", **common)
    idle = memory("VmRSS")
    started = time.monotonic()
    with Connections(url) as connections:
        summary = execute(source=source, destination=f"{destination}{mode}/", **common)
    seconds = time.monotonic() - started
    if summary["converted"] != files:
        raise RuntimeError(summary)
    return {
        "seconds": seconds,
        "connections": len(connections),
        "memory": memory("VmHWM") - idle,
    }


def plan(source: str, destination: str) -> dict[str, Any]:
    """Plan a batch here, and return what that took."""
    from airflow_provider_convertapi.hooks.batch.batch import Batch  # noqa: F401 - loads it

    idle = memory("VmRSS")
    started = time.monotonic()
    found = execute(source=source, destination=destination, to_format=PAIR[1], plan_only=True)
    return {
        "seconds": time.monotonic() - started,
        "memory": memory("VmHWM") - idle,
        "to_convert": found["to_convert"],
        "reused": found["reused"],
    }


def remember(source: str, destination: str) -> dict[str, Any]:
    """Make the outputs and the manifest of a night that converted everything."""
    from airflow_provider_convertapi.batch.record import Record
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

    operator = ConvertApiBatchOperator(
        task_id="batch", source=source, to_format=PAIR[1], destination=destination
    )
    context: Any = {"ti": TaskInstance("one"), "task": operator}
    batch: Batch = operator._batch(context)  # noqa: SLF001 - the night itself would take an hour
    planned, author = batch.plan(only=False), batch.author
    when = datetime.now(UTC).isoformat(timespec="microseconds")
    records = []
    for item in planned.plan.items:
        output = Path(destination, item.target)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("jpg")
        record = Record(
            target=item.target,
            source=item.uri,
            fingerprint=item.fingerprint,
            from_format=PAIR[0],
            to_format=PAIR[1],
            parameters=planned.asked.digests[0],
            outcome="converted",
            when=when,
            dag_id=author.dag_id,
            task_id=author.task_id,
            run_id=author.run_id,
            map_index=author.map_index,
            try_number=author.try_number,
            outputs=(item.target,),
            sizes=(3,),
            cost=1,
            charged=1,
        )
        records.append(record)
    manifest = planned.records.manifest
    for start in range(0, len(records), PART):
        manifest.write(author.part_name(start // PART), records[start : start + PART])
    return {"parts": len(manifest.part_names())}


def with_sdk(source: str, url: str) -> dict[str, Any]:
    """Convert with the official SDK in a thread pool, as its documentation says."""
    import convertapi

    connection = json.loads(os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"])
    convertapi.api_credentials = connection["password"]
    convertapi.base_uri = f"{url}/"
    files = [str(path) for path in Path(source).iterdir()]
    target = tempfile.mkdtemp()
    started = time.monotonic()
    with Connections(url) as connections, ThreadPoolExecutor(CONCURRENCY) as pool:
        for _ in pool.map(
            lambda file: convertapi.convert(PAIR[1], {"File": file}).save_files(target), files
        ):
            pass
    return {"seconds": time.monotonic() - started, "connections": len(connections)}


def with_http_operator(source: str, url: str) -> dict[str, Any]:
    """Convert with mapped HttpOperator tasks, as a DAG does, one after another in this process.

    On a real Airflow they overlap; what each takes beside the conversion, they still take.
    """
    import base64
    import warnings

    home = tempfile.mkdtemp()
    os.environ.update(AIRFLOW_HOME=home, AIRFLOW__CORE__DAGS_FOLDER=home)
    token = json.loads(os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"])["password"]
    os.environ["AIRFLOW_CONN_BENCH_HTTP"] = json.dumps({"conn_type": "http", "host": url})
    warnings.simplefilter("ignore")  # what Airflow says of itself
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.providers.http.operators.http import HttpOperator
    from airflow.sdk import DAG
    from airflow.utils.db import initdb

    logging.disable(logging.INFO)
    initdb()
    bodies = []
    for path in sorted(Path(source).iterdir())[:MAPPED]:
        value = {"Name": path.name, "Data": base64.b64encode(path.read_bytes()).decode()}
        bodies.append(json.dumps({"Parameters": [{"Name": "File", "FileValue": value}]}))
    with DAG("mapped", schedule=None) as dag:
        HttpOperator.partial(
            task_id="convert",
            http_conn_id="bench_http",
            endpoint=f"convert/{PAIR[0]}/to/{PAIR[1]}",
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            response_filter=_count_files,
        ).expand(data=bodies)
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(os.devnull)
    bag.dags[dag.dag_id] = dag
    sync_bag_to_db(bag, "dags-folder", None)
    started = time.monotonic()
    run = dag.test()
    if str(run.state) != "success":
        raise RuntimeError(run.state)
    return {"seconds": time.monotonic() - started, "tasks": len(bodies)}


def _count_files(response: Any) -> int:
    return len(response.json()["Files"])


STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "convert": convert,
    "plan": plan,
    "remember": remember,
    "sdk": with_sdk,
    "http": with_http_operator,
}


def apart(step: str, *arguments: Any) -> dict[str, Any]:
    """Do a step in a process of its own, and return what it measured."""
    command = [sys.executable, str(Path(__file__)), "--step", step, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def report(what: str, measured: dict[str, Any], files: int, latency: float, share: float) -> bool:
    """Print a run beside its limit; tell whether it is as good as it should be."""
    limit = files * latency / CONCURRENCY
    reached = limit / measured["seconds"]
    most = MOST_MEMORY + MEMORY_PER_SLOT * CONCURRENCY
    used = measured.get("memory", 0.0)
    print(
        f"{what:24} {files} files, {latency:g} s each, {CONCURRENCY} at a time: "
        f"{measured['seconds']:.1f} s, limit {limit:.1f} s, {reached:.0%} of it; "
        f"{measured['connections']} TCP connections"
        + (f"; {used:.0f} MB above idle (limit {most})" if used else "")
    )
    good = reached >= share and measured["connections"] <= CONCURRENCY + 2
    return bool(good and used <= most)


def make_files(folder: Path, count: int, directories: int = 1) -> None:
    """Write small pictures."""
    from PIL import Image

    for number in range(count):
        place = folder / f"{number % directories:03d}" if directories > 1 else folder
        place.mkdir(parents=True, exist_ok=True)
        colour = (number % 256, number // 256 % 256, number // 65536)
        Image.new("RGB", (8, 8), colour).save(place / f"{number:06d}.png")


def compare_speed(folder: Path, files: int) -> bool:
    """Print ours in both modes, on the disk and on S3, beside the SDK and mapped tasks."""
    source, few = folder / "in", folder / "few"
    make_files(source, files)
    make_files(few, max(files // 5, MAPPED))
    fewer = len(list(few.iterdir()))
    with sandbox_process(DIRECT_LATENCY) as url:
        ours = apart("convert", source, f"{folder}/out/", "direct", url, files)
        good = report("direct, disk", ours, files, DIRECT_LATENCY, DIRECT_SHARE)
        with s3_process(fewer):
            on_s3 = apart("convert", "s3://s3_bench@bucket/in/", "s3://s3_bench@bucket/out/",
                          "direct", url, fewer)  # fmt: skip
        report("direct, S3 to S3", on_s3, fewer, DIRECT_LATENCY, 0)
        sdk = apart("sdk", few, url)
        report("official SDK, threads", sdk, fewer, DIRECT_LATENCY, 0)
        mapped = apart("http", few, url)
        each = mapped["seconds"] / mapped["tasks"]
        print(
            f"{'mapped HttpOperator':24} {mapped['tasks']} tasks, one process: {each:.2f} s each, "
            f"so {each * files:.0f} s for {files}; {DIRECT_LATENCY * files:.0f} s of that overlap"
        )
    with sandbox_process(DURABLE_LATENCY) as url:
        ours = apart("convert", few, f"{folder}/out/", "durable", url, fewer)
        good &= report("durable, disk", ours, fewer, DURABLE_LATENCY, DURABLE_SHARE)
    return good


def compare_plans(folder: Path, files: int) -> None:
    """Print what plans of very many files take, the first and the second night."""
    source, out = folder / "many", folder / "planned"
    make_files(source, files, directories=317)
    nights = [("first night, disk", apart("plan", source, out))]
    apart("remember", source, out)
    nights.append(("second night, disk", apart("plan", source, out)))
    with s3_process(files):
        place = "s3://s3_bench@bucket/"
        nights.append(("first night, S3", apart("plan", f"{place}in/", f"{place}out/")))
    for name, night in nights:
        print(
            f"plan, {name:18} {night['to_convert']} to convert, {night['reused']} reused: "
            f"{night['seconds']:.1f} s, {night['memory']:.0f} MB above idle"
        )


def compare_busy(folder: Path) -> bool:
    """Print how a service that takes four at a time is found out."""
    from airflow_provider_convertapi.sandbox import Sandbox

    source = folder / "busy"
    make_files(source, 200)
    with sandbox_process(DIRECT_LATENCY) as url:
        sandbox = Sandbox.attach(url)
        sandbox.throttle_above(BUSY_CAPACITY)
        sandbox.settings.retry_after = 1
        started = time.monotonic()
        summary = execute(
            source=str(source), destination=f"{folder}/unbusy/", to_format=PAIR[1],
            durable=False, max_in_flight=BUSY_FLIGHT,
        )  # fmt: skip
        seconds = time.monotonic() - started
        requests = list(sandbox.requests)
    # What was on its way when the first refusal came had not heard of it: the ramp is that long.
    first = next(entry.at for entry in requests if entry.status == 503)  # noqa: PLR2004 - busy
    after = [entry.status for entry in requests if entry.at > first + RAMP]
    share = after.count(503) / len(after)
    print(
        f"busy service: {summary['converted']} of 200 files, {BUSY_CAPACITY} at a time allowed, "
        f"{BUSY_FLIGHT} wanted: {seconds:.1f} s, limit "
        f"{200 * DIRECT_LATENCY / BUSY_CAPACITY:.1f} s; "
        f"{share:.1%} answered 503 after the first (limit {BUSY_SHARE:.0%})"
    )
    return share < BUSY_SHARE and summary["converted"] == len(list(source.iterdir()))


def main(files: int, planned: int) -> int:
    """Print every figure; the exit status says whether the limits hold."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = compare_speed(folder, files)
        good &= compare_busy(folder)
        compare_plans(folder, planned)
    return 0 if good else 1


if __name__ == "__main__":
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
    if sys.argv[1:2] == ["--s3"]:
        serve_s3(int(sys.argv[2]))
    elif sys.argv[1:2] == ["--step"]:
        given = [int(text) if text.isdigit() else text for text in sys.argv[3:]]
        print(json.dumps(STEPS[sys.argv[2]](*given)))
    else:
        counts = [*map(int, sys.argv[1:3]), *(1000, 100_000)[len(sys.argv[1:3]) :]]
        sys.exit(main(*counts))
