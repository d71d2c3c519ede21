"""Azure Blob Storage and Data Lake, reached through adlfs.

This module may change from release to release.
"""

from __future__ import annotations

import io
import logging
import os
import secrets
from functools import partial
from mimetypes import guess_type
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_convertapi.storage.location import BLOCK
from airflow_provider_convertapi.storage.loop import run, several
from airflow_provider_convertapi.storage.objects import ObjectLocation, ObjectReader
from airflow_provider_convertapi.storage.reader import RangedFile
from airflow_provider_convertapi.storage.store import asking, state_of
from airflow_provider_convertapi.storage.uris import shown, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from pathlib import Path

    from airflow_provider_convertapi.storage.location import Address, State
    from airflow_provider_convertapi.storage.reader import Reader
    from airflow_provider_convertapi.storage.store import StoreLocation

_NEVER = '"0x0"'
"""An ETag that no blob has."""

_MARKS = frozenset({"hdi_isfolder", "is_directory"})
"""Metadata of a blob that is a directory."""

_AT_ONCE = 4
"""Blocks that are sent at the same time."""

_MOST_BLOCKS = 50_000
"""The most blocks of one blob (Azure's limit)."""

_LOGGER = "azure.core.pipeline.policies.http_logging_policy"
"""The SDK's logger, which would log every header of every request; Airflow's own Azure hook
silences it, too."""


class AzureLocation(ObjectLocation):
    """A place in Azure's Blob Storage."""

    __slots__ = ()
    library: ClassVar[str] = "service_client"

    @classmethod
    def at(cls, address: Address, argument: str) -> StoreLocation:
        """Resolve an address, and the connection that it names."""
        logger = logging.getLogger(_LOGGER)
        if logger.level == logging.NOTSET:  # a user who has set a level wants these lines
            logger.setLevel(logging.WARNING)
        return super().at(address, argument)

    @classmethod
    def check_address(cls, address: Address, argument: str) -> None:
        """Raise `ParameterError` if the URI names no container, or leads to another blob."""
        super().check_address(address, argument)
        if {".", ".."} & set(address.key.split("/")):
            complaint = (
                "has '.' or '..' in its path, which leads elsewhere in Azure; leave them out."
            )
            raise wrong(argument, f"{shown(address.uri)} {complaint}")

    @property
    def dataset(self) -> tuple[str, str]:
        """Return the container with its account, which the connection names, and the path."""
        host = f"{self.fs.service_client.account_name}.dfs.core.windows.net"
        return f"abfss://{self.bucket}@{host}", self.object_key.rstrip("/") or "/"

    def run(self, coroutine: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """Run a coroutine on the loop of the file system.

        `FileNotFoundError` if Azure does not find what it asks for.
        """
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - the file system has loaded it

        try:
            return run(self.fs.loop, coroutine(*args))
        except ResourceNotFoundError as error:
            raise FileNotFoundError(self.bucket) from error

    def blob(self, key: str) -> Any:
        """Return the SDK's client of a blob; it is a context manager."""
        return self.fs.service_client.get_blob_client(self.bucket, key)

    @asking
    def object(self) -> State | None:
        """Return the blob's state; adlfs's `info` would list if there is no blob."""

        async def properties() -> Any:
            async with self.blob(self.object_key) as blob:
                return await blob.get_blob_properties()

        try:
            return state_of(_described(self.run(properties), self.bucket))
        except FileNotFoundError:
            return None

    def look_at_bucket(self) -> None:
        """Ask for the container."""

        async def properties() -> None:
            async with self.fs.service_client.get_container_client(self.bucket) as container:
                await container.get_container_properties()

        self.run(properties)

    def walk(self, root: str) -> Iterator[dict[str, Any]]:
        """Walk the listing page by page; `find` treats a missing container as an empty one."""
        container = self.fs.service_client.get_container_client(self.bucket)
        pages = container.list_blobs(
            name_starts_with=root.partition("/")[2], include=["metadata"]
        ).by_page()

        async def page() -> list[dict[str, Any]] | None:
            async for blobs in pages:
                return [_described(blob, self.bucket) async for blob in blobs]
            return None

        while (found := self.run(page)) is not None:
            yield from found

    def pins(self, state: State) -> bool:
        """Tell whether the ETag is known, so that a read can demand it."""
        return bool(state.version)

    def reader(self, state: State | None) -> Reader:
        """Open the version of the blob that was found; no request is sent before the first read."""
        from azure.core import MatchConditions  # noqa: PLC0415 - the file system has loaded it
        from azure.core.exceptions import ResourceModifiedError  # noqa: PLC0415 - as above

        state = state or self.object()
        if state is None:
            raise FileNotFoundError(self.uri)
        same = {"etag": f'"{state.version}"', "match_condition": MatchConditions.IfNotModified}
        demand = same if self.pins(state) else {}

        async def download(start: int, size: int) -> bytes:
            async with self.blob(self.object_key) as blob:
                stream = await blob.download_blob(offset=start, length=size, **demand)
                data: bytes = await stream.readall()
            return data

        file = RangedFile(state.size, partial(self.run, download))
        return ObjectReader(file, self, (ResourceModifiedError, FileNotFoundError))

    @asking
    def put(self, /, file: Path, *, replace: bool, **more: Any) -> None:
        """Upload a local file in blocks; adlfs would hold up to 64 MiB of it in memory."""
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415 - as above

        try:
            self.run(self._upload, file, replace, more)
        except ResourceExistsError as error:
            raise FileExistsError(shown(self.uri)) from error

    async def _upload(self, file: Path, replace: bool, more: Mapping[str, Any]) -> None:
        from azure.core import MatchConditions  # noqa: PLC0415 - the file system has loaded it
        from azure.storage.blob import BlobBlock, ContentSettings  # noqa: PLC0415 - as above

        options = {**more, "content_settings": ContentSettings(guess_type(file.name)[0])}
        async with self.blob(self.object_key) as blob:
            with file.open("rb") as source:
                size = os.fstat(source.fileno()).st_size
                if size <= BLOCK:
                    await blob.upload_blob(source.read(), overwrite=replace, **options)
                    return
                # After a failure nothing is removed: within a week, Azure discards blocks that
                # were not committed.
                # https://learn.microsoft.com/rest/api/storageservices/put-block
                blocks: list[BlobBlock] = []
                # Half of our block size, because aiohttp holds the data that it sends twice.
                block = max(BLOCK // 2, -(-size // _MOST_BLOCKS))
                # Another upload to this name must not use the same ids, and Azure demands that all
                # ids of a blob, including those of its SDK, have one length.
                upload = secrets.token_hex(20)

                async def stage() -> None:
                    while data := source.read(block):
                        blocks.append(BlobBlock(f"{upload}{len(blocks):06d}"))
                        await blob.stage_block(blocks[-1].id, io.BytesIO(data), len(data))

                await several(_AT_ONCE, stage)
            if not replace:
                options["match_condition"] = MatchConditions.IfMissing
            await blob.commit_block_list(blocks, **options)

    def try_uploading(self, key: str) -> None:
        """Try to commit a block that was never uploaded, which always fails if it is permitted."""
        from azure.core import MatchConditions  # noqa: PLC0415 - the file system has loaded it
        from azure.core.exceptions import HttpResponseError  # noqa: PLC0415 - as above
        from azure.storage.blob import BlobBlock  # noqa: PLC0415 - as above

        async def commit() -> None:
            async with self.blob(key) as blob:
                await blob.commit_block_list(
                    [BlobBlock("convertapi")],
                    etag=_NEVER,
                    match_condition=MatchConditions.IfNotModified,
                )

        try:
            run(self.fs.loop, commit())  # a 404 need not mean that the container is missing
        except HttpResponseError as error:
            if getattr(error, "error_code", "") == "ContainerNotFound":
                raise FileNotFoundError(self.bucket) from error
            if error.status_code in (400, 404, 409, 412):  # it was permitted, and failed as planned
                return
            raise


def _described(blob: Any, container: str) -> dict[str, Any]:
    """Return the SDK's properties of a blob in fsspec's form."""
    marks: Mapping[str, str] = blob.metadata or {}
    is_directory = any(
        name.lower() in _MARKS and value.lower() == "true" for name, value in marks.items()
    )
    return {
        "name": f"{container}/{blob.name}",
        "type": "directory" if is_directory else "file",
        "size": blob.size,
        "etag": blob.etag,
        "last_modified": blob.last_modified,
    }
