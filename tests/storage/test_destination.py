"""Where results go, and what is refused before anything is paid for."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.storage import Destination, digest_of_path
from airflow_provider_convertapi.storage.s3 import S3Location

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.storage import State
    from tests.storage.conftest import DiskStore, S3Store, Store


def test_file_takes_exactly_one_result_under_its_own_name(store: Store) -> None:
    """The service's name does not matter where the user gave one."""
    destination = Destination.parse(store.uri + "out.pdf")

    assert not destination.is_directory
    assert [store.uri + "out.pdf"] == destination.outputs(["../../x"])


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["1.png", "2.png"], "there are several results for one file name: 2; end it with '/'"),
        ([], "there is no result"),
    ],
)
def test_file_does_not_take_another_number_of_results(
    local_store: DiskStore, names: list[str], complaint: str
) -> None:
    """Several results with a single file is an error that says how to keep them all."""
    destination = Destination.parse(local_store.uri + "out.pdf")

    with pytest.raises(ParameterError, match=complaint) as caught:
        destination.outputs(names)
    assert list(caught.value.invalid) == ["destination"]


def test_directory_takes_all_results_under_safe_and_distinct_names(store: Store) -> None:
    """Names stay in the service's order, and inside the directory."""
    destination = Destination.parse(store.uri + "out/")

    assert destination.is_directory
    expected = ["1.png", "1-2.png", "_.._.._x", "a_b"]
    assert [f"{store.uri}out/{name}" for name in expected] == destination.outputs(
        ["1.png", "1.PNG".lower(), "../../x", "a/b"]
    )


def test_sizes_are_asked_for_anew(store: Store) -> None:
    """A file that is not there has no size, and neither has a directory."""
    destination = Destination.parse(store.uri)
    uris = [store.uri + name for name in ("a", "b", "c")]
    store.write("a", b"12345")
    store.write("c/d", b"x")
    assert [5, None, None] == destination.sizes(uris)

    store.write("a", b"123456")
    store.write("b", b"")

    assert [6, 0, None] == destination.sizes(uris)


def test_listing_that_is_out_of_date_does_not_tell_sizes(s3_store: S3Store) -> None:
    """Listings are remembered; sizes are asked for nevertheless."""
    from airflow_provider_convertapi.airflow_names import ObjectStoragePath

    s3_store.write("a", b"1")
    fs = ObjectStoragePath(s3_store.uri).fs
    fs.ls(s3_store.uri.removeprefix("s3://s3_test@").rstrip("/"))
    s3_store.write("b", b"22")
    s3_store.client.delete_object(Bucket="bucket", Key=s3_store.prefix + "a")

    sizes = Destination.parse(s3_store.uri).sizes([s3_store.uri + "a", s3_store.uri + "b"])

    assert [None, 2] == sizes


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        pytest.param("", "is empty; if it is templated", id="empty"),
        pytest.param("http://h/a?sig=s3cr3t", "is a URL, http://h/a; give a path", id="url"),
        pytest.param("zzz://a/b", "is 'zzz' spelled right", id="unknown-scheme"),
        pytest.param("s3://nobody@bucket/x/", "no connection 'nobody'", id="no-connection"),
        pytest.param(
            "s3://s3_test@bucket", "names no file; write s3://s3_test@bucket/", id="bucket"
        ),
        pytest.param(
            "s3://s3_test@gone/x/", "lies in a bucket that does not exist", id="no-bucket"
        ),
        pytest.param("a\0b", "holds a NUL", id="nul"),
        pytest.param("/tmp/\ud800.pdf", "half a character", id="half-a-character"),
        pytest.param("/tmp/\udcff/", "not UTF-8", id="no-text"),
        pytest.param("s3://s3_test@bucket/\udcff/", "half a character", id="no-text-in-a-key"),
        pytest.param("~/out/", "not expanded; write the whole path", id="home"),
        pytest.param("~me/o.pdf", "not expanded", id="home-of-a-user"),
        pytest.param("{pipe}", "is a device, a pipe or a socket", id="pipe"),
        pytest.param("/dev/null", "is a device, a pipe or a socket", id="device"),
        pytest.param(
            "/proc/version/", "is not a directory; remove the '/'", id="file-as-directory"
        ),
        pytest.param(
            "/proc/version/a/b.pdf", "/proc/version is not a directory", id="below-a-file"
        ),
        pytest.param("/tmp/" + "x" * 300, "cannot be used: File name too long", id="too-long"),
    ],
)
def test_bad_destination_is_explained(
    s3_client: object, tmp_path: Path, uri: str, complaint: str
) -> None:
    """Each mistake is named with its remedy, under the argument that holds it."""
    os.mkfifo(tmp_path / "pipe")
    uri = uri.replace("{pipe}", f"{tmp_path}/pipe")
    with pytest.raises(ParameterError, match=complaint) as caught:
        Destination.parse(uri, field="where")

    assert str(caught.value).startswith("where ")
    assert "s3cr3t" not in str(caught.value)


def test_existing_directory_needs_its_slash(local_store: DiskStore, sftp_store: DiskStore) -> None:
    """Whether a directory was meant is not guessed: the error says what to write."""
    for store in (local_store, sftp_store):
        store.write("folder/x", b"")
        with pytest.raises(ParameterError, match=f"is a directory; write {store.uri}folder/ to"):
            Destination.parse(store.uri + "folder")


class _Forbidden(MemoryFileSystem):  # type: ignore[misc] # fsspec is untyped
    """Lets nobody look."""

    def info(self, path: str, **kwargs: object) -> dict[str, Any]:
        raise PermissionError("Forbidden")


def test_bucket_that_may_not_be_looked_at_is_taken(attach: Callable[[str, Any], str]) -> None:
    """Who may only write need not be allowed to look."""
    uri = attach("abfs", _Forbidden(global_store=False, skip_instance_cache=True)) + "out/"

    assert uri == Destination.parse(uri).uri


def test_prefix_of_other_objects_is_a_file_name_on_s3(s3_store: S3Store) -> None:
    """An object store has no directories: `a` and `a/b` stand side by side."""
    s3_store.write("a/b", b"x")

    assert [s3_store.uri + "a"] == Destination.parse(s3_store.uri + "a").outputs(["x"])


def test_directory_that_may_not_be_written_is_refused(unprivileged: None) -> None:
    """What could not be published is said before it is paid for; the DAG may well be right."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    remedy = "Let it write there, or choose another destination, then clear the task"
    try:
        with pytest.raises(ParameterError, match=rf"may not write into {folder}\. {remedy}\."):
            Destination.parse(f"{folder}/new/a.pdf")
    finally:
        folder.rmdir()


@pytest.mark.parametrize("prefix", ["", "file://", "file://localhost", "local://"])
def test_local_destination_has_one_canonical_uri(local_store: DiskStore, prefix: str) -> None:
    """The output is named alike however the destination is written."""
    for name in ("", "out.pdf"):
        assert local_store.uri + name == Destination.parse(f"{prefix}{local_store.uri}{name}").uri


def test_output_is_not_its_input(store: Store) -> None:
    """The same text is the same file; another file beside it is not."""
    store.write("a.pdf", b"x")
    destination = Destination.parse(store.uri)

    with pytest.raises(ParameterError, match="would be written over the input") as caught:
        destination.check_not_input(
            [store.uri + "b.pdf", store.uri + "a.pdf"], [store.uri + "a.pdf"]
        )
    assert str(caught.value).count(store.uri + "a.pdf") == 2
    destination.check_not_input(
        [store.uri + "b.pdf", store.uri + "A.pdf", store.uri + "sub/a.pdf"],
        [store.uri + "a.pdf", "https://host/b.pdf"],
    )


def test_local_output_is_not_its_input_by_another_name(local_store: DiskStore) -> None:
    """Links, `..`, `file://` and a relative path lead to the same file."""
    local_store.write("a.pdf", b"x")
    root = local_store.root
    (root / "link").symlink_to(root, target_is_directory=True)
    (root / "soft.pdf").symlink_to(root / "a.pdf")
    os.link(root / "a.pdf", root / "hard.pdf")
    destination = Destination.parse(local_store.uri)

    for spelled in (
        f"{root}/link/a.pdf",
        f"{root}/link/../store/a.pdf",
        f"{root}//a.pdf",
        f"file://{root}/a.pdf",
        os.path.relpath(root / "a.pdf"),
        f"{root}/soft.pdf",
        f"{root}/hard.pdf",
    ):
        with pytest.raises(ParameterError, match="would be written over the input"):
            destination.check_not_input([spelled], [local_store.uri + "a.pdf"])
        with pytest.raises(ParameterError, match="would be written over the input"):
            destination.check_not_input([local_store.uri + "a.pdf"], [spelled])


def test_s3_output_is_not_its_input_by_another_name(s3_store: S3Store) -> None:
    """Two connections, or two schemes, that lead to one object do not hide that it is one."""
    s3_store.write("a.pdf", b"x")
    destination = Destination.parse(s3_store.uri)
    given = s3_store.uri + "a.pdf"

    for spelled in (given.replace("s3_test", "s3_other"), given.replace("s3://", "s3a://")):
        with pytest.raises(ParameterError, match="would be written over the input"):
            destination.check_not_input([given], [spelled])


def test_equal_path_on_another_server_is_another_file(
    sftp_store: DiskStore, sftp_elsewhere: Path
) -> None:
    """Servers tell two files apart by size and time; where they cannot, the input is safe."""
    sftp_store.write("a.pdf", b"input")
    copy = sftp_elsewhere / sftp_store.root.name / "a.pdf"
    there = sftp_store.uri.replace("sftp_test", "sftp_elsewhere")
    destination = Destination.parse(there)
    destination.check_not_input([there + "a.pdf"], [sftp_store.uri + "a.pdf"])

    copy.parent.mkdir()
    shutil.copy2(sftp_store.root / "a.pdf", copy)
    with pytest.raises(ParameterError, match="written over the input"):
        destination.check_not_input([there + "a.pdf"], [sftp_store.uri + "a.pdf"])

    copy.write_bytes(b"other bytes")
    destination.check_not_input([there + "a.pdf"], [sftp_store.uri + "a.pdf"])


def test_sftp_output_is_not_its_input_by_another_name(sftp_store: DiskStore) -> None:
    """`..` and doubled slashes lead to the same file."""
    sftp_store.write("a.pdf", b"x")
    sftp_store.write("sub/b.pdf", b"x")
    destination = Destination.parse(sftp_store.uri)

    for spelled in ("sub/../a.pdf", "./a.pdf", "/a.pdf"):
        with pytest.raises(ParameterError, match="would be written over the input"):
            destination.check_not_input([sftp_store.uri + spelled], [sftp_store.uri + "a.pdf"])


def test_two_spellings_of_two_files_are_told_apart(s3_store: S3Store) -> None:
    """On S3 `A` and `a` are two objects, even where both are there."""
    s3_store.write("a.pdf", b"x")
    s3_store.write("A.pdf", b"y")

    Destination.parse(s3_store.uri).check_not_input(
        [s3_store.uri + "A.pdf"], [s3_store.uri + "a.pdf"]
    )


def test_each_of_two_inputs_whose_names_differ_by_case_is_safe(s3_store: S3Store) -> None:
    """On S3 `A` and `a` are two inputs, and an output may have the name of neither."""
    s3_store.write("a.pdf", b"x")
    s3_store.write("A.pdf", b"input")
    inputs = [s3_store.uri + "A.pdf", s3_store.uri + "a.pdf"]

    for output in inputs:
        with pytest.raises(ParameterError, match="would be written over the input"):
            Destination.parse(s3_store.uri).check_not_input([output], inputs)


def test_output_that_is_written_while_it_is_read(
    s3_store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has another content, and no error says that nothing was paid."""
    (tmp_path / "a.pdf").write_bytes(b"ours")
    s3_store.write("a.pdf", b"ours")
    digest = digest_of_path(tmp_path / "a.pdf")
    place, uri = Destination.parse(s3_store.uri), s3_store.uri + "a.pdf"
    assert place.holds(uri, digest) is True
    look = S3Location.file

    def file(self: S3Location) -> State | None:
        found = look(self)
        s3_store.write("a.pdf", b"theirs")
        return found

    monkeypatch.setattr(S3Location, "file", file)
    assert place.holds(uri, digest) is False
    assert place.remove(uri, digest) is False
