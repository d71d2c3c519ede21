"""Object stores: a put shows the whole object or nothing, and there are no directories.

This module may change from release to release.
"""

from __future__ import annotations

import errno
import re
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from airflow_provider_convertapi.errors import InputChangedError
from airflow_provider_convertapi.storage.location import BLOCK
from airflow_provider_convertapi.storage.renaming import spooled_name
from airflow_provider_convertapi.storage.store import (
    Reader,
    StoreLocation,
    state_of,
)
from airflow_provider_convertapi.storage.uris import shown, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airflow_provider_convertapi.storage.location import Address, Part, State

_PAGE = 1000
"""Objects in a page of S3's listing."""

_STAMP = "convertapi"
"""The name of the metadata that carries a stamp."""

_ETAG = re.compile(r"[0-9a-f]{32}(-\d+)?")

_buckets: set[tuple[str, str | None, str]] = set()
"""Buckets that existed when this process looked."""


def _unless_missing(error: Exception) -> None:
    """Raise, unless there is nothing under a prefix."""
    if not isinstance(error, FileNotFoundError):
        raise error


class ObjectLocation(StoreLocation):
    """A place in an object store."""

    __slots__ = ()
    has_directories: ClassVar[bool] = False
    tells_of_buckets: ClassVar[bool] = True
    """Whether the store is right when it says that a bucket does not exist."""

    @classmethod
    def check_address(cls, address: Address, argument: str) -> None:
        """Raise `ParameterError` where the URI names no bucket."""
        if not address.host:
            form = f"{address.scheme}://CONNECTION@BUCKET/KEY"
            raise wrong(argument, f"{shown(address.uri)} names no bucket or container: {form}")

    def walk(self, root: str) -> Iterator[dict[str, Any]]:
        """Yield what the store says about each object."""
        yield from self.fs.find(root, detail=True, **self._raising()).values()

    def _raising(self) -> dict[str, Any]:
        """Return what makes a listing raise: fsspec's own leaves out what it cannot list."""
        from fsspec.asyn import AsyncFileSystem  # noqa: PLC0415 - for stores only
        from fsspec.spec import AbstractFileSystem  # noqa: PLC0415 - as above

        kind = type(self.fs)
        if isinstance(self.fs, AsyncFileSystem):
            is_own = kind._find is not AsyncFileSystem._find  # noqa: SLF001 - what `find` calls
        else:
            is_own = kind.find is not AbstractFileSystem.find
        return {} if is_own else {"on_error": _unless_missing}

    def check_destination(self, argument: str) -> None:
        """Raise `ParameterError` where the bucket is missing."""
        if self._lacks_bucket():
            complaint = "lies in a bucket that does not exist; create it."
            raise wrong(argument, f"{shown(self.uri)} {complaint}")
        super().check_destination(argument)

    def part(self, spool: Callable[[], Path], marks: Sequence[str] = (), stamp: str = "") -> Part:  # noqa: ARG002 - nothing is hidden in the store
        """Return a result that is put in one step."""
        return ObjectPart(self, spool(), **self.stamping(stamp))

    def stamping(self, stamp: str) -> dict[str, Any]:  # noqa: ARG002 - for stores that keep it
        """Return what an upload takes so that the object bears a stamp."""
        return {}

    def _lacks_bucket(self) -> bool:
        """Tell whether the store is sure that the bucket does not exist; ask it once."""
        name = self.path.partition("/")[0]
        bucket = (self.family, self.conn_id, name)
        if not self.tells_of_buckets or bucket in _buckets:
            return False
        # Each store has its own errors, and not everyone who may write may look.
        with suppress(Exception):
            try:
                self.fs.info(name)
            except FileNotFoundError:
                return True
        _buckets.add(bucket)
        return False


class GoogleLocation(ObjectLocation):
    """A place in Google Cloud Storage."""

    __slots__ = ()
    # With permission to write only, it says that an empty bucket does not exist.
    tells_of_buckets: ClassVar[bool] = False


class S3Location(ObjectLocation):
    """A place in S3, or in a store with the same protocol."""

    __slots__ = ()

    def file(self) -> State | None:
        """Return what is there now; where no object is, `info` would need a listing as well."""
        bucket, key, _ = self.fs.split_path(self.path)
        try:
            found = self.fs.call_s3("head_object", self.fs.kwargs, Bucket=bucket, Key=key)
        except FileNotFoundError:
            return None
        stamp = found.get("Metadata", {}).get(_STAMP, "")
        return state_of({**found, "type": "file", "size": found["ContentLength"]}, stamp)

    def stamping(self, stamp: str) -> dict[str, Any]:
        """Return the object's own metadata, which whoever writes it anew does not keep."""
        return {"Metadata": {_STAMP: stamp}} if stamp else {}

    def pins(self, state: State) -> bool:
        """Tell whether the ETag is one that a read can name."""
        return _ETAG.fullmatch(state.version) is not None

    def reader(self, state: State | None) -> Reader:
        """Open the object; where its state is known, no request comes before the first read."""
        if state is None or not self.pins(state):
            return _ObjectReader(super().reader(None), self.uri)
        etag = f'"{state.version}"'
        file = self.fs.open(self.path, "rb", block_size=BLOCK, cache_type="none", size=state.size)
        # As s3fs does when it asks for the size: all blocks must come from this version.
        file.details = {"name": self.path, "type": "file", "size": state.size, "ETag": etag}
        for headers in ("req_kw", "read_kw"):  # before and since s3fs 2026
            if hasattr(file, headers):
                setattr(file, headers, {**getattr(file, headers), "IfMatch": etag})
        return _ObjectReader(file, self.uri)

    def walk(self, root: str) -> Iterator[dict[str, Any]]:
        """Walk the listing page by page: `find` would hold a kilobyte for each object in memory."""
        from fsspec.asyn import sync  # noqa: PLC0415 - for stores only, which have loaded it

        bucket, prefix, _ = self.fs.split_path(root)
        entries = self.fs._iterdir(bucket, delimiter="", prefix=prefix)  # noqa: SLF001 - the public calls are not streams

        async def page() -> list[dict[str, Any]]:
            found = []
            async for entry in entries:
                found.append(entry)
                if len(found) == _PAGE:
                    break
            return found

        while found := sync(self.fs.loop, page):
            yield from found

    def put(self, file: Path, *, replace: bool, **more: Any) -> None:
        """Upload a file; see `StoreLocation.put`."""
        try:
            super().put(file, replace=replace, **more)
        except OSError as error:
            if replace:
                raise
            if "pre-condition" in str(error):  # s3fs has no error class for it
                raise FileExistsError(shown(self.uri)) from error
            if error.errno != errno.ENOSYS:
                raise
            # Not every store with S3's protocol has `If-None-Match`; it can only look first.
            if self.file() is not None:
                raise FileExistsError(shown(self.uri)) from error
            super().put(file, replace=True, **more)


class ObjectPart:
    """A result in the local spool; once put, the store shows it whole or not at all."""

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
        """Put it."""
        self._target.put(self.staged, replace=replace, **self._more)

    def discard(self) -> None:
        """Remove it from the spool."""
        self.staged.unlink(missing_ok=True)


class _ObjectReader(Reader):
    """Read one version of an object."""

    def __init__(self, file: Any, uri: str) -> None:
        super().__init__(file)
        self._uri = uri

    def read_bytes(self, size: int) -> bytes:
        """Read; `InputChangedError` when the object is another one now."""
        from s3fs.utils import FileExpired  # noqa: PLC0415 - whoever reads from S3 has loaded it

        try:
            return super().read_bytes(size)
        except FileExpired as error:
            raise InputChangedError(
                f"{shown(self._uri)} changed while it was being read; nothing was paid. "
                "Another try reads it again."
            ) from error
