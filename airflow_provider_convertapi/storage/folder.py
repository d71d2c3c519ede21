"""A directory of small files of our own: listed, read, written whole, deleted.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from airflow_provider_convertapi.storage.destination import Destination
from airflow_provider_convertapi.storage.publication import Publication
from airflow_provider_convertapi.storage.schemes import locate
from airflow_provider_convertapi.storage.uris import shown


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory of any store, which need not exist yet.

    :param uri: ends in ``/``.
    """

    uri: str

    def __str__(self) -> str:
        return shown(self.uri)

    def names(self) -> list[str]:
        """Return the names of the files in it now, hidden ones left out, in alphabetical order."""
        try:
            found = locate(self.uri, "destination").names()
        except FileNotFoundError:
            return []
        return sorted(name for name in found if name and not name.startswith("."))

    def read(self, name: str) -> bytes:
        """Return a file's bytes; `FileNotFoundError` where it is gone."""
        with locate(self.uri + name, "destination").open() as file:
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Publish a file whole, over one that has the name."""
        with Publication(Destination(self.uri), inputs=[], overwrite=True) as publication:
            with publication.stage(self.uri + name, len(data)) as sink:
                sink.write(data)
            publication.publish()

    def delete(self, name: str) -> None:
        """Remove a file that may be gone already."""
        with suppress(FileNotFoundError):
            locate(self.uri + name, "destination").delete()
