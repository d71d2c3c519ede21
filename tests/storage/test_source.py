"""Finding and reading files to convert."""

from __future__ import annotations

import math
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_convertapi.errors import (
    ConnectionConfigError,
    InputChangedError,
    InputNotFoundError,
    ParameterError,
)
from airflow_provider_convertapi.storage import BLOCK, find_source, is_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.storage.conftest import DiskStore, S3Store, Store

_ODD_NAMES = [
    "plain.docx",
    "a b (1) [2]+3.docx",
    "a::b.docx",
    "100%25 #1?x=y&z.docx",
    "50%20.docx",
    "Zażółć 漢字.docx",
    "-rf *.docx",
    "~user.docx",
    "n" * 200 + ".docx",
]


@pytest.mark.parametrize("name", _ODD_NAMES)
def test_source_has_the_name_and_content_of_its_file(store: Store, name: str) -> None:
    """Whatever letters a name has, on any store, this very file is found and read."""
    if name.startswith("n" * 200) and "memory" in store.uri:
        name = name[-20:]
    store.write(name, b"content of " + name.encode())

    source = find_source(store.uri + name)

    assert (store.uri + name, name, 11 + len(name.encode())) == (
        source.uri,
        source.name,
        source.size,
    )
    with source.open() as file:
        assert b"content of " + name.encode() == file.read()


def test_source_can_be_opened_again_and_read_in_any_pieces(store: Store) -> None:
    """A request that is sent again reads the file from its start."""
    data = os.urandom(BLOCK + 12345)
    store.write("a.bin", data)
    source = find_source(store.uri + "a.bin")

    with source.open() as file:
        assert data[:10] == file.read(10)
    with source.open() as file:
        pieces = list(iter(lambda: file.read(BLOCK), b""))

    assert [BLOCK, 12345] == [len(piece) for piece in pieces]
    assert data == b"".join(pieces)


def test_empty_file_is_a_file(store: Store) -> None:
    """Whether an empty file can be converted is for the service to say."""
    store.write("empty.txt", b"")

    source = find_source(store.uri + "empty.txt")

    assert source.size == 0
    with source.open() as file:
        assert file.read() == b""


def test_fingerprint_differs_when_the_content_does(store: Store) -> None:
    """A file of the same size that was written later has another fingerprint."""
    store.write("a.txt", b"one")
    first = find_source(store.uri + "a.txt")
    assert first == find_source(store.uri + "a.txt")
    assert not first.changed()

    _write_later(store, "a.txt", b"two")

    assert first.changed()
    assert first.fingerprint != find_source(store.uri + "a.txt").fingerprint


def test_content_hash_makes_a_copy_the_same_file(store: Store) -> None:
    """With a hash of the content, when a file was written does not count."""
    store.write("a.txt", b"same")
    first = find_source(store.uri + "a.txt", hash_limit=math.inf)
    _write_later(store, "a.txt", b"same")
    second = find_source(store.uri + "a.txt", hash_limit=math.inf)

    assert f"4-sha256:{sha256(b'same').hexdigest()}" == first.fingerprint == second.fingerprint


@pytest.mark.parametrize("content_hash", [False, True])
def test_file_that_is_written_while_it_is_read(store: Store, content_hash: bool) -> None:
    """Its end is not given out: what was read so far may be of two versions."""
    store.write("a.txt", b"one")
    source = find_source(store.uri + "a.txt", hash_limit=math.inf if content_hash else None)

    with source.open() as file:
        _write_later(store, "a.txt", b"two")
        if content_hash and store.uri.startswith("memory:"):  # an open file stays what it was
            assert b"one" == file.read()
        else:
            with pytest.raises(InputChangedError, match="nothing was paid"):
                file.read()


def test_large_file_that_is_written_while_it_is_read(store: Store) -> None:
    """The beginning was read before, the end is not given out."""
    data = os.urandom(2 * BLOCK)
    store.write("a.bin", data)
    source = find_source(store.uri + "a.bin")

    with source.open() as file:
        begin = file.read(BLOCK)
        _write_later(store, "a.bin", data[::-1])
        with pytest.raises(InputChangedError):
            file.read(BLOCK)
    assert data[:BLOCK] == begin


def test_touched_file_is_read_whole(local_store: DiskStore) -> None:
    """With a hash of the content, a new time alone does not make another file of it."""
    local_store.write("a.txt", b"one")
    source = find_source(local_store.uri + "a.txt", hash_limit=math.inf)

    with source.open() as file:
        os.utime(local_store.root / "a.txt", (1, 1))
        assert b"one" == file.read()


def test_vanished_file_has_changed(store: Store, tmp_path: Path) -> None:
    """A file that is gone is not what was found."""
    (tmp_path / "a.txt").write_text("x")
    source = find_source(str(tmp_path / "a.txt"))
    (tmp_path / "a.txt").unlink()

    assert source.changed()


@pytest.mark.timeout(20)
def test_pipe_in_place_of_the_file(tmp_path: Path) -> None:
    """A pipe that takes the file's place is not waited for."""
    path = tmp_path / "a.txt"
    path.write_text("x")
    source = find_source(str(path))
    path.unlink()
    os.mkfifo(path)

    with source.open() as file, pytest.raises(InputChangedError, match="nothing was paid"):
        file.read()


def _write_later(store: Store, name: str, data: bytes) -> None:
    """Write as somebody would some seconds later: SFTP tells whole seconds only."""
    store.write(name, data)
    root = getattr(store, "root", None)
    if root is not None:
        later = (root / name).stat().st_mtime + 5
        os.utime(root / name, (later, later))


def test_listing_that_is_out_of_date_is_not_believed(s3_store: S3Store) -> None:
    """Listings are remembered; existence, size and ETag are asked for nevertheless."""
    from airflow_provider_convertapi.airflow_names import ObjectStoragePath

    s3_store.write("a.txt", b"one")
    fs = ObjectStoragePath(s3_store.uri).fs
    path = s3_store.uri.removeprefix("s3://s3_test@").rstrip("/")
    fs.ls(path)
    s3_store.write("a.txt", b"longer")
    s3_store.write("new.txt", b"new")
    assert fs.info(f"{path}/a.txt")["size"] == 3  # so there is a cache to be fooled by

    source = find_source(s3_store.uri + "a.txt")
    with source.open() as file:
        assert file.read() == b"longer"
    assert source.size == 6
    fs.ls(path)
    s3_store.write("a.txt", b"longest")
    assert source.changed()
    assert find_source(s3_store.uri + "new.txt").size == 3


@pytest.mark.parametrize("prefix", ["", "file://", "file://localhost", "file:", "local://"])
def test_local_file_has_one_canonical_uri(local_store: DiskStore, prefix: str) -> None:
    """The same local file is the same source, however it is written."""
    local_store.write("a.txt", b"x")

    assert local_store.uri + "a.txt" == find_source(f"{prefix}{local_store.uri}a.txt").uri


def test_relative_path_becomes_absolute(
    local_store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path counts from the working directory."""
    local_store.write("a.txt", b"x")
    monkeypatch.chdir(local_store.root)

    assert local_store.uri + "a.txt" == find_source("a.txt").uri


def test_missing_file_is_named(store: Store) -> None:
    """The error says which argument, which file, and what to do."""
    with pytest.raises(InputNotFoundError) as caught:
        find_source(store.uri + "none.docx", field="parameters['OverlayFile']")

    assert (
        f"parameters['OverlayFile'] {store.uri}none.docx does not exist; "
        "check the path, and what should write it."
    ) == str(caught.value)


def test_directory_is_no_file(store: Store) -> None:
    """A directory is refused, with and without a slash at its end."""
    store.write("folder/a.txt", b"x")

    for uri in (store.uri + "folder", store.uri + "folder/"):
        with pytest.raises(ParameterError, match="is a directory; give the file in it") as caught:
            find_source(uri)
        assert list(caught.value.invalid) == ["source"]


def test_local_path_through_a_file_does_not_exist(local_store: DiskStore) -> None:
    """`a.txt/b.txt` is as missing as any other file."""
    local_store.write("a.txt", b"x")

    with pytest.raises(InputNotFoundError, match="does not exist"):
        find_source(local_store.uri + "a.txt/b.txt")


def test_local_name_that_is_too_long_is_not_there(local_store: DiskStore) -> None:
    """What no file system can hold is a bad source, and no trouble of the disk."""
    with pytest.raises(InputNotFoundError, match="File name too long"):
        find_source(local_store.uri + "x" * 300)


def test_pipe_is_no_file(tmp_path: Path) -> None:
    """A pipe would be read once, or for ever."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ParameterError, match="is not a regular file"):
        find_source(str(tmp_path / "pipe"))


def test_missing_bucket_is_a_missing_file(s3_store: S3Store) -> None:
    """A source in a bucket that does not exist is not found."""
    with pytest.raises(
        InputNotFoundError, match=r"s3://s3_test@no-such-bucket/a\.txt does not exist"
    ):
        find_source("s3://s3_test@no-such-bucket/a.txt")


@pytest.mark.parametrize(
    ("trouble", "expected", "said"),
    [
        pytest.param(
            PermissionError("Forbidden"),
            InputNotFoundError,
            r"a\.txt is not there, or may not be read \(Forbidden\)",
            id="forbidden",  # what S3 says of a missing key to those who may not list the bucket
        ),
        pytest.param(ConnectionResetError("reset"), ConnectionResetError, "reset", id="network"),
    ],
)
def test_trouble_of_the_network_is_no_missing_file(
    attach: Callable[[str, Any], str],
    trouble: Exception,
    expected: type[Exception],
    said: str,
) -> None:
    """What another try may not meet stays what it is, so that there is another try."""

    class Troubled(MemoryFileSystem):  # type: ignore[misc] # fsspec is untyped
        def info(self, path: str, **kwargs: object) -> dict[str, Any]:
            raise trouble

    uri = attach("hdfs", Troubled(global_store=False, skip_instance_cache=True)) + "a.txt"

    with pytest.raises(expected, match=said):
        find_source(uri)


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("  ", "is empty", id="blank"),
        pytest.param("a\0b", "holds a NUL character", id="nul"),
        pytest.param("zzz://a/b", "is 'zzz' spelled right", id="unknown-scheme"),
        pytest.param("gs://b/k", "pip install 'apache-airflow-providers-google'", id="no-provider"),
        pytest.param("abfs://c@b/k", "no connection 'c'", id="no-connection-checked-first"),
        pytest.param("s3://nobody@bucket/k", "no connection 'nobody'", id="no-connection"),
        pytest.param("s3:///k", "names no bucket", id="no-bucket"),
        pytest.param("s3://bucket", "is a directory", id="bucket"),
        pytest.param("sftp://host/k", "names no connection", id="sftp-without-connection"),
        pytest.param("file://tmp/x", r"three slashes: file:///tmp/x", id="file-with-host"),
        pytest.param("https://h/a.pdf?sig=s3cr3t", "is a URL, https://h/a.pdf;", id="url"),
    ],
)
def test_bad_source_is_explained(uri: str, complaint: str) -> None:
    """Each mistake is named with its remedy, under the argument that holds it."""
    with pytest.raises(ParameterError, match=complaint) as caught:
        find_source(uri, field="source[3]")

    assert str(caught.value).startswith("source[3] ")
    assert list(caught.value.invalid) == ["source[3]"]


@pytest.mark.parametrize("uri", ["sftp://me:s3cr3t@host/k", "s3://key:s3cr3t@bucket/k"])
def test_password_in_a_uri_is_never_shown(uri: str) -> None:
    """Who writes a password where the connection belongs does not find it in the log."""
    with pytest.raises(ParameterError) as caught:
        find_source(uri)

    assert "s3cr3t" not in repr(caught.value)
    assert ":***@" in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [("https://a/b", True), ("HTTP://a", True), ("s3://a/b", False), ("/http://a", False)],
)
def test_url_is_told_from_a_path(uri: str, expected: bool) -> None:
    """Only http(s) is fetched by the service."""
    assert expected == is_url(uri)


def test_sftp_password_that_is_wrong_is_no_missing_file(
    sftp_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not being let in is another trouble than a file that is not there."""
    import json

    connection: dict[str, Any] = json.loads(os.environ["AIRFLOW_CONN_SFTP_TEST"])
    monkeypatch.setenv(
        "AIRFLOW_CONN_SFTP_LOCKED", json.dumps(connection | {"password": "wrong-password"})
    )

    with pytest.raises(ConnectionConfigError, match=r"'sftp_locked'.*login, and password"):
        find_source("sftp://sftp_locked@/a.txt")
