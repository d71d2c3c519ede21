"""Places where files lie: the local disk, and every store that Airflow's connections reach."""

from __future__ import annotations

import inspect
import io
import os
import posixpath
import stat
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping
    from pathlib import Path

BLOCK = 8 * 1024 * 1024
"""Bytes that are read, and written, at a time."""

_FAMILIES = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gs"),
    **dict.fromkeys(("abfs", "abfss", "adl"), "abfs"),
    **dict.fromkeys(("sftp", "ssh"), "sftp"),
}
"""Schemes that reach the same files."""

OBJECT_STORES = frozenset({"s3", "gs", "abfs"})
"""Families in which a put shows the whole object or nothing."""

_TELL_OF_BUCKETS = frozenset({"s3", "abfs"})
"""Not Google's: who may only write is told that an empty bucket does not exist."""

_VERSIONS = (
    *("generation", "ETag", "etag", "e_tag"),
    *("LastModified", "last_modified", "updated", "mtime", "modified", "modify"),
    *("modificationTime", "created"),
)
"""What stores call the version of a file, the strongest first."""


@dataclass(frozen=True, slots=True)
class State:
    """What a store says about a file now.

    :param version: ETag, generation or modification time; empty where the store has none of them.
    """

    size: int
    version: str
    kind: Literal["file", "directory", "other"] = "file"


@dataclass(frozen=True, slots=True)
class LocalLocation:
    """A place on the local disk.

    :param uri: the absolute path; it ends in ``/`` for a directory.
    :param path: the same as a path.
    """

    uri: str
    path: Path = field(repr=False, compare=False)

    has_directories = True

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.name

    def state(self) -> State | None:
        """Return what is there now, None where nothing is."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        kind: Literal["file", "directory", "other"] = "other"
        if stat.S_ISDIR(found.st_mode):
            kind = "directory"
        elif stat.S_ISREG(found.st_mode):
            kind = "file"
        return State(found.st_size, str(found.st_mtime_ns), kind)

    def open(self) -> BinaryIO:
        """Open the file for reading from its start."""
        return self.path.open("rb", buffering=BLOCK)

    def identities(self) -> set[Hashable]:
        """Return keys of which two spellings of one file share at least one."""
        try:
            found = self.path.stat()
        except OSError:  # nothing there: only the path can tell
            return {self.uri, os.path.realpath(self.uri)}
        return {self.uri, (found.st_dev, found.st_ino)}  # links, and disks that fold case

    def is_same_as(self, other: Location) -> bool:
        """Tell whether `other`, which shares an identity, is this very file."""
        return isinstance(other, LocalLocation)


@dataclass(frozen=True, slots=True)
class StoreLocation:
    """A place in a store.

    :param uri: as the user gave it.
    :param conn_id: id of the Airflow connection, None for the store's own default.
    :param path: how the store's file system calls the place.
    :param fs: the fsspec file system, shared by all threads.
    """

    uri: str
    scheme: str
    conn_id: str | None
    path: str
    fs: Any = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def has_directories(self) -> bool:
        """Tell whether directories are more than a common beginning of names."""
        return not self.puts_atomically

    @property
    def puts_atomically(self) -> bool:
        """Tell whether a put shows the whole file or nothing."""
        return family(self.scheme) in OBJECT_STORES

    def lacks_bucket(self) -> bool:
        """Tell whether the store is sure that the bucket, or container, does not exist."""
        if family(self.scheme) not in _TELL_OF_BUCKETS:
            return False
        try:
            self.fs.info(self.path.partition("/")[0])
        except FileNotFoundError:
            return True
        except Exception:  # noqa: BLE001 - each store has its own; who may write need not be allowed to look
            return False
        return False

    def state(self) -> State | None:
        """Return what is there now, None where nothing is; never from a cache of listings."""
        self._forget_listings()
        try:
            info = self.fs.info(self.path, **accepted(self.fs.info, refresh=True))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return state_of(info)

    def open(self) -> BinaryIO:
        """Open the file for reading from its start, in blocks, without reading ahead."""
        self._forget_listings()  # it asks for size and ETag once more
        # asyncssh splits a read by itself: a block size of ours would be multiplied, not used.
        options = (
            {} if family(self.scheme) == "sftp" else {"block_size": BLOCK, "cache_type": "none"}
        )
        return io.BufferedReader(_Reader(self.fs.open(self.path, "rb", **options)), BLOCK)

    def sibling(self, name: str) -> StoreLocation:
        """Return the place called `name` in the same directory."""
        parent = self.path.rpartition("/")[0]
        uri = f"{self.uri.rpartition('/')[0]}/{name}"
        return StoreLocation(uri, self.scheme, self.conn_id, f"{parent}/{name}", self.fs)

    def identities(self) -> set[Hashable]:
        """Return keys of which two spellings of one file share at least one."""
        return {(family(self.scheme), posixpath.normpath(self.path).casefold())}

    def is_same_as(self, other: Location) -> bool:
        """Tell whether `other`, which shares an identity, is this very file.

        Two connections may lead to two stores, or to one; case and ``..`` count on some stores
        only.  The stores' answers tell: one file has one size and one version.
        """
        if isinstance(other, StoreLocation) and (self.conn_id, self.path) == (
            other.conn_id,
            other.path,
        ):
            return True
        return self.state() == other.state()

    def _forget_listings(self) -> None:
        for path in (self.path, self.path.rpartition("/")[0]):
            self.fs.invalidate_cache(path)


Location = LocalLocation | StoreLocation


class _Reader(io.RawIOBase):
    """Give a file of any store the interface that buffering needs."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def state_of(info: Mapping[str, Any]) -> State:
    """Return what a store's description of a place says."""
    if info["type"] == "directory":
        return State(0, "", "directory")
    version = next((info[key] for key in _VERSIONS if info.get(key)), "")
    if isinstance(version, datetime):  # a listing may say the same as a number
        version = version.timestamp()
    return State(int(info["size"] or 0), str(version).strip('"'))


def accepted(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Return those of `options` that `function` names: file systems differ in what they take."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in known}


def family(scheme: str) -> str:
    """Return the one name of all schemes that reach the same files."""
    return _FAMILIES.get(scheme, scheme)
