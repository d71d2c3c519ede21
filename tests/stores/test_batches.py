"""Batches from and to each store."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.storage import list_files
from tests.batch.test_waves import run_deferred
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from tests.batch.nights import Night
    from tests.stores.places import Place

FILES = 50
REQUESTS_A_FILE = 5
OTHER_REQUESTS = 40
"""Those for the buckets, the listings and the manifest."""


def places(store: Place, **more: Any) -> dict[str, Any]:
    """Return source and destination of a batch."""
    return {
        "source": f"{store.uri}in/",
        "destination": f"{store.uri}out/",
        "max_in_flight": 8,
        **more,
    }


def write(store: Place, count: int, start: int = 0) -> None:
    """Write small documents."""
    for number in range(start, start + count):
        store.write(f"in/{number % 3}/{number:03d}.txt", b"Hello\n")


def test_fifty_files_on_three_nights(night: Night, store: Place) -> None:
    """Each is converted once; a new one on the second night, a changed one on the third."""
    write(store, FILES)
    before = len(store.requests())
    first = night.run(TaskInstance(run_id="one"), **places(store))
    asked = len(store.requests()) - before
    write(store, 1, FILES)
    second = night.run(TaskInstance(run_id="two"), **places(store))
    store.write("in/0/000.txt", b"Hello again\n")
    third = night.run(TaskInstance(run_id="three"), **places(store))

    assert {"converted": FILES, "cost": FILES}.items() <= first.items()
    assert {"converted": 1, "reused": FILES}.items() <= second.items()
    assert {"converted": 1, "reused": FILES}.items() <= third.items()
    assert FILES + 2 == night.sandbox.billed
    assert FILES + 1 == len(store.outputs())
    assert asked <= FILES * REQUESTS_A_FILE + OTHER_REQUESTS


def test_deferred_batch(night: Night, store: Place) -> None:
    """Waves go through the same store."""
    write(store, 12)

    summary, _ = run_deferred(night, TaskInstance(), defer_batch=5, **places(store))

    assert 12 == summary["converted"] == len(store.outputs())


def test_direct_batch(night: Night, store: Place) -> None:
    """So does a batch without jobs."""
    write(store, 12)

    assert 12 == night.run(durable=False, **places(store))["converted"] == len(store.outputs())


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("in/**/*.txt", 6), ("in/0/*.txt", 2), ("in/[01]/00?.txt", 4), ("in/*.txt", 0)],
)
def test_globs(store: Place, pattern: str, count: int) -> None:
    """They match as they do on a disk."""
    write(store, 6)

    assert count == len(list(list_files(store.uri + pattern)))


def test_shards_cover_everything_once(night: Night, store: Place) -> None:
    """Three tasks share a directory of the store, and each file is converted by one of them."""
    write(store, 12)

    converted = 0
    for index in range(3):
        shard = {"source": f"{store.uri}in/", "shard": [index, 3]}
        summary = night.run(TaskInstance(map_index=index), **places(store, source=shard))
        converted += summary["converted"]

    assert 12 == converted == night.sandbox.billed == len(store.outputs())


def test_manifest_is_compacted(night: Night, store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many parts become few, and the next night still knows every file."""
    monkeypatch.setattr("airflow_provider_convertapi.batch.manifest.MANY_PARTS", 2)
    for number in range(4):
        write(store, 1, number)
        night.run(TaskInstance(run_id=str(number)), **places(store))

    parts = [name for name in store.names() if "/manifest/" in name]
    summary = night.run(TaskInstance(run_id="last"), **places(store))

    assert len(parts) <= 3
    assert {"reused": 4, "cost": 0}.items() <= summary.items()


def test_directory_markers_are_no_documents(night: Night, store: Place) -> None:
    """What portals and Spark leave for a directory neither is converted nor hides its files."""
    write(store, 6)
    for marker in ("in/", "in/0/", "in/empty/", "in_$folder$", "in/0_$folder$", "out/"):
        if store.conn_id == "localbucket" or store.scheme == "sftp":
            break  # their directories are directories
        store.write(marker, b"")

    for run_id in ("one", "two"):
        night.run(TaskInstance(run_id=run_id), **places(store))

    assert 6 == night.sandbox.billed
    assert 6 == len([name for name in store.outputs() if name])


def test_marker_without_a_slash_hides_nothing(night: Night, store: Place) -> None:
    """Hadoop writes an empty object of the directory's own name."""
    if store.conn_id == "localbucket" or store.scheme == "sftp":
        pytest.skip("a file and a directory cannot share a name on a disk")
    write(store, 3)
    more = {"metadata": {"hdi_isfolder": "true"}} if store.conn_id == "azure" else {}
    for marker in ("in", "in/0"):
        store.write(marker, b"", **more)

    for source in (f"{store.uri}in", f"{store.uri}in/"):
        assert 3 == len(list(list_files(source)))
    assert 3 == night.run(**places(store, source=f"{store.uri}in"))["converted"]


def test_fifteen_hundred_keys(store: Place) -> None:
    """A listing has more than one page."""
    for number in range(1500):
        store.write(f"in/{number:04d}.txt", b"x")

    assert 1500 == len(list(list_files(f"{store.uri}in/")))
    assert 100 == len(list(list_files(f"{store.uri}in/12*.txt")))


def test_libraries_do_not_fill_the_log(
    night: Night, store: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDKs would write every header of every request."""
    write(store, 3)
    caplog.set_level(logging.INFO)

    night.run(**places(store))

    ours = ("airflow", "convertapi", "task", "unusual")
    others = [record for record in caplog.records if not record.name.startswith(ours)]
    assert 20 > len(others), [record.name for record in others]
