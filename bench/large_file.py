"""One large file: speed compared with `curl` on the same server, and memory above idle.

Speed: `ConvertApiHook.upload` and `download` against `curl`, in turn, medians of six.  Ours
publishes a file only when it is flushed to disk (fsync), so curl's file is flushed too.
Memory: a whole conversion (any to zip) by the operator in both modes, on the disk and from S3 to
S3, each in its own process.

``python bench/large_file.py [MEGABYTES]`` (1,024).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dev import s3
from dev.bench import scratch
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

ROUNDS = 6
CURL = shutil.which("curl") or "curl"
LEAST_SHARE_OF_CURL = {"upload": 0.8, "download": 0.95}
MOST_MEMORY = 64
MEBIBYTE = 1024 * 1024
SMALL, LARGE = "small", "large"


def make_file(path: Path, megabytes: int) -> None:
    """Write an incompressible file."""
    block = os.urandom(MEBIBYTE)
    with path.open("wb") as stream:
        for _ in range(megabytes):
            stream.write(block)


@contextmanager
def sandbox_process() -> Iterator[str]:
    """Run a sandbox in its own process, not in our interpreter; yield its URL."""
    command = [sys.executable, "-m", "convertapi_sandbox", "--balance", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            export = next(line for line in process.stdout or () if line.startswith("export "))
            connection = export.partition("=")[2].strip().strip("'")
            os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"] = connection
            yield json.loads(connection)["host"]
        finally:
            process.terminate()


def compare_speed(url: str, folder: Path, megabytes: int) -> bool:
    """Print upload and download compared with curl; tell whether both are fast enough."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    source, mine, theirs = (folder / name for name in (f"{LARGE}.txt", "ours.bin", "curl.bin"))
    hook = ConvertApiHook()
    curl_up = [CURL, "-sSf", "-T", str(source), "-X", "POST", f"{url}/upload?filename=large.txt"]
    seconds: dict[str, list[float]] = {}
    measure = partial(_note, seconds)
    stored = hook.upload(source)
    works: list[Callable[[], Any]] = [
        lambda: hook.delete(measure("ours up", lambda: hook.upload(source))),
        lambda: hook.delete(_file_id(measure("curl up", lambda: subprocess.check_output(curl_up)))),
        partial(measure, "curl down", partial(_curl_to_disk, f"{url}/d/{stored}", theirs)),
        partial(measure, "ours down", partial(hook.download, stored, mine)),
    ]
    for _ in range(ROUNDS):
        for work in works:
            # Before each: what has just removed a file finds its memory still at hand.
            mine.unlink(missing_ok=True)
            theirs.unlink(missing_ok=True)
            work()
        works.reverse()  # and each of two comes first in half of the rounds
    upload = _report("upload", megabytes, seconds["ours up"], seconds["curl up"])
    download = _report("download", megabytes, seconds["ours down"], seconds["curl down"])
    return upload and download


def _file_id(answer: bytes) -> str:
    return str(json.loads(answer)["FileId"]) if answer[:1] == b"{" else answer.decode().strip()


def _curl_to_disk(url: str, path: Path) -> None:
    subprocess.run([CURL, "-sSf", "-o", str(path), url], check=True)
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _note(seconds: dict[str, list[float]], name: str, action: Callable[[], T]) -> T:
    """Call a function, and record its seconds under a name."""
    started = time.monotonic()
    result = action()
    seconds.setdefault(name, []).append(time.monotonic() - started)
    return result


def _report(what: str, megabytes: int, ours: list[float], curl: list[float]) -> bool:
    mine, theirs = statistics.median(ours), statistics.median(curl)
    print(
        f"{what:22} ours {megabytes / mine:7.0f} MB/s, curl {megabytes / theirs:7.0f} MB/s, "
        f"share of curl {theirs / mine:.2f} (at least {LEAST_SHARE_OF_CURL[what]})"
    )
    return theirs / mine >= LEAST_SHARE_OF_CURL[what]


def measure_memory(source: str, out: str, mode: str) -> float:
    """Return the peak in MB above idle of a process that converts the large file."""
    run = subprocess.run(
        [sys.executable, __file__, "--convert", source, out, mode],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(run.stdout.split()[-1])


def convert(source: str, out: str, mode: str) -> None:
    """Convert in this process and print the memory that it took above idle."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    def run(name: str) -> None:
        operator = ConvertApiOperator(
            task_id=f"{mode}-{name}",
            source=f"{source}{name}.txt",
            to_format="zip",
            destination=f"{out}{mode}-{name}.zip",
            durable=mode == "durable",
        )
        context: Any = {"ti": TaskInstance(task_id=operator.task_id), "task": operator}
        operator.execute(context)

    run(SMALL)  # loads everything
    idle = _memory("VmRSS")
    run(LARGE)
    print(_memory("VmHWM") - idle)


def compare_memory(folder: Path) -> bool:
    """Print the memory of conversions, on disk and on S3; tell whether all are within the limit."""
    documents = [folder / f"{name}.txt" for name in (SMALL, LARGE)]
    documents[0].write_text("small\n")
    good = True
    with s3.s3_server() as url:
        s3.filled(url, documents)
        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for every request
        os.environ["AIRFLOW_CONN_BENCH_S3"] = s3.airflow_connection(url)
        bucket = "s3://bench_s3@"
        places = {
            "disk": (f"{folder}/", f"{folder}/out/"),
            "S3": (f"{bucket}{s3.INCOMING}/", f"{bucket}{s3.CONVERTED}/"),
        }
        for place, (source, out) in places.items():
            for mode in ("durable", "direct"):
                peak = measure_memory(source, out, mode)
                good = good and peak <= MOST_MEMORY
                size = documents[1].stat().st_size // MEBIBYTE
                print(
                    f"{place:4} to {place:4} {mode:8} {size} MB: "
                    f"{peak:.1f} MB above idle (limit {MOST_MEMORY})",
                    flush=True,
                )
    return good


def _memory(name: str) -> float:
    """Return a figure of the kernel's in MB: `VmRSS` is now, `VmHWM` the peak of this program.

    Not `ru_maxrss`, which starts at what the parent had when it forked.
    """
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0]) / 1024


def main(folder: Path, megabytes: int) -> int:
    """Print every figure; the exit status says whether the limits hold."""
    with sandbox_process() as url:
        make_file(folder / f"{LARGE}.txt", megabytes)
        good = compare_speed(url, folder, megabytes)
        good = compare_memory(folder) and good
    return 0 if good else 1


if __name__ == "__main__":
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
    with scratch() as place:
        if sys.argv[1:2] == ["--convert"]:
            convert(*sys.argv[2:])
        else:
            sys.exit(main(place, int(sys.argv[1]) if len(sys.argv) > 1 else 1024))
