"""A batch of small files: time against the limit N·L/C, connections, memory, plans, and peers.

N files, a service that takes L seconds for each, C at a time: nothing can be faster than N·L/C.
A bare loop that only posts shows what is left of that on a machine that serves itself; the official
SDK in a thread pool and mapped HttpOperator tasks do a smaller N, scaled.  Then a service that
takes four at a time, and the plan of 100,000 files, on the disk and on S3, the first night and the
second.

``python bench/batch.py [FILES [PLANNED]]`` (1,000 and 100,000; ``0 1000000`` plans a million files
and converts nothing).  Each measurement has a process of its own; so have the sandbox and the S3
server.
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
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dev import peers
from dev.bench import scratch
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_convertapi.batch.batch import Batch
    from airflow_provider_convertapi.batch.decisions import Item

CONCURRENCY = 16
DIRECT_LATENCY, SLOWER_LATENCY, DURABLE_LATENCY = 0.2, 1.0, 2.0
DIRECT_SHARE, FEWER_SHARE, DURABLE_SHARE = 0.96, 0.93, 0.8
FEWER = 400  # the start and the end of a batch are a larger part of a small one
MOST_MEMORY, MEMORY_PER_SLOT = 64, 24
MOST_PLAN_MEMORY = 128
MOST_OBJECTS = 100_000  # the S3 server holds them in memory
RUNS = 3
"""Of what is compared with a limit so closely, the best counts: what else a machine does can
only make it slower."""
RAMP = 0.5
BUSY_CAPACITY, BUSY_FLIGHT, BUSY_SHARE = 4, 32, 0.1
PART = 200  # records in a part of a manifest
PAIR = ("png", "jpg")  # the cheapest real conversion, because the sandbox's work is not measured


@contextmanager
def sandbox_process(latency: float) -> Iterator[str]:
    """Run a sandbox in its own process, and yield its URL."""
    command = [sys.executable, "-m", "convertapi_sandbox", "--balance", "1000000"]
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
    """Run an S3 server in its own process, with a bucket of so many objects."""
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
        aws_secret_access_key="x",  # noqa: S106 - for a server on loopback
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
    context: Any = {"ti": TaskInstance(run_id=run_id), "task": operator}
    return operator.execute(context)


def convert(source: str, destination: str, mode: str, url: str, files: int) -> dict[str, Any]:
    """Convert a batch in this process, after a small one that warms up; return the figures."""
    common: dict[str, Any] = {
        "to_format": PAIR[1],
        "durable": mode == "durable",
        "max_in_flight": CONCURRENCY,
    }
    warm = tempfile.mkdtemp()
    make_files(Path(warm), 1)
    execute(source=warm, destination=f"{destination}warm-{mode}/", **common)
    idle = memory("VmRSS")
    connections = peers.Connections(url)
    started = time.monotonic()
    summary = execute(source=source, destination=f"{destination}{mode}/", **common)
    seconds = time.monotonic() - started
    if summary["converted"] != files:
        raise RuntimeError(summary)
    return {
        "seconds": seconds,
        "connections": connections.opened,
        "memory": memory("VmHWM") - idle,
    }


def plan(source: str, destination: str) -> dict[str, Any]:
    """Plan a batch here, after a small one that loads everything; return what that took."""
    few = tempfile.mkdtemp()
    make_files(Path(few), 1)
    execute(source=few, destination=f"{few}/out", to_format=PAIR[1], plan_only=True)
    idle = memory("VmRSS")
    started = time.monotonic()
    found = execute(source=source, destination=destination, to_format=PAIR[1], plan_only=True)
    return {
        "seconds": time.monotonic() - started,
        "memory": memory("VmHWM") - idle,
        "to_convert": found["to_convert"],
        "reused": found["reused"],
    }


def walk(folder: str) -> dict[str, Any]:
    """List a folder, and ask for the state of every file, as any plan has to."""
    started, count = time.monotonic(), 0
    folders = [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    entry.stat()
                    count += 1
    return {"seconds": time.monotonic() - started, "files": count}


def remember(source: str, destination: str) -> dict[str, Any]:
    """Make the outputs and the manifest of a night that converted everything."""
    from airflow_provider_convertapi.batch.manifest import part_name
    from airflow_provider_convertapi.batch.record import Record
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

    operator = ConvertApiBatchOperator(
        task_id="batch", source=source, to_format=PAIR[1], destination=destination
    )
    context: Any = {"ti": TaskInstance(run_id="one"), "task": operator}
    batch: Batch = operator._batch(context)  # noqa: SLF001 - the night itself would take an hour
    plan, task = batch.plan(only=False), batch.task
    when = datetime.now(UTC).isoformat(timespec="microseconds")

    def record(item: Item) -> Record:
        return Record(
            target=item.target,
            source=item.uri,
            fingerprint=item.fingerprint,
            from_format=PAIR[0],
            to_format=PAIR[1],
            parameters=plan.request_digest.digests[0],
            outcome="converted",
            when=when,
            dag_id=task.dag_id,
            task_id=task.task_id,
            run_id=task.run_id,
            map_index=task.map_index,
            try_number=task.number,
            outputs=(item.target,),
            sizes=(3,),
            cost=1,
            charged=1,
        )

    manifest, items, sequence = plan.state.manifest, iter(plan.items), 0
    while part := list(islice(items, PART)):
        for item in part:
            output = Path(destination, item.target)
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text("jpg")
        manifest.write(part_name(task, sequence), map(record, part))
        sequence += 1
    return {"parts": sequence}


STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "convert": convert,
    "plan": plan,
    "walk": walk,
    "remember": remember,
    "bare": peers.bare,
    "sdk": peers.with_sdk,
    "http": peers.with_http_operator,
}


def apart(step: str, *arguments: Any) -> dict[str, Any]:
    """Run a step in its own process, and return its figures."""
    command = [sys.executable, str(Path(__file__)), "--step", step, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def report(what: str, measured: dict[str, Any], files: int, latency: float, share: float) -> bool:
    """Print a run and its limit; tell whether it is good enough."""
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


def make_files(folder: Path, count: int) -> None:
    """Write small pictures."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        colour = (number % 256, number // 256 % 256, number // 65536)
        Image.new("RGB", (8, 8), colour).save(folder / f"{number:06d}.png")


def compare_speed(folder: Path, files: int) -> bool:
    """Print ours in both modes, on disk and on S3, and the SDK and mapped tasks for comparison."""
    source, few = folder / "in", folder / "few"
    make_files(source, files)
    make_files(few, max(files // 5, peers.MAPPED))
    fewer = len(list(few.iterdir()))
    with sandbox_process(DIRECT_LATENCY) as url:
        ours, good = compare_direct(source, f"{folder}/out", url, files, DIRECT_SHARE)
        make_files(folder / "fewer", FEWER)
        good &= compare_direct(folder / "fewer", f"{folder}/less", url, FEWER, FEWER_SHARE)[1]
        bare = apart("bare", source, url, "-".join(PAIR), CONCURRENCY, RAMP)
        report("bare loop, disk", bare, files, DIRECT_LATENCY, 0)
        print(f"{'':24} ours reaches {bare['seconds'] / ours['seconds']:.0%} of the bare loop")
        with s3_process(fewer):
            on_s3 = apart("convert", "s3://s3_bench@bucket/in/", "s3://s3_bench@bucket/out/",
                          "direct", url, fewer)  # fmt: skip
        good &= report("direct, S3 to S3", on_s3, fewer, DIRECT_LATENCY, 0)
        sdk = apart("sdk", few, url, "-".join(PAIR), CONCURRENCY)
        report("official SDK, threads", sdk, fewer, DIRECT_LATENCY, 0)
        mapped = apart("http", few, url, "-".join(PAIR))
        each = mapped["seconds"] / mapped["tasks"]
        print(
            f"{'mapped HttpOperator':24} {mapped['tasks']} tasks, one process: {each:.2f} s each, "
            f"so {each * files:.0f} s for {files}; {DIRECT_LATENCY * files:.0f} s of that overlap"
        )
    # Our time per file does not depend on the service's.
    with sandbox_process(SLOWER_LATENCY) as url:
        slower = apart("convert", source, f"{folder}/slower/", "direct", url, files)
        report("direct, disk", slower, files, SLOWER_LATENCY, 0)
    with sandbox_process(DURABLE_LATENCY) as url:
        ours = apart("convert", source, f"{folder}/durable/", "durable", url, files)
        good &= report("durable, disk", ours, files, DURABLE_LATENCY, DURABLE_SHARE)
    return good


def compare_direct(
    source: Path, out: str, url: str, files: int, share: float
) -> tuple[dict[str, Any], bool]:
    """Print the best of some runs in direct mode; return it, and whether it reaches its share."""
    runs = [
        apart("convert", source, f"{out}{number}/", "direct", url, files) for number in range(RUNS)
    ]
    best = min(runs, key=lambda run: run["seconds"])
    good = report("direct, disk", best, files, DIRECT_LATENCY, share)
    print(f"{'':24} the best of", ", ".join("{seconds:.2f} s".format(**run) for run in runs))
    return best, good


def compare_plans(folder: Path, files: int) -> bool:
    """Print what plans of very many files take, the first and the second night."""
    source, out = folder / "many", folder / "planned"
    make_copies(source, files)
    good = report_plan("first night, disk", apart("plan", source, out), apart("walk", source))
    apart("remember", source, out)
    bare = apart("walk", folder)  # source and destination
    good &= report_plan("second night, disk", apart("plan", source, out), bare)
    with s3_process(min(files, MOST_OBJECTS)):
        place = "s3://s3_bench@bucket/"
        night = apart("plan", f"{place}in/", f"{place}out/")
        return good & report_plan("first night, S3", night)


def make_copies(folder: Path, count: int) -> None:
    """Write very many small files; nobody converts them."""
    for number in range(count):
        place = folder / f"{number % 317:03d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:06d}.png").write_bytes(b"png")


def report_plan(name: str, night: dict[str, Any], bare: dict[str, Any] | None = None) -> bool:
    """Print what a plan took; tell whether its memory is within its limit."""
    beside = f", {bare['seconds']:.1f} s for a bare listing of {bare['files']}" if bare else ""
    print(
        f"plan, {name:18} {night['to_convert']} to convert, {night['reused']} reused: "
        f"{night['seconds']:.1f} s{beside}; {night['memory']:.0f} MB above idle "
        f"(limit {MOST_PLAN_MEMORY})"
    )
    return bool(night["memory"] <= MOST_PLAN_MEMORY)


def compare_busy(folder: Path) -> bool:
    """Print how a batch adapts to a service that takes four conversions at a time."""
    from convertapi_sandbox import Sandbox

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
    # Requests under way at the first refusal cannot take it into account: the ramp lasts that long.
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


def main(folder: Path, files: int, planned: int) -> int:
    """Print every figure; the exit status says whether the limits hold."""
    good = True
    if files:
        good &= compare_speed(folder, files)
        good &= compare_busy(folder)
    with sandbox_process(DIRECT_LATENCY):  # a plan asks it for nothing, but digests need a token
        good &= compare_plans(folder, planned)
    return 0 if good else 1


def _number(text: str) -> int | float | str:
    if text.isdigit():
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


if __name__ == "__main__":
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
    with scratch() as place:
        if sys.argv[1:2] == ["--s3"]:
            serve_s3(int(sys.argv[2]))
        elif sys.argv[1:2] == ["--step"]:
            given = [_number(text) for text in sys.argv[3:]]
            print(json.dumps(STEPS[sys.argv[2]](*given)))
        else:
            counts = [*map(int, sys.argv[1:3]), *(1000, 100_000)[len(sys.argv[1:3]) :]]
            sys.exit(main(place, *counts))
