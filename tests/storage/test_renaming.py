"""Stores that show a file while it is written get it under a temporary name first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_convertapi.errors import OutputNotWritableError
from airflow_provider_convertapi.storage import Destination, Publication

if TYPE_CHECKING:
    from collections.abc import Callable


class _Memory(MemoryFileSystem):  # type: ignore[misc] # fsspec is untyped
    """Copies and deletes where others rename."""


class _NoOverwrite(_Memory):
    """Does not rename over a file, as SMB and HDFS do not."""

    def mv(self, path1: str, path2: str, **kwargs: object) -> None:
        if self.exists(path2):
            raise FileExistsError(path2)
        self.store[path2] = self.store.pop(path1)


class _Losing(_Memory):
    """Copies nothing and removes the original, as sshfs does without rename and without shell."""

    def mv(self, path1: str, path2: str, **kwargs: object) -> None:
        self.store.pop(path1)
        raise PermissionError("no shell here")


class _Silent(_Memory):
    """Does not rename, and does not complain, as WebHDFS does."""

    def mv(self, path1: str, path2: str, **kwargs: object) -> None:
        pass


class _AnswerLost(_Memory):
    """Renames, and cannot say so."""

    def mv(self, path1: str, path2: str, **kwargs: object) -> None:
        self.store[path2] = self.store.pop(path1)
        raise ConnectionResetError


class _Torn(_Memory):
    """Keeps only the beginning of what it is given."""

    def put_file(self, lpath: str, rpath: str, **kwargs: object) -> None:
        super().put_file(lpath, rpath)
        self.store[rpath].truncate(2)


class _Brittle(_Memory):
    """Breaks off an upload, and does not delete either."""

    def put_file(self, lpath: str, rpath: str, **kwargs: object) -> None:
        super().put_file(lpath, rpath)
        raise BrokenPipeError("gone")

    def rm_file(self, path: str) -> None:
        raise ConnectionRefusedError("still gone")


@pytest.fixture
def fs(request: pytest.FixtureRequest, attach: Callable[[str, Any], str]) -> Any:
    """Give Airflow a store of the parametrised kind."""
    fs = request.param(global_store=False, skip_instance_cache=True)
    fs.uri = attach("smb", fs)
    return fs


def _publish(uri: str) -> None:
    destination = Destination.parse(uri)
    with Publication(destination, inputs=[], overwrite=True) as publication:
        with publication.stage(uri, 3) as sink:
            sink.write(b"new")
        assert [uri] == publication.publish()


def _content(fs: Any) -> dict[str, bytes]:
    return {path: file.getvalue() for path, file in fs.store.items()}


@pytest.mark.parametrize("fs", [_Memory, _NoOverwrite], indirect=True)
def test_older_file_is_overwritten(fs: Any) -> None:
    """Where a store does not rename over a file, the older one goes once the new one is there."""
    fs.pipe_file("/dir/a.pdf", b"older")

    _publish(fs.uri + "dir/a.pdf")
    assert {"/dir/a.pdf": b"new"} == _content(fs)


@pytest.mark.parametrize("fs", [_AnswerLost], indirect=True)
def test_rename_whose_answer_was_lost_is_a_success(fs: Any) -> None:
    """The output is there, so there is nothing to complain of."""
    _publish(fs.uri + "dir/a.pdf")
    assert {"/dir/a.pdf": b"new"} == _content(fs)


@pytest.mark.parametrize(
    ("fs", "error", "complaint"),
    [
        pytest.param(_Losing, OutputNotWritableError, "no shell here", id="lost"),
        pytest.param(_Silent, OSError, "did not rename the finished file", id="silent"),
        pytest.param(_Torn, OSError, "the store kept 2 of 3 bytes", id="torn"),
    ],
    indirect=["fs"],
)
def test_store_that_did_not_do_it_is_not_believed(
    fs: Any, error: type[Exception], complaint: str
) -> None:
    """Both names are looked at, and nothing is left."""
    with pytest.raises(error, match=complaint):
        _publish(fs.uri + "dir/a.pdf")

    assert {} == _content(fs)


@pytest.mark.parametrize("fs", [_Brittle], indirect=True)
def test_first_failure_is_the_one_that_is_told(fs: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be cleaned up is a warning; the error stays the upload's."""
    with pytest.raises(BrokenPipeError, match="gone"):
        _publish(fs.uri + "dir/a.pdf")

    assert "could not be removed: still gone" in caplog.text
    assert "/dir/a.pdf" not in _content(fs)


@pytest.mark.parametrize("fs", [_Memory], indirect=True)
def test_brackets_in_a_directory_are_no_pattern(fs: Any) -> None:
    """The rename that stores inherit from fsspec would look for `d` or `i` there."""
    _publish(fs.uri + "[di]r/*/a.pdf")

    assert {"/[di]r/*/a.pdf": b"new"} == _content(fs)
