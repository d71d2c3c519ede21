"""Documents sent in a request, on their way to disk."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Self

from convertapi_sandbox import names
from convertapi_sandbox.errors import ServiceError

if TYPE_CHECKING:
    from pathlib import Path


_KEPT = frozenset({"out", "work"})  # every conversion creates these in its folder
_MOST_FREE = 64


class Scratch:
    """Folders of requests, emptied and reused.

    Removing a folder takes 4 ms on a disk that discards freed blocks: most of a small conversion.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._free: list[Path] = []
        self._made = 0
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)

    def take(self) -> Path:
        """Return an empty folder; the caller must give it back, once."""
        if self._free:
            return self._free.pop()
        self._made += 1
        folder = self._root / str(self._made)
        folder.mkdir()
        return folder

    def give_back(self, folder: Path) -> None:
        """Empty a folder for the next caller."""
        if len(self._free) >= _MOST_FREE:
            shutil.rmtree(folder, ignore_errors=True)
            return
        for entry in folder.iterdir():
            if entry.name in _KEPT and not entry.is_symlink():
                for inner in entry.iterdir():
                    _remove(inner)
            else:
                _remove(entry)
        self._free.append(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


class Spool:
    """Writes documents sent in a request to the folder of its job."""

    def __init__(self, folder: Path, limit: int | None, too_large: int) -> None:
        self.folder = folder
        self._limit = limit
        self._too_large = too_large
        self._count = 0

    def place(self, name: str) -> Path:
        """Return the path of the next input; it has only the extension of the caller's name."""
        extension = re.sub(r"[^a-z0-9]", "", names.extension(name))[:10]
        self._count += 1
        return self.folder / f"{self._count}.{extension or 'bin'}"

    def open(self, name: str) -> tuple[Path, Sink]:
        """Open the file of the next input."""
        path = self.place(name)
        return path, Sink(path, self._limit, self._too_large)


class Sink:
    """A document on its way to disk, up to the largest allowed size."""

    def __init__(self, path: Path, limit: int | None, too_large: int) -> None:
        self._file = path.open("xb")
        self._limit = limit
        self._too_large = too_large
        self._size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes, or raise the refusal of a document that is too large."""
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            raise ServiceError(self._too_large, self._too_large, "The file is too large.")
        self._file.write(data)

    def close(self) -> None:
        """Write the rest and close the file; a second call does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
