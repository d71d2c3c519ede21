"""Batches from bucket to bucket: the manifest, the plan and every output in the store."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import BatchFailedError, OutputExistsError
from dev.s3 import airflow_connection, s3_server
from tests.batch.test_waves import run_deferred
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.batch.nights import Night

BUCKET = "bucket"


@pytest.fixture(scope="module")
def s3_client() -> Iterator[Any]:
    """Run an S3 server, reachable through the connection `s3_batches`; give a client of it."""
    import boto3

    with s3_server() as url, pytest.MonkeyPatch.context() as patch:
        connection = json.loads(airflow_connection(url))
        patch.setenv("AIRFLOW_CONN_S3_BATCHES", json.dumps(connection))
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=connection["login"],
            aws_secret_access_key=connection["password"],
        )
        client.create_bucket(Bucket=BUCKET)
        yield client
        client.close()


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
    assert s3_requests.count(f"HEAD /{BUCKET}") <= 1
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
