"""A directory of small files of our own: listed, read, written whole, deleted."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_convertapi.errors import InputNotFoundError
from airflow_provider_convertapi.storage.destination import Destination
from airflow_provider_convertapi.storage.listing import list_files
from airflow_provider_convertapi.storage.location import LocalLocation, accepted
from airflow_provider_convertapi.storage.publication import Publication
from airflow_provider_convertapi.storage.uris import locate, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


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
        location = locate(self.uri, "destination")
        if isinstance(location, LocalLocation):
            try:
                found = [path.name for path in location.path.iterdir()]
            except FileNotFoundError:
                return []
        else:
            found = self._names_in_store()
        return sorted(name for name in found if name and not name.startswith("."))

    def _names_in_store(self) -> list[str]:
        location = locate(self.uri, "destination")
        assert not isinstance(location, LocalLocation)  # noqa: S101 - for the type checker
        fs, path = location.fs, location.path.rstrip("/")
        fs.invalidate_cache(path)
        try:
            infos = fs.ls(path, detail=True, **accepted(fs.ls, refresh=True))
        except FileNotFoundError:
            return []
        return [
            str(info["name"]).rpartition("/")[2] for info in infos if info["type"] != "directory"
        ]

    def read(self, name: str) -> bytes:
        """Return a file's bytes; `FileNotFoundError` where it is gone."""
        location = locate(self.uri + name, "destination")
        if isinstance(location, LocalLocation):
            return location.path.read_bytes()
        data: bytes = location.fs.cat_file(location.path)  # to open it would ask for its size first
        return data

    def modified(self, name: str) -> float | None:
        """Return when a file was written, in seconds since the epoch; None where nobody knows."""
        with suppress(InputNotFoundError):  # gone
            return next(list_files(self.uri + name)).modified
        return None

    def read_lines(self, name: str) -> Iterator[bytes]:
        """Yield a file's lines; `FileNotFoundError` where it is gone."""
        with locate(self.uri + name, "destination").open() as file:
            yield from file

    def write(self, name: str, data: bytes) -> None:
        """Publish a file whole, over one that has the name."""
        self._publish(name, [data], len(data))

    def write_lines(self, name: str, lines: Iterable[bytes]) -> None:
        """Publish a file of many lines whole, over one that has the name."""
        self._publish(name, lines, None)

    def _publish(self, name: str, blocks: Iterable[bytes], size: int | None) -> None:
        with Publication(Destination(self.uri), inputs=[], overwrite=True) as publication:
            with publication.stage(self.uri + name, size) as sink:
                sink.writelines(blocks)
            publication.publish()

    def delete(self, name: str) -> None:
        """Remove a file that may be gone already."""
        location = locate(self.uri + name, "destination")
        with suppress(FileNotFoundError):
            if isinstance(location, LocalLocation):
                location.path.unlink()
            else:
                location.fs.rm_file(location.path)
