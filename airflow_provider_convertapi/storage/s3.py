"""S3, and stores with the same protocol.

This module may change from release to release.
"""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from mimetypes import guess_type
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_convertapi.storage.location import BLOCK
from airflow_provider_convertapi.storage.loop import run, several
from airflow_provider_convertapi.storage.objects import ObjectLocation, ObjectReader
from airflow_provider_convertapi.storage.store import StoreLocation, asking, block_for, state_of
from airflow_provider_convertapi.storage.trouble import http_status, refuses_credentials
from airflow_provider_convertapi.storage.uris import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from airflow_provider_convertapi.storage.location import State
    from airflow_provider_convertapi.storage.reader import Reader

_PAGE = 1000
"""Objects in a page of S3's listing."""

_PARTS_FROM = 2 * BLOCK
"""The least bytes of an object that is uploaded in parts."""

_IN_MEMORY = 3 * BLOCK
"""Bytes of the parts that are sent at the same time; aiohttp holds them a second time."""

_TOLD = (
    *("ETag", "ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME"),
    *("ChecksumSHA1", "ChecksumSHA256"),
)
"""Fields of a part's answer that the request to complete the upload must repeat."""

_TACIT = (301, 400, 403)
"""Statuses that may concern the connection, which only an answer with a body shows."""

_STAMP = "convertapi"
"""The name of the metadata that holds a stamp."""

_ETAG = re.compile(r"[0-9a-f]{32}(-\d+)?")


class S3Location(ObjectLocation):
    """A location in S3, or in a store with the same protocol."""

    __slots__ = ()
    library: ClassVar[str] = "call_s3"

    @asking
    def object(self) -> State | None:
        """Return the object's state; s3fs's `info` would list if there is no object."""
        try:
            found = self._head("head_object", Key=self.object_key)
        except FileNotFoundError:
            return None
        stamp = found.get("Metadata", {}).get(_STAMP, "")
        return state_of({**found, "type": "file", "size": found["ContentLength"]}, stamp)

    def look_at_bucket(self) -> None:
        """Ask for the bucket."""
        self._head("head_bucket")

    def _head(self, method: str, **more: str) -> dict[str, Any]:
        """Send a HEAD request for an object or the bucket; an error says why it is refused."""
        try:
            found: dict[str, Any] = self.fs.call_s3(
                method, self.fs.kwargs, Bucket=self.bucket, **more
            )
        except FileNotFoundError:
            raise
        except OSError as error:
            if http_status(error) not in _TACIT:
                raise
            # The answer to a HEAD has no body with a reason; the answer to a listing has one.
            try:
                self.fs.call_s3("list_objects_v2", Bucket=self.bucket, MaxKeys=1)
            except OSError as reason:
                if refuses_credentials(reason):
                    raise
            raise
        return found

    @asking
    def has_children(self) -> bool:
        """Tell whether any key begins with the path and a slash."""
        root = f"{self.object_key.rstrip('/')}/".lstrip("/")  # empty for the bucket itself
        try:
            found = self.fs.call_s3(
                "list_objects_v2", self.fs.kwargs, Bucket=self.bucket, Prefix=root, MaxKeys=2
            )
        except FileNotFoundError:  # the bucket is missing
            return False
        return any(item["Key"] != root for item in found.get("Contents", ()))

    names = StoreLocation.names
    """One request that leaves deeper levels out; the inherited method would list those, too."""

    def stamping(self, stamp: str) -> dict[str, Any]:
        """Return metadata with the stamp, which is lost when a program writes the object again."""
        return {"Metadata": {_STAMP: stamp}} if stamp else {}

    def pins(self, state: State) -> bool:
        """Tell whether the ETag is known, so that a read can demand it."""
        return _ETAG.fullmatch(state.version) is not None

    def reader(self, state: State | None) -> Reader:
        """Open the object; if its state is known, no request is sent before the first read."""
        from s3fs.utils import FileExpired  # noqa: PLC0415 - it is loaded when S3 is read

        if state is None or not self.pins(state):
            file = self.fs.open(self.path, "rb", block_size=BLOCK, cache_type="none")
            return ObjectReader(file, self, (FileExpired,))
        etag = f'"{state.version}"'
        file = self.fs.open(self.path, "rb", block_size=BLOCK, cache_type="none", size=state.size)
        # As s3fs itself does after it has asked for the size: all blocks must have this version.
        file.details = {"name": self.path, "type": "file", "size": state.size, "ETag": etag}
        for headers in ("req_kw", "read_kw"):  # before and since s3fs 2026
            if hasattr(file, headers):
                setattr(file, headers, {**getattr(file, headers), "IfMatch": etag})
        return ObjectReader(file, self, (FileExpired,))

    def walk(self, root: str) -> Iterator[dict[str, Any]]:
        """Walk the listing page by page: `find` would hold a kilobyte for each object in memory."""
        bucket, prefix, _ = self.fs.split_path(root)
        entries = self.fs._iterdir(bucket, delimiter="", prefix=prefix)  # noqa: SLF001 - the public calls are not streams

        async def page() -> list[dict[str, Any]]:
            found = []
            async for entry in entries:
                found.append(entry)
                if len(found) == _PAGE:
                    break
            return found

        while found := run(self.fs.loop, page()):
            yield from found

    def try_uploading(self, key: str) -> None:
        """Begin an upload in parts and abort it: the object is neither written nor shown."""
        try:
            begun = self.fs.call_s3("create_multipart_upload", Bucket=self.bucket, Key=key)
        except OSError as error:
            # Not every store with S3's protocol has uploads in parts, and a KMS key may permit the
            # simple upload of a small result, but not these.
            if error.errno == errno.ENOSYS or "kms" in str(error).lower():
                return
            raise
        with suppress(Exception):  # without permission, an empty upload is left to lifecycle rules
            self.fs.call_s3(
                "abort_multipart_upload", Bucket=self.bucket, Key=key, UploadId=begun["UploadId"]
            )

    def upload(self, file: Path, **options: Any) -> None:
        """Upload a local file; s3fs would wait for a whole group of parts before the next one."""
        size = file.stat().st_size
        if size < _PARTS_FROM:
            super().upload(file, **options)
            return
        create = {"IfNoneMatch": "*"} if options.get("mode") == "create" else {}
        described: dict[str, Any] = {"Metadata": options.get("Metadata", {}), **self._checksum()}
        if kind := guess_type(file.name)[0]:
            described["ContentType"] = kind
        target = {"Bucket": self.bucket, "Key": self.object_key}
        begun = self.fs.call_s3("create_multipart_upload", **target, **described)
        target["UploadId"] = begun["UploadId"]
        try:
            sent = run(self.fs.loop, self._send(file, block_for(size), target))
            self.fs.call_s3(
                "complete_multipart_upload", **target, MultipartUpload={"Parts": sent}, **create
            )
        except BaseException:
            # Amazon charges for the parts of an unfinished upload until it is aborted, and they do
            # not appear in a listing.
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
            with suppress(Exception):  # the first error is the one to report
                self.fs.call_s3("abort_multipart_upload", **target)
            raise
        self._forget_listings()

    def _checksum(self) -> dict[str, str]:
        """Declare the checksum that botocore computes for each part, as boto3's transfers do.

        Otherwise the store would compute one of another kind for the whole object.
        """
        settings = self.fs.s3.meta.config
        # botocore before 1.36 has no such setting, and computes none.
        computes = getattr(settings, "request_checksum_calculation", "") == "when_supported"
        return {"ChecksumAlgorithm": "CRC32"} if computes else {}

    async def _send(
        self, file: Path, block: int, target: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Upload a file in blocks, few at a time, and return what completes the upload."""
        told: dict[int, dict[str, Any]] = {}

        async def send_next() -> None:
            while body := source.read(block):
                number = source.tell() // block + (len(body) < block)
                part = await self.fs._call_s3("upload_part", **target, PartNumber=number, Body=body)  # noqa: SLF001 - the public calls are not coroutines
                told[number] = {name: part[name] for name in _TOLD if name in part}

        with file.open("rb") as source:
            await several(max(_IN_MEMORY // block, 1), send_next)
        return [{"PartNumber": number, **told[number]} for number in sorted(told)]

    @asking
    def put(self, /, file: Path, *, replace: bool, **more: Any) -> None:
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
            # Not every store with S3's protocol has `If-None-Match`; then only this check helps.
            if self.file() is not None:
                raise FileExistsError(shown(self.uri)) from error
            super().put(file, replace=True, **more)
