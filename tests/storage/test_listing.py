"""Listings on every store: what is found, its name, and that its fingerprint is the file's."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.errors import InputNotFoundError, ParameterError
from airflow_provider_convertapi.storage import (
    Folder,
    canonical,
    find_source,
    is_glob,
    list_everything,
    list_files,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.storage.conftest import DiskStore, S3Store, Store

NAMES = ["a.txt", "b#c?.txt", "sub/deep/d.md", "sub/e.txt", "sub2/f.txt"]


@pytest.fixture
def filled(store: Store) -> Store:
    """Give a store with a few files, hidden ones and records of ours."""
    for name in [*NAMES, ".hidden", "sub/~$e.txt", "_convertapi/manifest/x.jsonl"]:
        store.write(name, name.encode())
    return store


def listed(uri: str) -> list[str]:
    """Return the relative paths of a listing."""
    return sorted(found.path for found in list_files(uri))


def test_directory_lists_what_people_see(filled: Store) -> None:
    """All files below it, without hidden ones and without our own records."""
    assert sorted(NAMES) == listed(filled.uri)
    assert sorted(NAMES) == listed(filled.uri.rstrip("/"))


def test_listing_says_what_the_file_says(filled: Store) -> None:
    """URI, size and fingerprint are those of the file found alone: nothing looks changed."""
    for found in list_files(filled.uri):
        source = find_source(found.uri)
        assert (source.uri, source.size) == (found.uri, found.size)
        assert source.fingerprint == found.fingerprint
        assert found.modified is not None
        assert 120 > abs(time.time() - found.modified)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("*.txt", ["a.txt", "b#c?.txt"], id="names"),
        pytest.param("**/*.txt", ["a.txt", "b#c?.txt", "sub/e.txt", "sub2/f.txt"], id="any-depth"),
        pytest.param("sub/**", ["deep/d.md", "e.txt"], id="below"),
        pytest.param("sub*/*.txt", ["sub/e.txt", "sub2/f.txt"], id="directories"),
        pytest.param("[ab]*.txt", ["a.txt", "b#c?.txt"], id="set"),
        pytest.param("[!b]*.txt", ["a.txt"], id="complement"),
        pytest.param("?.txt", ["a.txt"], id="one-letter"),
        pytest.param("sub[!x]e.txt", [], id="complement-is-no-slash"),
        pytest.param("su**/e.txt", ["sub/e.txt"], id="two-stars-in-a-name"),
        pytest.param("[z-a]*", [], id="empty-range"),
        pytest.param("b#c[?].txt", ["b#c?.txt"], id="wildcard-in-a-set"),
        pytest.param("[a*.txt", [], id="unclosed-set"),
        pytest.param(".h*", [".hidden"], id="hidden-by-name"),
        pytest.param("**/*.docx", [], id="nothing"),
    ],
)
def test_glob_matches(filled: Store, pattern: str, expected: list[str]) -> None:
    """Paths are relative to the directory before the first wildcard."""
    assert expected == listed(filled.uri + pattern)


def test_file_lists_itself(filled: Store) -> None:
    """A file is a listing of one, called by its name."""
    [found] = list_files(f"{filled.uri}sub/e.txt")

    assert ("e.txt", f"{filled.uri}sub/e.txt") == (found.path, found.uri)


def test_missing_directory(store: Store) -> None:
    """What may be missing is an error where directories exist, and nothing in an object store."""
    if store.uri.startswith("s3"):
        assert [] == listed(f"{store.uri}no/such/")
        with pytest.raises(InputNotFoundError):
            listed("s3://s3_test@no-such-bucket/x/")
    else:
        with pytest.raises(InputNotFoundError, match="does not exist"):
            listed(f"{store.uri}no/such/")


@pytest.mark.parametrize("name", ["x" * 300 + "/", "x" * 300 + "/*.txt"])
def test_directory_that_no_disk_can_hold(local_store: DiskStore, name: str) -> None:
    """It is missing, and no trouble of the disk that another try may not meet."""
    with pytest.raises(InputNotFoundError, match=r"source .* does not exist"):
        list(list_files(local_store.uri + name))


def test_glob_that_no_file_can_match(local_store: DiskStore) -> None:
    """A name of such a length is not looked for as the name of a file."""
    assert [] == list(list_files(local_store.uri + "x" * 300 + "*.txt"))


def test_objects_come_in_pages(s3_store: S3Store) -> None:
    """A bucket of more than one page is listed whole."""
    from moto.s3.models import s3_backends

    names = [f"{number:04d}" for number in range(1100)]
    backend = s3_backends["123456789012"]["aws"]
    for name in names:  # over HTTP they would take half a minute
        backend.put_object(s3_store.bucket, s3_store.prefix + name, b"")

    assert names == listed(s3_store.uri)


def test_links_are_followed_to_files_only(tmp_path: Path) -> None:
    """A link to a file is a file; a link to a directory could lead in circles."""
    (tmp_path / "in").mkdir()
    (tmp_path / "real.txt").write_text("x")
    (tmp_path / "in" / "link.txt").symlink_to(tmp_path / "real.txt")
    (tmp_path / "in" / "broken.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in" / "circle").symlink_to(tmp_path)

    assert ["link.txt"] == listed(str(tmp_path / "in"))


def test_links_on_a_server_are_noted(sftp_store: DiskStore) -> None:
    """A server's listing does not tell where a link leads: it is left out, and said so."""
    sftp_store.write("a.txt", b"x")
    sftp_store.write("sub/b.txt", b"x")
    for name, target in (("link.txt", "a.txt"), ("self.txt", "self.txt"), ("linked", "sub")):
        (sftp_store.root / name).symlink_to(target)
    seen: list[tuple[str, str]] = []

    found = [one.path for one in list_files(sftp_store.uri, note=lambda *said: seen.append(said))]

    assert ["a.txt", "sub/b.txt"] == sorted(found)
    reason = "links, which this store does not follow"
    names = ["link.txt", "linked", "self.txt"]
    assert [(reason, sftp_store.uri + name) for name in names] == sorted(seen)


def test_what_a_glob_does_not_match_is_not_noted(store: Store) -> None:
    """Only what the pattern asks for can be left out."""
    for name in ("a.txt", ".b.txt", ".c.md"):
        store.write(name, b"x")
    seen: list[tuple[str, str]] = []

    list(list_files(f"{store.uri}*.txt", note=lambda *said: seen.append(said)))

    assert [("hidden", f"{store.uri}.b.txt")] == seen


def test_name_with_brackets_is_no_glob(store: Store) -> None:
    """A directory or a file that is called like a pattern is taken for what it is."""
    store.write("in[1]/a[2].txt", b"x")

    assert not is_glob(f"{store.uri}in[1]/")
    assert is_glob(f"{store.uri}in[2]/")
    assert ["a[2].txt"] == listed(f"{store.uri}in[1]/")
    assert ["a[2].txt"] == listed(f"{store.uri}in[1]/a[2].txt")


def test_everything_is_everything(filled: Store) -> None:
    """Hidden files too, whatever the directory is called, and nothing where there is none."""
    names = [found.path for found in list_everything(filled.uri)]

    assert sorted([*NAMES, ".hidden", "sub/~$e.txt"]) == sorted(names)
    assert [] == list(list_everything(f"{filled.uri}nowhere[1]/"))


def test_url_cannot_be_listed() -> None:
    """A web server has no listing."""
    with pytest.raises(ParameterError, match="cannot be listed"):
        list(list_files("https://example.com/files/"))


def test_spellings_of_a_place_are_one(tmp_path: Path) -> None:
    """Links, dots and schemes do not make another place."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert canonical(str(tmp_path / "real")) == canonical(f"file://{tmp_path}/x/../link/")


def test_folder_keeps_small_files(store: Store) -> None:
    """Written whole, read, listed, replaced and removed, alike on every store."""
    folder = Folder(f"{store.uri}own/")
    assert [] == folder.names()
    folder.write("b", b"1")
    folder.write("a", b"2")
    folder.write("b", b"3")

    assert ["a", "b"] == folder.names()
    assert b"3" == folder.read("b")
    written = folder.modified("b")
    assert written is not None
    assert 120 > abs(time.time() - written)
    folder.delete("b")
    folder.delete("b")
    assert ["a"] == folder.names()
    with pytest.raises(FileNotFoundError):
        folder.read("b")
    assert folder.modified("b") is None  # another task has compacted the manifest meanwhile


@pytest.mark.parametrize("kind", ["local", "sftp"])
def test_directory_that_is_removed_meanwhile(kind: str, request: pytest.FixtureRequest) -> None:
    """What is gone when its turn comes is left out; the source itself was there."""
    store: DiskStore = request.getfixturevalue(f"{kind}_store")
    for name in ("a.txt", "sub/b.txt", "sub2/c.txt"):
        store.write(name, b"x")
    listing = list_files(store.uri)
    first = next(listing)
    shutil.rmtree(store.root / "sub")

    assert ["a.txt", "sub2/c.txt"] == [first.path, *(found.path for found in listing)]


def test_deep_directories_end_no_listing(tmp_path: Path) -> None:
    """A path may have more parts than Python has frames, and more letters than a disk takes."""
    (tmp_path / "a.txt").write_text("x")
    notes = []
    inner = os.open(tmp_path, os.O_RDONLY)
    for number in range(2100):
        os.mkdir("d", dir_fd=inner)
        inner, outer = os.open("d", os.O_RDONLY, dir_fd=inner), inner
        os.close(outer)
        if number in {1200, 2099}:
            os.close(os.open("b.txt", os.O_CREAT, dir_fd=inner))
    os.close(inner)

    listing = list_files(str(tmp_path), note=lambda reason, _: notes.append(reason))

    assert ["a.txt", "d/" * 1201 + "b.txt"] == [found.path for found in listing]
    assert ["directories whose path is too long"] == notes
    subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)  # pytest could not
