"""The stores that fsspec reaches, in general: with directories and without atomic writes.

This module may change from release to release.
"""

from __future__ import annotations

import inspect
import io
import logging
import posixpath
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Concatenate, ParamSpec, Self, TypeVar

from airflow_provider_convertapi.storage.filesystem import file_system
from airflow_provider_convertapi.storage.location import (
    BLOCK,
    IRREGULAR,
    LINK,
    OWN_DIRECTORY,
    Found,
    State,
    unnoted,
)
from airflow_provider_convertapi.storage.names import temporary_name
from airflow_provider_convertapi.storage.reader import Reader
from airflow_provider_convertapi.storage.renaming import RenamedPart, remove
from airflow_provider_convertapi.storage.trouble import naming_connection
from airflow_provider_convertapi.storage.uris import dataset_in_text, shown, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from airflow_provider_convertapi.storage.location import Address, Note, Part

_log = logging.getLogger(__name__)

_VERSIONS = (
    *("generation", "ETag", "etag", "e_tag"),
    *("LastModified", "last_modified", "updated", "mtime", "modified", "modify"),
    *("modificationTime", "created"),
)
"""Stores' names for the version of a file, the most reliable first."""

_WRITTEN = ("LastModified", "last_modified", "updated", "mtime", "modified", "modify", "created")
"""Stores' names for the time of the last write."""

_MOST_PARTS = 10_000
"""The most parts of one multipart upload (Amazon S3's limit)."""

_PARTS_AT_ONCE = 2
"""Parts that a store's library holds in memory at a time."""

_writable: set[tuple[str, str | None, str]] = set()
"""Directories that were writable when this process tried: family, connection, URI."""

_P = ParamSpec("_P")
_R = TypeVar("_R")
_L = TypeVar("_L", bound="StoreLocation")


def asking(
    method: Callable[Concatenate[_L, _P], _R],
) -> Callable[Concatenate[_L, _P], _R]:
    """Make a method that calls the store name the connection if the store refuses it."""

    @wraps(method)
    def ask(self: _L, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self.naming():
            return method(self, *args, **kwargs)

    return ask


@dataclass(frozen=True, slots=True)
class StoreLocation:
    """A location in a store.

    :param uri: as the user gave it.
    :param family: one name for all schemes that reach the same files.
    :param conn_id: id of the Airflow connection; None means the store's own default.
    :param path: the path in the store's file system.
    :param fs: the fsspec file system, shared by all threads.
    """

    uri: str
    family: str
    conn_id: str | None
    path: str
    fs: Any = field(repr=False, compare=False)

    has_directories: ClassVar[bool] = True
    block: ClassVar[int] = BLOCK

    @classmethod
    def at(cls, address: Address, argument: str) -> StoreLocation:
        """Resolve an address, and the connection that it names."""
        cls.check_address(address, argument)
        root, fs = file_system(address, argument)
        # The key never passes through a URL parser: `#`, `?` and `::` are plain characters in it.
        path = f"{root.rstrip('/')}/{address.key}"
        return cls(address.uri, address.family, address.conn_id, path, fs)

    @classmethod
    def check_address(cls, address: Address, argument: str) -> None:
        """Raise `ParameterError` if the address lacks something that its store needs."""

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def key(self) -> Hashable:
        """Return connection and path."""
        return (self.family, self.conn_id, self.path)

    def naming(self) -> AbstractContextManager[None]:
        """Name the connection in the errors of a store that refuses it."""
        return naming_connection(self.uri, self.family, self.conn_id)

    @property
    def dataset(self) -> tuple[str, str]:
        """Return scheme and host as the namespace, and the path."""
        return dataset_in_text(self.uri)

    def canonical(self) -> str:
        """Return the path without dots; two connections usually lead to the same store."""
        return f"{self.family}:{posixpath.normpath(self.path)}"

    def identities(self) -> set[Hashable]:
        """Return a key that is equal if two paths may be one file; some stores ignore case."""
        return {(self.family, posixpath.normpath(self.path).casefold())}

    @asking
    def state(self) -> State | None:
        """Return the present state, never from a cache of listings; None if nothing is there."""
        self._forget_listings()
        try:
            info = self.fs.info(self.path, **accepted(self.fs.info, refresh=True))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return state_of(info)

    def file(self) -> State | None:
        """Return the same."""
        return self.state()

    @asking
    def open(self, state: State | None = None) -> BinaryIO:
        """Open the file for reading from its start, in blocks, without reading ahead."""
        self._forget_listings()  # opening asks for size and ETag again
        return io.BufferedReader(self.reader(state), self.block)

    def reader(self, state: State | None) -> Reader:  # noqa: ARG002 - for stores that can use it
        """Open the file without a buffer."""
        return Reader(self.fs.open(self.path, "rb", block_size=BLOCK, cache_type="none"), self)

    def pins(self, state: State) -> bool:  # noqa: ARG002 - for stores that can
        """Return False: a file may be written while it is read."""
        return False

    def below(self, note: Note = unnoted) -> Iterator[Found]:
        """Yield all files below the directory, as the store describes them."""
        root = self.path.rstrip("/") + "/"
        uri = self.uri.rstrip("/") + "/"
        self.fs.invalidate_cache(root.rstrip("/"))
        for info in self._walked(root):
            name = str(info["name"])
            # SFTP servers differ in whether their paths begin with a slash.
            path = (
                name.removeprefix(root) if name.startswith(root) else f"/{name}".removeprefix(root)
            )
            if path.endswith("/") or not path or OWN_DIRECTORY in path.split("/")[:-1]:
                continue
            if info["type"] == "file":
                yield Found.of(uri + path, path, state_of(info))
            elif info["type"] != "directory":
                note(LINK if info["type"] == "link" else IRREGULAR, uri + path)

    def _walked(self, root: str) -> Iterator[dict[str, Any]]:
        with self.naming():
            yield from self.walk(root)

    def walk(self, root: str) -> Iterator[dict[str, Any]]:
        """Yield the store's description of each file below `root`, which ends in a slash."""
        top = root.rstrip("/") or "/"
        waiting = [top]
        while waiting:
            place, inner = waiting.pop(), []
            try:
                infos = self.fs.ls(place, detail=True, **accepted(self.fs.ls, refresh=True))
            except (FileNotFoundError, NotADirectoryError):
                if place == top:
                    raise
                continue  # it was removed since its own directory was listed
            for info in infos:
                if info["type"] == "directory":
                    inner.append(str(info["name"]))
                else:
                    yield info
            waiting += sorted(
                (path for path in inner if path.rstrip("/").rpartition("/")[2] != OWN_DIRECTORY),
                reverse=True,
            )

    @asking
    def names(self) -> list[str]:
        """Return the names of the files in the directory."""
        path = self.path.rstrip("/")
        self.fs.invalidate_cache(path)
        infos = self.fs.ls(path, detail=True, **accepted(self.fs.ls, refresh=True))
        return [
            str(info["name"]).rpartition("/")[2] for info in infos if info["type"] != "directory"
        ]

    @asking
    def read(self) -> bytes:
        """Return the bytes of a small file in one request; opening it would take two."""
        data: bytes = self.fs.cat_file(self.path)
        return data

    @asking
    def delete(self) -> None:
        """Delete the file."""
        self.fs.rm_file(self.path)

    def is_link(self) -> bool:
        """Return False: stores have no links, or do not show them."""
        return False

    def check_destination(self, argument: str) -> None:
        """Raise `ParameterError` if a file has no name, or a directory has its name."""
        uri = shown(self.uri)
        if self.uri.endswith("/"):
            return
        if not self.name:
            raise wrong(argument, f"{uri} names no file; write {uri}/ for a directory.")
        state = self.state() if self.has_directories else None
        if state is not None and state.kind == "directory":
            raise wrong(argument, f"{uri} is a directory; write {uri}/ to put results into it.")

    def check_writable(self, root: str) -> None:
        """Try to write below a directory, once; see `Location.check_writable`."""
        place = (self.family, self.conn_id, root)
        if place not in _writable:
            self.try_writing()
            _writable.add(place)

    @asking
    def try_writing(self) -> None:
        """Make the directory, and write and remove a hidden file."""
        trial = self.sibling(temporary_name(self.name or "result", secrets.token_hex(4)))
        try:
            self.fs.pipe_file(trial.path, b"-")  # a full disk would take an empty file
        finally:
            remove(trial)

    def part(self, spool: Callable[[], Path], marks: Sequence[str] = (), stamp: str = "") -> Part:  # noqa: ARG002 - for stores that keep it
        """Return a result that is uploaded under a hidden name and then renamed."""
        return RenamedPart(self, spool(), marks)

    def sibling(self, name: str) -> Self:
        """Return the location called `name` in the same directory."""
        parent = self.path.rpartition("/")[0]
        uri = f"{self.uri.rpartition('/')[0]}/{name}"
        return type(self)(uri, self.family, self.conn_id, f"{parent}/{name}", self.fs)

    @asking
    def put(self, /, file: Path, *, replace: bool, **more: Any) -> None:
        """Upload a local file in blocks, few at a time, so that memory stays bounded.

        :param replace: False raises `FileExistsError` if a file is there already.
        :param more: further options of the store's own upload.
        """
        put = self.fs.put_file
        options: dict[str, Any] = {
            "chunksize": block_for(file.stat().st_size),
            "max_concurrency": _PARTS_AT_ONCE,
        }
        if not replace:
            creating = accepted(put, mode="create", overwrite=False)
            if not creating:  # an older file system has no such option
                _log.warning(
                    "%s: this version of %s cannot create a file only where there is none, so it "
                    "is looked for first: of two tasks that publish to one name at the same moment "
                    "both may succeed. Upgrade that package.",
                    shown(self.uri),
                    type(self.fs).__module__.partition(".")[0],
                )
                if self.file() is not None:
                    raise FileExistsError(shown(self.uri))
            options |= creating
        self.upload(file, **accepted(put, **options), **more)

    def upload(self, file: Path, **options: Any) -> None:
        """Upload a local file with the store's own library.

        :param options: those of its `put_file`.
        """
        self.fs.put_file(str(file), self.path, **options)

    @asking
    def rename(self, new: StoreLocation, size: int, *, replace: bool) -> None:
        """Give a complete file its name.

        :param size: the file's bytes.
        :param replace: False raises `FileExistsError` if a file has the name.
        """
        try:
            if replace:
                self.move(new)
            else:
                self.move_to_new(new)
        except Exception as error:  # each store has its own errors; its state shows what happened
            here, there = self.state(), new.state()
            if here is None and there is not None and there.size == size:
                return  # it was renamed, and only the answer was lost
            if here is None or there is None:
                raise
            if not replace:
                raise FileExistsError(shown(new.uri)) from error
            # SMB and HDFS do not rename over a file, so for a moment there is no file.
            new.delete()
            self.move(new)
        if self.state() is not None:  # WebHDFS reports a failed rename as "false", not as an error
            raise OSError(f"{shown(new.uri)}: the store did not rename the finished file")

    def move(self, new: StoreLocation) -> None:
        """Rename as the store does, which may or may not replace a file."""
        from fsspec import AbstractFileSystem  # noqa: PLC0415 - for stores only, which have loaded it

        if getattr(self.fs.mv, "__func__", None) is AbstractFileSystem.mv:
            # The inherited `mv` would treat brackets in a name as a pattern.
            self.fs.cp_file(self.path, new.path)
            self.fs.rm_file(self.path)
        else:
            self.fs.mv(self.path, new.path)

    def move_to_new(self, new: StoreLocation) -> None:
        """Rename unless the name is taken; another task may take it between check and rename."""
        if new.state() is not None:
            raise FileExistsError(shown(new.uri))
        self.move(new)

    def _forget_listings(self) -> None:
        for path in (self.path, self.path.rpartition("/")[0]):
            self.fs.invalidate_cache(path)


def state_of(info: Mapping[str, Any], stamp: str | None = None) -> State:
    """Return the state of a path from a store's description.

    :param stamp: the file's stamp, empty for none; None if its store keeps no stamps.
    """
    if info["type"] == "directory":
        return State(0, "", "directory")
    version = next((info[key] for key in _VERSIONS if info.get(key)), "")
    if isinstance(version, datetime):  # a listing may give the same moment as a number
        version = version.timestamp()
    size = int(info["size"] or 0)
    return State(size, str(version).strip('"'), modified=_written(info), stamp=stamp)


def _written(info: Mapping[str, Any]) -> float | None:
    value = next((info[key] for key in _WRITTEN if info.get(key)), None)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).timestamp()
    return float(value) if isinstance(value, int | float) else None


def accepted(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Return the `options` that `function` has, since file systems differ in their options."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in known}


def block_for(size: int) -> int:
    """Return the bytes of each part: above 78 GiB, 10,000 parts of 8 MiB are not enough."""
    blocks = -(-size // (BLOCK * _MOST_PARTS))
    return BLOCK * max(blocks, 1)
