"""A directory of our own small files: listed, read, written whole, deleted.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_convertapi.storage.destination import Destination
from airflow_provider_convertapi.storage.publication import Publication
from airflow_provider_convertapi.storage.schemes import locate
from airflow_provider_convertapi.storage.uris import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory of any store, which need not exist yet.

    :param uri: ends in ``/``.
    """

    uri: str

    def __str__(self) -> str:
        return without_secrets(self.uri)

    def names(self) -> list[str]:
        """Return the names of the files in it now, hidden ones left out, in alphabetical order."""
        try:
            found = locate(self.uri, "destination").names()
        except FileNotFoundError:
            return []
        return sorted(name for name in found if name and not name.startswith("."))

    def check_writable(self) -> None:
        """Make the directory; raise `OutputNotWritableError` if a file cannot be written."""
        Destination(self.uri).check_writable()

    def read(self, name: str) -> bytes:
        """Return a file's bytes; `FileNotFoundError` if it is gone."""
        return locate(self.uri + name, "destination").read()

    def modified(self, name: str) -> float | None:
        """Return when a file was written, in seconds since the epoch; None if unknown."""
        state = locate(self.uri + name, "destination").file()
        return state.modified if state else None

    def read_lines(self, name: str) -> Iterator[bytes]:
        """Yield a file's lines; `FileNotFoundError` if it is gone."""
        with locate(self.uri + name, "destination").open() as file:
            yield from file

    def write(self, name: str, data: bytes) -> None:
        """Publish a file whole; it replaces one of the same name."""
        self.write_lines(name, [data])

    def write_lines(self, name: str, lines: Iterable[bytes]) -> None:
        """Publish a file of many lines whole; it replaces one of the same name."""
        # Staged like a result, so that a reader, perhaps in another task, never sees half a file.
        with Publication(Destination(self.uri), inputs=[], overwrite=True) as publication:
            with publication.stage(self.uri + name, None) as sink:
                sink.writelines(lines)
            publication.publish()

    def delete(self, name: str) -> None:
        """Remove a file, which may be gone already."""
        with suppress(FileNotFoundError):
            locate(self.uri + name, "destination").delete()
