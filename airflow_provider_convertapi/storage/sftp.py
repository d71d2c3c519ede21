"""SFTP servers, reached through sshfs.

This module may change from release to release.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.storage.loop import run
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
"""Names of asyncssh's errors for a write that cannot succeed, such as on a full disk."""


@contextmanager
def _writing() -> Iterator[None]:
    """Raise `OSError` for lack of room if the server says "failure".

    OpenSSH says the same for a full disk, an exceeded quota and a read-only disk.
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
        """Raise `ParameterError` if the URI names no connection."""
        if address.conn_id is None:
            form = f"{address.scheme}://CONNECTION@/PATH"
            raise wrong(argument, f"{shown(address.uri)} names no connection: {form}")

    @property
    def dataset(self) -> tuple[str, str]:
        """Return the server, which the connection names, and the path."""
        given = {"host": "".join(self.fs.storage_args[:1]), **self.fs.storage_options}
        return f"file://{given['host']}", self.path.rstrip("/") or "/"

    def reader(self, state: State | None) -> Reader:  # noqa: ARG002 - opening makes no extra request
        """Open the file; no block size, since asyncssh splits reads and would multiply it."""
        return Reader(self.fs.open(self.path, "rb"), self)

    def try_writing(self) -> None:
        """Make the directory, and write and remove a hidden file."""
        with _writing():
            super().try_writing()

    def put(self, /, file: Path, *, replace: bool, **more: Any) -> None:
        """Upload a file; see `StoreLocation.put`."""
        with _writing():
            super().put(file, replace=replace, **more)

    def move_to_new(self, new: StoreLocation) -> None:
        """Rename with plain SFTP, which replaces no file; `mv` uses the variant that does."""

        async def rename() -> None:
            # A channel of the pool: with a separate one for each thread there would be more than
            # the ten that OpenSSH allows.
            async with self.fs._pool.get() as channel:  # noqa: SLF001 - no public call gives one
                await channel.rename(self.path, new.path)

        run(self.fs.loop, rename())
