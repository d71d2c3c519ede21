"""Batches from bucket to bucket: the manifest, the plan and every output in the store."""

from __future__ import annotations

import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    BatchFailedError,
    OutputExistsError,
    TransientBatchFailedError,
)
from dev.s3 import connected_s3
from tests.batch.test_waves import fire, run_deferred
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.batch.nights import Night

BUCKET = "bucket"


@pytest.fixture(scope="module")
def s3_client() -> Iterator[Any]:
    """Run an S3 server, reachable through the connection `s3_batches`; give a client of it."""
    with connected_s3("s3_batches", BUCKET) as client:
        yield client


@pytest.fixture
def bucket(s3_client: Any, request: pytest.FixtureRequest) -> Callable[[], list[str]]:
    """Provide six documents, and a function for the keys of their PDFs."""
    place = request.node.name
    for number in range(6):
        key = f"{place}/in/{number % 2}/{number}.txt"
        s3_client.put_object(Bucket=BUCKET, Key=key, Body=b"Hello\n")

    def keys() -> list[str]:
        found = s3_client.list_objects_v2(Bucket=BUCKET, Prefix=f"{place}/out/")
        names = [item["Key"].removeprefix(f"{place}/out/") for item in found["Contents"]]
        return [name for name in names if not name.startswith("_convertapi/")]

    return keys


@pytest.fixture
def s3_requests(s3_client: Any) -> Iterator[list[str]]:
    """Provide the requests that reach the S3 server from now on: method, path and query."""
    seen: list[str] = []

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.extend(re.findall(r"[A-Z]+ /\S*", record.getMessage()))

    server = logging.getLogger("werkzeug")  # which the server logs them to
    before, note = server.level, Note()
    server.addHandler(note)
    server.setLevel(logging.INFO)
    yield seen
    server.removeHandler(note)
    server.setLevel(before)


@pytest.fixture
def places(request: pytest.FixtureRequest) -> dict[str, str]:
    """Provide source and destination of this test."""
    place = f"s3://s3_batches@{BUCKET}/{request.node.name}"
    return {"source": f"{place}/in/", "destination": f"{place}/out/"}


PDFS = [f"{number % 2}/{number}.pdf" for number in (0, 2, 4, 1, 3, 5)]


@pytest.mark.parametrize("mode", ["durable", "direct", "deferrable"])
def test_bucket_is_converted_once(
    night: Night, bucket: Callable[[], list[str]], places: dict[str, str], mode: str
) -> None:
    """In every mode the second night finds everything in the bucket, and sends no request."""
    if mode == "deferrable":
        first, _ = run_deferred(night, TaskInstance(run_id="one"), defer_batch=3, **places)
    else:
        first = night.run(TaskInstance(run_id="one"), durable=mode == "durable", **places)
    asked = len(night.sandbox.requests)

    second = night.run(TaskInstance(run_id="two"), **places)

    assert {"converted": 6, "cost": 6}.items() <= first.items()
    assert {"reused": 6, "cost": 0}.items() <= second.items()
    assert PDFS == bucket()
    assert asked == len(night.sandbox.requests)
    assert {} == night.sandbox.files


def test_second_night_lists_each_object_once(
    night: Night,
    bucket: Callable[[], list[str]],
    places: dict[str, str],
    s3_requests: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Six unchanged documents take two pages of four keys, and no request is about one of them."""
    night.run(TaskInstance(run_id="one"), **places)
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "4")
    asked = len(night.sandbox.requests)
    s3_requests.clear()

    night.run(TaskInstance(run_id="two"), **places)

    walks = [line for line in s3_requests if "delimiter=&" in line]
    pages = [line for line in walks if "/in/" in line]
    # At the destination: six outputs, a part of the manifest, a salt.
    assert (2, 2) == (len(pages), len(walks) - len(pages))
    assert [] == [line for line in s3_requests if line.endswith((".txt", ".pdf"))]
    assert ["GET"] == [line[:3] for line in s3_requests if line.endswith(".jsonl")]
    assert 1 >= s3_requests.count(f"HEAD /{BUCKET}")  # this process may have looked before
    assert [] == [line for line in s3_requests if not line.startswith(("GET", "HEAD"))]
    assert asked == len(night.sandbox.requests)


def test_changed_and_missing_objects_are_converted(
    night: Night, bucket: Callable[[], list[str]], places: dict[str, str], s3_client: Any
) -> None:
    """A new ETag and a deleted output are seen by listings alone."""
    night.run(TaskInstance(run_id="one"), **places)
    base = places["source"].removeprefix(f"s3://s3_batches@{BUCKET}/").removesuffix("in/")
    s3_client.put_object(Bucket=BUCKET, Key=f"{base}in/0/0.txt", Body=b"Jello\n")
    s3_client.delete_object(Bucket=BUCKET, Key=f"{base}out/1/1.pdf")

    summary = night.run(TaskInstance(run_id="two"), **places)

    assert {"converted": 2, "reused": 4}.items() <= summary.items()
    assert PDFS == bucket()


def test_object_of_somebody_else_is_spared(
    night: Night, bucket: Callable[[], list[str]], places: dict[str, Any], s3_client: Any
) -> None:
    """An object in the way fails only its file, unpaid."""
    base = places["destination"].removeprefix(f"s3://s3_batches@{BUCKET}/")
    s3_client.put_object(Bucket=BUCKET, Key=f"{base}0/0.pdf", Body=b"mine")

    with pytest.raises(BatchFailedError, match=OutputExistsError.__name__):
        night.run(**places)

    kept = s3_client.get_object(Bucket=BUCKET, Key=f"{base}0/0.pdf")["Body"].read()
    assert b"mine" == kept
    assert 5 == night.sandbox.billed


def test_destination_inside_the_source_bucket(
    night: Night, bucket: Callable[[], list[str]], places: dict[str, str]
) -> None:
    """Outputs below the listed prefix are not inputs of the next night."""
    inside = {**places, "destination": f"{places['source']}converted/"}

    night.run(TaskInstance(run_id="one"), **inside)
    summary = night.run(TaskInstance(run_id="two"), **inside)

    assert {"converted": 0, "reused": 6}.items() <= summary.items()
    assert 6 == night.sandbox.billed


FILES = 20


@pytest.fixture
def twenty(s3_client: Any, request: pytest.FixtureRequest) -> dict[str, str]:
    """Put twenty documents into a bucket that nobody has looked at; provide places in two."""
    name = re.sub("[^a-z]+", "-", request.node.name.removeprefix("test_")).strip("-")
    incoming, converted = f"in-{name}"[:60], f"out-{name}"[:60]
    for bucket in (incoming, converted):
        s3_client.create_bucket(Bucket=bucket)
    for number in range(FILES):
        s3_client.put_object(Bucket=incoming, Key=f"{number:02d}.txt", Body=b"Hello\n")
    return {
        "source": f"s3://s3_batches@{incoming}/",
        "destination": f"s3://s3_batches@{converted}/out/",
    }


def _sorted(requests: list[str]) -> tuple[list[str], list[str]]:
    """Return the requests about documents and outputs, and those about everything else."""
    files = [line for line in requests if line.endswith((".txt", ".pdf"))]
    return files, [line for line in requests if line not in files]


@pytest.mark.parametrize("mode", ["durable", "direct", "deferrable"])
def test_file_takes_five_requests(
    night: Night, twenty: dict[str, Any], s3_requests: list[str], mode: str
) -> None:
    """In every mode: output free, source unchanged, source read, output free still, output put.

    What is not about a single file is counted, too: it does not grow with them.
    """
    if mode == "deferrable":
        summary, resumes = run_deferred(night, defer_batch=8, **twenty)
    else:
        summary, resumes = night.run(durable=mode == "durable", **twenty), 0

    files, others = _sorted(s3_requests)
    assert {"converted": FILES, "cost": FILES}.items() <= summary.items()
    assert 5 * FILES == len(files)
    assert 20 + 10 * resumes >= len(others)
    buckets = [line for line in others if line.startswith("HEAD ") and line.count("/") == 1]
    assert len(set(buckets)) == len(buckets) <= 2


def test_resumed_wave_asks_nothing_of_a_job_before_it_collects(
    night: Night, twenty: dict[str, Any], s3_requests: list[str]
) -> None:
    """Until the first result is published, no request is about a single file."""
    from tests.airflow_api import TaskDeferred

    ti = TaskInstance()
    with pytest.raises(TaskDeferred) as deferred:
        night.run(ti, deferrable=True, **twenty)
    event = fire(deferred.value.trigger)
    s3_requests.clear()

    summary = night.resume(ti, event, deferrable=True, **twenty)

    files, others = _sorted(s3_requests)
    assert FILES == summary["converted"]
    assert {"HEAD", "PUT"} == {line.split()[0] for line in files}
    assert [] == [line for line in files if line.endswith(".txt")]
    assert 2 * FILES == len(files)
    assert 15 >= len(others)


def test_second_night_asks_nothing_of_a_file(
    night: Night, twenty: dict[str, Any], s3_requests: list[str]
) -> None:
    """Of unchanged files the listings tell everything."""
    night.run(TaskInstance(run_id="one"), **twenty)
    s3_requests.clear()

    summary = night.run(TaskInstance(run_id="two"), **twenty)

    files, others = _sorted(s3_requests)
    assert FILES == summary["reused"]
    assert [] == files
    assert 15 >= len(others)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        pytest.param({}, 6, id="durable"),
        pytest.param({}, 2_000_000, id="upload"),
        pytest.param({"durable": False}, 6, id="direct"),
        pytest.param({"content_hash": True}, 6, id="content-hash"),
    ],
)
@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(
            b"Other text\n", "InputChangedError: .*since it was listed.*min_age", id="new"
        ),
        pytest.param(None, "InputNotFoundError: .*does not exist", id="gone"),
    ],
)
def test_object_that_changes_after_the_listing_is_not_paid(
    night: Night,
    places: dict[str, str],
    s3_client: Any,
    s3_requests: list[str],
    given: dict[str, Any],
    size: int,
    body: bytes | None,
    said: str,
) -> None:
    """It fails alone, the task's error says what helps, and another try takes what is there."""
    base = places["source"].removeprefix(f"s3://s3_batches@{BUCKET}/")
    for name in "ab":
        s3_client.put_object(Bucket=BUCKET, Key=f"{base}{name}.txt", Body=b"x" * size)
    night.sandbox.fail("POST *", delay=0.7, times=1)

    def change() -> None:
        """Change the file that is not the first to be sent; with a hash the plan reads both."""
        planned = 2 if "content_hash" in given else 0
        while len(read := [line for line in s3_requests if re.match("GET.*txt$", line)]) <= planned:
            time.sleep(0.01)
        key = f"{base}{'b' if read[-1].endswith('a.txt') else 'a'}.txt"
        if body is None:
            s3_client.delete_object(Bucket=BUCKET, Key=key)
        else:
            s3_client.put_object(Bucket=BUCKET, Key=key, Body=body)

    with ThreadPoolExecutor(1) as writer:
        changed = writer.submit(change)
        with pytest.raises(TransientBatchFailedError, match=said):
            night.run(TaskInstance(1, 1), max_in_flight=1, **places, **given)
        changed.result()

    assert 1 == night.sandbox.billed
    assert (body is not None) == night.run(TaskInstance(2, 1), **places, **given)["converted"]
