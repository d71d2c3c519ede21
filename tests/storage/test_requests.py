"""What each operation asks of S3: a batch of many small files pays for every request."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.errors import InputChangedError, OutputExistsError
from airflow_provider_convertapi.storage import (
    BLOCK,
    Destination,
    Folder,
    Publication,
    find_source,
    list_files,
    listed_source,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.storage.conftest import S3Store, Store


@pytest.fixture
def requests(s3_store: S3Store) -> Iterator[list[str]]:
    """Give the requests that reach the S3 server from now on, as ``HEAD bucket/key``."""
    seen: list[str] = []

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            for method, path in re.findall(r"([A-Z]+) /(\S*)", record.getMessage()):
                seen.append(f"{method} {path.replace(s3_store.prefix, '')}")

    server = logging.getLogger("werkzeug")  # which the server logs them to
    before, note = server.level, Note()
    server.addHandler(note)
    server.setLevel(logging.INFO)
    yield seen
    server.removeHandler(note)
    server.setLevel(before)


def _publish(uri: str, data: bytes, *, overwrite: bool) -> None:
    destination = Destination.parse(uri)
    with Publication(destination, inputs=["https://host/a"], overwrite=overwrite) as publication:
        with publication.stage(uri, len(data)) as sink:
            sink.write(data)
        publication.publish()


def test_finding_and_reading_take_one_request_each(s3_store: S3Store, requests: list[str]) -> None:
    """The size that was found is not asked for again; each further block is one more."""
    s3_store.write("a.bin", os.urandom(BLOCK + 1))
    find_source(s3_store.uri + "a.bin")  # resolves the connection
    requests.clear()

    source = find_source(s3_store.uri + "a.bin")
    assert ["HEAD bucket/a.bin"] == requests
    with source.open() as file:
        assert [BLOCK, 1, 0] == [len(file.read(BLOCK)) for _ in range(3)]
    assert ["HEAD bucket/a.bin", *["GET bucket/a.bin"] * 2] == requests


def test_small_file_is_read_whole_in_one_request(s3_store: S3Store, requests: list[str]) -> None:
    """A record of ours takes one look for its size, and one read, whatever its length."""
    s3_store.write("own/a", bytes(300_000))
    requests.clear()

    assert 300_000 == len(Folder(s3_store.uri + "own/").read("a"))
    assert ["HEAD bucket/own/a", "GET bucket/own/a"] == requests


def test_listed_file_is_read_without_looking_again(store: Store) -> None:
    """What the listing said is enough to read a file, and to see that it is another one now."""
    store.write("in/a.txt", b"listed")
    [found] = list_files(store.uri + "in/")

    source = listed_source(found.uri, found.fingerprint)

    assert source == find_source(found.uri)
    with source.open() as file:
        assert file.read() == b"listed"
    assert not source.changed()
    store.write("in/a.txt", b"written later")
    assert source.changed()


def test_listed_file_takes_one_request_to_check_and_one_to_read(
    s3_store: S3Store, requests: list[str]
) -> None:
    """This is all that a batch needs of the source's bucket before it pays."""
    s3_store.write("in/a.txt", b"listed")
    [found] = list_files(s3_store.uri + "in/")
    requests.clear()

    source = listed_source(found.uri, found.fingerprint)
    assert [] == requests
    assert not source.changed()
    with source.open() as file:
        file.read()
    assert ["HEAD bucket/in/a.txt", "GET bucket/in/a.txt"] == requests


def test_object_written_between_finding_and_reading_is_not_converted(s3_store: S3Store) -> None:
    """The read names the version that it wants, so the look before it need not be the last."""
    s3_store.write("a.txt", b"one")
    source = find_source(s3_store.uri + "a.txt")
    s3_store.write("a.txt", b"two")

    with (
        pytest.raises(InputChangedError, match="changed while it was being read"),
        source.open() as f,
    ):
        f.read()


def test_bucket_is_looked_at_once(s3_store: S3Store, requests: list[str]) -> None:
    """Every file of a batch has a destination of its own, and all lie in one bucket."""
    s3_store.client.create_bucket(Bucket="looked-at-once")
    requests.clear()

    for number in range(5):
        Destination.parse(f"s3://s3_test@looked-at-once/{number}.pdf")
    assert ["HEAD looked-at-once"] == requests


def test_missing_output_takes_one_request(s3_store: S3Store, requests: list[str]) -> None:
    """The usual answer, that nothing is there, is not followed by a listing."""
    destination = Destination.parse(s3_store.uri)
    requests.clear()

    assert [None] == destination.sizes([s3_store.uri + "a.pdf"])
    assert ["HEAD bucket/a.pdf"] == requests


@pytest.mark.parametrize(
    ("overwrite", "expected"),
    [
        pytest.param(True, ["PUT bucket/a.pdf"], id="overwrite"),
        # Not every store that speaks S3 obeys `If-None-Match`.
        pytest.param(False, ["HEAD bucket/a.pdf", "PUT bucket/a.pdf"], id="no-overwrite"),
    ],
)
def test_publishing_takes_one_put(
    s3_store: S3Store, requests: list[str], overwrite: bool, expected: list[str]
) -> None:
    """Where a file may be written over, nothing is looked at."""
    Destination.parse(s3_store.uri)
    requests.clear()

    _publish(s3_store.uri + "a.pdf", b"x", overwrite=overwrite)
    assert expected == requests


def test_file_from_bucket_to_bucket_takes_five_requests(
    s3_store: S3Store, requests: list[str]
) -> None:
    """All of it: checked before it is paid, read, and published without replacing anything."""
    s3_store.write("in/a.txt", b"listed")
    [found] = list_files(s3_store.uri + "in/")
    out = s3_store.uri + "out/a.txt"
    Destination.parse(out)
    requests.clear()

    source, destination = listed_source(found.uri, found.fingerprint), Destination.parse(out)
    destination.check_not_input([out], [source.uri])
    assert destination.sizes([out]) == [None]
    assert not source.changed()
    with source.open() as file:
        _publish(out, file.read(), overwrite=False)

    assert 5 == len(requests)
    assert s3_store.read("out/a.txt") == b"listed"


def test_refused_publication_compares_the_bytes_once(
    s3_store: S3Store, requests: list[str]
) -> None:
    """A file of another size is told by its size alone."""
    s3_store.write("a.pdf", b"somebody else's")
    Destination.parse(s3_store.uri)
    requests.clear()

    with pytest.raises(OutputExistsError):
        _publish(s3_store.uri + "a.pdf", b"x", overwrite=False)
    assert ["HEAD bucket/a.pdf"] == requests
