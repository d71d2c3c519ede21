"""Object stores: an upload shows the whole object or nothing, and there are no directories.

This module may change from release to release.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from airflow_provider_convertapi.api import redaction
from airflow_provider_convertapi.errors import OutputNotWritableError
from airflow_provider_convertapi.storage.filesystem import file_system
from airflow_provider_convertapi.storage.location import State
from airflow_provider_convertapi.storage.reader import Reader
from airflow_provider_convertapi.storage.renaming import spooled_name
from airflow_provider_convertapi.storage.store import StoreLocation, asking
from airflow_provider_convertapi.storage.trouble import (
    changed_while_read,
    forbids,
    is_full,
    is_of_network,
    refuses_credentials,
)
from airflow_provider_convertapi.storage.uris import shown, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airflow_provider_convertapi.storage.location import Address, Part

_log = logging.getLogger(__name__)

_OLD_MARKER = "_$folder$"
"""The end of the names of directory markers that Hadoop, and programs built on it, leave in S3."""

_buckets: set[tuple[str, str | None, str]] = set()
"""Buckets that existed when this process checked."""


def _unless_missing(error: Exception) -> None:
    """Raise the error, unless it only says that there is nothing under a prefix."""
    if not isinstance(error, FileNotFoundError):
        raise error


class ObjectLocation(StoreLocation):
    """A place in an object store."""

    __slots__ = ()
    has_directories: ClassVar[bool] = False
    library: ClassVar[str] = "ls"
    """An attribute of the store's own file system, on which a class relies."""

    @classmethod
    def at(cls, address: Address, argument: str) -> StoreLocation:
        """Resolve an address, and the connection that it names."""
        cls.check_address(address, argument)
        root, fs = file_system(address, argument)
        if root.strip("/") != address.host:
            complaint = (
                f"{shown(address.uri)}: with {address.scheme}:// Airflow reaches {root!r} instead "
                f"of {address.host!r}; write the store's usual scheme, {address.family}://."
            )
            raise wrong(argument, complaint)
        # A user may give Airflow another file system for a scheme; then only common calls are used.
        kind = cls if hasattr(fs, cls.library) else ObjectLocation
        # The key never passes through a URL parser: `#`, `?` and `::` are plain characters in it.
        path = f"{address.host}/{address.key}"
        return kind(address.uri, address.family, address.conn_id, path, fs)

    @classmethod
    def check_address(cls, address: Address, argument: str) -> None:
        """Raise `ParameterError` if the URI names no bucket."""
        if not address.host:
            form = f"{address.scheme}://CONNECTION@BUCKET/KEY"
            raise wrong(argument, f"{shown(address.uri)} names no bucket or container: {form}")

    @property
    def bucket(self) -> str:
        """Return the name of the bucket or container."""
        return self.path.partition("/")[0]

    @property
    def object_key(self) -> str:
        """Return the key within the bucket."""
        return self.path.partition("/")[2]

    @property
    def dataset(self) -> tuple[str, str]:
        """Return the bucket, and the key within it."""
        return f"{self.family}://{self.bucket}", self.object_key.rstrip("/") or "/"

    # --- what is there -----------------------------------------------------------------------

    def state(self) -> State | None:
        """Return the state of an object, or of a directory if keys begin with the path; or None."""
        found = None if self.path.endswith("/") else self.object()
        is_marker = found is None or found.kind == "directory" or not found.size
        if is_marker and self.has_children():
            return State(0, "", "directory")
        return None if found is None or found.kind == "directory" else found

    def file(self) -> State | None:
        """Return the object that is there now."""
        found = self.object()
        if found is not None and found.kind == "file" and not found.size and self.has_children():
            return State(0, "", "directory")  # the empty object only marks a directory
        return found

    def object(self) -> State | None:
        """Return the state of the object with exactly this key; None if there is none."""
        return super().state()

    def has_children(self) -> bool:
        """Tell whether any key begins with the path and a slash."""
        root = self.path.rstrip("/") + "/"
        with suppress(FileNotFoundError):  # the bucket is missing
            return any(str(info["name"]) != root for info in self._walked(root))
        return False

    def walk(self, root: str) -> Iterator[dict[str, Any]]:
        """Yield the store's description of each object below a path."""
        yield from self.fs.find(root, detail=True, **self._raising()).values()

    def _raising(self) -> dict[str, Any]:
        """Return options that make a listing raise; fsspec's own skips what it cannot list."""
        from fsspec.asyn import AsyncFileSystem  # noqa: PLC0415 - for stores only
        from fsspec.spec import AbstractFileSystem  # noqa: PLC0415 - as above

        kind = type(self.fs)
        if isinstance(self.fs, AsyncFileSystem):
            is_own = kind._find is not AsyncFileSystem._find  # noqa: SLF001 - what `find` calls
        else:
            is_own = kind.find is not AbstractFileSystem.find
        return {} if is_own else {"on_error": _unless_missing}

    def _walked(self, root: str) -> Iterator[dict[str, Any]]:
        return _without_markers(super()._walked(root))

    def names(self) -> list[str]:
        """Return the names of the objects in the directory."""
        root = self.path.rstrip("/") + "/"
        found = (str(info["name"]).removeprefix(root) for info in self._walked(root))
        return [name for name in found if name and "/" not in name]

    # --- writing -----------------------------------------------------------------------------

    def check_destination(self, argument: str) -> None:
        """Raise `ParameterError` if the bucket is missing; each process checks a bucket once.

        `ConnectionConfigError` if the store refuses the connection.
        """
        bucket = (self.family, self.conn_id, self.bucket)
        if bucket not in _buckets:
            if not self.has_bucket():
                complaint = "lies in a bucket that does not exist; create it."
                raise wrong(argument, f"{shown(self.uri)} {complaint}")
            _buckets.add(bucket)
        super().check_destination(argument)

    @asking
    def has_bucket(self) -> bool:
        """Tell whether the bucket exists; True if the connection may not check that."""
        try:
            self.look_at_bucket()
        except FileNotFoundError:
            return False
        except Exception as error:
            if refuses_credentials(error) or not forbids(error):
                raise
        return True

    def look_at_bucket(self) -> None:
        """Ask the store for the bucket; `FileNotFoundError` if there is none.

        Does nothing with an unknown file system, which may have no buckets.
        """

    @asking
    def try_writing(self) -> None:
        """Begin an upload and abort it, so that nothing is written.

        `PermissionError` or `OutputNotWritableError` if a result could not be written.
        """
        try:
            self.try_uploading(self.object_key if self.name else f"{self.object_key}result")
        except FileNotFoundError as error:
            raise self.without_bucket(paid=False) from error
        except Exception as error:
            if any(
                tells(error) for tells in (refuses_credentials, forbids, is_full, is_of_network)
            ):
                raise
            _log.warning(
                "%s: whether it can be written to is not known, and shows when a result is "
                "published. %s",
                shown(self.uri),
                redaction.shown(str(error)),
            )

    def without_bucket(self, *, paid: bool | None) -> OutputNotWritableError:
        """Return the error for a missing bucket.

        :param paid: False if nothing was paid for the result yet; None if that is not known.
        """
        what = f"{shown(self.uri)} cannot be written: its bucket does not exist."
        unpaid = " Nothing was paid." if paid is False else ""
        return OutputNotWritableError(f"{what}{unpaid} Create it.", paid)

    def try_uploading(self, key: str) -> None:
        """Do nothing: with an unknown file system, only a real write could show it."""

    def part(self, spool: Callable[[], Path], marks: Sequence[str] = (), stamp: str = "") -> Part:  # noqa: ARG002 - nothing is hidden in the store
        """Return a result that is uploaded in one step."""
        return ObjectPart(self, spool(), **self.stamping(stamp))

    def stamping(self, stamp: str) -> dict[str, Any]:  # noqa: ARG002 - for stores that keep it
        """Return an upload's options to give the object a stamp."""
        return {}


class ObjectPart:
    """A result in the local spool; once uploaded, the store shows it whole or not at all."""

    def __init__(self, target: ObjectLocation, spool: Path, **more: Any) -> None:
        self._target = target
        self._more = more
        self.staged = spool / spooled_name(target.name, secrets.token_hex(4))

    def open(self) -> BinaryIO:
        """Create the file."""
        return self.staged.open("xb")

    def prepare(self) -> None:
        """Do nothing: an upload would be visible at once."""

    def publish(self, *, replace: bool) -> None:
        """Upload it."""
        try:
            self._target.put(self.staged, replace=replace, **self._more)
        except FileNotFoundError as error:
            # Someone has emptied the spool, or the store has forgotten the upload.
            if not self.staged.exists() or self._target.has_bucket():
                raise
            raise self._target.without_bucket(paid=None) from error

    def discard(self) -> None:
        """Remove it from the spool."""
        self.staged.unlink(missing_ok=True)


class ObjectReader(Reader):
    """Read one version of an object.

    :param changed: errors of the store's library for an object that has changed or is gone.
    """

    def __init__(
        self, file: Any, place: ObjectLocation, changed: tuple[type[Exception], ...]
    ) -> None:
        super().__init__(file, place)
        self._changed = changed

    def read_bytes(self, size: int) -> bytes:
        """Read; `InputChangedError` if the object has changed."""
        try:
            return super().read_bytes(size)
        except self._changed as error:
            raise changed_while_read(self._place.uri) from error


def _without_markers(infos: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Leave out empty objects that only mark a directory, which web consoles and Spark write.

    :param infos: a store's descriptions of objects, in the order of their names.
    """
    waiting: list[dict[str, Any]] = []
    for info in infos:
        name = str(info["name"])
        inside = [one for one in waiting if not name.startswith(f"{one['name']}/")]
        waiting = [one for one in inside if name < f"{one['name']}/"]
        yield from (one for one in inside if one not in waiting)
        if info["size"] or info["type"] != "file":
            yield info
        elif not name.endswith(("/", _OLD_MARKER)):
            waiting.append(info)  # it marks a directory if names below it follow
    yield from waiting
