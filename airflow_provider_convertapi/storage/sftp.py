"""SFTP servers, reached through sshfs.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_convertapi.storage.reader import Reader
from airflow_provider_convertapi.storage.store import StoreLocation
from airflow_provider_convertapi.storage.uris import shown, wrong

if TYPE_CHECKING:
    from airflow_provider_convertapi.storage.location import Address, State


class SftpLocation(StoreLocation):
    """A place on an SFTP server."""

    __slots__ = ()

    @classmethod
    def check_address(cls, address: Address, argument: str) -> None:
        """Raise `ParameterError` where the URI names no connection."""
        if address.conn_id is None:
            form = f"{address.scheme}://CONNECTION@/PATH"
            raise wrong(argument, f"{shown(address.uri)} names no connection: {form}")

    @property
    def dataset(self) -> tuple[str, str]:
        """Return the server, which only the connection knows, and the path."""
        given = {"host": "".join(self.fs.storage_args[:1]), **self.fs.storage_options}
        return f"file://{given['host']}", self.path.rstrip("/") or "/"

    def reader(self, state: State | None) -> Reader:  # noqa: ARG002 - opening makes no extra request
        """Open the file; no block size, since asyncssh splits reads and would multiply it."""
        return Reader(self.fs.open(self.path, "rb"), self)

    def move_to_new(self, new: StoreLocation) -> None:
        """Rename with plain SFTP, which replaces no file; `mv` uses the variant that does."""
        from fsspec.asyn import sync  # noqa: PLC0415 - for stores only, which have loaded it

        async def rename() -> None:
            # A channel of the pool: with one of its own for each of several threads there would be
            # more than the ten that OpenSSH allows.
            async with self.fs._pool.get() as channel:  # noqa: SLF001 - no public call gives one
                await channel.rename(self.path, new.path)

        sync(self.fs.loop, rename)
