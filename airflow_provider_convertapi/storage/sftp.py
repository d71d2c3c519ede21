"""SFTP servers, reached through sshfs.

This module may change from release to release.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.storage.reader import Reader
from airflow_provider_convertapi.storage.store import StoreLocation
from airflow_provider_convertapi.storage.uris import shown, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_convertapi.storage.location import Address, State


_FAILURES = frozenset(
    {"SFTPFailure", "SFTPNoSpaceOnFilesystem", "SFTPQuotaExceeded", "SFTPWriteProtect"}
)
"""Classes of asyncssh's errors, by name, that a write ends with where no write can succeed."""


@contextmanager
def _writing() -> Iterator[None]:
    """Raise `OSError` for lack of room where the server says "failure".

    OpenSSH says no more of a full disk, a quota and a read-only one.
    """
    try:
        yield
    except Exception as error:
        if type(error).__name__ not in _FAILURES:
            raise
        why = f"the server says {str(error)!r}, perhaps of a full or read-only disk"
        raise OSError(errno.ENOSPC, why) from error


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

    def try_writing(self) -> None:
        """Make the directory, and write a hidden file that is removed again."""
        with _writing():
            super().try_writing()

    def put(self, /, file: Path, *, replace: bool, **more: Any) -> None:
        """Upload a file; see `StoreLocation.put`."""
        with _writing():
            super().put(file, replace=replace, **more)

    def move_to_new(self, new: StoreLocation) -> None:
        """Rename with plain SFTP, which replaces no file; `mv` uses the variant that does."""
        from fsspec.asyn import sync  # noqa: PLC0415 - for stores only, which have loaded it

        async def rename() -> None:
            # A channel of the pool: with one of its own for each of several threads there would be
            # more than the ten that OpenSSH allows.
            async with self.fs._pool.get() as channel:  # noqa: SLF001 - no public call gives one
                await channel.rename(self.path, new.path)

        sync(self.fs.loop, rename)
