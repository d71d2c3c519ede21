"""A fresh place in each store, and what really lies there, past the code under test."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from azure.core.exceptions import ResourceNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

_REQUEST = re.compile(r"(GET|HEAD|PUT|POST|DELETE|PATCH) (/\S*)")


@dataclass
class Place:
    """A directory of a store that holds nothing yet.

    :param scheme: of its URIs.
    :param conn_id: Airflow's connection to the store.
    :param root: bucket or container, and the prefix of this place, without a slash at its end.
    :param missing: URI of a directory that cannot be listed or written, since its bucket is gone.
    :param refused: ids of connections that the store refuses.
    :param log: the server's log; None where it has no requests.
    """

    scheme: str
    conn_id: str
    root: str
    missing: str = ""
    refused: list[str] = field(default_factory=list)
    log: Path | None = None

    @property
    def uri(self) -> str:
        """Return the URI of the place; it ends in ``/``."""
        return f"{self.scheme}://{self.conn_id}@{self.root}/"

    def by(self, conn_id: str) -> str:
        """Return the URI of the place through another connection."""
        return f"{self.scheme}://{conn_id}@{self.root}/"

    @property
    def bucket(self) -> str:
        """Return the bucket or container."""
        return self.root.partition("/")[0]

    def key(self, name: str) -> str:
        """Return the key of a file."""
        return f"{self.root.partition('/')[2]}/{name}"

    def write(self, name: str, data: bytes) -> None:
        """Put a file there."""
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """Return every name in it, in alphabetical order."""
        raise NotImplementedError

    def create(self, bucket: str) -> None:
        """Create a bucket."""
        raise NotImplementedError

    def drop(self, bucket: str) -> None:
        """Delete a bucket with what is in it, if it is there."""
        raise NotImplementedError

    def outputs(self) -> list[str]:
        """Return the names below ``out/``, without our own records."""
        found = [name.removeprefix("out/") for name in self.names() if name.startswith("out/")]
        return [name for name in found if not name.startswith("_convertapi/")]

    def requests(self) -> list[str]:
        """Return the requests that the server has seen, as ``GET /path``."""
        text = self.log.read_text("utf-8", "replace") if self.log else ""
        return [" ".join(found) for found in _REQUEST.findall(text)]


@dataclass
class S3Place(Place):
    """A prefix in a bucket of a server that speaks S3."""

    client: Any = None

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        self.client.put_object(Bucket=self.bucket, Key=self.key(name), Body=data)

    def read(self, name: str) -> bytes:
        """Return an object's content."""
        data: bytes = self.client.get_object(Bucket=self.bucket, Key=self.key(name))["Body"].read()
        return data

    def names(self) -> list[str]:
        """Return every key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.key("")
        )
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return sorted(key.removeprefix(self.key("")) for key in keys)

    def create(self, bucket: str) -> None:
        """Create a bucket."""
        self.client.create_bucket(Bucket=bucket)

    def drop(self, bucket: str) -> None:
        """Delete a bucket with what is in it, if it is there."""
        # A thread may put an object meanwhile.
        with suppress(self.client.exceptions.ClientError):
            for item in self.client.list_objects_v2(Bucket=bucket).get("Contents", []):
                self.client.delete_object(Bucket=bucket, Key=item["Key"])
            self.client.delete_bucket(Bucket=bucket)


@dataclass
class AzurePlace(Place):
    """A prefix in a container of azurite."""

    service: Any = None

    @property
    def container(self) -> Any:
        """Return the SDK's client of the place's container."""
        return self.service.get_container_client(self.bucket)

    def write(self, name: str, data: bytes, **more: Any) -> None:
        """Put a blob."""
        self.container.upload_blob(self.key(name), data, overwrite=True, **more)

    def read(self, name: str) -> bytes:
        """Return a blob's content."""
        data: bytes = self.container.download_blob(self.key(name)).readall()
        return data

    def names(self) -> list[str]:
        """Return every name."""
        found = self.container.list_blob_names(name_starts_with=self.key(""))
        return sorted(name.removeprefix(self.key("")) for name in found)

    def create(self, bucket: str) -> None:
        """Create a container."""
        self.service.create_container(bucket)

    def drop(self, bucket: str) -> None:
        """Delete a container with what is in it, if it is there."""
        with suppress(ResourceNotFoundError):
            self.service.delete_container(bucket)


@dataclass
class GooglePlace(Place):
    """A prefix in a bucket of fake-gcs-server, reached by Google's JSON interface."""

    url: str = ""
    http: Any = None

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        address = f"{self.url}/upload/storage/v1/b/{self.bucket}/o"
        query = {"uploadType": "media", "name": self.key(name)}
        self.http.post(address, params=query, data=data).raise_for_status()

    def read(self, name: str) -> bytes:
        """Return an object's content."""
        address = f"{self.url}/storage/v1/b/{self.bucket}/o/{quote(self.key(name), safe='')}"
        answer = self.http.get(address, params={"alt": "media"})
        answer.raise_for_status()
        data: bytes = answer.content
        return data

    def names(self) -> list[str]:
        """Return every name."""
        found, token = [], ""
        while True:
            query = {"prefix": self.key(""), "pageToken": token}
            page = self.http.get(f"{self.url}/storage/v1/b/{self.bucket}/o", params=query).json()
            found += [item["name"].removeprefix(self.key("")) for item in page.get("items", [])]
            token = page.get("nextPageToken", "")
            if not token:
                return sorted(found)

    def create(self, bucket: str) -> None:
        """Create a bucket."""
        self.http.post(f"{self.url}/storage/v1/b", json={"name": bucket}).raise_for_status()

    def drop(self, bucket: str) -> None:
        """Delete a bucket with what is in it, if it is there."""
        address = f"{self.url}/storage/v1/b/{bucket}"
        for item in self.http.get(f"{address}/o").json().get("items", []):
            self.http.delete(f"{address}/o/{quote(item['name'], safe='')}")
        self.http.delete(address)


@dataclass
class SftpPlace(Place):
    """A directory of this disk, which an SFTP server shows."""

    path: Path | None = None

    @property
    def uri(self) -> str:
        """Return the URI; an SFTP server has no buckets, so that the path is absolute."""
        return self.by(self.conn_id)

    def by(self, conn_id: str) -> str:
        """Return the URI through another connection."""
        return f"{self.scheme}://{conn_id}@{self.path}/"

    def write(self, name: str, data: bytes) -> None:
        """Write a file."""
        assert self.path
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(data)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        assert self.path
        return (self.path / name).read_bytes()

    def names(self) -> list[str]:
        """Return every file."""
        assert self.path
        found = (path for path in self.path.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.path)) for path in found)
