"""One large file in and out of each store, against the store's own library in the same run.

Ours stages, publishes and checks a file; the library, or boto3 for S3, only moves it.  Each pair
runs in turn, once without being timed, since that loads the libraries, and then five times, whose
medians are compared.  Each store has a process of its own, as a task would: after Azure's library,
S3's takes longer.  It runs in ``.venv-stores``, which has the stores' libraries.  A store whose
server is missing is left out; ``make test-stores`` installs them.

``.venv-stores/bin/python bench/stores.py [MEGABYTES] [STORE ...]`` (300).
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from dev.bench import scratch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.stores.places import Place

ROUNDS = 5
LEAST_SHARE = 0.7
MEBIBYTE = 1024 * 1024


def publish(uri: str, file: Path) -> None:
    """Publish a local file as a result."""
    from airflow_provider_convertapi.storage import BLOCK, Destination, Publication

    with Publication(Destination.parse(uri), inputs=[], overwrite=True) as publication:
        with (
            publication.stage(uri, file.stat().st_size) as sink,
            file.open("rb") as source,
        ):
            while block := source.read(BLOCK):
                sink.write(block)
        publication.publish()


def read(uri: str) -> None:
    """Read a source to its end."""
    from airflow_provider_convertapi.storage import BLOCK, find_source

    with find_source(uri).open() as file:
        while file.read(BLOCK):
            pass


def library(place: Place, file: Path) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return what moves the file out and in without us."""
    from airflow.sdk import ObjectStoragePath

    back = file.with_suffix(".back")
    client = getattr(place, "client", None)
    if client is not None:
        target = (place.bucket, place.key("theirs.bin"))
        return (
            partial(client.upload_file, str(file), *target),
            partial(client.download_file, *target, str(back)),
        )
    path = ObjectStoragePath(f"{place.uri}theirs.bin")
    return (
        partial(path.fs.put_file, str(file), path.path),
        partial(path.fs.get_file, path.path, str(back)),
    )


def median_seconds(*works: Callable[[], Any]) -> list[float]:
    """Run all in turn, several times, after a first time that does not count."""
    for work in works:
        work()
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for one, work in zip(seconds, works, strict=True):
            begun = time.perf_counter()
            work()
            one.append(time.perf_counter() - begun)
    return list(map(statistics.median, seconds))


def measure(megabytes: int, name: str) -> int:
    """Print a line for each direction of a store; return how many are too slow."""
    from tests.stores.conftest import MAKERS, Connections

    for talkative in ("azure", "asyncssh"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    slow = 0
    with scratch() as folder, pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        file = folder / "large.bin"
        file.write_bytes(os.urandom(MEBIBYTE) * megabytes)
        (folder / name).mkdir()
        try:
            place = MAKERS[name](stack, Connections(patch), folder / name)()
        except (ImportError, OSError, pytest.fail.Exception) as error:
            print(f"{name:12} left out: {error}")
            return 0
        put, get = library(place, file)
        uri = f"{place.uri}ours.bin"
        for way, theirs, ours in (
            ("publish", put, partial(publish, uri, file)),
            ("read", get, partial(read, uri)),
        ):
            one, other = median_seconds(theirs, ours)
            slow += one / other < LEAST_SHARE
            print(
                f"{name:12} {way:8} {megabytes} MiB: {other:5.2f} s, the library {one:5.2f} s: "
                f"{one / other:4.2f} of its speed (at least {LEAST_SHARE})",
                flush=True,
            )
    return slow


def main(megabytes: int, names: list[str]) -> int:
    """Measure each store in a process of its own, as tasks do; return how many are too slow."""
    if len(names) == 1:
        return measure(megabytes, names[0])
    from tests.stores.conftest import MAKERS

    command = [sys.executable, __file__, str(megabytes)]
    return sum(subprocess.run([*command, name], check=False).returncode for name in names or MAKERS)


if __name__ == "__main__":
    given = sys.argv[1:]
    size = next((int(argument) for argument in given if argument.isdigit()), 300)
    sys.exit(main(size, [argument for argument in given if not argument.isdigit()]))
