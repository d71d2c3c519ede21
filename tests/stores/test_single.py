"""One document in and out of each store, and what must not be written over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import OutputExistsError
from airflow_provider_convertapi.storage import Destination, Publication, find_source
from airflow_provider_convertapi.storage.datasets import dataset_of
from tests.tries import TaskInstance, run_try

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.stores.places import Place

MODES = pytest.mark.parametrize(
    "mode",
    [
        pytest.param({}, id="durable"),
        pytest.param({"durable": False}, id="direct"),
        pytest.param({"deferrable": True}, id="deferred"),
    ],
)
RUNNERS = 8


def convert(place: Place, destination: str, ti: TaskInstance | None = None, **more: Any) -> Any:
    """Convert ``in.txt`` of a place in a task of its own."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    def operator() -> Any:
        return ConvertApiOperator(
            task_id="convert",
            source=f"{place.uri}in.txt",
            to_format="pdf",
            destination=destination,
            **{"deferrable": False, **more},
        )

    return run_try(operator, ti or TaskInstance(run_id=destination))


@MODES
def test_document_in_and_out(sandbox: Sandbox, store: Place, mode: dict[str, Any]) -> None:
    """It is read from the store and published into it, whole, and nothing else is left there."""
    store.write("in.txt", b"Hello\n")

    [output] = convert(store, f"{store.uri}deep/out.pdf", **mode)

    assert f"{store.uri}deep/out.pdf" == output
    assert b"%PDF" == store.read("deep/out.pdf")[:4]
    assert ["deep/out.pdf", "in.txt"] == store.names()
    assert 1 == sandbox.billed


def test_named_file_is_written_over(sandbox: Sandbox, store: Place) -> None:
    """Whoever names a file means that file."""
    store.write("in.txt", b"Hello\n")
    store.write("out.pdf", b"old")

    convert(store, f"{store.uri}out.pdf")

    assert b"%PDF" == store.read("out.pdf")[:4]


@MODES
def test_file_in_the_way_is_found_before_paying(
    sandbox: Sandbox, store: Place, mode: dict[str, Any]
) -> None:
    """It stays as it is."""
    store.write("in.txt", b"Hello\n")
    store.write("out.pdf", b"somebody else's")

    with pytest.raises(OutputExistsError):
        convert(store, f"{store.uri}out.pdf", overwrite=False, **mode)

    assert b"somebody else's" == store.read("out.pdf")
    assert 0 == sandbox.billed


def test_cleared_task_pays_nothing(sandbox: Sandbox, store: Place) -> None:
    """The output that its first try has published is its own."""
    if store.conn_id == "localbucket":
        pytest.skip("it keeps no metadata, in which S3 has the mark of whose a file is")
    store.write("in.txt", b"Hello\n")
    for number in (1, 2):
        convert(store, f"{store.uri}out.pdf", TaskInstance(number, 1))

    assert 1 == sandbox.billed


def publish(uri: str, data: bytes, barrier: Barrier | None = None) -> None:
    """Publish a file that must not replace another."""
    with Publication(Destination.parse(uri), inputs=[], overwrite=False) as publication:
        with publication.stage(uri, len(data)) as sink:
            sink.write(data)
        if barrier:
            barrier.wait()
        publication.publish()


@pytest.mark.parametrize("size", [10, 20_000_000], ids=["small", "in-parts"])
def test_one_of_many_publishers_wins(store: Place, size: int) -> None:
    """Of eight at once exactly one creates the file; the others replace nothing."""
    if store.conn_id == "google" and size > 5 * 2**20:
        pytest.skip("fake-gcs-server does not honour ifGenerationMatch of a resumable upload")
    if store.conn_id == "moto" and size > 5 * 2**20:
        pytest.skip("moto looks and writes in two steps when it completes an upload in parts")
    contents = [bytes([65 + number]) * size for number in range(RUNNERS)]
    barrier = Barrier(RUNNERS)

    with ThreadPoolExecutor(RUNNERS) as pool:
        futures = [pool.submit(publish, f"{store.uri}a.pdf", data, barrier) for data in contents]
        errors = [future.exception() for future in futures]

    lost = [error for error in errors if error is not None]
    assert [OutputExistsError] * (RUNNERS - 1) == [type(error) for error in lost]
    assert contents[errors.index(None)] == store.read("a.pdf")
    assert ["a.pdf"] == store.names()


@pytest.mark.parametrize(
    "name", ["a b+c.txt", "ä-ß.txt", "a#1?x=2.txt", "a%20b.txt", "50% & more.txt", "a'b(1).txt"]
)
def test_odd_names_are_read_and_written(store: Place, name: str) -> None:
    """A name is a name: nothing in it is a query, a fragment or an escape."""
    store.write(f"in/{name}", b"content")

    with find_source(f"{store.uri}in/{name}").open() as file:
        assert b"content" == file.read()
    publish(f"{store.uri}out/{name}", b"result")

    assert b"result" == store.read(f"out/{name}")
    assert [f"in/{name}", f"out/{name}"] == store.names()


def test_what_openlineage_calls_a_file(store: Place) -> None:
    """Its naming conventions want the account of a container and the host of a file server."""
    namespace, name = dataset_of(f"{store.uri}deep/in.txt")

    namespaces = {
        "s3": f"s3://{store.bucket}",
        "gs": f"gs://{store.bucket}",
        "abfs": f"abfss://{store.bucket}@devstoreaccount1.dfs.core.windows.net",
        "sftp": "file://127.0.0.1",
    }
    assert namespaces[store.scheme] == namespace
    assert name.endswith(store.key("deep/in.txt"))
