"""Results appear whole or not at all, on every kind of store."""

from __future__ import annotations

import os
import stat
import tempfile
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.errors import (
    OutputExistsError,
    OutputNotWritableError,
    ParameterError,
)
from airflow_provider_convertapi.storage import (
    BLOCK,
    Destination,
    Publication,
    SizeMismatch,
    find_source,
)
from airflow_provider_convertapi.storage.store import block_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.storage.conftest import DiskStore, S3Store, Store


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Watch the directory that holds spools."""
    (tmp_path / "spool").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spool"))
    return tmp_path / "spool"


def _publication(uri: str, *, inputs: Sequence[str] = (), overwrite: bool = True) -> Publication:
    return Publication(Destination.parse(uri), inputs=inputs, overwrite=overwrite)


def _publish(
    uri: str,
    results: dict[str, bytes],
    *,
    inputs: Sequence[str] = (),
    overwrite: bool = True,
) -> list[str]:
    """Publish results by their names below `uri`."""
    with _publication(uri, inputs=inputs, overwrite=overwrite) as publication:
        for name, data in results.items():
            _stage(publication, uri + name, data)
        return publication.publish()


def _stage(publication: Publication, uri: str, data: bytes) -> None:
    with publication.stage(uri, len(data)) as sink:
        sink.write(data)


def test_results_appear_when_all_are_staged(store: Store, spool: Path) -> None:
    """Nothing is visible before, everything after, and nothing else is left anywhere."""
    large = os.urandom(BLOCK + 1)
    names = ["b.bin", "sub/a.txt", "empty"]
    with _publication(store.uri) as publication:
        for name, data in zip(names, (large, b"text", b""), strict=True):
            _stage(publication, store.uri + name, data)
        assert [] == [name for name in store.names() if not name.rpartition("/")[2].startswith(".")]
        assert [store.uri + name for name in names] == publication.publish()

    assert sorted(names) == store.names()
    assert [large, b"text", b""] == [store.read(name) for name in names]
    assert list(spool.iterdir()) == []


def test_result_replaces_an_older_file(store: Store) -> None:
    """With `overwrite`, the last one wins, also over a longer file."""
    store.write("a.pdf", b"older and longer")
    _publish(store.uri, {"a.pdf": b"new"})

    assert ["a.pdf"] == store.names()
    assert store.read("a.pdf") == b"new"


@pytest.mark.parametrize("announced", [3, 5])
def test_result_of_another_size_is_not_published(store: Store, spool: Path, announced: int) -> None:
    """Too few bytes, or too many, are an error that tells both numbers."""
    with _publication(store.uri) as publication:
        sink = publication.stage(store.uri + "a.pdf", announced)
        sink.__enter__().write(b"four")
        message = f"{announced} bytes were announced, 4 arrived"
        with pytest.raises(SizeMismatch, match=message) as caught:
            sink.__exit__(None, None, None)
        assert publication.publish() == []

    assert (announced, 4) == (caught.value.announced, caught.value.received)
    assert store.names() == []
    assert list(spool.iterdir()) == []


def test_result_of_unknown_size_is_taken_as_it_comes(store: Store) -> None:
    """Where no size was announced, there is none to check."""
    with _publication(store.uri) as publication:
        with publication.stage(store.uri + "a.pdf", None) as sink:
            sink.write(b"some")
        publication.publish()

    assert store.read("a.pdf") == b"some"


def _write_half(publication: Publication, uri: str, error: BaseException) -> None:
    with publication.stage(uri, 10) as sink:
        sink.write(b"half")
        raise error


def test_interrupted_result_leaves_nothing(store: Store, spool: Path) -> None:
    """An exception between two blocks removes what was written; so does leaving unpublished."""
    with _publication(store.uri) as publication:
        _stage(publication, store.uri + "a.pdf", b"whole")
        with pytest.raises(KeyboardInterrupt):
            _write_half(publication, store.uri + "b.pdf", KeyboardInterrupt())

    assert store.names() == []
    assert list(spool.iterdir()) == []


def test_result_can_be_staged_again(store: Store) -> None:
    """A download that broke off is made again, and the second one counts."""
    with _publication(store.uri) as publication:
        with pytest.raises(OSError, match="reset"):
            _write_half(publication, store.uri + "a", OSError("reset"))
        _stage(publication, store.uri + "a", b"123")
        _stage(publication, store.uri + "a", b"1234")
        publication.publish()

    assert ["a"] == store.names()
    assert store.read("a") == b"1234"


def test_file_of_somebody_else_is_spared(store: Store, spool: Path) -> None:
    """Without `overwrite` one file in the way keeps all results back."""
    store.write("b.pdf", b"mine!")
    with pytest.raises(OutputExistsError, match=r"b\.pdf is another file\. .*overwrite=True"):
        _publish(store.uri, {"a.pdf": b"whole", "b.pdf": b"yours"}, overwrite=False)

    assert ["b.pdf"] == store.names()
    assert store.read("b.pdf") == b"mine!"
    assert list(spool.iterdir()) == []


def test_file_that_is_this_very_result_is_ours(store: Store) -> None:
    """What an earlier try published stays, and the rest joins it."""
    data = os.urandom(100_000)
    store.write("a.pdf", data)
    before = find_source(store.uri + "a.pdf")

    published = _publish(store.uri, {"a.pdf": data, "b.pdf": b"rest"}, overwrite=False)

    assert [store.uri + "a.pdf", store.uri + "b.pdf"] == published
    assert ["a.pdf", "b.pdf"] == store.names()
    assert not before.changed()


def test_file_that_differs_in_its_last_byte_is_not_ours(store: Store) -> None:
    """The same size does not prove that it is the same file."""
    store.write("a.pdf", b"x" * 100_000 + b"1")
    with pytest.raises(OutputExistsError):
        _publish(store.uri, {"a.pdf": b"x" * 100_000 + b"2"}, overwrite=False)


def test_input_is_never_overwritten(store: Store, spool: Path) -> None:
    """Whatever `overwrite` says, an input keeps its bytes, and nothing else appears."""
    store.write("a.pdf", b"input")
    with pytest.raises(ParameterError, match="written over the input"):
        _publish(store.uri, {"b.pdf": b"1", "a.pdf": b"2"}, inputs=[store.uri + "a.pdf"])

    assert ["a.pdf"] == store.names()
    assert store.read("a.pdf") == b"input"
    assert list(spool.iterdir()) == []


def test_directory_in_the_way_keeps_all_back(local_store: DiskStore, sftp_store: DiskStore) -> None:
    """A directory is never replaced by a file, and nothing is published beside it."""
    for store in (local_store, sftp_store):
        store.write("b.pdf/x", b"")
        with pytest.raises(OutputExistsError, match=r"b\.pdf is a directory"):
            _publish(store.uri, {"a.pdf": b"1", "b.pdf": b"2"})
        assert ["b.pdf/x"] == store.names()


@pytest.mark.parametrize(
    "name",
    ["../../x", "/etc/x", "a\0b", "", "x" * 300, "a/b", "..\\b", ".hidden", "[a] #1?.pdf", "é::漢"],
)
def test_hostile_name_stays_in_its_directory(store: Store, name: str) -> None:
    """Whatever the service calls a result, it is one file in the destination."""
    destination = Destination.parse(store.uri + "out/")
    [uri] = destination.outputs([name])
    with Publication(destination, inputs=[], overwrite=True) as publication:
        _stage(publication, uri, b"data")
        publication.publish()

    [found] = store.names()
    assert uri.removeprefix(store.uri) == found
    assert found.startswith("out/")
    assert found.count("/") == 1
    assert [4] == destination.sizes([uri])


def test_local_result_has_the_mode_that_the_umask_allows(local_store: DiskStore) -> None:
    """A result can be read by whom the operator's umask lets."""
    before = os.umask(0o027)
    try:
        _publish(local_store.uri, {"a.pdf": b"x"})
    finally:
        os.umask(before)

    assert 0o640 == stat.S_IMODE((local_store.root / "a.pdf").stat().st_mode)


def test_local_result_with_the_longest_name_is_published(local_store: DiskStore) -> None:
    """The temporary name fits where the user's own name fits."""
    name = "n" * 251 + ".pdf"
    _publish(local_store.uri, {name: b"x"})

    assert [name] == local_store.names()


def test_s3_object_has_its_content_type(s3_store: S3Store) -> None:
    """A browser that is given the object shows a PDF."""
    _publish(s3_store.uri, {"a.pdf": b"x"})

    assert s3_store.head("a.pdf")["ContentType"] == "application/pdf"


def test_failed_upload_leaves_nothing_behind(s3_store: S3Store, spool: Path) -> None:
    """A bucket that vanishes before publishing is an error, and the spool is emptied."""
    s3_store.client.create_bucket(Bucket="short-lived")
    uri = "s3://s3_test@short-lived/a.bin"
    with _publication(uri) as publication:
        _stage(publication, uri, b"x" * (2 * BLOCK + 1))
        s3_store.client.delete_bucket(Bucket="short-lived")
        with pytest.raises(OutputNotWritableError, match="its bucket does not exist"):
            publication.publish()

    assert list(spool.iterdir()) == []


def test_large_s3_upload_goes_in_parts(s3_store: S3Store) -> None:
    """Parts of 8 MiB bound the memory; no upload is left unfinished."""
    _publish(s3_store.uri, {"a.bin": b"x" * (3 * BLOCK + 1)})

    assert s3_store.head("a.bin")["ETag"].endswith('-4"')
    assert s3_store.unfinished_uploads() == []


@pytest.mark.parametrize(
    ("size", "blocks"),
    [(0, 1), (BLOCK * 10_000, 1), (BLOCK * 10_000 + 1, 2), (5 * 1024**4, 66)],
)
def test_parts_grow_where_ten_thousand_are_not_enough(size: int, blocks: int) -> None:
    """S3 takes 10,000 parts of one object, which may have 5 TiB."""
    assert blocks * BLOCK == block_for(size)
    assert size <= 10_000 * block_for(size)
