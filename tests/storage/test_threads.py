"""Sixteen publications at once on one store, half of which fail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.storage import (
    Destination,
    Publication,
    SizeMismatch,
    find_source,
)

if TYPE_CHECKING:
    from tests.storage.conftest import Store

_THREADS = 16
_EACH = 3


@pytest.mark.parametrize("kind", ["local", "s3", "sftp"])
def test_exactly_the_good_ones_are_there(request: pytest.FixtureRequest, kind: str) -> None:
    """One thread's failure neither publishes nor discards another thread's results."""
    store: Store = request.getfixturevalue(f"{kind}_store")
    store.write("input.txt", b"input")
    barrier = Barrier(_THREADS)

    def publish(number: int) -> list[str]:
        destination = Destination.parse(f"{store.uri}{number % 4}/")
        assert find_source(store.uri + "input.txt").size == 5
        barrier.wait()
        with Publication(destination, inputs=[store.uri + "input.txt"], overwrite=True) as output:
            for part, uri in enumerate(
                destination.outputs([f"{number}-{part}" for part in range(_EACH)])
            ):
                data = f"{number}/{part}".encode() * 20_000
                fails = number % 2 and part == _EACH - 1
                with output.stage(uri, len(data) + bool(fails)) as sink:
                    sink.write(data[:1000])
                    sink.write(data[1000:])
            return output.publish()

    with ThreadPoolExecutor(_THREADS) as pool:
        futures = [pool.submit(publish, number) for number in range(_THREADS)]
        errors = [future.exception() for future in futures]

    assert [SizeMismatch if n % 2 else type(None) for n in range(_THREADS)] == [
        type(error) for error in errors
    ]
    expected = {
        f"{n % 4}/{n}-{part}": f"{n}/{part}".encode() * 20_000
        for n in range(0, _THREADS, 2)
        for part in range(_EACH)
    } | {"input.txt": b"input"}
    assert expected == {name: store.read(name) for name in store.names()}


@pytest.mark.parametrize("kind", ["local", "s3", "sftp"])
def test_one_target_for_all_ends_with_one_whole_result(
    request: pytest.FixtureRequest, kind: str
) -> None:
    """Who publishes last wins, and the file is never a mixture."""
    store: Store = request.getfixturevalue(f"{kind}_store")
    destination = Destination.parse(store.uri + "out.bin")
    barrier = Barrier(8)

    def publish(number: int) -> None:
        data = bytes([number]) * (100_000 + number)
        barrier.wait()
        with Publication(destination, inputs=[], overwrite=True) as output:
            with output.stage(destination.uri, len(data)) as sink:
                sink.write(data)
            output.publish()

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(publish, number) for number in range(8)]:
            future.result()

    assert ["out.bin"] == store.names()
    data = store.read("out.bin")
    assert bytes([data[0]]) * (100_000 + data[0]) == data
