"""Find a file to convert, and read it as often as needed.

This module may change from release to release.
"""

from __future__ import annotations

import errno
import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_convertapi.errors import InputNotFoundError
from airflow_provider_convertapi.storage.content import hash_rest
from airflow_provider_convertapi.storage.location import State
from airflow_provider_convertapi.storage.schemes import locate
from airflow_provider_convertapi.storage.trouble import changed_while_read
from airflow_provider_convertapi.storage.uris import shown, wrong
from airflow_provider_convertapi.surroundings import surroundings

if TYPE_CHECKING:
    from airflow_provider_convertapi.storage.location import Location

_BY_CONTENT = "sha256:"

_TICK = 2.0
"""Seconds of the coarsest clock of a file system (FAT; SFTP has whole seconds): a file that was
written so recently may be written again and keep the same time."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was when it was found.

    :param uri: absolute path of a local file; the URI of any other, as the user gave it.
    :param name: file name with extension.
    :param size: bytes.
    :param fingerprint: changes with the content: size with ETag or modification time, or with a
        hash of the content if that was requested or the store has neither.
    """

    uri: str
    name: str
    size: int
    fingerprint: str
    _location: Location = field(repr=False)
    _state: State = field(repr=False)

    def open(self) -> BinaryIO:
        """Open the file for reading, in order, from its start; each call opens it again.

        It is read in blocks, so memory does not depend on the file's size.  Reading its end raises
        `InputChangedError` if the file is not the one that was found.
        """
        file = self._location.open(self._state)
        if self._location.pins(self._state):
            return file
        raw = file.detach() if isinstance(file, io.BufferedReader) else file
        # Hashing halves the speed of a large upload, so it is done only if the file's time cannot
        # show a change.
        by_content = _BY_CONTENT in self.fingerprint or _may_hide_a_write(self._state)
        checked = _CheckedReader(self, raw, by_content=by_content)
        return io.BufferedReader(checked, self._location.block)

    def check_read(self, digest: str | None) -> None:
        """Raise `InputChangedError` unless the file that was just read is the one that was found.

        :param digest: SHA-256 of what was read, as hexadecimal digits; None if the file's time is
            old enough to show a change.
        """
        state = self._location.file()
        if _BY_CONTENT in self.fingerprint:
            is_same = self.fingerprint == f"{self.size}-{_BY_CONTENT}{digest}"
        else:
            is_same = state == self._state and (
                digest is None or digest == _digest(self._location, self._state)
            )
        if not is_same:
            raise changed_while_read(self.uri)

    def changed(self) -> bool:
        """Ask the store whether the file has changed, or is gone, since it was found.

        If its content identifies it, a mere change of its time does not count.  If the store has no
        versions, the content is always read again.
        """
        state = self._location.file()
        is_same = state == self._state
        if _BY_CONTENT not in self.fingerprint or (is_same and self.has_version):
            return not is_same
        if state is None or state.kind != "file" or state.size != self.size:
            return True
        return self.fingerprint != f"{self.size}-{_BY_CONTENT}{_digest(self._location, state)}"

    @property
    def has_version(self) -> bool:
        """Tell whether its store has an ETag or a time for the file."""
        return bool(self._state.version)


class _CheckedReader(io.RawIOBase):
    """Read a file that may be written meanwhile; return its end only if it has not changed.

    Without the end of the file a request is incomplete, so nothing is converted or paid.
    """

    def __init__(self, source: Source, file: Any, *, by_content: bool) -> None:
        self._source = source
        self._file = file
        self._left = source.size
        self._digest = hashlib.sha256() if by_content else None

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read up to as many bytes as `buffer` holds."""
        count: int = self._file.readinto(buffer) or 0
        self._note(memoryview(buffer)[:count])
        return count

    def readall(self) -> bytes:
        """Read what is left."""
        data: bytes = self._file.read(-1)
        self._note(data)
        return data

    def _note(self, data: bytes | memoryview) -> None:
        if self._digest:
            self._digest.update(data)
        self._left -= len(data)
        if self._left <= 0 or not data:
            self._source.check_read(self._digest.hexdigest() if self._digest else None)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _may_hide_a_write(state: State) -> bool:
    """Tell whether another write may have left the file's time unchanged, or the time is not known.

    It is not known for a file from a listing.
    """
    return state.modified is None or state.modified > surroundings().clock.time() - _TICK


def find_source(uri: str, *, field: str = "source", hash_limit: float | None = None) -> Source:
    """Find the file at `uri`.

    :param uri: local path, or URI of a store; its connection is named before an ``@``.
    :param field: the user's name of the argument, for errors.
    :param hash_limit: a file of up to this many bytes is read once and fingerprinted by its
        content, so that a copy does not count as a new file; None reads no file.  A file is always
        read if its store has neither ETag nor time.

    `ParameterError` if it cannot be a file; `InputNotFoundError` if there is none.
    """
    location = locate(uri, field)
    if location.uri.endswith("/") or not location.name:
        raise wrong(field, f"{shown(uri)} is a directory; {_remedy(field)}.")
    state = _look(location, field)
    if state.kind != "file":
        remedy = f"; {_remedy(field)}" if state.kind == "directory" else ""
        raise wrong(field, f"{shown(uri)} is {state.obstacle}{remedy}.")
    # Without a version, files of one size would all be the same one.
    is_small = hash_limit is not None and state.size <= hash_limit
    by_content = is_small or not state.version
    version = f"{_BY_CONTENT}{_digest(location, state)}" if by_content else state.version
    return Source(
        location.uri, location.name, state.size, f"{state.size}-{version}", location, state
    )


def _remedy(field: str) -> str:
    all_files = ", or convert all its files with ConvertApiBatchOperator"
    return f"give the file in it{all_files if field == 'source' else ''}"


def listed_source(uri: str, seen: str, *, field: str = "source") -> Source:
    """Return a file from a listing, without another request to its store.

    `Source.changed` and `Source.open` notice if it has changed, or is gone, by now.

    :param seen: the `fingerprint` of the listing, or that of `find_source` if its store has no
        versions.
    :param field: the user's name of the argument, for errors.
    """
    location, state = locate(uri, field), State.of_file(seen.partition(_BY_CONTENT)[0])
    return Source(location.uri, location.name, state.size, seen, location, state)


def _look(location: Location, argument: str) -> State:
    what = f"{argument} {shown(location.uri)}"
    try:
        state = location.state()
    except OSError as error:
        if not isinstance(error, PermissionError) and error.errno not in {
            errno.ENAMETOOLONG,
            errno.ELOOP,
        }:
            raise  # a network failure, which another try may not meet
        # Without permission to list the bucket, S3 says "forbidden" for a missing key, too.
        message = f"{what} is not there, or may not be read ({error}); check path and permissions."
        raise InputNotFoundError(message) from error
    if state is None:
        raise InputNotFoundError(
            f"{what} does not exist; check the path, and what should write it."
        )
    return state


def _digest(location: Location, state: State) -> str:
    with location.open(state) as file:
        return hash_rest(file, hashlib.sha256())
