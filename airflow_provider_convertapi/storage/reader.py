"""Readers of a store's files, with the interface of Python's buffered files.

This module may change from release to release.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


class Place(Protocol):
    """The location of a file, which errors name."""

    @property
    def uri(self) -> str:
        """Return its URI."""

    def naming(self) -> AbstractContextManager[None]:
        """Name the connection in the errors of a store that refuses it."""


class Reader(io.RawIOBase):
    """Give a store's file the interface of a raw file, which a buffered one needs."""

    def __init__(self, file: Any, place: Place) -> None:
        self.file = file
        self._place = place

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read up to as many bytes as `buffer` holds."""
        data = self.read_bytes(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Read the rest at once; the inherited method asks the store for 8 KiB at a time."""
        return self.read_bytes(-1)

    def read_bytes(self, size: int) -> bytes:
        """Read up to `size` bytes; all that are left if it is negative."""
        with self._place.naming():
            data: bytes = self.file.read(self._within(size))
        return data

    def _within(self, size: int) -> int:
        """Return `size`, or less if the file ends before, since some servers refuse more."""
        length = getattr(self.file, "size", None)
        if not isinstance(length, int):
            return size
        left = max(length - int(self.file.tell()), 0)
        return min(size, left) if size >= 0 else left

    def close(self) -> None:
        """Close the store's file."""
        self.file.close()
        super().close()


class RangedFile:
    """A file that is read in order, each piece by a separate request.

    :param size: the file's bytes.
    :param fetch: takes a position and a number of bytes, and returns the bytes that are there.
    """

    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        self.size = size
        self._fetch = fetch
        self._at = 0

    def tell(self) -> int:
        """Return the number of bytes that were read."""
        return self._at

    def read(self, size: int) -> bytes:
        """Read `size` bytes."""
        if not size:
            return b""
        data = self._fetch(self._at, size)
        self._at += len(data)
        return data

    def close(self) -> None:
        """Do nothing: no connection is kept."""
