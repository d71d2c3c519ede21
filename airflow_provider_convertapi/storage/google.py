"""Google Cloud Storage, reached through gcsfs.

This module may change from release to release.
"""

from __future__ import annotations

import io
from contextlib import suppress
from mimetypes import guess_type
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from airflow_provider_convertapi.storage.loop import run
from airflow_provider_convertapi.storage.objects import ObjectLocation, ObjectReader
from airflow_provider_convertapi.storage.reader import RangedFile
from airflow_provider_convertapi.storage.store import asking, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_convertapi.storage.location import State
    from airflow_provider_convertapi.storage.reader import Reader

_PAGE = 1000
"""Objects in a page of a listing; the most that the service allows."""

_SIMPLE = 5 * 1024 * 1024 - 1
"""The most bytes that gcsfs uploads in one request."""

_PART = 256 * 1024 * 1024
"""Bytes of each request of a larger upload; a network failure makes this much be sent again.

A multiple of 256 KiB, which the service demands of all requests but the last:
https://cloud.google.com/storage/docs/performing-resumable-uploads
"""


class GoogleLocation(ObjectLocation):
    """A place in Google Cloud Storage."""

    __slots__ = ()
    library: ClassVar[str] = "call"

    @asking
    def object(self) -> State | None:
        """Return the object's state; gcsfs's `info` would also list."""
        try:
            found = self._call("b/{}/o/{}", self.bucket, self.object_key)
        except FileNotFoundError:
            return None
        return state_of({**found, "type": "file"})

    def look_at_bucket(self) -> None:
        """Ask for the bucket itself: without permission to list, `info` says that it is missing."""
        self._call("b/{}", self.bucket, fields="name")

    def _call(self, path: str, *names: str, **query: Any) -> dict[str, Any]:
        # Without this, gcsfs retries six times, for half a minute, if its credentials are refused.
        with suppress(AttributeError):
            self.fs.credentials.maybe_refresh()
        found: dict[str, Any] = self.fs.call("GET", path, *names, json_out=True, **query)
        return found

    def walk(self, root: str) -> Iterator[dict[str, Any]]:
        """Walk the listing page by page: `find` would hold it in memory."""
        token = None
        while True:
            page = self._call(
                "b/{}/o",
                self.bucket,
                prefix=root.partition("/")[2],
                maxResults=_PAGE,
                pageToken=token,
                fields="items(name,size,generation,updated),nextPageToken",
            )
            for item in page.get("items", ()):
                name, size = f"{self.bucket}/{item['name']}", int(item.get("size", 0))
                yield {**item, "name": name, "type": "file", "size": size}
            token = page.get("nextPageToken")
            if not token:
                return

    def pins(self, state: State) -> bool:
        """Tell whether the generation is known, so that a read can demand it."""
        return state.version.isdigit()

    def reader(self, state: State | None) -> Reader:
        """Open the generation of the object that was found; no request is sent before a read."""
        state = state or self.object()
        if state is None:
            raise FileNotFoundError(self.uri)
        generation = state.version if self.pins(state) else None

        def fetch(start: int, size: int) -> bytes:
            _, data = self.fs.call(
                "GET",
                self.fs.url(self.path),
                headers={"Range": f"bytes={start}-{start + size - 1}"},
                generation=generation,
            )
            return bytes(data)

        file = RangedFile(state.size, fetch)
        return ObjectReader(file, self, (FileNotFoundError, FileExistsError))

    @asking
    def put(self, /, file: Path, *, replace: bool, **more: Any) -> None:
        """Upload a local file; a large one straight from the disk, in few requests.

        gcsfs holds each part in memory, so its parts would have to be small.
        """
        size = file.stat().st_size
        if size <= _SIMPLE or self._is_zonal():
            super().put(file, replace=replace, **more)
            return
        kind = guess_type(file.name)[0] or "application/octet-stream"
        creating = {} if replace else {"ifGenerationMatch": "0"}
        # An upload that fails is not cancelled: it shows nothing, and expires after a week.
        # https://cloud.google.com/storage/docs/resumable-uploads
        session = self._begin(self.object_key, kind, **creating)
        with file.open("rb") as source:
            for start in range(0, size, _PART):
                length = min(_PART, size - start)
                self.fs.call(
                    "PUT",
                    session,
                    headers={
                        "Content-Length": str(length),
                        "Content-Range": f"bytes {start}-{start + length - 1}/{size}",
                    },
                    data=_Slice(source, start, length),
                )

    def _is_zonal(self) -> bool:
        """Tell whether the bucket is zonal, and takes its objects only by gRPC."""
        look = getattr(self.fs, "_is_zonal_bucket", None)
        return bool(look and run(self.fs.loop, look(self.bucket)))

    def _begin(self, key: str, kind: str, **query: str) -> str:
        """Begin a resumable upload, and return its URL."""
        base = str(self.fs.base).replace("/storage/v1/", "/upload/storage/v1/")
        headers, _ = self.fs.call(
            "POST",
            f"{base}b/{{}}/o",
            self.bucket,
            uploadType="resumable",
            name=key,
            json={"name": key},
            headers={"X-Upload-Content-Type": kind},
            **query,
        )
        return str(headers["Location"])

    def try_uploading(self, key: str) -> None:
        """Begin an upload and abort it: the object is neither written nor shown."""
        if self._is_zonal():
            return
        session = self._begin(key, "application/octet-stream")
        with suppress(Exception):  # it expires anyway, as above
            self.fs.call("DELETE", session)


class _Slice(io.RawIOBase):
    """A part of an open file, which a request may read again from its start."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position within the part."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move within the part."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read up to as many bytes as `buffer` holds."""
        self._file.seek(self._start + self._at)
        data = self._file.read(max(min(len(buffer), self._size - self._at), 0))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Keep the file open: a client closes what it has sent, but may send it again."""
