"""Without `overwrite`, publishing creates a file or fails in one step; and it keeps its place."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_convertapi.errors import ConvertApiError, OutputExistsError, ParameterError
from airflow_provider_convertapi.storage import Destination, Folder, Publication

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.storage.conftest import DiskStore, S3Store, Store

_RUNNERS = 8


def _race(store: Store, name: str, contents: list[bytes]) -> list[str | None]:
    """Publish all contents at once under one name; return each one's error, or None."""
    barrier = Barrier(len(contents))

    def publish(data: bytes) -> None:
        with Publication(Destination(store.uri), inputs=[], overwrite=False) as publication:
            with publication.stage(store.uri + name, len(data)) as sink:
                sink.write(data)
            barrier.wait()
            publication.publish()

    with ThreadPoolExecutor(len(contents)) as pool:
        futures = [pool.submit(publish, data) for data in contents]
        errors = [future.exception() for future in futures]
    return [type(error).__name__ if error else None for error in errors]


@pytest.mark.parametrize("kind", ["local", "s3", "sftp"])
def test_one_of_many_tasks_at_once_publishes(request: pytest.FixtureRequest, kind: str) -> None:
    """Two tasks whose results share a name never both succeed, and none replaces the other's."""
    store: Store = request.getfixturevalue(f"{kind}_store")
    for round_ in range(3):
        contents = [f"{round_} {number}".encode() for number in range(_RUNNERS)]
        errors = _race(store, f"{round_}.pdf", contents)

        assert (errors.count(None), errors.count("OutputExistsError")) == (1, _RUNNERS - 1)
        assert contents[errors.index(None)] == store.read(f"{round_}.pdf")
    assert ["0.pdf", "1.pdf", "2.pdf"] == store.names()


@pytest.mark.parametrize("kind", ["local", "s3", "sftp"])
def test_all_of_many_runners_of_one_conversion_succeed(
    request: pytest.FixtureRequest, kind: str
) -> None:
    """Whoever comes second finds its own bytes there, and that is a success."""
    store: Store = request.getfixturevalue(f"{kind}_store")

    assert [None] * _RUNNERS == _race(store, "a.pdf", [b"the same"] * _RUNNERS)
    assert ["a.pdf"] == store.names()


def test_large_object_is_not_replaced_either(s3_store: S3Store) -> None:
    """An upload in parts is refused when it is completed, and leaves nothing unfinished."""
    data = bytes(64 << 20)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(_publish, s3_store.uri + "a.bin", data)
        while not s3_store.unfinished_uploads():
            assert not slow.done()
        s3_store.write("a.bin", b"faster")

        with pytest.raises(OutputExistsError):
            slow.result()
    assert s3_store.read("a.bin") == b"faster"
    assert s3_store.unfinished_uploads() == []


def test_disk_without_links_does_not_replace_either(
    local_store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the tasks take turns."""

    def refuse(*_: object) -> None:  # as the kernel does on FAT
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    errors = _race(local_store, "a.pdf", [bytes([number]) for number in range(_RUNNERS)])

    assert 1 == errors.count(None)
    assert _RUNNERS - 1 == errors.count("OutputExistsError")
    assert ["a.pdf"] == local_store.names()


class _CannotCreate(MemoryFileSystem):  # type: ignore[misc] # fsspec is untyped
    """Replaces whatever is there, as older file systems of fsspec do."""

    def put_file(self, lpath: str, rpath: str, callback: object = None) -> None:
        super().put_file(lpath, rpath)


def test_store_that_cannot_create_is_looked_at_first(attach: Callable[[str, Any], str]) -> None:
    """The best that such a store can do."""
    fs = _CannotCreate(global_store=False, skip_instance_cache=True)
    fs.store, fs.pseudo_dirs = {}, [""]  # its own: memory is one for all otherwise
    uri = attach("gs", fs) + "a.pdf"

    assert [uri] == _publish(uri, b"1")
    with pytest.raises(OutputExistsError):
        _publish(uri, b"2")
    assert [b"1"] == [file.getvalue() for file in fs.store.values()]


def _publish(uri: str, data: bytes) -> list[str]:
    with Publication(Destination.parse(uri), inputs=[], overwrite=False) as publication:
        with publication.stage(uri, len(data)) as sink:
            sink.write(data)
        return publication.publish()


@pytest.mark.parametrize(
    "name", ["../x.pdf", "a/../../x.pdf", "_convertapi/manifest/x", "a/_convertapi/x", "a/.."]
)
def test_no_result_leaves_its_destination(store: Store, name: str) -> None:
    """Whatever named it: a URL with `%2F..%2F`, a key with `/../`, the service."""
    publication = Publication(Destination(f"{store.uri}out/"), inputs=[], overwrite=True)

    with (
        pytest.raises(ParameterError, match="is not a file below"),
        publication,
        publication.stage(f"{store.uri}out/{name}", 1) as sink,
    ):
        sink.write(b"x")
    assert [] == store.names()


def test_result_elsewhere_is_refused(store: Store, tmp_path: Path) -> None:
    """An absolute path is not taken as a part of a destination either."""
    publication = Publication(Destination(f"{store.uri}out.pdf"), inputs=[], overwrite=True)

    for elsewhere in (f"{tmp_path}/x.pdf", "s3://s3_test@bucket/x.pdf"):
        with pytest.raises(ConvertApiError), publication.stage(elsewhere, 1):
            pass


def test_our_own_records_are_not_a_destination(store: Store) -> None:
    """Only our own folder writes there."""
    for name in ("_convertapi/", "_convertapi/manifest/", "a/_convertapi/x.pdf"):
        with pytest.raises(ParameterError, match="holds our own records"):
            Destination.parse(store.uri + name)

    Folder(f"{store.uri}_convertapi/manifest/").write("a", b"1")
    assert ["_convertapi/manifest/a"] == store.names()


def test_directory_that_cannot_be_flushed_takes_a_result(unprivileged: None) -> None:
    """Some network file systems cannot, and this directory may be written but not read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o300)
    try:
        assert [f"{folder}/a.pdf"] == _publish(f"{folder}/a.pdf", b"x")
        folder.chmod(0o700)
        assert ["a.pdf"] == [path.name for path in folder.iterdir()]
    finally:
        shutil.rmtree(folder)
